/**
 * Each example with its result.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, findAfter, open, openExample, test, verdict } from "./page";

/** Folder, verdict, texts in the secret requests, texts in the mutated pod. */
const EXPECTED: Record<string, [string, string[], string[]]> = {
  embedded: ["Changed", ["Embedded: injected", "found", "not found"], ["- name: DB_PASSWORD", "init-embedded-secret"]],
  "embedded-aws": ["Changed", ["Embedded: injected", "AWSSecret"], ["- name: DB_PASSWORD"]],
  "embedded-gcp": ["Changed", ["Embedded: injected", "GCPSecret"], ["- name: DB_PASSWORD"]],
  "embedded-azure": ["Changed", ["Embedded: injected", "AzureSecret"], ["- name: DB_PASSWORD"]],
  "k8s-variable": ["Changed", ["K8s: injected from db/password"], ["secretKeyRef"]],
  "k8s-file": ["Changed", ["K8s: injected from db/user"], ["secretName: db", "optional: false"]],
  vault: [
    "Changed",
    ["Vault: injected"],
    ["vault.hashicorp.com/agent-inject: 'true'", "vault.hashicorp.com/role: flyte-tasks"],
  ],
  aws: ["Changed", ["AWS: injected"], ["aws-pull-secret-0", "200Mi"]],
  gcp: ["Changed", ["GCP: injected"], ["gcp-pull-secret-0"]],
  azure: ["Changed", ["Azure: injected"], ["azure-pull-secret-0"]],
  chain: [
    "Changed",
    ["Vault: not injected: missing required field `group`", "Embedded: injected", "K8s: injected from db/user"],
    [],
  ],
  several: ["Untouched", ["missing label inject-flyte-secrets"], []],
  refused: ["Rejected with code 400", ["Embedded: not injected: not found"], []],
  tenancy: ["Rejected with code 403", ["Embedded: not injected"], []],
  outage: ["Rejected with code 503", ["Embedded: not injected"], []],
  mistakes: ["Invalid input", [], []],
};

test("the table lists all folders of examples", () => {
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
    for (const words of pod) await findAfter(page, words);
  });
}
