/**
 * What screen readers are told when an answer changes: once typing rests, and only if it is another one.
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
