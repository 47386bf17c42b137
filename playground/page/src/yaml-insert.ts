/**
 * Writes an annotation and a label into a pod's YAML as a small edit of its text, so that comments and layout stay. Knows block style
 * as people and tools write it, one line for each entry; whatever else it meets, it answers nothing, and the caller shows the
 * lines instead. It reads no YAML: the caller looks whether the edited text holds what it should.
 */

export interface Entry {
  map: "annotations" | "labels";
  key: string;
  /** As it stands in YAML, quotes included. */
  value: string;
}

/** What makes the policy look at a pod. */
export const LABEL: Entry = { map: "labels", key: "inject-flyte-secrets", value: '"true"' };

/** A request, as `encodeRequest` writes it, under a number. */
export function requestEntry(number: number, value: string): Entry {
  return { map: "annotations", key: `flyte.secrets/s${number}`, value };
}

/** The text with these entries in the metadata of its nth document, or nothing. */
export function insert(text: string, nth: number, entries: Entry[]): string | undefined {
  // Tabs do not indent in YAML, and `{` begins JSON.
  if (/^[ ]*\t/m.test(text) || /^\s*[{[]/.test(text)) return undefined;
  const eol = text.includes("\r\n") ? "\r\n" : "\n";
  const lines = text.split(eol);
  for (const entry of entries) {
    const document = documents(lines)[nth];
    const metadata = document && metadataOf(lines, document);
    if (!metadata || !put(lines, metadata, entry)) return undefined;
  }
  return lines.join(eol);
}

/** The lines that an author can paste into `metadata`. */
export function snippet(entries: Entry[]): string {
  const maps = [...new Set(entries.map(({ map }) => map))];
  const lines = maps.flatMap((map) => [
    `  ${map}:`,
    ...entries.filter((entry) => entry.map === map).map(({ key, value }) => `    ${key}: ${value}`),
  ]);
  return ["metadata:", ...lines].join("\n");
}

/** Lines from `start` to before `end`. */
interface Span {
  start: number;
  end: number;
}

/** An entry of a mapping: its line, what stands behind its colon, and the lines of its value. */
interface Found extends Span {
  indent: number;
  value: string;
}

function documents(lines: string[]): Span[] {
  const bounds = [-1, ...lines.flatMap((line, at) => (/^(---|\.\.\.)(\s|$)/.test(line) ? [at] : [])), lines.length];
  return bounds
    .slice(1)
    .map((end, at) => ({ start: (bounds[at] ?? 0) + 1, end }))
    .filter(({ start, end }) => lines.slice(start, end).some(isContent));
}

function metadataOf(lines: string[], document: Span): Found | undefined {
  const kind = find(lines, document, 0, "kind")?.value.replace(/["']/g, "");
  const paths: Record<string, string[]> = {
    Pod: ["metadata"],
    CronJob: ["spec", "jobTemplate", "spec", "template", "metadata"],
    PodTemplate: ["template", "metadata"],
  };
  if (!kind || kind.endsWith("List")) return undefined;
  let found: Found | undefined;
  for (const key of paths[kind] ?? ["spec", "template", "metadata"]) {
    const within: Span = found ?? document;
    const indent = found ? childIndent(lines, found) : 0;
    if (indent === undefined) return undefined;
    found = find(lines, within, indent, key);
    if (found?.value !== "") return undefined;
  }
  return found;
}

/** Writes one entry into a map of the metadata; false if it cannot be done safely. */
function put(lines: string[], metadata: Found, { map, key, value }: Entry): boolean {
  const indent = childIndent(lines, metadata);
  if (indent === undefined) return false;
  const step = " ".repeat(indent - metadata.indent);
  const found = find(lines, metadata, indent, map);
  if (!found) {
    const margin = " ".repeat(indent);
    lines.splice(lastOf(lines, metadata, indent) + 1, 0, `${margin}${map}:`, `${margin}${step}${key}: ${value}`);
    return true;
  }
  const head = lines[found.start - 1] ?? "";
  if (/^\{\s*\}$/.test(found.value)) {
    lines.splice(found.start - 1, 1, head.replace(/\s*\{\s*\}/, ""), `${" ".repeat(indent)}${step}${key}: ${value}`);
    return true;
  }
  if (/^\{.*\}$/.test(found.value)) return putFlow(lines, found, key, value);
  if (found.value !== "") return false;

  const inner = childIndent(lines, found) ?? indent + step.length;
  const same = find(lines, found, inner, key);
  if (same) {
    if (same.value === value) return true;
    const line = lines[same.start - 1] ?? "";
    // A value of several lines, or one that this does not understand, is left alone.
    if (same.value === "" || childIndent(lines, same) !== undefined || !line.includes(same.value)) return false;
    lines[same.start - 1] =
      line.slice(0, line.lastIndexOf(same.value)) +
      value +
      line.slice(line.lastIndexOf(same.value) + same.value.length);
    return true;
  }
  lines.splice(lastOf(lines, found, inner) + 1, 0, `${" ".repeat(inner)}${key}: ${value}`);
  return true;
}

/** Into `{a: b}` that stands on one line. */
function putFlow(lines: string[], { start, value: flow }: Found, key: string, value: string): boolean {
  const line = lines[start - 1] ?? "";
  const inside = flow.slice(1, -1);
  const at = line.lastIndexOf(flow);
  if (at < 0 || /[{}[\]#&*]/.test(inside)) return false;
  const entry = new RegExp(
    `(^|,\\s*)(["']?)${key.replace(/[.*+?^$()|/]/g, "\\$&")}\\2\\s*:\\s*("[^"]*"|'[^']*'|[^,]*)`,
  );
  const edited = entry.test(inside)
    ? inside.replace(entry, (whole, _before, _quote, old: string) => whole.slice(0, whole.length - old.length) + value)
    : `${inside.trimEnd().replace(/,$/, "")}, ${key}: ${value}`;
  lines[start - 1] = `${line.slice(0, at)}{${edited}}${line.slice(at + flow.length)}`;
  return true;
}

/** The entry of this key in the mapping that stands in these lines at this indentation. */
function find(lines: string[], { start, end }: Span, indent: number, key: string): Found | undefined {
  for (let at = start; at < end; at++) {
    const line = lines[at] ?? "";
    const match = /^( *)(?:"([^"]*)"|'([^']*)'|([^\s"'#-][^\s:]*))\s*:(?:\s+(.*))?$/.exec(line);
    if (!match || match[1]?.length !== indent || (match[2] ?? match[3] ?? match[4]) !== key) continue;
    let last = at + 1;
    while (last < end && (!isContent(lines[last] ?? "") || indentOf(lines[last] ?? "") > indent)) last++;
    return { start: at + 1, end: last, indent, value: withoutComment(match[5] ?? "") };
  }
  return undefined;
}

function withoutComment(value: string): string {
  return value.startsWith("#") ? "" : value.replace(/\s+#[^"']*$/, "").trim();
}

/** How far the mapping under this entry is indented, if there is one. */
function childIndent(lines: string[], { start, end, indent }: Found): number | undefined {
  const first = lines.slice(start, end).find(isContent);
  if (first === undefined || /^\s*-(\s|$)/.test(first)) return undefined;
  return indentOf(first) > indent ? indentOf(first) : undefined;
}

/** The last line of a mapping's entries. What looks like a comment further in may belong to a block scalar. */
function lastOf(lines: string[], { start, end }: Span, indent: number): number {
  let at = end - 1;
  while (
    at >= start &&
    (!/\S/.test(lines[at] ?? "") || (!isContent(lines[at] ?? "") && indentOf(lines[at] ?? "") <= indent))
  )
    at--;
  return at;
}

const isContent = (line: string) => /^\s*[^\s#]/.test(line);
const indentOf = (line: string) => line.search(/\S|$/);
