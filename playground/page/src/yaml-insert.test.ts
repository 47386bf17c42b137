import { expect, test } from "vitest";
import { type Entry, insert, snippet } from "./yaml-insert";

const entries: Entry[] = [
  { map: "annotations", key: "flyte.secrets/s1", value: "nnsxs" },
  { map: "labels", key: "inject-flyte-secrets", value: "true" },
];

/** Inserted lines have the prefix `+`. */
function inserted(text: string, nth = 0): string | undefined {
  const edited = insert(text, nth, entries);
  if (edited === undefined) return undefined;
  const old = text.split("\n");
  return edited
    .split("\n")
    .map((line) => (line === old[0] ? old.shift() : `+${line}`))
    .join("\n");
}

test("existing maps get a line at their end, and comments stay", () => {
  expect(
    inserted(`# ours
apiVersion: v1
kind: Pod
metadata:
  name: p # the name
  labels:
    app: p
    # about the annotations
  annotations:
    note: |
      first

      # no comment
  # the end

spec: {}
`),
  ).toBe(`# ours
apiVersion: v1
kind: Pod
metadata:
  name: p # the name
  labels:
    app: p
+    inject-flyte-secrets: "true"
    # about the annotations
  annotations:
    note: |
      first

      # no comment
+    flyte.secrets/s1: nnsxs
  # the end

spec: {}
`);
});

test("missing maps are created", () => {
  expect(inserted("kind: Pod\nmetadata:\n    name: p\nspec: {}")).toBe(
    'kind: Pod\nmetadata:\n    name: p\n+    annotations:\n+        flyte.secrets/s1: nnsxs\n+    labels:\n+        inject-flyte-secrets: "true"\nspec: {}',
  );
});

test("empty maps get entries", () => {
  expect(insert("kind: Pod\nmetadata:\n  labels: {} # none\n  annotations:\nspec: {}", 0, entries)).toBe(
    'kind: Pod\nmetadata:\n  labels: # none\n    inject-flyte-secrets: "true"\n  annotations:\n    flyte.secrets/s1: nnsxs\nspec: {}',
  );
});

test("maps in braces get entries inside the braces", () => {
  expect(insert('kind: Pod\nmetadata:\n  labels: {app: p}\n  annotations: {a: "x" }', 0, entries)).toBe(
    'kind: Pod\nmetadata:\n  labels: {app: p, inject-flyte-secrets: "true"}\n  annotations: {a: "x", flyte.secrets/s1: nnsxs }',
  );
  expect(insert("kind: Pod\nmetadata: {name: p} # short\nspec: {}\n", 0, entries)).toBe(
    'kind: Pod\nmetadata: {name: p, annotations: {flyte.secrets/s1: nnsxs}, labels: {inject-flyte-secrets: "true"}} # short\nspec: {}\n',
  );
  expect(insert("kind: Pod\nmetadata:\n  annotations: {\n    a: b }\n", 0, entries)).toBe(
    'kind: Pod\nmetadata:\n  annotations: {\n    a: b, flyte.secrets/s1: nnsxs }\n  labels:\n    inject-flyte-secrets: "true"\n',
  );
});

test("an existing label is kept, and one with another value is corrected", () => {
  const text = (label: string) =>
    `kind: Pod\nmetadata:\n  labels:\n    inject-flyte-secrets: ${label}\n    app: p\n  annotations:\n    flyte.secrets/s1: nnsxs\n`;
  expect(insert(text('"true"'), 0, entries)).toBe(text('"true"'));
  expect(insert(text("'false' # why"), 0, entries)).toBe(text('"true" # why'));
  const flow = (label: string) =>
    `kind: Pod\nmetadata:\n  labels: {inject-flyte-secrets: ${label}, app: p}\n  annotations:\n    flyte.secrets/s1: nnsxs\n`;
  expect(insert(flow("false"), 0, entries)).toBe(flow('"true"'));
});

test("a workload gets entries in its pod template, also a CronJob", () => {
  expect(
    inserted(
      "kind: Job\nmetadata:\n  name: j\nspec:\n  template:\n    metadata:\n      labels:\n        a: b\n    spec: {}\n",
    ),
  ).toBe(
    'kind: Job\nmetadata:\n  name: j\nspec:\n  template:\n    metadata:\n      labels:\n        a: b\n+        inject-flyte-secrets: "true"\n+      annotations:\n+        flyte.secrets/s1: nnsxs\n    spec: {}\n',
  );
  expect(
    insert(
      "kind: CronJob\nspec:\n  jobTemplate:\n    spec:\n      template:\n        metadata:\n          name: x\n",
      0,
      entries,
    ),
  ).toContain("          annotations:\n            flyte.secrets/s1: nnsxs\n");
});

test("only the nth document is edited", () => {
  const pod = (name: string) => `kind: Pod\nmetadata:\n  name: ${name}\n`;
  const edited = insert(`---\n${pod("a")}---\n# nothing\n---\n${pod("b")}`, 1, entries);
  expect(edited?.startsWith(`---\n${pod("a")}---\n# nothing\n---\n`)).toBe(true);
  expect(edited).toMatch(/name: b\n {2}annotations:/);
});

test("comments of all forms are kept", () => {
  const text = `kind: Pod # annotations: {}
metadata:
  # annotations:
  annotations: # flyte.secrets/s1: no
    # before
    a: "b # c" # after
    # below

    # at the end
# labels:
  labels: null # none yet
spec: {}
`;
  expect(inserted(text.replace(" null", ""))).toBe(`kind: Pod # annotations: {}
metadata:
  # annotations:
  annotations: # flyte.secrets/s1: no
    # before
    a: "b # c" # after
+    flyte.secrets/s1: nnsxs
    # below

    # at the end
# labels:
  labels: # none yet
+    inject-flyte-secrets: "true"
spec: {}
`);
  expect(insert(text, 0, entries)).toBe(insert(text.replace(" null", ""), 0, entries));
});

test("only the nth pod of a List is edited", () => {
  const list = (indent: string, secondName: string) =>
    `kind: List
items:
${indent}- kind: Pod # first
${indent}  metadata: {name: a}
${indent}- metadata:
${indent}    name: ${secondName}
${indent}  kind: Pod
${indent}- kind: ConfigMap
${indent}- kind: Deployment
${indent}  spec:
${indent}    template:
${indent}      metadata:
${indent}        labels: {app: c}
${indent}      spec: {}
`;
  for (const indent of ["", "  "]) {
    const added = ["annotations:", "  flyte.secrets/s1: nnsxs", "labels:", '  inject-flyte-secrets: "true"'];
    const lines = added.map((line) => `\n${indent}    ${line}`).join("");
    expect(insert(list(indent, "b"), 1, entries)).toBe(list(indent, `b${lines}`));
    expect(insert(list(indent, "b"), 2, entries)).toBe(
      list(indent, "b").replace(
        "{app: c}",
        `{app: c, inject-flyte-secrets: "true"}\n${indent}        annotations:\n${indent}          flyte.secrets/s1: nnsxs`,
      ),
    );
    expect(insert(list(indent, "b"), 3, entries)).toBeUndefined();
  }
  // Pods in Lists are counted as well.
  expect(insert(`${list("", "b")}---\nkind: Pod\nmetadata:\n  name: d\n`, 3, entries)).toMatch(
    /name: d\n {2}annotations:/,
  );
});

test("keys and values can be quoted or have several lines", () => {
  expect(
    inserted(
      `"kind": 'Pod'\n'metadata':\n  "annotations":\n    "a: b": 'it''s'\n    folded: "one\n      two"\n  'labels':\n    "inject-flyte-secrets": "true"\n`,
    ),
  ).toBe(
    `"kind": 'Pod'\n'metadata':\n  "annotations":\n    "a: b": 'it''s'\n    folded: "one\n      two"\n+    flyte.secrets/s1: nnsxs\n  'labels':\n    "inject-flyte-secrets": "true"\n`,
  );
});

test("a value that would not be a string is quoted", () => {
  const entry: Entry = { map: "annotations", key: "flyte.secrets/s0", value: "123456" };
  expect(insert("kind: Pod\nmetadata:\n  name: p", 0, [entry])).toBe(
    'kind: Pod\nmetadata:\n  name: p\n  annotations:\n    flyte.secrets/s0: "123456"',
  );
});

test("line ends are kept", () => {
  expect(insert("kind: Pod\r\nmetadata:\r\n  name: p\r\n", 0, entries)).toBe(
    'kind: Pod\r\nmetadata:\r\n  name: p\r\n  annotations:\r\n    flyte.secrets/s1: nnsxs\r\n  labels:\r\n    inject-flyte-secrets: "true"\r\n',
  );
});

test.each([
  ["JSON", '{"kind": "Pod", "metadata": {"name": "p"}}'],
  ["a List in JSON", '{"kind": "List", "items": [{"kind": "Pod", "metadata": {"name": "p"}}]}'],
  ["an anchor", "kind: Pod\nmetadata: &m\n  name: p\n"],
  ["an alias for a map", "kind: Pod\nmetadata:\n  annotations: *a\n"],
  ["an anchor for a map", "kind: Pod\nmetadata:\n  annotations: &a\n    b: c\n"],
  ["a map that is text", "kind: Pod\nmetadata:\n  annotations: none\n"],
  ["a value in a block", "kind: Pod\nmetadata:\n  annotations:\n    flyte.secrets/s1: |\n      a\n"],
  ["a key that is there twice", "kind: Pod\nmetadata:\n  name: p\n  name: q\n"],
  ["a document that is broken", "kind: Pod\nmetadata:\n  name: p\n---\na: ]\n"],
  ["tabs", "kind: Pod\nmetadata:\n\tname: p\n"],
  ["no metadata", "kind: Pod\nspec: {}\n"],
  ["no such document", "# nothing\n"],
])("%s is left to the author", (_, text) => {
  expect(insert(text, 0, entries)).toBeUndefined();
});

test("snippet returns the lines to paste", () => {
  expect(snippet(entries)).toBe(
    'metadata:\n  annotations:\n    flyte.secrets/s1: nnsxs\n  labels:\n    inject-flyte-secrets: "true"',
  );
});
