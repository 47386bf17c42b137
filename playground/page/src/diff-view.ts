/**
 * Two texts and their difference, by CodeMirror: side by side, or in one column if the page is narrow. Does not know pods.
 */
import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { h } from "./dom";
import { changes, YAML } from "./editor";

/** Minimum width of two columns. */
const TWO_COLUMNS_PX = 600;

export interface DiffView {
  element: HTMLElement;
  /** The button that shows and hides unchanged lines. */
  toggle: HTMLElement;
  show(before: string, after: string): void;
  /** Resets the view, and hides unchanged lines. */
  reset(): void;
}

/** Compares texts with this name. */
export function diffView(name: string): DiffView {
  const toggle = h("button", { type: "button", class: "link", click: () => fold(!folded) });
  const parent = h("div", { class: "diff" });
  let view: View | undefined;
  let columns = 0;
  let folded = true;
  let texts: [before: string, after: string] = ["", ""];

  const draw = () => {
    toggle.textContent = `${folded ? "Show" : "Hide"} unchanged lines`;
    view ??= (columns === 1 ? oneColumn : twoColumns)(parent, name, texts);
    view.show(...texts, { minSize: folded ? 4 : Number.POSITIVE_INFINITY });
  };
  const fold = (is: boolean) => {
    folded = is;
    draw();
  };
  const clear = () => {
    view?.destroy();
    view = undefined;
  };
  // The placeholder of hidden lines can be clicked, too.
  parent.addEventListener("click", ({ target }) => {
    if ((target as Element).closest(".cm-collapsedLines")) fold(false);
  });
  new ResizeObserver(() => {
    // A hidden element has no width.
    const next = parent.clientWidth && (parent.clientWidth < TWO_COLUMNS_PX ? 1 : 2);
    if (!next || next === columns) return;
    columns = next;
    if (!view) return;
    clear();
    draw();
  }).observe(parent);

  return {
    element: parent,
    toggle,
    show: (before, after) => {
      texts = [before.trimEnd(), after.trimEnd()];
      draw();
    },
    reset: () => {
      folded = true;
      clear();
    },
  };
}

interface View {
  show(before: string, after: string, collapseUnchanged: { minSize: number }): void;
  destroy(): void;
}

function readOnly(label: string): Extension {
  return [
    YAML,
    EditorState.readOnly.of(true),
    EditorView.editable.of(false),
    EditorView.contentAttributes.of({ "aria-label": label }),
  ];
}

function twoColumns(parent: HTMLElement, name: string, [before, after]: [string, string]): View {
  const view = new MergeView({
    parent,
    highlightChanges: false,
    a: { doc: before, extensions: readOnly(`${name} before`) },
    b: { doc: after, extensions: readOnly(`${name} after`) },
  });
  return {
    show: (before, after, collapseUnchanged) => {
      view.a.dispatch({ changes: changes(view.a.state.doc, before) });
      view.b.dispatch({ changes: changes(view.b.state.doc, after) });
      view.reconfigure({ collapseUnchanged });
    },
    destroy: () => view.destroy(),
  };
}

function oneColumn(parent: HTMLElement, name: string, [, doc]: [string, string]): View {
  const merge = new Compartment();
  const view = new EditorView({ parent, doc, extensions: [readOnly(`${name} before and after`), merge.of([])] });
  return {
    show: (original, after, collapseUnchanged) =>
      view.dispatch({
        changes: changes(view.state.doc, after),
        effects: merge.reconfigure(
          unifiedMergeView({ original, collapseUnchanged, highlightChanges: false, mergeControls: false }),
        ),
      }),
    destroy: () => view.destroy(),
  };
}
