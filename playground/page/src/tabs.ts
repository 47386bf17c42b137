/**
 * The tabs, by the ARIA pattern: one stop for the Tab key, arrow keys between them. Does not know the content of panels.
 */
import { byId } from "./dom";

export interface Tabs {
  /** ID of the visible panel. */
  current(): string;
  show(panel: string): void;
}

export function tabs(): Tabs {
  const all = [...byId("tabs").querySelectorAll<HTMLButtonElement>("[role=tab]")];
  const panel = (tab: HTMLButtonElement) => tab.getAttribute("aria-controls") ?? "";
  const selected = () => all.findIndex((tab) => tab.getAttribute("aria-selected") === "true");

  const select = (chosen: HTMLButtonElement) => {
    for (const tab of all) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      byId(panel(tab)).hidden = tab !== chosen;
    }
  };

  const steps: Record<string, (at: number) => number> = {
    ArrowRight: (at) => (at + 1) % all.length,
    ArrowLeft: (at) => (at + all.length - 1) % all.length,
    Home: () => 0,
    End: () => all.length - 1,
  };
  for (const tab of all) {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      const next = all[steps[event.key]?.(selected()) ?? -1];
      if (!next) return;
      event.preventDefault();
      select(next);
      next.focus();
    });
  }

  return {
    current: () => all.map(panel)[selected()] ?? "",
    show: (id) => {
      const tab = all.find((tab) => panel(tab) === id);
      if (tab) select(tab);
    },
  };
}
