/**
 * The form that adds a secret request to the pod's text. If the text cannot be edited safely, the form shows lines to paste.
 */
import { decodeRequests, encodeRequest } from "flyte-secrets";
import { announce } from "./announce";
import { copyButton } from "./copy";
import { byId, h, words } from "./dom";
import type { Editor } from "./editor";
import { requestForm } from "./request-form";
import { type Entry, insert, LABEL, requestEntry, snippet } from "./yaml-insert";

/** `selected` returns the index of the pod that is shown. */
export function ask(pod: Editor, selected: () => number): void {
  const form = byId<HTMLFormElement>("ask-form");
  const outcome = h("div", { class: "outcome", role: "status" });
  const fields = requestForm(form, () => outcome.replaceChildren());
  form.append(h("button", { class: "button strong" }, "Add to the pod"), outcome);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const request = fields.read();
    if (!request) {
      outcome.replaceChildren(h("p", { class: "error" }, "Fill in a key, a group, or both."));
      return;
    }
    try {
      const entries = entriesFor(pod.text(), selected(), encodeRequest(request));
      const edited = edit(pod.text(), selected(), entries);
      if (edited === undefined) {
        outcome.replaceChildren(
          h("p", {}, "This text cannot be edited automatically. Paste these lines into the pod:"),
          h("pre", { class: "code" }, snippet(entries)),
          copyButton("YAML", snippet(entries)),
        );
        return;
      }
      pod.setText(edited);
      const done = `Added ${entries[0]?.key}.`;
      outcome.replaceChildren(h("p", {}, done));
      announce(done);
    } catch (error) {
      outcome.replaceChildren(h("p", { class: "error" }, words(error)));
    }
  });
}

/** Returns the annotation with the next free number, and the label. */
function entriesFor(text: string, nth: number, value: string): Entry[] {
  const taken = decodeRequests(text).pods[nth]?.requests ?? [];
  const numbers = taken.map(({ annotation }) => Number(/\d+$/.exec(annotation ?? "")?.[0] ?? -1));
  return [requestEntry(Math.max(-1, ...numbers) + 1, value), LABEL];
}

/** Returns the edited text, if it adds one secret request to the nth pod, and none to other pods. */
function edit(text: string, nth: number, entries: Entry[]): string | undefined {
  const before = decodeRequests(text);
  const edited = insert(text, nth, entries);
  if (edited === undefined) return undefined;
  const after = decodeRequests(edited);
  const right =
    after.pods.length === before.pods.length &&
    after.pods.every(({ requests }, at) => {
      const had = before.pods[at]?.requests.length ?? 0;
      if (at !== nth) return requests.length === had;
      return requests.length === had + 1 && requests.some(({ annotation }) => annotation === entries[0]?.key);
    });
  return right ? edited : undefined;
}
