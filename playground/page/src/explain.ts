/**
 * The result of each secret request of a pod: managers that were tried, names that they looked up, and reasons.
 */
import type { AskedManager, ExplainedRequest } from "flyte-secrets";
import { breakable, code, h } from "./dom";

export function explain(requests: ExplainedRequest[]): HTMLElement {
  return h("ul", { class: "requests" }, ...requests.map(request));
}

function request({ annotation, asks, managers }: ExplainedRequest): HTMLElement {
  return h(
    "li",
    {},
    h("p", { class: "asks" }, code(annotation), `: ${asks}`),
    managers.length > 0
      ? h("ol", { class: "chain" }, ...managers.map(manager))
      : h("p", { class: "quiet" }, "No manager is asked."),
  );
}

function manager({ manager, takes, source, reason, read }: AskedManager): HTMLElement {
  // The last name that was looked up is the one that was found.
  const found = read.some(({ found }) => found);
  return h(
    "li",
    { "data-takes": String(takes) },
    h(
      "p",
      {},
      h("strong", {}, manager),
      ...(takes ? [": injected"] : breakable(`: not injected: ${shorten(reason ?? "", read)}`)),
      takes && !found && h("span", {}, " from ", code(source ?? "")),
    ),
    read.length > 0 && h("ul", { class: "read", "aria-label": "Lookups" }, ...read.map(lookedUp)),
  );
}

function lookedUp({ object, name, found }: AskedManager["read"][number]): HTMLElement {
  return h(
    "li",
    { "data-found": String(found) },
    h("span", { class: "tag" }, found ? "found" : "not found"),
    h("span", {}, code(name), " ", h("span", { class: "quiet" }, object)),
  );
}

/** Returns a reason without the names that are listed below it. */
function shorten(reason: string, read: AskedManager["read"]): string {
  const listed = read.map(({ object, name }) => `${name} (${object})`).join(", ");
  return listed ? reason.replace(listed, "the names below") : reason;
}
