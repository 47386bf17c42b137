/**
 * Two texts side by side, line by line, with what is the same folded away; one below the other where there is no room. Knows nothing
 * of pods. (CodeMirror's merge view is two more editors, and 34 kB that the script does not have.)
 */
import { diffArrays } from "diff";
import { h } from "./dom";
import { sameEnds } from "./ends";
import { scalars, tokenize } from "./yaml-tokens";

/** Unchanged lines that are shown around a change. */
const CONTEXT = 3;

interface Line {
  number: number;
  text: string;
  inScalar: boolean;
}
interface Row {
  before?: Line;
  after?: Line;
  same: boolean;
}

export interface DiffView {
  element: HTMLElement;
  show(before: string, after: string): void;
  /** Folds what was unfolded. */
  reset(): void;
}

export function diffView(caption: string): DiffView {
  const body = h("tbody");
  const element = h(
    "table",
    { class: "diff" },
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Before"), h("th", { scope: "col" }, "After"))),
    body,
  );
  // By their order, so that they stay open while one types.
  const unfolded = new Set<number>();
  let shown: string[] = [];

  const show = (before: string, after: string) => {
    let folds = 0;
    const parts = fold(rows(lines(before), lines(after))).flatMap(({ foldable, rows }): Drawn[] => {
      const nth = foldable ? folds++ : -1;
      if (!foldable || unfolded.has(nth))
        return rows.map((row) => ({ key: JSON.stringify(row), draw: () => tableRow(row) }));
      const open = (folded: Element) => {
        unfolded.add(nth);
        const last = folded.previousElementSibling;
        show(before, after);
        const first = (last?.nextElementSibling ?? body.firstElementChild) as HTMLElement;
        first.tabIndex = -1;
        first.focus();
      };
      return [{ key: `${nth} ${rows.length}`, draw: () => foldedRow(rows.length, open) }];
    });
    const keys = parts.map(({ key }) => key);
    patch(body, shown, keys, parts);
    shown = keys;
  };
  return { element, show, reset: () => unfolded.clear() };
}

/** A row of the table, drawn only if the one with its key is not there yet. */
interface Drawn {
  key: string;
  draw(): HTMLTableRowElement;
}

/** Draws the rows between those that are as before at the start and at the end: to lay all out anew takes longer than all else. */
function patch(body: HTMLElement, old: string[], keys: string[], parts: Drawn[]): void {
  const { start, end } = sameEnds(old, keys);
  const after = body.children[old.length - end] ?? null;
  for (let at = start; at < old.length - end; at++) body.children[start]?.remove();
  for (const { draw } of parts.slice(start, parts.length - end)) body.insertBefore(draw(), after);
}

function foldedRow(count: number, open: (row: Element) => void): HTMLTableRowElement {
  const row = h("tr", { class: "folded" });
  const button = h("button", { type: "button", class: "link", click: () => open(row) }, `${count} unchanged lines`);
  row.append(h("td", { colspan: "2" }, button));
  return row;
}

function lines(text: string): Line[] {
  const texts = text.replace(/\n$/, "").split("\n");
  const within = scalars(texts);
  return texts.map((text, at) => ({ number: at + 1, text, inScalar: within[at] ?? false }));
}

/** Lines that went and lines that came at the same place stand side by side. */
function rows(before: Line[], after: Line[]): Row[] {
  const parts = diffArrays(
    before.map(({ text }) => text),
    after.map(({ text }) => text),
  );
  const left = before[Symbol.iterator]();
  const right = after[Symbol.iterator]();
  const rows: Row[] = [];
  let went: Line[] = [];
  let came: Line[] = [];
  const pair = () => {
    for (let at = 0; at < Math.max(went.length, came.length); at++) rows.push(row(went[at], came[at], false));
    went = [];
    came = [];
  };
  for (const { added, removed, count } of parts) {
    if (removed) went = take(left, count);
    else if (added) came = take(right, count);
    else {
      pair();
      const same = take(right, count);
      take(left, count).forEach((line, at) => {
        rows.push(row(line, same[at], true));
      });
    }
  }
  pair();
  return rows;
}

function take(lines: Iterator<Line>, count: number): Line[] {
  return Array.from({ length: count }, () => lines.next().value);
}

function row(before: Line | undefined, after: Line | undefined, same: boolean): Row {
  return { ...(before && { before }), ...(after && { after }), same };
}

/** Cuts the rows into what is shown and what is folded. */
function fold(rows: Row[]): { foldable: boolean; rows: Row[] }[] {
  const near = new Uint8Array(rows.length);
  rows.forEach(({ same }, at) => {
    if (!same) near.fill(1, Math.max(0, at - CONTEXT), at + CONTEXT + 1);
  });
  const parts: { foldable: boolean; rows: Row[] }[] = [];
  rows.forEach((row, at) => {
    const foldable = near[at] === 0;
    const last = parts.at(-1);
    if (last?.foldable === foldable) last.rows.push(row);
    else parts.push({ foldable, rows: [row] });
  });
  // A fold of one line hides no more than it takes.
  for (const part of parts) if (part.rows.length === 1) part.foldable = false;
  return parts;
}

function tableRow({ before, after, same }: Row): HTMLTableRowElement {
  const kind = same ? "same" : before && after ? "changed" : before ? "removed" : "added";
  return h("tr", { class: kind }, cell("before", before, !same && "del"), cell("after", after, !same && "ins"));
}

function cell(side: string, line: Line | undefined, change: "ins" | "del" | false): HTMLTableCellElement {
  if (!line) return h("td", { class: `${side} none` });
  const text = h(change || "span");
  let at = 0;
  for (const { from, to, kind } of tokenize(line.text, line.inScalar)) {
    text.append(line.text.slice(at, from), h("span", { class: `y-${kind}` }, line.text.slice(from, to)));
    at = to;
  }
  text.append(line.text.slice(at));
  return h("td", { class: side, "data-line": String(line.number) }, text);
}
