/**
 * The result in the tab for pods: the verdict, warnings, what happens to each secret request, and the pod before and after. Its
 * input is the policy's answer as data.
 */
import type { PodPreview, Previews } from "flyte-secrets";
import { announce } from "./announce";
import { copyButton } from "./copy";
import { diffView } from "./diff-view";
import { breakable, byId, code, h, refill } from "./dom";
import { explain } from "./explain";
import { write } from "./yaml-insert";

export interface Answer {
  show(preview: Previews): void;
  /** Shows the reason for a missing answer. */
  fail(message: string): void;
  /** Returns the index of the pod that is shown. */
  selected(): number;
  /** Resets the selected pod and its unfolded parts. */
  reset(): void;
}

export function answer(parent: HTMLElement): Answer {
  let pods: PodPreview[] = [];
  let assumed = false;
  let chosen = 0;

  const picker = h("fieldset", { class: "choice picker" });
  const verdict = h("div", { class: "verdict" });
  const details = h("div", { class: "details" });
  const warnings = h("section", { class: "block" });
  const requests = h("section", { class: "block" });
  const diff = diffView("Pod");
  const size = h("span", { class: "quiet" });
  const pod = h(
    "section",
    { class: "block" },
    h(
      "div",
      { class: "heading" },
      h("h3", {}, "Pod before and after"),
      size,
      diff.toggle,
      copyButton("pod after", () => write(pods[chosen]?.after)),
    ),
    diff.element,
  );
  details.append(warnings, requests, pod);
  parent.append(h("h2", { class: "unseen" }, "Answer"), picker, verdict, details);
  picker.addEventListener("change", () => {
    chosen = [...picker.querySelectorAll("input")].findIndex(({ checked }) => checked);
    diff.reset();
    showPod();
  });

  const peek = byId("peek");
  peek.addEventListener("click", () => verdict.scrollIntoView({ block: "start" }));

  const tell = (outcome: string, title: string, ...rest: HTMLElement[]) => {
    verdict.dataset.outcome = outcome;
    peek.dataset.outcome = outcome;
    peek.textContent = `${title}: see below`;
    verdict.replaceChildren(h("p", {}, h("strong", {}, title)), ...rest);
    announce([title, ...rest.map(({ textContent }) => textContent)].join(" "));
  };
  // The last answer stays visible but inert while the text is invalid, which usually lasts for a few keys.
  const stale = (is: boolean) => {
    details.inert = is;
    picker.inert = is;
  };

  const showPod = () => {
    const shown = pods[chosen];
    if (!shown) return;
    tell(...verdictOf(shown, assumed));
    warnings.hidden = shown.warnings.length === 0;
    refill(warnings, shown.warnings, () => warningsOf(shown.warnings));
    requests.hidden = shown.requests.length === 0;
    refill(requests, shown.requests, () => [h("h3", {}, "Secret requests"), explain(shown.requests)]);
    pod.hidden = shown.outcome === "refused";
    size.textContent = shown.outcome === "untouched" ? "no change" : "";
    if (!pod.hidden) diff.show(write(shown.before), write(shown.after));
  };

  return {
    show: (preview) => {
      if (preview.pods.length === 0) {
        stale(true);
        tell("open", ...whyNone(preview.findings));
        return;
      }
      stale(false);
      details.hidden = false;
      ({ pods, assumed } = preview);
      chosen = Math.min(chosen, pods.length - 1);
      picker.hidden = pods.length < 2;
      const facts = pods.map(({ name, outcome }) => ({ name, outcome }));
      refill(picker, { facts, chosen }, () => choices(facts, chosen));
      showPod();
    },
    fail: (message) => {
      stale(true);
      tell("open", "Invalid input", h("p", { class: "message" }, message));
    },
    selected: () => chosen,
    reset: () => {
      chosen = 0;
      details.hidden = true;
      picker.hidden = true;
      diff.reset();
    },
  };
}

const TITLES = { changed: "Changed", untouched: "Untouched", refused: "Rejected" };

function verdictOf(
  { name, namespace, outcome, refusal, requests }: PodPreview,
  assumed: boolean,
): [string, string, ...HTMLElement[]] {
  const where = h("p", {}, code(name), " in namespace ", code(namespace));
  if (refusal) {
    // Each further line is a manager's reason, which the list of secret requests shows.
    const [message = ""] = refusal.message.split("\n", 1);
    return [outcome, `Rejected with code ${refusal.code}`, where, h("p", { class: "message" }, ...breakable(message))];
  }
  const fetched = requests.some(({ managers }) => managers.some(({ read }) => read.length > 0));
  const note = h(
    "p",
    { class: "quiet" },
    "The store is empty: every requested secret is assumed to exist in its project's scope.",
  );
  return [outcome, TITLES[outcome], where, ...(assumed && fetched ? [note] : [])];
}

const TEXTS = { pod: "Pod", settings: "Settings", secrets: "Secrets in the store" } as const;

function whyNone(findings: Previews["findings"]): [string, ...HTMLElement[]] {
  const wrong = (Object.keys(TEXTS) as (keyof typeof TEXTS)[]).flatMap((text) =>
    findings[text]
      .filter(({ severity }) => severity === "error")
      .map(({ message, place }) => h("li", {}, `${TEXTS[text]}${place ? `, line ${place.line}` : ""}: ${message}`)),
  );
  if (wrong.length === 0) return ["No pod yet", h("p", {}, "Paste one, or open an example.")];
  return ["Invalid input", h("ul", { class: "bullets" }, ...wrong)];
}

function warningsOf(warnings: string[]): HTMLElement[] {
  return [
    h("h3", {}, "Warnings"),
    h("ul", { class: "warnings" }, ...warnings.map((text) => h("li", {}, ...breakable(text)))),
  ];
}

function choices(facts: Pick<PodPreview, "name" | "outcome">[], chosen: number): HTMLElement[] {
  const choice = ({ name, outcome }: (typeof facts)[number], nth: number) =>
    h(
      "label",
      {},
      h("input", { type: "radio", name: "picked", checked: nth === chosen }),
      h(
        "span",
        {},
        h("span", { class: "dot", "data-outcome": outcome }),
        name,
        h("span", { class: "unseen" }, `: ${TITLES[outcome]}`),
      ),
    );
  return [h("legend", { class: "unseen" }, "Which pod"), ...facts.map(choice)];
}
