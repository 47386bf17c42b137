/**
 * Bytes, milliseconds, and that nothing leaves the page.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { DIST, exampleFile, expect, fill, open, test, textOf, verdict } from "./page";

const files = readdirSync(DIST, { recursive: true, encoding: "utf8" }).filter((file) =>
  statSync(join(DIST, file)).isFile(),
);
const bytes = (ending: string) => {
  const found = files.filter((file) => file.endsWith(ending));
  expect(found, ending).not.toEqual([]);
  return found.reduce((sum, file) => sum + statSync(join(DIST, file)).size, 0);
};

test("all script together has at most 250 kB, the wasm 300 kB, before compression", () => {
  const script = bytes(".js");
  const wasm = bytes(".wasm");
  console.log(`script ${script} bytes, wasm ${wasm} bytes`);
  expect(script).toBeLessThanOrEqual(250_000);
  expect(wasm).toBeLessThanOrEqual(300_000);
  // None is hidden in the page itself.
  expect(readFileSync(join(DIST, "index.html"), "utf8")).not.toMatch(/<script(?![^>]* src=)/);
});

test("no address of the page is absolute", () => {
  const html = readFileSync(join(DIST, "index.html"), "utf8");
  const addresses = [...html.matchAll(/ (?:src|href)="([^"]*)"/g)].map(([, address]) => address ?? "");
  expect(addresses.length).toBeGreaterThan(2);
  for (const address of addresses) expect(address).toMatch(/^(\.\/|#|data:)/);
});

test("the page's own policy keeps requests to elsewhere back", async ({ browser, server }) => {
  let asked = 0;
  const other = createServer((_, response) => {
    asked++;
    response.setHeader("Access-Control-Allow-Origin", "*").end("hello");
  });
  await new Promise<void>((done) => {
    other.listen(0, "127.0.0.1", done);
  });
  const address = `http://127.0.0.1:${(other.address() as AddressInfo).port}/`;
  expect(await (await fetch(address)).text()).toBe("hello");

  // A context of its own, because what is refused stands in the console.
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(server);
  await expect(page.locator("main")).toBeVisible();
  const tried = await page.evaluate(async (address) => {
    const image = new Promise((done) => {
      const image = new Image();
      image.onload = () => done("loaded");
      image.onerror = () => done("refused");
      image.src = address;
    });
    const fetched = fetch(address).then(
      () => "loaded",
      () => "refused",
    );
    return Promise.all([fetched, image]);
  }, address);
  expect(tried).toEqual(["refused", "refused"]);
  expect(asked).toBe(1);
  await context.close();
  other.close();
});

/** A pod of at least 10 kB with six requests. */
function bigPod(): string {
  const pod = exampleFile("embedded", "pod");
  const request = /flyte\.secrets\/s0: .*/.exec(pod)?.[0] ?? "";
  const requests = [10, 11, 12].map((number) => `    ${request.replace("s0", `s${number}`)}\n`).join("");
  const variables = Array.from(
    { length: 85 },
    (_, at) =>
      `        - name: SETTING_${at} # number ${at}\n          value: "https://example.com/${at}?part=of&a=longer#text"\n`,
  ).join("");
  return pod.replace("  annotations:\n", `$&${requests}`).replace("      env:\n", `$&${variables}`);
}

test("from each key to the answer: under 50 ms on a 10 kB pod", async ({ page }) => {
  await open(page);
  const pod = bigPod();
  expect(Buffer.byteLength(pod)).toBeGreaterThanOrEqual(10_000);
  await fill(page, "Pod", pod);
  await expect(verdict(page)).toContainText("Changed");
  await page.keyboard.press("ControlOrMeta+Home");
  await textOf(page, "Pod").getByText("name: f9372").first().click();
  await page.keyboard.press("End");

  await page.evaluate(() => {
    const times: Time[] = [];
    let pressed = 0;
    addEventListener(
      "keydown",
      (event) => {
        pressed = event.timeStamp;
      },
      true,
    );
    // Each verdict has the pod's name in it.
    new MutationObserver(() => {
      document.body.getBoundingClientRect();
      const answered = performance.now() - pressed;
      requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = () => times.push({ answered, drawn: performance.now() - pressed });
        channel.port2.postMessage(0);
      });
    }).observe(document.querySelector(".verdict") as Element, { childList: true });
    Object.assign(window, { times });
  });
  // A machine that is busy with other things makes keys slower, and none faster: the best of three rounds is the page's own.
  const rounds = [];
  for (const letters of ["abcdefghijklmnopqrstuvwxyz", "bcdefghijklmnopqrstuvwxyza", "cdefghijklmnopqrstuvwxyzab"]) {
    for (const letter of letters) {
      await page.keyboard.press(letter);
      await page.waitForTimeout(40);
    }
    await expect(verdict(page)).toContainText(letters);
    const times = await page.evaluate(() => (window as unknown as { times: Time[] }).times.splice(0));
    expect(times).toHaveLength(letters.length);
    const answered = times.map((time) => time.answered).sort((a, b) => a - b);
    const drawn = times.map((time) => time.drawn).sort((a, b) => a - b);
    rounds.push(at(answered, 1));
    console.log(
      `laid out after ${at(answered, 0.5)} ms, drawn after ${at(drawn, 0.5)} ms; at worst ${at(answered, 1)} and ${at(drawn, 1)} ms`,
    );
    if (at(answered, 1) < 50) break;
  }
  expect(Math.min(...rounds)).toBeLessThan(50);
});

interface Time {
  /** From the key to the answer in the document, laid out. */
  answered: number;
  /** From the key to the frame that shows it: the machine's affair more than the page's. */
  drawn: number;
}

function at(sorted: number[], part: number): number {
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN);
}
