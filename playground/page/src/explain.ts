/**
 * What happened to each request of a pod: which managers were asked, what they looked for, and why they could not. Shows what the
 * policy says, and judges nothing.
 */
import type { AskedManager, ExplainedRequest } from "flyte-secrets";
import { h } from "./dom";

export function explain(requests: ExplainedRequest[]): HTMLElement {
  return h("ul", { class: "requests" }, ...requests.map(request));
}

function request({ annotation, asks, managers }: ExplainedRequest): HTMLElement {
  return h(
    "li",
    {},
    h("p", { class: "asks" }, h("code", {}, annotation), ` asks for ${asks}`),
    h("ol", { class: "chain" }, ...managers.map(manager)),
  );
}

function manager({ manager, takes, source, reason, read }: AskedManager): HTMLElement {
  // Where a secret was found is the last of what was looked up.
  const found = read.some(({ found }) => found);
  return h(
    "li",
    { "data-takes": String(takes) },
    h(
      "p",
      {},
      h("strong", {}, manager),
      takes ? " takes it" : ` does not: ${shorten(reason ?? "", read)}`,
      takes && !found && h("span", {}, ": ", h("code", {}, source ?? "")),
    ),
    read.length > 0 && h("ul", { class: "read", "aria-label": "Looked up" }, ...read.map(lookedUp)),
  );
}

function lookedUp({ object, name, found }: AskedManager["read"][number]): HTMLElement {
  return h(
    "li",
    { "data-found": String(found) },
    h("span", { class: "tag" }, found ? "found" : "not there"),
    h("span", {}, h("code", {}, name), " ", h("span", { class: "quiet" }, object)),
  );
}

/** A reason that lists every name looks up to the list below instead. */
function shorten(reason: string, read: AskedManager["read"]): string {
  const listed = read.map(({ object, name }) => `${name} (${object})`).join(", ");
  return listed ? reason.replace(listed, "the names below") : reason;
}
