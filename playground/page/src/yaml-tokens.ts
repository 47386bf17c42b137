/**
 * Which parts of YAML get which colour, line by line. Colours only: it reads no document, and forgives all.
 */

export interface Token {
  from: number;
  to: number;
  kind: "key" | "string" | "atom" | "comment" | "mark";
}

const ATOM = /^(true|false|null|~|[-+]?(\d[\d_]*)?\.?\d+([eE][-+]?\d+)?)$/;
const PARTS = new RegExp(
  [
    /(?<comment>(?<=^|\s)#.*)/,
    /(?<quoted>"(?:\\.|[^"\\])*"?|'(?:''|[^'])*'?)/,
    /(?<mark>(?:^(?:---|\.\.\.)|[-?:])(?=\s|$)|[[\]{},]|[&*!][^\s,[\]{}]*)/,
    // Each alternative starts with other characters than the others do, so that it takes one pass.
    /(?<plain>[^\s#,[\]{}"'](?:[^\s:,[\]{}]|:(?=[^\s,[\]{}])|\s+(?=[^\s#:,[\]{}]))*)/,
  ]
    .map((part) => part.source)
    .join("|"),
  "g",
);

/** Which lines stand in a block scalar. What it takes to know the colours of one line without those of all before it. */
export function scalars(lines: Iterable<string>): boolean[] {
  // The indentation of the line that began it.
  let began: number | undefined;
  return Array.from(lines, (line) => {
    const indent = line.search(/\S/);
    if (began !== undefined && (indent === -1 || indent > began)) return true;
    began = /(?:^|[\s:-])[|>][-+\d]*(?:\s+#.*)?\s*$/.test(line) ? indent : undefined;
    return false;
  });
}

/** The tokens of a line, by their columns. */
export function tokenize(line: string, inScalar: boolean): Token[] {
  const start = line.search(/\S/);
  if (start === -1) return [];
  if (inScalar) return [{ from: start, to: line.length, kind: "string" }];
  const tokens: Token[] = [];
  for (const match of line.matchAll(PARTS)) {
    const from = match.index;
    const to = from + match[0].length;
    const { comment, quoted, mark, plain } = match.groups ?? {};
    if (comment !== undefined) tokens.push({ from, to, kind: "comment" });
    else if (mark !== undefined) tokens.push({ from, to, kind: "mark" });
    else if (/^\s*:(\s|$)/.test(line.slice(to))) tokens.push({ from, to, kind: "key" });
    else if (quoted !== undefined) tokens.push({ from, to, kind: "string" });
    else if (plain !== undefined && ATOM.test(plain)) tokens.push({ from, to, kind: "atom" });
  }
  return tokens;
}
