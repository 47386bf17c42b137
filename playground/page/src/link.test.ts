import { deflateRawSync } from "node:zlib";
import { expect, test } from "vitest";
import { decode, encode, isLink } from "./link";

const state = { tab: "pod", pod: "apiVersion: v1\nkind: Pod # ünïcödé 🔑\n", showValues: "false" };
const packed = (text: string | Buffer) => `#v1=${deflateRawSync(text).toString("base64url")}`;

test("a state comes back as it was", async () => {
  expect(await decode(await encode(state))).toEqual(state);
});

test("the fragment needs no escapes in an address", async () => {
  // Long enough for every letter of base64.
  const fragment = await encode({
    pod: Array.from({ length: 3000 }, (_, at) => String.fromCodePoint(32 + ((at * 7919) % 2000))).join(""),
  });
  expect(fragment).toMatch(/^#v1=[\w-]+$/);
  expect(new URL(fragment, "https://example.com/a/").hash).toBe(fragment);
});

test("text is packed", async () => {
  const pod = "    - name: VARIABLE\n      value: something\n".repeat(200);
  expect((await encode({ pod })).length).toBeLessThan(pod.length / 10);
});

test("other fragments are no links", () => {
  expect(isLink("#main")).toBe(false);
  expect(isLink("")).toBe(false);
});

test.each([
  ["no link", "#main"],
  ["letters that base64 does not have", "#v1=***"],
  ["nothing behind the mark", "#v1="],
  ["what is not deflated", "#v1=aGVsbG8"],
  ["what is cut short", packed(JSON.stringify(state)).slice(0, -6)],
  ["what is no JSON", packed("hello")],
  ["a list", packed("[]")],
  ["null", packed("null")],
  ["values that are no texts", packed('{"pod": 1}')],
  ["bytes that are no UTF-8", packed(Buffer.from([0x22, 0xff, 0x22]))],
  ["more than there is room for", packed(JSON.stringify({ pod: "a".repeat(5 << 20) }))],
])("%s is refused", async (_, fragment) => {
  await expect(decode(fragment)).rejects.toThrow();
});
