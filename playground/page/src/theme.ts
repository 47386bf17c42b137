/**
 * Light or dark theme: that of the system until the switch is used, then that of the switch.
 */
import { byId } from "./dom";

const KEPT = "flyte-secrets-playground.dark";

export function theme(): void {
  const button = byId<HTMLButtonElement>("dark");
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = read();

  const show = () => {
    const dark = chosen ?? system.matches;
    button.setAttribute("aria-checked", String(dark));
    if (chosen === undefined) delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen ? "dark" : "light";
  };
  button.addEventListener("click", () => {
    chosen = button.getAttribute("aria-checked") !== "true";
    keep(chosen);
    show();
  });
  system.addEventListener("change", show);
  show();
}

// If the browser forbids storage, the choice lasts until the page is closed.
function read(): boolean | undefined {
  try {
    const kept = localStorage.getItem(KEPT);
    return kept === null ? undefined : kept === "true";
  } catch {
    return undefined;
  }
}

function keep(dark: boolean): void {
  try {
    localStorage.setItem(KEPT, String(dark));
  } catch {}
}
