/**
 * Inserts annotations and labels into the manifests of pods. The `yaml` package finds the place; the rest of the text is unchanged, with
 * comments and layout.
 */
import {
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseAllDocuments,
  stringify,
  type ToStringOptions,
  type YAMLMap,
} from "yaml";

export interface Entry {
  map: "annotations" | "labels";
  key: string;
  value: string;
}

/** The label that the policy requires. */
export const LABEL: Entry = { map: "labels", key: "inject-flyte-secrets", value: "true" };

/** The annotation for a secret request, encoded by `encodeRequest`. */
export function requestEntry(number: number, value: string): Entry {
  return { map: "annotations", key: `flyte.secrets/s${number}`, value };
}

/** Returns the text with these entries in the metadata of its nth pod, or nothing if it cannot be edited safely. */
export function insert(text: string, nth: number, entries: Entry[]): string | undefined {
  return entries.reduce<string | undefined>((edited, entry) => edited && insertEntry(edited, nth, entry), text);
}

/** Returns the entries as the `metadata` of a pod. */
export function snippet(entries: Entry[]): string {
  const metadata: Partial<Record<Entry["map"], object>> = {};
  for (const { map, key, value } of entries) metadata[map] = { ...metadata[map], [key]: value };
  return line({ metadata });
}

function insertEntry(text: string, nth: number, { map, key, value }: Entry): string | undefined {
  const documents = parseAllDocuments(text);
  // In JSON, keys need quotes.
  if (documents.some(({ errors, contents }) => errors.length > 0 || (isMap(contents) && contents.flow)))
    return undefined;
  const pair = documents.flatMap(({ contents }) => metadataOf(contents))[nth];
  const metadata = pair?.value;
  if (!hasEntries(metadata)) return undefined;

  const indent = columnOf(text, metadata.items[0]?.key);
  const step = indent - columnOf(text, pair?.key);
  const found = pairIn(metadata, map)?.value as Node | undefined;
  if (!found) return append(text, metadata, { [map]: { [key]: value } }, step);
  if (hasEntries(found)) {
    const old = pairIn(found, key)?.value as Node | undefined;
    if (!old) return append(text, found, { [key]: value });
    if (!isScalar(old) || old.type?.startsWith("BLOCK")) return undefined;
    return old.value === value ? text : replace(text, startOf(old), endOf(old), line(value));
  }
  const empty = isScalar(found) ? found.value === null : isMap(found) && found.items.length === 0;
  if (!empty || metadata.flow) return undefined;
  const [from, to] = [startOf(found), endOf(found)];
  const head = from === to ? text.slice(0, from) : text.slice(0, from).trimEnd();
  return insertBelow(head + text.slice(to), head.length, indent + step, { [key]: value });
}

/** Returns the `metadata` of each pod in an object, in the order in which the policy's core counts pods. */
function metadataOf(object: unknown): (Pair | undefined)[] {
  if (!isMap(object)) return [];
  const kind = String(object.get("kind"));
  const items = object.get("items");
  if (kind.endsWith("List") && isSeq(items)) return items.items.flatMap(metadataOf);
  const templates = [["spec", "template"], ["spec", "jobTemplate", "spec", "template"], ["template"]];
  const pod = kind === "Pod" ? object : templates.map((path) => object.getIn(path)).find(isMap);
  return pod ? [pairIn(pod, "metadata")] : [];
}

/** Whether this is a mapping with entries that has no alias elsewhere. */
function hasEntries(node: unknown): node is YAMLMap {
  return isMap(node) && node.items.length > 0 && !node.anchor && !node.tag;
}

function pairIn(map: YAMLMap, key: string): Pair | undefined {
  return map.items.find((pair) => isScalar(pair.key) && pair.key.value === key);
}

/** Returns the text with these entries at the end of a mapping. */
function append(text: string, map: YAMLMap, entries: object, step?: number): string {
  const end = endOf(map.flow ? (map.items.at(-1) as Pair) : map);
  if (!map.flow) return insertBelow(text, end, columnOf(text, map.items[0]?.key), entries, step);
  const braces = line(entries, { collectionStyle: "flow", flowCollectionPadding: false });
  return replace(text, end, end, `, ${braces.slice(1, -1)}`);
}

/** Returns the text with these entries in new lines below the line of this offset. */
function insertBelow(text: string, offset: number, indent: number, entries: object, step = 2): string {
  const eol = text.includes("\r\n") ? "\r\n" : "\n";
  const lines = line(entries, { indent: step })
    .split("\n")
    .map((line) => " ".repeat(indent) + line);
  const next = text[offset - 1] === "\n" ? offset : text.indexOf("\n", offset) + 1;
  return next > 0 ? replace(text, next, next, lines.join(eol) + eol) : [text, ...lines].join(eol);
}

/** Returns a value in YAML, as kubectl reads it: strings that are other types in YAML 1.1 are quoted. */
export function write(value: unknown): string {
  return stringify(value, {
    version: "1.1",
    lineWidth: 0,
    indentSeq: false,
    singleQuote: true,
    aliasDuplicateObjects: false,
  });
}

function line(value: unknown, options: ToStringOptions = {}): string {
  return stringify(value, { lineWidth: 0, ...options }).trimEnd();
}

function replace(text: string, from: number, to: number, by: string): string {
  return text.slice(0, from) + by + text.slice(to);
}

function columnOf(text: string, node: unknown): number {
  return startOf(node) - text.lastIndexOf("\n", startOf(node) - 1) - 1;
}

function startOf(node: unknown): number {
  return (node as Node).range?.[0] ?? 0;
}

/** Returns the end of a value, before comments that belong to the next one. */
function endOf(node: unknown): number {
  if (isPair(node)) return endOf(node.value ?? node.key);
  const last = isCollection(node) && !node.flow && node.items.at(-1);
  return last ? endOf(last) : ((node as Node).range?.[1] ?? 0);
}
