/**
 * Writes the screenshots of the book, with a maximum size. Review them by eye.
 */
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, open, openExample, test } from "./page";

const FOLDER = join(import.meta.dirname, "../../docs/src/images");
const MOST_BYTES = 200_000;

async function shoot(page: Page, name: string): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  const path = join(FOLDER, `playground-${name}.png`);
  // Animations have ended.
  await page.waitForTimeout(500);
  await page.screenshot({ path, caret: "hide", animations: "disabled" });
  expect(statSync(path).size, path).toBeLessThan(MOST_BYTES);
}

test("light: the first example", async ({ page }) => {
  await page.setViewportSize({ width: 1200, height: 800 });
  await open(page);
  await shoot(page, "light");
});

test("dark: a rejected pod", async ({ page }) => {
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 1200, height: 700 });
  await open(page);
  await openExample(page, "refused");
  await shoot(page, "dark");
});

test("names and the commands that store them", async ({ page }) => {
  await page.setViewportSize({ width: 1200, height: 620 });
  await open(page);
  await page.getByRole("tab", { name: "Names" }).click();
  await shoot(page, "names");
});

test("on a phone: the answer", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 780 });
  await open(page);
  await openExample(page, "k8s-variable");
  await page.locator("#peek").click();
  await shoot(page, "phone");
});
