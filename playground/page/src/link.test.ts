import { deflateRawSync } from "node:zlib";
import { expect, test } from "vitest";
import { decode, encode, isLink } from "./link";

const state = { tab: "pod", pod: "apiVersion: v1\nkind: Pod # ünïcödé 🔑\n", showValues: "false" };
const packed = (text: string | Buffer) => `#v1=${deflateRawSync(text).toString("base64url")}`;

test("a decoded state equals the encoded one", async () => {
  expect(await decode(await encode(state))).toEqual(state);
});

test("the fragment needs no escapes in a URL", async () => {
  // Long enough for every letter of base64.
  const fragment = await encode({
    pod: Array.from({ length: 3000 }, (_, at) => String.fromCodePoint(32 + ((at * 7919) % 2000))).join(""),
  });
  expect(fragment).toMatch(/^#v1=[\w-]+$/);
  expect(new URL(fragment, "https://example.com/a/").hash).toBe(fragment);
});

test("text is compressed", async () => {
  const pod = "    - name: VARIABLE\n      value: something\n".repeat(200);
  expect((await encode({ pod })).length).toBeLessThan(pod.length / 10);
});

test("other fragments are not links", () => {
  expect(isLink("#main")).toBe(false);
  expect(isLink("")).toBe(false);
});

test.each([
  ["another fragment", "#main"],
  ["invalid base64", "#v1=***"],
  ["an empty link", "#v1="],
  ["data that is not deflated", "#v1=aGVsbG8"],
  ["truncated data", packed(JSON.stringify(state)).slice(0, -6)],
  ["data that is not JSON", packed("hello")],
  ["a list", packed("[]")],
  ["null", packed("null")],
  ["values that are not strings", packed('{"pod": 1}')],
  ["invalid UTF-8", packed(Buffer.from([0x22, 0xff, 0x22]))],
  ["too much data", packed(JSON.stringify({ pod: "a".repeat(5 << 20) }))],
])("%s is rejected", async (_, fragment) => {
  await expect(decode(fragment)).rejects.toThrow();
});
