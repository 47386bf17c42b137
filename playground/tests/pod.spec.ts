/**
 * The tab for pods.
 */
import { exampleFile, expect, fill, open, openExample, test, textOf, verdict } from "./page";

test("typing in the pod changes the answer, and undo restores it", async ({ page }) => {
  await open(page);
  await openExample(page, "tenancy");
  await expect(verdict(page)).toContainText("Rejected with code 403");
  await expect(page.locator(".chain").first()).toContainText('namespace "sandbox" does not match the pod');

  await textOf(page, "Pod").getByText("sandbox", { exact: false }).first().dblclick();
  await page.keyboard.press("End");
  for (const _ of "sandbox") await page.keyboard.press("Backspace");
  await page.keyboard.type("flytesnacks-development");
  await expect(verdict(page)).toContainText("Changed");
  await expect(page.locator(".diff .cm-merge-b .cm-changedLine").first()).toContainText("_UNION_DB-PASSWORD");

  for (let at = 0; at < 40 && !(await textOf(page, "Pod").getByText("sandbox").count()); at++)
    await page.keyboard.press("ControlOrMeta+Z");
  await expect(verdict(page)).toContainText("Rejected with code 403");
});

test("typing in the settings changes the answer", async ({ page }) => {
  await open(page);
  await openExample(page, "embedded");
  await fill(page, "Settings", "");
  await textOf(page, "Settings").pressSequentially("secretManagerTypes: [AWS]");
  await expect(verdict(page)).toContainText("Rejected with code 400");
  await expect(page.locator(".chain").first()).toContainText("AWS: not injected");
});

test("typing in the store changes the answer", async ({ page }) => {
  await open(page);
  await openExample(page, "embedded");
  await expect(page.locator("[data-found=true]")).toHaveCount(3);
  await fill(page, "Secrets in the store", "K8s: {}");
  await expect(verdict(page)).toContainText("Rejected with code 400");
  await expect(page.locator("[data-found=true]")).toHaveCount(0);
  await fill(page, "Secrets in the store", "");
  await expect(verdict(page)).toContainText("Changed");
  await expect(verdict(page)).toContainText("The store is empty");
});

test("a syntax error is marked, and the last answer is inert", async ({ page }) => {
  await open(page);
  await openExample(page, "k8s-variable");
  await textOf(page, "Pod").getByText("kind: Pod").click();
  await page.keyboard.press("End");
  await page.keyboard.type(": {");
  const line = page.locator("#pod-editor .cm-lintRange");
  await expect(line.first()).toBeVisible();
  await expect(verdict(page)).toContainText("Invalid input");
  await expect(page.locator(".details")).toHaveAttribute("inert", "");
  await expect(textOf(page, "Pod")).toHaveAttribute("aria-invalid", "true");
  const finding = page.getByRole("list", { name: "Findings" }).first().getByRole("listitem").first();
  await expect(finding).toContainText("error:");

  await finding.getByRole("button").click();
  await expect(textOf(page, "Pod")).toBeFocused();

  await textOf(page, "Pod").getByText("kind: Pod: {").click();
  await page.keyboard.press("End");
  for (const _ of ": {") await page.keyboard.press("Backspace");
  await expect(line).toHaveCount(0);
  await expect(verdict(page)).toContainText("Changed");
  await expect(page.locator(".details")).not.toHaveAttribute("inert", "");
});

test("errors in the settings are marked, with the nearest known name", async ({ page }) => {
  await open(page);
  await openExample(page, "mistakes");
  const settings = page.locator("#settings-editor");
  await expect(settings.locator(".cm-lintRange")).toHaveText(["Embbeded", "awsSecretManagr", "Flyte"]);
  await expect(page.locator("#settings-editor-findings")).toContainText("did you mean `awsSecretManager`?");
  await page.locator("#settings-editor-findings").getByRole("button", { name: "Line 2" }).click();
  expect(await page.evaluate(() => getSelection()?.toString())).toBe("Embbeded");
});

test("the column of a finding counts characters, not UTF-16 units", async ({ page }) => {
  await open(page);
  await fill(page, "Settings", 'secretManagerTypes: ["🔑🔑", K8s]');
  await expect(page.locator("#settings-editor .cm-lintRange")).toHaveText(['"🔑🔑"']);
});

test("Enter keeps the indentation, Tab leaves", async ({ page }) => {
  await open(page);
  await fill(page, "Settings", "");
  await textOf(page, "Settings").pressSequentially(
    "secretManagerType: K8s\nvaultSecretManager:\n  role: a\nkvVersion: 1",
  );
  await expect(page.locator("#settings-editor .cm-line")).toHaveText([
    "secretManagerType: K8s",
    "vaultSecretManager:",
    "  role: a",
    "  kvVersion: 1",
  ]);
  await page.keyboard.press("Tab");
  await expect(textOf(page, "Secrets in the store")).toBeFocused();
  await page.keyboard.press("Shift+Tab");
  await expect(textOf(page, "Settings")).toBeFocused();
});

test("one of several pods is selected", async ({ page }) => {
  await open(page);
  await openExample(page, "several");
  const pods = page.getByRole("group", { name: "Which pod" }).getByRole("radio");
  await expect(pods).toHaveCount(3);
  await expect(verdict(page)).toContainText("Untouched");
  await expect(page.locator(".warnings")).toContainText("missing label inject-flyte-secrets");
  await pods.first().focus();
  await page.keyboard.press("ArrowDown");
  await expect(pods.nth(1)).toBeChecked();
  await expect(verdict(page)).toContainText("Job nightly");
  await expect(verdict(page)).toContainText("Changed");
  await expect(page.locator("#pod .requests > li")).toHaveCount(2);

  // The choice is kept while typing in another field.
  await textOf(page, "Settings").click();
  await page.keyboard.press("ControlOrMeta+End");
  await page.keyboard.type("# more");
  await expect(verdict(page)).toContainText("Job nightly");
});

test("the namespace can be set, and an invalid one is reported", async ({ page }) => {
  await open(page);
  await openExample(page, "tenancy");
  const field = page.getByLabel("Namespace").first();
  await field.fill("flytesnacks-development");
  await expect(verdict(page)).toContainText("Changed");
  await field.fill("No Namespace");
  await expect(verdict(page)).not.toContainText("Changed");
  await expect(verdict(page)).toContainText("No Namespace");
});

test("values are shown on request", async ({ page }) => {
  await open(page);
  await openExample(page, "embedded");
  await expect(page.locator(".diff")).not.toContainText("correct horse");
  await page.getByLabel("Show secret values").check();
  await expect(page.locator(".diff")).toContainText("correct horse battery staple");
});

test("unchanged lines are folded, and unfold", async ({ page }) => {
  await open(page);
  await openExample(page, "embedded");
  await expect(page.locator(".diff .cm-merge-a .cm-line").first()).not.toHaveText("apiVersion: v1");
  await page.getByRole("button", { name: "Show unchanged lines" }).click();
  await expect(page.locator(".diff .cm-merge-a .cm-line").first()).toHaveText("apiVersion: v1");
  // It stays unfolded while typing.
  await textOf(page, "Pod").click();
  await page.keyboard.press("ControlOrMeta+End");
  await page.keyboard.type("# more");
  await expect(page.locator(".diff .cm-merge-a .cm-line").first()).toHaveText("apiVersion: v1");
});

test("a click on hidden lines shows them, and another example hides them again", async ({ page }) => {
  await open(page);
  await page.locator(".diff .cm-collapsedLines").first().click();
  await expect(page.locator(".diff .cm-merge-a .cm-line").first()).toHaveText("apiVersion: v1");
  await page.getByRole("button", { name: "Hide unchanged lines" }).click();
  await expect(page.locator(".diff .cm-merge-a .cm-line").first()).not.toHaveText("apiVersion: v1");
  await page.getByRole("button", { name: "Show unchanged lines" }).click();
  await openExample(page, "k8s-variable");
  await expect(page.getByRole("button", { name: "Show unchanged lines" })).toBeVisible();
});

test("a request is added to one pod of a List", async ({ page }) => {
  await open(page);
  await openExample(page, "several");
  await page.getByRole("radio", { name: "Deployment dashboard" }).check({ force: true });
  await page.getByText("Add a secret request").click();
  const form = page.locator("#ask-form");
  await form.getByLabel("Key").fill("k");
  await form.getByRole("button", { name: "Add to the pod" }).click();
  await expect(form.getByRole("status")).toContainText("Added flyte.secrets/s1");
  await expect(page.locator("#pod .requests > li")).toHaveCount(2);
});

test("the mutated pod is copied", async ({ page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await open(page);
  await openExample(page, "k8s-variable");
  await page.getByRole("button", { name: "Copy pod after" }).click();
  await expect(page.getByRole("button", { name: "Copied pod after" })).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toMatch(
    /^apiVersion: v1\nkind: Pod\n[\s\S]*secretKeyRef/,
  );
});

test.describe("asking for a secret", () => {
  test("adds the next free annotation, and keeps the rest of the text", async ({ page }) => {
    await open(page);
    await openExample(page, "embedded");
    await page.getByText("Add a secret request").click();
    const form = page.locator("#ask-form");
    await form.getByLabel("Key").fill("api-token");
    await form.getByLabel("variable", { exact: true }).check();
    await form.getByLabel("Variable", { exact: true }).fill("API_TOKEN");
    await form.getByRole("button", { name: "Add to the pod" }).click();

    await expect(form.getByRole("status")).toContainText("Added flyte.secrets/s3");
    await expect(page.locator("#pod .requests > li").nth(3)).toContainText(
      'flyte.secrets/s3: key "api-token", as the variable API_TOKEN',
    );
    const text = await page.locator("#pod-editor .cm-line").allTextContents();
    const old = exampleFile("embedded", "pod").trimEnd().split("\n");
    const added = text.filter((line) => line !== "" && !old.includes(line));
    expect(added).toEqual([expect.stringMatching(/^ {4}flyte\.secrets\/s3: [a-z1-6]+$/)]);
    expect(text).toEqual(expect.arrayContaining(old));
  });

  test("adds missing label and annotations", async ({ page }) => {
    await open(page);
    await fill(
      page,
      "Pod",
      "kind: Pod\napiVersion: v1\nmetadata:\n  name: p # mine\nspec:\n  containers: [{name: c, image: i}]\n",
    );
    await fill(page, "Settings", "secretManagerTypes: [K8s]");
    await expect(verdict(page)).toContainText("Untouched");
    await page.getByText("Add a secret request").click();
    const form = page.locator("#ask-form");
    await form.getByLabel("Key").fill("password");
    await form.getByLabel("Group").fill("db");
    await page.keyboard.press("Enter");
    await expect(verdict(page)).toContainText("Changed");
    await expect(page.locator("#pod-editor")).toContainText("name: p # mine");
  });

  test("shows the lines for a text that it cannot edit", async ({ page }) => {
    await open(page);
    await fill(
      page,
      "Pod",
      '{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {"containers": []}}',
    );
    await page.getByText("Add a secret request").click();
    const form = page.locator("#ask-form");
    await form.getByLabel("Key").fill("k");
    await form.getByRole("button", { name: "Add to the pod" }).click();
    await expect(form.getByRole("status")).toContainText("Paste these lines");
    await expect(form.locator("pre")).toContainText('inject-flyte-secrets: "true"');
    await expect(form.getByRole("button", { name: "Copy YAML" })).toBeVisible();
  });

  test("shows the error of a request", async ({ page }) => {
    await open(page);
    await page.getByText("Add a secret request").click();
    const form = page.locator("#ask-form");
    await form.getByRole("button", { name: "Add to the pod" }).click();
    await expect(form.getByRole("status")).toContainText("Fill in a key");
  });
});
