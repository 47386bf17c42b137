/**
 * Tests of the built package in Node.js: arguments reach the core unchanged, and results have the declared types. The core's answers have
 * tests of their own.
 */
import { readFile } from "node:fs/promises";
import init, {
  checkSettings,
  decodeName,
  decodeRequests,
  encodeRequest,
  names,
  type Previews,
  preview,
  type SecretRequest,
} from "flyte-secrets";
import { beforeAll, expect, test } from "vitest";

const example = (name: string) => readFile(new URL(`../../cli/examples/${name}`, import.meta.url), "utf8");

beforeAll(async () => {
  const wasm = await readFile(new URL("dist/flyte_secrets_bg.wasm", import.meta.url));
  await init(new Uint8Array(wasm));
});

test("preview returns a pod with its secrets", async () => {
  const question = { pod: await example("pod.yaml"), secrets: await example("store.yaml") };
  const { pods, findings, assumed }: Previews = preview(question);
  expect(assumed).toBe(false);
  for (const secrets of ["", "# none\n"]) expect(preview({ ...question, secrets }).assumed).toBe(true);
  expect(findings).toEqual({ pod: [], settings: [], secrets: [] });
  const [pod] = pods;
  expect(pod).toMatchObject({
    name: "Pod f9372e6cc3ababced20-n0-0",
    namespace: "flytesnacks-development",
    outcome: "changed",
    warnings: [],
  });
  expect(pod?.refusal).toBeUndefined();
  const value = (text: string) => `"value":"${text}"`;
  expect(JSON.stringify(pod?.before)).not.toContain(value("<value of db-password>"));
  expect(JSON.stringify(pod?.after)).toContain(value("<value of db-password>"));
  expect(JSON.stringify(pod?.after)).not.toContain("correct horse");
  const { after } = preview({ ...question, showValues: true }).pods[0] ?? {};
  expect(JSON.stringify(after)).toContain(value("correct horse battery staple"));
  expect(pod?.requests.map(({ annotation, asks, managers }) => [annotation, asks, managers.length])).toEqual([
    ["flyte.secrets/s0", 'key "db-password", as a variable', 1],
    ["flyte.secrets/s1", 'key "tls.crt", as a file whose path is in the variable TLS_CERT', 1],
    ["flyte.secrets/s2", 'key "slack-token", as the variable SLACK_TOKEN', 1],
  ]);
  const name = (scope: string) => `u__org__acme__domain__development__project__${scope}__key__slack-token`;
  expect(pod?.requests[2]?.managers[0]).toEqual({
    manager: "Embedded",
    takes: true,
    source: `${name("")} (Secret flyte/b9b55980258cb74828603e87ddc8c00f)`,
    read: [
      { object: "Secret flyte/495035d89d25fe1a8e00917efff361d6", name: name("flytesnacks"), found: false },
      { object: "Secret flyte/b9b55980258cb74828603e87ddc8c00f", name: name(""), found: true },
    ],
  });
});

test("preview returns rejected and unchanged pods", async () => {
  const pod = await example("pod.yaml");
  const refused = preview({ pod, secrets: await example("empty.yaml") }).pods[0];
  expect(refused).toMatchObject({ outcome: "refused", refusal: { code: 400 } });
  expect(refused?.refusal?.message).toMatch(
    /^SecretNotFound: secret "db-password" \(annotation flyte.secrets\/s0\) cannot be injected: Embedded: /,
  );
  expect(refused?.after).toEqual(refused?.before);
  const settings = 'tenancy: { namespaceTemplate: "{{ project }}-{{ domain }}" }';
  expect(preview({ pod, settings, namespace: "elsewhere" }).pods[0]?.refusal?.code).toBe(403);
  expect(preview({ pod, settings }).pods[0]?.outcome).toBe("changed");
  const untouched = preview({ pod: pod.replace("inject-flyte-secrets", "no-secrets") }).pods[0];
  expect(untouched?.outcome).toBe("untouched");
  expect(untouched?.warnings).toHaveLength(1);
});

test("preview returns findings with their places", () => {
  const { pods, findings } = preview({
    pod: "kind: Pod\n  a: 1",
    settings: "secretManagerTypes: [Foo]",
    secrets: "Foo: {}",
  });
  expect(pods).toEqual([]);
  expect(findings.pod[0]?.place?.line).toBe(2);
  expect(findings.settings.filter(({ severity }) => severity === "error")).toMatchObject([
    { severity: "error", path: "secretManagerTypes[0]", place: { line: 1, column: 22, length: 3 } },
  ]);
  expect(findings.secrets).toMatchObject([{ severity: "error", path: "", place: { line: 1, column: 1, length: 3 } }]);
  expect(preview({ pod: "kind: Service" }).findings.pod[0]?.message).toContain("holds no pod");
  const two = "a: { webhook: {} }\nb: { webhook: {} }";
  expect(preview({ pod: "kind: Pod", settings: two }).findings.settings.at(-1)?.message).toContain(
    "holds 2 webhook sections",
  );
});

test("names are encoded and decoded for each store", () => {
  const acme = { organization: "acme", domain: "development", project: "flytesnacks", key: "db-password" };
  const project = "u__org__acme__domain__development__project__flytesnacks__key__db-password";
  const secret = "2de57698649fec67c9a631507d836af5";
  expect(names(acme)[0]).toEqual({
    scope: "project",
    name: project,
    secret: `flyte/${secret}`,
    command: `kubectl create secret generic ${secret} '--from-file=${project}=/dev/stdin' --namespace flyte`,
  });
  expect(names(acme).map(({ scope }) => scope)).toEqual([
    "project",
    "domain",
    "domain",
    "organization",
    "organization",
  ]);
  const documented = names({
    organization: "acme",
    key: "k",
    store: "aws",
    place: "eu-west-1",
    schemes: ["documented"],
  });
  expect(documented).toEqual([
    {
      scope: "organization",
      name: "u__org__acme__key__k",
      command:
        "aws secretsmanager create-secret --name u__org__acme__key__k --secret-string file:///dev/stdin --region eu-west-1",
    },
  ]);
  expect(names({ organization: "acme", key: "a.b", store: "gcp" })[0]?.error).toContain("not allow such a name");
  expect(() => names({ organization: "a__b", key: "k" })).toThrow('organization "a__b" must be a valid label value');
  expect(decodeName(project)).toEqual({ scheme: "canonical", scope: "project", ...acme });
  expect(decodeName("1-acme---NM")).toEqual({ scheme: "azure", scope: "organization", organization: "acme", key: "k" });
  expect(() => decodeName("x")).toThrow('"x" is not the name of a Flyte secret');
});

test("requests are encoded and decoded", async () => {
  const requests: SecretRequest[] = [
    { key: "k", mount: "env" },
    { key: "a: b\n", group: "g", groupVersion: "v", mount: "file", envVar: "E" },
    { group: "ü", mount: "any" },
  ];
  for (const request of requests) {
    expect(decodeRequests(encodeRequest(request)).pods).toEqual([
      { name: "", requests: [{ request, asks: expect.any(String) }] },
    ]);
  }
  expect(decodeRequests("AAAA").pods[0]?.requests[0]?.error).toContain("base32");
  expect(decodeRequests(await example("pod.yaml")).pods[0]?.requests).toHaveLength(3);
  expect(decodeRequests("kind: Service").findings).toHaveLength(1);
  expect(() => encodeRequest({ key: "k", mount: 7 })).toThrow('invalid mount "7"');
});

test("settings", async () => {
  const { configurations, ...checked } = checkSettings(await example("flyte-config.yaml"));
  expect(checked.valid).toBe(true);
  expect(configurations?.[0]?.effective).toContainEqual({
    name: "creator of task pods",
    value: "system:serviceaccount:flyte:flyte-binary",
    from: "serviceName without -webhook, as Flyte's chart names it",
  });
  const { valid, findings } = checkSettings(await example("webhook.yaml"));
  const errors = findings.filter(({ severity }) => severity === "error");
  expect([valid, errors[1]]).toEqual([
    false,
    {
      severity: "error",
      path: "awsSecretManagr",
      message: "unknown field `awsSecretManagr`, did you mean `awsSecretManager`?",
      place: { line: 2, column: 1, length: 15 },
    },
  ]);
  expect(() => checkSettings("kind: Service\napiVersion: v1")).toThrow("holds no webhook section");
});

test("the README's examples return what it shows", async () => {
  const readme = await readFile(new URL("README.md", import.meta.url), "utf8");
  const examples = [...readme.matchAll(/^(\w+\(.*\).*);\n\/\/ (.*)$/gm)];
  expect(examples).toHaveLength(2);
  for (const [, expression, answer] of examples) {
    const evaluate = new Function("names", "checkSettings", `return ${expression}`);
    expect(JSON.stringify(evaluate(names, checkSettings))).toBe(answer);
  }
});
