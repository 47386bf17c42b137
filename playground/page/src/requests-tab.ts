/**
 * The tab for secret requests: a decoder for annotations, and a form that encodes one.
 */
import { type DecodedRequest, decodeRequests, encodeRequest, type KnownMount } from "flyte-secrets";
import { copyButton } from "./copy";
import { byId, code, facts, h, words } from "./dom";
import { editor } from "./editor";
import type { Tab } from "./pod-tab";
import { requestForm } from "./request-form";
import { LABEL, requestEntry, snippet } from "./yaml-insert";

const FIRST =
  "nnsxsoraejsgellqmfzxg42pojscectnn41w34c6ojsxc4ljojsw1zlooq4carkokzpvmqksbjsw34s6ozqxeoraejceex1qifjvgv1pkjccecq";

export function requestsTab(): Tab {
  const form = byId<HTMLFormElement>("encode-form");
  const written = h("div", { class: "outcome", role: "status" });
  const write = () => written.replaceChildren(...encoded(fields.read()));
  const fields = requestForm(form, write);
  form.append(written);
  form.addEventListener("submit", (event) => event.preventDefault());

  const update = () => {
    const text = source.text();
    try {
      const { pods, findings } = decodeRequests(text);
      source.mark(findings);
      byId("decode-answer").replaceChildren(...pods.flatMap(({ name, requests }) => podOf(name, requests)));
      if (pods.length === 0) byId("decode-answer").append(h("p", {}, "No secret requests."));
    } catch (error) {
      byId("decode-answer").replaceChildren(h("p", { class: "error" }, words(error)));
    }
  };
  const source = editor(byId("decode-editor"), update);

  return {
    save: () => ({ requests: source.text(), ...fields.save() }),
    load: (state) => {
      source.setText(state.requests ?? FIRST);
      fields.load(state);
      update();
      write();
    },
  };
}

function podOf(name: string, requests: DecodedRequest[]): HTMLElement[] {
  const list = h("ul", { class: "requests" }, ...requests.map(requestOf));
  if (requests.length === 0) list.append(h("li", {}, "no secret requests"));
  return name ? [h("h3", {}, name), list] : [list];
}

const LABELS = { key: "Key", group: "Group", groupVersion: "Version", mount: "Mount", envVar: "Variable" };
const MOUNTS: Record<KnownMount, string> = { any: "any", env: "variable", file: "file" };

function requestOf({ annotation, request, asks, error }: DecodedRequest): HTMLElement {
  const mount = request?.mount ?? "any";
  const fields = request && { ...request, mount: typeof mount === "number" ? `number ${mount}` : MOUNTS[mount] };
  return h(
    "li",
    {},
    h(
      "p",
      { class: "asks" },
      annotation !== undefined && code(annotation),
      asks !== undefined && (annotation === undefined ? `Asks for ${asks}` : `: ${asks}`),
    ),
    error !== undefined && h("p", { class: "error" }, error),
    fields && facts(Object.entries(LABELS).map(([name, label]) => [label, fields[name as keyof typeof LABELS]])),
  );
}

function encoded(request: Parameters<typeof encodeRequest>[0] | undefined): HTMLElement[] {
  if (!request) return [h("p", { class: "hint" }, "Fill in a key, a group, or both to get the annotation.")];
  try {
    const value = encodeRequest(request);
    const lines = snippet([LABEL, requestEntry(0, value)]);
    return [
      h("div", { class: "copied" }, code(value), copyButton("annotation value", value)),
      h("div", { class: "copied" }, h("code", { class: "lines" }, lines), copyButton("YAML", lines)),
    ];
  } catch (error) {
    return [h("p", { class: "error" }, words(error))];
  }
}
