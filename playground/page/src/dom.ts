/**
 * A few words for building elements. Knows nothing of what they show.
 */

type Child = Node | string | false | undefined;
type Attributes = Record<string, string | boolean | undefined | (() => void)>;

/** An element. Attributes that are false or undefined are left out; a function becomes a listener for the event of its name. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== false && child !== undefined));
  return element;
}

/** Fills an element, unless it has been filled from the same data: what is drawn again costs more than all answers. */
export function refill(element: Element, data: unknown, make: () => Node[]): void {
  const key = JSON.stringify(data);
  if (filled.get(element) === key) return;
  filled.set(element, key);
  element.replaceChildren(...make());
}
const filled = new WeakMap<Element, string>();

/** Code that wraps after each `__`, the separator in secret names. */
export function code(text: string): HTMLElement {
  return h("code", {}, ...breakable(text));
}

/** Text that wraps after each `__`, and not at the hyphens of short words, such as flags. */
export function breakable(text: string): Child[] {
  return text.split(/(?<=__|\s)|(?=\s)/).flatMap((part) => {
    const whole = part.includes("-") && part.length <= 24;
    return [whole ? h("span", { class: "whole" }, part) : part, part.endsWith("__") && h("wbr")];
  });
}

/** A list of terms and what each is; those that are nothing are left out. */
export function facts(pairs: [term: string, value: string | undefined][]): HTMLElement {
  const given = pairs.flatMap(([term, value]) => (value ? [h("dt", {}, term), h("dd", {}, code(value))] : []));
  return h("dl", {}, ...given);
}

/** The element that index.html has under this id. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
}

/** The words of whatever was thrown. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
