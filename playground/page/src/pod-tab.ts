/**
 * The tab for pods: three texts and two options, and the policy's answer after every key press. answer.ts renders the answer.
 */
import { preview } from "flyte-secrets";
import { answer } from "./answer";
import { ask } from "./ask";
import { byId, words } from "./dom";
import { editor } from "./editor";
import type { State } from "./link";

export interface Tab {
  save(): State;
  load(state: State): void;
}

export function podTab(): Tab {
  const shown = answer(byId("answer"));
  const namespace = byId<HTMLInputElement>("namespace");
  const showValues = byId<HTMLInputElement>("show-values");
  let filling = false;

  const update = () => {
    if (filling) return;
    try {
      const result = preview({
        pod: pod.text(),
        settings: settings.text(),
        secrets: secrets.text(),
        showValues: showValues.checked,
        ...(namespace.value.trim() && { namespace: namespace.value.trim() }),
      });
      pod.mark(result.findings.pod);
      settings.mark(result.findings.settings);
      secrets.mark(result.findings.secrets);
      shown.show(result);
    } catch (error) {
      shown.fail(words(error));
    }
  };

  const pod = editor(byId("pod-editor"), update);
  const settings = editor(byId("settings-editor"), update);
  const secrets = editor(byId("secrets-editor"), update);
  ask(pod, shown.selected);
  namespace.addEventListener("input", update);
  showValues.addEventListener("input", update);

  return {
    save: () => ({
      pod: pod.text(),
      settings: settings.text(),
      secrets: secrets.text(),
      namespace: namespace.value,
      showValues: String(showValues.checked),
    }),
    load: (state) => {
      filling = true;
      pod.setText(state.pod ?? "");
      settings.setText(state.settings ?? "");
      secrets.setText(state.secrets ?? "");
      namespace.value = state.namespace ?? "";
      showValues.checked = state.showValues === "true";
      filling = false;
      shown.reset();
      update();
    },
  };
}
