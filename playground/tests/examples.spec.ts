/**
 * Each example, and what comes of it.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, open, openExample, test, verdict } from "./page";

/** Folder, verdict, words about the requests, words in the pod as it will be. */
const EXPECTED: Record<string, [string, string[], string[]]> = {
  embedded: ["Changed", ["Embedded takes it", "found", "not there"], ["- name: DB_PASSWORD", "init-embedded-secret"]],
  "embedded-aws": ["Changed", ["Embedded takes it", "AWSSecret"], ["- name: DB_PASSWORD"]],
  "embedded-gcp": ["Changed", ["Embedded takes it", "GCPSecret"], ["- name: DB_PASSWORD"]],
  "embedded-azure": ["Changed", ["Embedded takes it", "AzureSecret"], ["- name: DB_PASSWORD"]],
  "k8s-variable": ["Changed", ["K8s takes it: db/password"], ["secretKeyRef"]],
  "k8s-file": ["Changed", ["K8s takes it: db/user"], ["secretName: db", "optional: false"]],
  vault: [
    "Changed",
    ["Vault takes it"],
    ['vault.hashicorp.com/agent-inject: "true"', "vault.hashicorp.com/role: flyte-tasks"],
  ],
  aws: ["Changed", ["AWS takes it"], ["aws-pull-secret-0", "200Mi"]],
  gcp: ["Changed", ["GCP takes it"], ["gcp-pull-secret-0"]],
  azure: ["Changed", ["Azure takes it"], ["azure-pull-secret-0"]],
  chain: ["Changed", ["Vault does not: needs group", "Embedded takes it", "K8s takes it: db/user"], []],
  several: ["Let through as it is", ["lacks the label"], []],
  refused: ["Refused with code 400", ["Embedded does not: not found"], []],
  tenancy: ["Refused with code 403", ["Embedded does not"], []],
  outage: ["Refused with code 503", ["Embedded does not"], []],
  mistakes: ["No answer yet", [], []],
};

test("each folder of examples is expected here, and none besides", () => {
  const folders = readdirSync(join(import.meta.dirname, "../page/public/examples"));
  expect(Object.keys(EXPECTED).sort()).toEqual(folders.sort());
});

test("each example is in the menu", async ({ page }) => {
  await open(page);
  const menu = await page
    .locator("[data-example]")
    .evaluateAll((items) => items.map((item) => item.getAttribute("data-example")));
  expect(menu.sort()).toEqual(Object.keys(EXPECTED).sort());
});

for (const [folder, [outcome, requests, pod]] of Object.entries(EXPECTED)) {
  test(`example ${folder}: ${outcome}`, async ({ page }) => {
    await open(page);
    await openExample(page, folder);
    await expect(verdict(page).locator("strong")).toHaveText(outcome);
    for (const words of requests) await expect(page.locator(".details")).toContainText(words);
    for (const words of pod)
      await expect(page.locator(".diff .after").filter({ hasText: words }).first()).toBeVisible();
  });
}
