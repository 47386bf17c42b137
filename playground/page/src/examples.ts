/**
 * The menu of examples. Each is a folder of `examples/` with a pod, and settings and secrets where it has some; its files are fetched when
 * it is chosen, and are no part of the script.
 */
import { byId, h } from "./dom";
import type { State } from "./link";

/** Folder, title. */
const GROUPS: Record<string, [string, string][]> = {
  "Embedded fetches the values": [
    ["embedded", "From Kubernetes Secrets"],
    ["embedded-aws", "From AWS, through the gateway"],
    ["embedded-gcp", "From GCP, through the gateway"],
    ["embedded-azure", "From Azure, through the gateway"],
  ],
  "The pod fetches for itself": [
    ["k8s-variable", "K8s: a variable"],
    ["k8s-file", "K8s: files of one Secret"],
    ["vault", "Vault's agent"],
    ["aws", "AWS' sidecar"],
    ["gcp", "GCP's sidecar"],
    ["azure", "Azure's sidecar"],
  ],
  "What else there is": [
    ["chain", "Three managers in turn"],
    ["several", "Several pods in one text"],
    ["refused", "Refused: no such secret"],
    ["tenancy", "Refused: another project's namespace"],
    ["outage", "Refused: the store is down"],
    ["mistakes", "Settings with mistakes"],
  ],
};

export const FIRST = "embedded";

const files = import.meta.glob<string>("../examples/*/*.yaml", { query: "?url", import: "default", eager: true });

/** The three texts of an example. */
export async function example(folder: string): Promise<State> {
  const text = async (name: string) => {
    const address = files[`../examples/${folder}/${name}.yaml`];
    if (!address) return "";
    const response = await fetch(address);
    if (!response.ok) throw new Error(`the example ${folder} could not be read: ${response.status}`);
    return response.text();
  };
  const [pod, settings, secrets] = await Promise.all(["pod", "settings", "secrets"].map(text));
  return { pod: pod ?? "", settings: settings ?? "", secrets: secrets ?? "" };
}

export function examplesMenu(choose: (folder: string) => void): void {
  const sheet = byId("examples");
  byId("examples-list").replaceChildren(
    ...Object.entries(GROUPS).map(([group, entries]) =>
      h(
        "section",
        {},
        h("h3", {}, group),
        h("ul", {}, ...entries.map(([folder, title]) => h("li", {}, item(folder, title)))),
      ),
    ),
  );
  function item(folder: string, title: string): HTMLElement {
    return h(
      "button",
      {
        type: "button",
        "data-example": folder,
        click: () => {
          sheet.hidePopover();
          choose(folder);
        },
      },
      title,
    );
  }
}
