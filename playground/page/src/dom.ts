/**
 * Helpers that create elements.
 */

type Child = Node | string | false | undefined;
type Attributes = Record<string, string | boolean | undefined | (() => void)>;

/** Returns an element. Attributes that are false or undefined are omitted; functions are listeners for the event of their name. */
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

/** Fills an element, unless its data is unchanged: rendering costs more than computing the answer. */
export function refill(element: Element, data: unknown, make: () => Node[]): void {
  const key = JSON.stringify(data);
  if (filled.get(element) === key) return;
  filled.set(element, key);
  element.replaceChildren(...make());
}
const filled = new WeakMap<Element, string>();

/** Returns code that wraps after each `__`, the separator in secret names. */
export function code(text: string): HTMLElement {
  return h("code", {}, ...breakable(text));
}

/** Returns text that wraps after each `__`, and not at the hyphens of short words, such as flags. */
export function breakable(text: string): Child[] {
  return text.split(/(?<=__|\s)|(?=\s)/).flatMap((part) => {
    const whole = part.includes("-") && part.length <= 24;
    return [whole ? h("span", { class: "whole" }, part) : part, part.endsWith("__") && h("wbr")];
  });
}

/** Returns a description list without empty entries. */
export function facts(pairs: [term: string, value: string | undefined][]): HTMLElement {
  const given = pairs.flatMap(([term, value]) => (value ? [h("dt", {}, term), h("dd", {}, code(value))] : []));
  return h("dl", {}, ...given);
}

/** Returns the element with this ID in index.html. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
}

/** Returns the message of a thrown value. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
