/**
 * The tabs for names and for requests.
 */
import { expect, fill, open, test } from "./page";

const VALUE = "nnsxsoraejsgellqmfzxg42pojscectnn41w34c6ojsxc4ljojsw1zlooq4carkokzpvmqksbi";

test.describe("names", () => {
  test.beforeEach(async ({ page }) => {
    await open(page);
    await page.getByRole("tab", { name: "Names" }).click();
  });

  test("are in lookup order, with commands", async ({ page }) => {
    const rows = page.locator(".names tbody tr");
    await expect(rows.locator("th")).toHaveText(["project", "domain", "domain", "organization", "organization"]);
    await expect(rows.first()).toContainText("flyte/2de57698649fec67c9a631507d836af5");
    await expect(rows.first()).toContainText(
      "u__org__acme__domain__development__project__flytesnacks__key__db-password",
    );
    await expect(rows.first()).toContainText("kubectl create secret generic");
  });

  test("follow the form while typing", async ({ page }) => {
    const form = page.locator("#names-form");
    await form.getByLabel("Store").selectOption("AWS Secrets Manager");
    await expect(form.getByLabel("Region")).toBeVisible();
    await form.getByLabel("Scheme").selectOption({ index: 1 });
    await expect(page.locator(".names tbody tr")).toHaveCount(3);
    await form.getByLabel("Project").fill("");
    await expect(page.locator(".names tbody tr").first()).toContainText("domain");
    await form.getByRole("textbox", { name: "Key" }).focus();
    await page.keyboard.press("End");
    await page.keyboard.type("2");
    await expect(page.locator(".names")).toContainText("__key__db-password2");
    await expect(page.locator(".names")).toContainText("aws secretsmanager create-secret");
  });

  test("Azure has one name and no schemes", async ({ page }) => {
    const form = page.locator("#names-form");
    await form.getByLabel("Store").selectOption("Azure Key Vault");
    await expect(form.getByLabel("Scheme")).toBeHidden();
    await form.getByRole("textbox", { name: "Vault" }).fill("acme-vault");
    await expect(page.locator(".names")).toContainText("1-acme-development-flytesnacks-MRRC24DBONZXO33SMQ");
    await expect(page.locator(".names")).toContainText("az keyvault secret set");
  });

  test("invalid fields show an error", async ({ page }) => {
    const form = page.locator("#names-form");
    await form.getByLabel("Organization").fill("a__b");
    await expect(page.locator("#names-answer .error").first()).toContainText("a__b");
    await form.getByLabel("Organization").fill("");
    await expect(page.locator("#names-answer")).toHaveText("Fill in the organization and the key.");
  });

  test("wrap after separators only", async ({ page }) => {
    await page.setViewportSize({ width: 320, height: 844 });
    const name = page.locator(".names code").nth(1);
    await expect(name).toHaveText("u__org__acme__domain__development__project__flytesnacks__key__db-password");
    await expect(name.locator("wbr")).toHaveCount(8);
    const lines = await name.evaluate((element) => {
      const lines = new Map<number, string>();
      const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
      for (let text = texts.nextNode() as Text | null; text; text = texts.nextNode() as Text | null) {
        for (let at = 0; at < text.length; at++) {
          const range = document.createRange();
          range.setStart(text, at);
          range.setEnd(text, at + 1);
          const { top } = range.getBoundingClientRect();
          lines.set(top, (lines.get(top) ?? "") + text.data[at]);
        }
      }
      return [...lines.values()];
    });
    expect(lines.length).toBeGreaterThan(1);
    for (const line of lines.slice(0, -1)) expect(line).toMatch(/__$/);
  });

  test("are copied", async ({ page, context }) => {
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.getByRole("button", { name: "Copy name" }).first().click();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(
      "u__org__acme__domain__development__project__flytesnacks__key__db-password",
    );
    await page.getByRole("button", { name: "Copy command" }).first().click();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toMatch(/^kubectl create secret generic /);
  });

  test("are decoded", async ({ page }) => {
    await page.locator("#back-form").getByLabel("Name").fill("1-acme-development--MRRC24DBONZXO33SMQ");
    await expect(page.locator("#back-answer dl")).toHaveText(
      /schemeazurescopedomainorganizationacmedomaindevelopmentkeydb-password/,
    );
    await page.locator("#back-form").getByLabel("Name").fill("nonsense");
    await expect(page.locator("#back-answer .error")).toContainText("nonsense");
  });
});

test.describe("requests", () => {
  test.beforeEach(async ({ page }) => {
    await open(page);
    await page.getByRole("tab", { name: "Requests" }).click();
  });

  test("decode an annotation", async ({ page }) => {
    await fill(page, "Decode secret requests", VALUE);
    await expect(page.locator("#decode-answer")).toContainText('Asks for key "db-password", as a variable');
    await expect(page.locator("#decode-answer dl")).toHaveText("Keydb-passwordMountvariable");
  });

  test("decode all annotations of a pod", async ({ page }) => {
    const pod = (name: string) =>
      `kind: Pod\napiVersion: v1\nmetadata:\n  name: ${name}\n  annotations:\n    flyte.secrets/s0: ${VALUE}\n    flyte.secrets/s1: oops\n`;
    await fill(page, "Decode secret requests", `${pod("a")}---\n${pod("b")}`);
    await expect(page.locator("#decode-answer h3")).toHaveText(["Pod a", "Pod b"]);
    await expect(page.locator("#decode-answer .requests").first().locator("> li")).toHaveCount(2);
    await expect(page.locator("#decode-answer .error").first()).toContainText("flyte.secrets/s1");
  });

  test("show an error for an invalid request", async ({ page }) => {
    await fill(page, "Decode secret requests", "oops!");
    await expect(page.locator("#requests")).toContainText(/oops!/);
    await expect(page.locator("#requests :is(.error, .findings li)").first()).toBeVisible();
  });

  test("encode a request that decodes to the same", async ({ page, context }) => {
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const form = page.locator("#encode-form");
    await form.getByLabel("Key").pressSequentially("db-password");
    await form.getByLabel("variable", { exact: true }).check();
    await expect(form.getByRole("status")).toContainText(VALUE);
    await form.getByRole("button", { name: "Copy annotation value" }).click();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(VALUE);
    await form.getByRole("button", { name: "Copy YAML" }).click();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(
      `metadata:\n  labels:\n    inject-flyte-secrets: "true"\n  annotations:\n    flyte.secrets/s0: ${VALUE}`,
    );
  });
});
