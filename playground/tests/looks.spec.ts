/**
 * Colours, widths, keyboard and accessibility of each tab.
 */
import type { Page } from "@playwright/test";
import { expect, open, openExample, test, textOf, verdict, violations } from "./page";

const TABS = ["Pod", "Names", "Requests"];
const background = (page: Page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const LIGHT = "rgb(245, 246, 249)";
const DARK = "rgb(16, 19, 24)";

test("colours follow the system until the switch is used, which is stored", async ({ page }) => {
  await page.emulateMedia({ colorScheme: "dark" });
  await open(page);
  const dark = page.getByRole("switch", { name: "Dark colours" });
  expect(await background(page)).toBe(DARK);
  await expect(dark).toBeChecked();
  await page.emulateMedia({ colorScheme: "light" });
  await expect(dark).not.toBeChecked();
  expect(await background(page)).toBe(LIGHT);

  await dark.click();
  expect(await background(page)).toBe(DARK);
  await page.reload();
  await expect(dark).toBeChecked();
  expect(await background(page)).toBe(DARK);
});

test("the switch works without storage", async ({ page }) => {
  await page.addInitScript(() => {
    Object.defineProperty(window, "localStorage", {
      get() {
        throw new DOMException("no", "SecurityError");
      },
    });
  });
  await open(page);
  await page.getByRole("switch", { name: "Dark colours" }).click();
  expect(await background(page)).toBe(DARK);
});

for (const width of [320, 390, 768, 1100]) {
  test(`at a width of ${width} nothing scrolls sideways`, async ({ page }) => {
    await page.setViewportSize({ width, height: 844 });
    await open(page);
    const overflow = () =>
      page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    for (const folder of ["embedded", "chain", "refused", "vault", "several", "mistakes"]) {
      await openExample(page, folder);
      expect(await overflow(), folder).toBe(0);
    }
    await page.getByText("Add a secret request").click();
    for (const tab of TABS) {
      await page.getByRole("tab", { name: tab, exact: true }).click();
      expect(await overflow(), tab).toBe(0);
    }
    // Panes do not overflow, either.
    const cut = await page
      .locator(".pane:visible")
      .evaluateAll((panes) => panes.filter((pane) => pane.scrollWidth > pane.clientWidth).length);
    expect(cut).toBe(0);
  });
}

test("a phone has one column, and the verdict stays visible", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await open(page);
  const [left, right] = await page
    .locator("#pod > .pane")
    .evaluateAll((panes) => panes.map((pane) => pane.getBoundingClientRect().left));
  expect(left).toBe(right);
  const peek = page.getByRole("button", { name: "Changed: see below" });
  await expect(peek).toBeInViewport();
  await expect(verdict(page)).not.toBeInViewport();
  await peek.click();
  await expect(verdict(page)).toBeInViewport();
  // In one column, an unchanged line is shown once.
  await page.getByRole("button", { name: "Show unchanged lines" }).click();
  await expect(page.locator(".diff .cm-merge-a")).toHaveCount(0);
  await expect(page.locator(".diff .cm-merge-b .cm-line").getByText("apiVersion: v1")).toHaveCount(1);
});

test("the keyboard reaches examples, tabs, fields and results", async ({ page }) => {
  await open(page);
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to content" })).toBeFocused();
  await expect(page.getByRole("link", { name: "Skip to content" })).toBeInViewport();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("tab", { name: "Pod", exact: true })).toBeFocused();

  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect(page.locator("#examples")).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.locator("[data-example=embedded]")).toBeFocused();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect(page.locator("#examples")).toBeHidden();
  await expect(textOf(page, "Settings")).toContainText("type: AWS");

  await page.getByRole("tab", { name: "Pod", exact: true }).focus();
  await page.keyboard.press("ArrowRight");
  await expect(page.getByRole("tab", { name: "Names" })).toBeFocused();
  await expect(page.locator("#names")).toBeVisible();
  await expect(page.locator("#pod")).toBeHidden();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  await expect(page.locator("#requests")).toBeVisible();
  await page.keyboard.press("Home");

  // Examples, Share, Dark, then the editor.
  for (let at = 0; at < 4; at++) await page.keyboard.press("Tab");
  await expect(textOf(page, "Pod")).toBeFocused();
  await page.keyboard.press("ControlOrMeta+End");
  await page.keyboard.type("no: : yaml");
  await expect(verdict(page)).toContainText("Invalid input");
});

test("all focusable elements have a focus ring", async ({ page }) => {
  await open(page);
  const unseen = [];
  for (let at = 0; at < 40; at++) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return undefined;
      // The focus ring is on the frame of an editor, and on the label of a hidden radio button.
      const shown = [element, element.closest(".editor"), element.nextElementSibling].some(
        (candidate) =>
          candidate &&
          getComputedStyle(candidate).outlineStyle !== "none" &&
          getComputedStyle(candidate).outlineWidth !== "0px",
      );
      return { shown, html: element.outerHTML.slice(0, 100) };
    });
    if (!focused) break;
    if (!focused.shown) unseen.push(focused.html);
  }
  expect(unseen).toEqual([]);
});

test("the verdict is announced after a pause in typing", async ({ page }) => {
  await open(page);
  const region = page.locator("#announcer");
  await expect(region).toHaveText(/^Changed/);
  await openExample(page, "tenancy");
  await expect(region).toHaveText(/^Rejected with code 403/);
});

for (const colorScheme of ["light", "dark"] as const) {
  test.describe(`axe, ${colorScheme}`, () => {
    test.use({ colorScheme });
    for (const tab of TABS) {
      test(`tab ${tab}`, async ({ page }) => {
        await open(page);
        await page.getByText("Add a secret request").click();
        await page.getByRole("tab", { name: tab, exact: true }).click();
        if (tab === "Requests") await page.locator("#encode-form").getByLabel("Key").fill("k");
        if (tab === "Names") await page.locator("#back-form").getByLabel("Name").fill("nonsense");
        expect(await violations(page)).toEqual([]);
      });
    }

    for (const folder of ["refused", "several", "mistakes", "chain"]) {
      test(`example ${folder}`, async ({ page }) => {
        await open(page);
        await openExample(page, folder);
        expect(await violations(page)).toEqual([]);
      });
    }

    test("sheets, a notice and a phone have no findings of axe", async ({ page }) => {
      await page.setViewportSize({ width: 390, height: 844 });
      await open(page, "#v1=***");
      expect(await violations(page)).toEqual([]);
      for (const sheet of ["Examples", "Share"]) {
        await page.getByRole("button", { name: sheet }).click();
        expect(await violations(page), sheet).toEqual([]);
        await page.keyboard.press("Escape");
      }
    });
  });
}

test("axe reports a violation", async ({ page }) => {
  await open(page);
  await page.evaluate(() => {
    document.querySelector("#names-form")?.replaceWith(document.createElement("div"));
    for (const label of document.querySelectorAll("label")) label.replaceWith(...label.children);
  });
  expect((await violations(page)).join("\n")).toContain("label");
});
