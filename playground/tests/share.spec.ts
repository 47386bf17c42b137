/**
 * Links: what they contain, and what they omit.
 */
import type { Page } from "@playwright/test";
import { decode } from "../page/src/link";
import { expect, fill, open, openExample, test, textOf, verdict } from "./page";

async function link(page: Page, withSecrets: boolean): Promise<string> {
  await page.getByRole("button", { name: "Share" }).click();
  if (withSecrets) await page.getByLabel("Include the secrets in the store").check();
  await expect(page.locator("#share-status")).toContainText(
    withSecrets ? "contains secret values" : "does not contain",
  );
  const address = await page.getByRole("textbox", { name: "Link" }).inputValue();
  await page.keyboard.press("Escape");
  return address;
}

test("a link restores texts, options and tabs, without secrets", async ({ page, context }) => {
  await open(page);
  await openExample(page, "embedded");
  await fill(page, "Settings", "secretManagerTypes: [Embedded]  # ünïcödé 🔑");
  await page.getByLabel("Namespace").first().fill("elsewhere");
  await page.getByRole("tab", { name: "Names" }).click();
  await page.locator("#names-form").getByLabel("Organization").fill("umbrella");
  const address = await link(page, false);

  const state = await decode(new URL(address).hash);
  expect(state).not.toHaveProperty("secrets");
  expect(JSON.stringify(state)).not.toContain("Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==");

  const other = await context.newPage();
  await other.goto(address);
  await expect(other.getByRole("tab", { name: "Names" })).toHaveAttribute("aria-selected", "true");
  await expect(other.locator("#names-form").getByLabel("Organization")).toHaveValue("umbrella");
  await other.getByRole("tab", { name: "Pod", exact: true }).click();
  await expect(textOf(other, "Pod")).toContainText("A task pod as created by Flyte");
  await expect(textOf(other, "Settings")).toContainText("# ünïcödé 🔑");
  await expect(textOf(other, "Secrets in the store")).toHaveText("");
  await expect(other.getByLabel("Namespace").first()).toHaveValue("elsewhere");
  await expect(verdict(other)).toContainText("The store is empty");
});

test("a link has secrets only if selected, each time", async ({ page, context }) => {
  await open(page);
  await openExample(page, "embedded");
  const address = await link(page, true);
  const other = await context.newPage();
  await other.goto(address);
  await expect(textOf(other, "Secrets in the store")).toContainText("Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==");
  await expect(verdict(other)).not.toContainText("The store is empty");

  expect(await decode(new URL(await link(page, false)).hash)).not.toHaveProperty("secrets");
});

test("the link is copied", async ({ page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await open(page);
  await page.getByRole("button", { name: "Share" }).click();
  await page.getByRole("button", { name: "Copy link" }).click();
  await expect(page.locator("#share-status")).toHaveText("Copied.");
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(
    await page.getByRole("textbox", { name: "Link" }).inputValue(),
  );
});

test("the link is selected if copying is not allowed", async ({ page }) => {
  await page.addInitScript(() => {
    navigator.clipboard.writeText = () => Promise.reject(new DOMException("no", "NotAllowedError"));
  });
  await open(page);
  await page.getByRole("button", { name: "Share" }).click();
  await page.getByRole("button", { name: "Copy link" }).click();
  await expect(page.locator("#share-status")).toContainText("copy it yourself");
  expect(await page.evaluate(() => getSelection()?.toString())).toContain("#v1=");
});

for (const [what, fragment] of [
  ["cut short", "#v1=q1Yqyk9J"],
  ["of other letters", "#v1=***"],
  ["of a later version", "#v1=bnVsbA"],
]) {
  test(`a link ${what} is answered kindly, with an example`, async ({ page }) => {
    await open(page, fragment);
    await expect(page.getByRole("alert")).toContainText("Invalid link");
    await expect(verdict(page)).toContainText("Changed");
    await page.getByRole("alert").getByRole("button", { name: "Close" }).click();
    await expect(page.getByRole("alert")).toBeHidden();
  });
}

test("a link that is pasted into an open page is loaded", async ({ page }) => {
  await open(page);
  await openExample(page, "tenancy");
  const address = await link(page, true);
  await openExample(page, "embedded");
  await page.evaluate((hash) => {
    location.hash = hash;
  }, new URL(address).hash);
  await expect(verdict(page)).toContainText("Rejected with code 403");
});
