/**
 * The menu of examples, which is in index.html. Each is a folder of `public/examples` with a pod, settings and secrets, loaded when
 * selected.
 */
import { byId } from "./dom";
import type { State } from "./link";

export const FIRST = "embedded";

/** Returns the three texts of an example. */
export async function example(folder: string): Promise<State> {
  const entries = ["pod", "settings", "secrets"].map(async (name) => {
    const response = await fetch(`examples/${folder}/${name}.yaml`);
    if (!response.ok) throw new Error(`failed to load the example "${folder}": status ${response.status}`);
    return [name, await response.text()];
  });
  return Object.fromEntries(await Promise.all(entries));
}

export function examplesMenu(choose: (folder: string) => void): void {
  const sheet = byId("examples");
  for (const button of sheet.querySelectorAll<HTMLElement>("[data-example]")) {
    button.addEventListener("click", () => {
      sheet.hidePopover();
      choose(button.dataset.example ?? FIRST);
    });
  }
}
