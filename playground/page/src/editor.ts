/**
 * A YAML editor: CodeMirror with colours, line numbers, undo, and findings marked where they are. Knows nothing of what is edited.
 *
 * The page's script may have 250 kB. CodeMirror's view and state alone take 195 of them, so its language packages (48 kB), gutters
 * (11 kB) and lint (32 kB) are not used: what is needed of them is below.
 */
import {
  cursorDocEnd,
  cursorDocStart,
  history,
  historyKeymap,
  insertNewlineKeepIndent,
  selectAll,
  selectDocEnd,
  selectDocStart,
} from "@codemirror/commands";
import { type EditorState, StateEffect, StateField, type Text } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, keymap, ViewPlugin, type ViewUpdate } from "@codemirror/view";
import type { Finding, Place } from "flyte-secrets";
import { h } from "./dom";
import { sameEnds } from "./ends";
import { scalars, tokenize } from "./yaml-tokens";

export interface Editor {
  text(): string;
  /** Changes what differs and no more, as one step that undo takes back. */
  setText(text: string): void;
  /** Marks the findings in place, and lists them under the text. */
  mark(findings: Finding[]): void;
}

/** In the element, whose data says by which ids its label and its hint are found. */
export function editor(parent: HTMLElement, changed: () => void): Editor {
  const list = h("ul", { class: "findings", id: `${parent.id}-findings`, "aria-label": "Findings" });
  const view = new EditorView({
    parent,
    extensions: [
      history(),
      keymap.of([
        ...historyKeymap,
        { key: "Enter", run: insertNewlineKeepIndent },
        { key: "Mod-a", run: selectAll },
        { key: "Mod-Home", mac: "Cmd-ArrowUp", run: cursorDocStart, shift: selectDocStart },
        { key: "Mod-End", mac: "Cmd-ArrowDown", run: cursorDocEnd, shift: selectDocEnd },
      ]),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({
        "aria-labelledby": parent.dataset.label ?? "",
        "aria-describedby": `${parent.dataset.hint} ${list.id}`,
        // What scrolls must be within reach of the keyboard; axe wants it said.
        tabindex: "0",
        autocapitalize: "off",
      }),
      colours,
      marks,
      EditorView.updateListener.of((update) => {
        if (update.docChanged) changed();
      }),
    ],
  });
  parent.after(list);

  let marked = "[]";
  const reveal = (place: Place) => {
    const { from, to } = range(view.state, place);
    view.dispatch({ selection: { anchor: from, head: to }, scrollIntoView: true });
    view.focus();
  };

  return {
    text: () => view.state.doc.toString(),
    setText: (text) => {
      const change = difference(view.state.doc.toString(), text);
      if (change) view.dispatch({ changes: change, scrollIntoView: false });
    },
    mark: (findings) => {
      const next = JSON.stringify(findings);
      if (next === marked) return;
      marked = next;
      view.dispatch({ effects: setMarks.of(findings) });
      view.contentDOM.setAttribute("aria-invalid", String(findings.some(({ severity }) => severity === "error")));
      list.replaceChildren(...findings.map((finding) => item(finding, reveal)));
    },
  };
}

function item({ severity, path, message, place }: Finding, reveal: (place: Place) => void): HTMLLIElement {
  const text = path && !message.startsWith(path) ? `${path}: ${message}` : message;
  return h(
    "li",
    { "data-severity": severity },
    h("span", { class: "unseen" }, `${severity}: `),
    place && h("button", { type: "button", class: "link", click: () => reveal(place) }, `Line ${place.line}`),
    h("span", {}, text),
  );
}

/** The one stretch in which two texts differ. */
export function difference(old: string, text: string): { from: number; to: number; insert: string } | undefined {
  if (old === text) return undefined;
  const { start, end } = sameEnds(old, text);
  return { from: start, to: old.length - end, insert: text.slice(start, text.length - end) };
}

// Findings. Their columns count characters, CodeMirror's UTF-16 units.

const setMarks = StateEffect.define<Finding[]>();

const marks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(decorations, transaction) {
    for (const effect of transaction.effects) {
      if (effect.is(setMarks)) return decorate(transaction.state, effect.value);
    }
    return decorations.map(transaction.changes);
  },
  provide: (field) => EditorView.decorations.from(field),
});

function decorate(state: EditorState, findings: Finding[]): DecorationSet {
  const ranges = findings.flatMap(({ place, severity, message }) => {
    if (!place) return [];
    const { from, to } = range(state, place);
    const line = Decoration.line({ class: `finding-line ${severity}` }).range(state.doc.lineAt(from).from);
    if (from === to) return [line];
    return [line, Decoration.mark({ class: `finding ${severity}`, attributes: { title: message } }).range(from, to)];
  });
  return Decoration.set(ranges, true);
}

function range({ doc }: EditorState, { line, column, length }: Place): { from: number; to: number } {
  const { from, text } = doc.line(Math.min(Math.max(line, 1), doc.lines));
  const letters = Array.from(text);
  const units = (count: number) => letters.slice(0, count).join("").length;
  return { from: from + units(column - 1), to: from + units(column - 1 + length) };
}

// Colours and line numbers of the lines that are in sight.

const kinds = {
  key: Decoration.mark({ class: "y-key" }),
  string: Decoration.mark({ class: "y-string" }),
  atom: Decoration.mark({ class: "y-atom" }),
  comment: Decoration.mark({ class: "y-comment" }),
  mark: Decoration.mark({ class: "y-mark" }),
};

const colours = ViewPlugin.define(
  (view) => ({
    decorations: colour(view),
    update(update: ViewUpdate) {
      if (update.docChanged || update.viewportChanged) this.decorations = colour(update.view);
    },
  }),
  { decorations: (plugin) => plugin.decorations },
);

function colour({ state: { doc }, viewport }: EditorView): DecorationSet {
  const first = doc.lineAt(viewport.from).number;
  const last = doc.lineAt(viewport.to).number;
  // From the top, because a block scalar may begin above what is in sight.
  const within = scalars(until(doc, last));
  const ranges = [];
  for (let number = first; number <= last; number++) {
    const { from, text } = doc.line(number);
    ranges.push(Decoration.line({ attributes: { "data-line": String(number) } }).range(from));
    for (const token of tokenize(text, within[number - 1] ?? false)) {
      ranges.push(kinds[token.kind].range(from + token.from, from + token.to));
    }
  }
  return Decoration.set(ranges, true);
}

function* until(doc: Text, last: number): Iterable<string> {
  let number = 0;
  for (const line of doc.iterLines()) {
    if (++number > last) return;
    yield line;
  }
}
