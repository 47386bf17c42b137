/**
 * Announces a changed answer to screen readers, after a pause in typing.
 */
import { byId } from "./dom";

const REST_MS = 700;
let timer = 0;

export function announce(text: string): void {
  const region = byId("announcer");
  clearTimeout(timer);
  timer = window.setTimeout(() => {
    if (region.textContent !== text) region.textContent = text;
  }, REST_MS);
}
