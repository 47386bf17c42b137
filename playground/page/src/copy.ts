/**
 * Icon buttons that copy a text.
 */
import { byId, h } from "./dom";

const SHOWN_MS = 1600;

/** Returns whether the text is copied: browsers forbid it on pages that are served neither over HTTPS nor from localhost. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Returns a button with the label `Copy` and a name of the text, such as `name`. */
export function copyButton(what: string, text: string | (() => string)): HTMLButtonElement {
  const icon = byId<HTMLTemplateElement>("copy-icon").content.cloneNode(true);
  const label = h("span", { class: "unseen" }, `Copy ${what}`);
  const button = h("button", { type: "button", class: "button copy", title: `Copy ${what}` }, icon, label);
  button.addEventListener("click", async () => {
    const copied = await copy(typeof text === "string" ? text : text());
    button.classList.toggle("copied", copied);
    label.className = copied ? "unseen" : "";
    label.textContent = copied ? `Copied ${what}` : "Not allowed; select the text";
    setTimeout(() => {
      button.classList.remove("copied");
      label.className = "unseen";
      label.textContent = `Copy ${what}`;
    }, SHOWN_MS);
  });
  return button;
}
