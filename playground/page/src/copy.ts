/**
 * Buttons that copy a text. Knows nothing of what the text is.
 */
import { h } from "./dom";

const SHOWN_MS = 1600;

/** Says whether it could: browsers refuse it on pages that did not come over HTTPS or from this machine. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** `what` completes "Copy …" for those who cannot see what stands beside the button. */
export function copyButton(what: string, text: string | (() => string), label = "Copy"): HTMLButtonElement {
  const shown = h("span", {}, label);
  const button = h(
    "button",
    { type: "button", class: "button small" },
    shown,
    h("span", { class: "unseen" }, ` ${what}`),
  );
  button.addEventListener("click", async () => {
    const done = await copy(typeof text === "string" ? text : text());
    shown.textContent = done ? "Copied" : "Not allowed here: select it";
    setTimeout(() => {
      shown.textContent = label;
    }, SHOWN_MS);
  });
  return button;
}
