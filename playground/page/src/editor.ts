/**
 * A YAML editor: CodeMirror with findings marked in place and listed under the text. Does not know its content.
 */
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { syntaxHighlighting } from "@codemirror/language";
import { setDiagnostics } from "@codemirror/lint";
import { diff } from "@codemirror/merge";
import type { ChangeSpec, Text } from "@codemirror/state";
import { EditorView, keymap, lineNumbers, tooltips } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import type { Finding, Place } from "flyte-secrets";
import { h } from "./dom";

export interface Editor {
  text(): string;
  /** Replaces the text, in one step that undo reverts. */
  setText(text: string): void;
  /** Marks the findings in place, and lists them under the text. */
  mark(findings: Finding[]): void;
}

/** Style of all YAML on the page. */
export const YAML = [yaml(), syntaxHighlighting(classHighlighter), lineNumbers(), EditorView.lineWrapping];

/** Returns the changes from one text to another. Unchanged parts keep their selection and layout. */
export function changes(old: Text, text: string): ChangeSpec {
  return diff(old.toString(), text, { scanLimit: 500 }).map(({ fromA, toA, fromB, toB }) => ({
    from: fromA,
    to: toA,
    insert: text.slice(fromB, toB),
  }));
}

/** Creates an editor in an element whose data has the IDs of its label and its hint. */
export function editor(parent: HTMLElement, changed: () => void): Editor {
  const list = h("ul", { class: "findings", id: `${parent.id}-findings`, "aria-label": "Findings" });
  const view = new EditorView({
    parent,
    extensions: [
      history(),
      keymap.of([...historyKeymap, ...defaultKeymap]),
      YAML,
      // Panes clip overflowing content.
      tooltips({ parent: document.body }),
      EditorView.contentAttributes.of({
        "aria-labelledby": parent.dataset.label ?? "",
        "aria-describedby": `${parent.dataset.hint} ${list.id}`,
        // axe expects scrollable content to be focusable.
        tabindex: "0",
        autocapitalize: "off",
      }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) changed();
      }),
    ],
  });
  parent.after(list);

  let marked = "[]";
  const reveal = (place: Place) => {
    const { from, to } = range(view.state.doc, place);
    view.dispatch({ selection: { anchor: from, head: to }, scrollIntoView: true });
    view.focus();
  };

  return {
    text: () => view.state.doc.toString(),
    setText: (text) => view.dispatch({ changes: changes(view.state.doc, text) }),
    mark: (findings) => {
      const next = JSON.stringify(findings);
      if (next === marked) return;
      marked = next;
      const diagnostics = findings.flatMap(({ place, severity, message }) =>
        place ? [{ ...range(view.state.doc, place), severity, message }] : [],
      );
      view.dispatch(setDiagnostics(view.state, diagnostics));
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

/** Returns the offsets of a place. Columns count characters, CodeMirror counts UTF-16 units. */
function range(doc: Text, { line, column, length }: Place): { from: number; to: number } {
  const { from, text } = doc.line(Math.min(Math.max(line, 1), doc.lines));
  const letters = Array.from(text);
  const units = (count: number) => letters.slice(0, count).join("").length;
  return { from: from + units(column - 1), to: from + units(column - 1 + length) };
}
