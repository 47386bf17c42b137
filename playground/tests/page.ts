/**
 * Fixtures for tests of the built page: served on a free port from a nested folder. A test fails if the page sends requests to other
 * servers or logs errors.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base, expect, type Page } from "@playwright/test";
import { preview } from "vite";

export { expect };

export const DIST = join(import.meta.dirname, "../page/dist");
const FOLDER = "docs/some where/playground";

export const test = base.extend<{ watched: Page }, { server: string }>({
  server: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the names of fixtures
    async ({}, use) => {
      if (!existsSync(DIST)) throw new Error("the page is not built: run npm run build");
      const root = mkdtempSync(join(tmpdir(), "playground-"));
      cpSync(DIST, join(root, FOLDER), { recursive: true });
      const server = await preview({
        configFile: false,
        logLevel: "error",
        // Without the fallback to an index.html.
        appType: "mpa",
        build: { outDir: root },
        preview: { host: "127.0.0.1", port: 0 },
      });
      const { port } = server.httpServer.address() as AddressInfo;
      await use(`http://127.0.0.1:${port}/${encodeURI(FOLDER)}/`);
      await server.close();
      rmSync(root, { recursive: true });
    },
    { scope: "worker" },
  ],
  baseURL: ({ server }, use) => use(server),
  watched: [
    async ({ page, context, server }, use) => {
      const outside: string[] = [];
      const errors: string[] = [];
      context.on("request", (request) => {
        if (!request.url().startsWith(server) && !request.url().startsWith("data:")) outside.push(request.url());
      });
      page.on("pageerror", (error) => errors.push(error.stack ?? error.message));
      page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) errors.push(message.text());
      });
      await use(page);
      expect(outside, "requests to elsewhere").toEqual([]);
      expect(errors, "errors in the console").toEqual([]);
    },
    { auto: true },
  ],
});

/** Opens the page, and waits until it has answered the first example. */
export async function open(page: Page, fragment = ""): Promise<void> {
  await page.goto(`./${fragment}`);
  await expect(page.locator("main")).toBeVisible();
}

export async function openExample(page: Page, folder: string): Promise<void> {
  await page.getByRole("button", { name: "Examples" }).click();
  await page.locator(`[data-example="${folder}"]`).click();
  await expect(page.locator("#examples")).toBeHidden();
  await expect(textOf(page, "Pod")).toContainText(firstWords(folder));
}

export function exampleFile(folder: string, name: string): string {
  const file = join(import.meta.dirname, "../page/public/examples", folder, `${name}.yaml`);
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

function firstWords(folder: string): string {
  return exampleFile(folder, "pod").slice(0, 40).split("\n")[0] ?? "";
}

/** Returns the editor with this name. */
export function textOf(page: Page, name: "Pod" | "Settings" | "Secrets in the store" | "Decode secret requests") {
  return page.getByRole("textbox", { name, exact: true });
}

/** Replaces the text of an editor, as a paste does. */
export async function fill(page: Page, name: Parameters<typeof textOf>[1], text: string): Promise<void> {
  const editor = textOf(page, name);
  await editor.focus();
  await page.keyboard.press("ControlOrMeta+A");
  if (text) await page.keyboard.insertText(text);
  else await page.keyboard.press("Delete");
}

/** Scrolls through the mutated pod, of which CodeMirror renders only the visible part, until there is a line with this text. */
export async function findAfter(page: Page, words: string): Promise<void> {
  const pane = page.locator("#answer");
  await pane.evaluate((pane) => pane.scrollTo(0, 0));
  const line = page.locator(".diff .cm-merge-b .cm-line").filter({ hasText: words }).first();
  await expect(async () => {
    if (!(await line.isVisible())) await pane.evaluate((pane) => pane.scrollBy(0, 300));
    await expect(line).toBeVisible({ timeout: 100 });
  }).toPass({ timeout: 20_000 });
}

export const verdict = (page: Page) => page.locator(".verdict");

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Returns the findings of axe on the current page. */
export async function violations(page: Page): Promise<string[]> {
  // By the DevTools protocol, because the page's content security policy blocks scripts.
  await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run();
    return violations.flatMap(({ id, help, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${help}\n${html}\n${failureSummary}`),
    );
  });
}
