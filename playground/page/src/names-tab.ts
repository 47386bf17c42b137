/**
 * The tab for names: names that Embedded looks up, commands that store a secret, and a decoder.
 */
import {
  type DecodedName,
  decodeName,
  NAME_SCHEMES,
  type NameScheme,
  type NamesQuestion,
  names,
  PLACES,
  PROVIDERS,
  type StoredName,
} from "flyte-secrets";
import { copyButton } from "./copy";
import { byId, code, facts, h, words } from "./dom";
import type { Tab } from "./pod-tab";

const FIELDS = ["organization", "domain", "project", "key", "store", "place", "scheme"] as const;
const FIRST = { organization: "acme", domain: "development", project: "flytesnacks", key: "db-password", store: "k8s" };
/** Label and example of a place, by the values of the field for the store. */
const STORES = new Map(Object.entries(PLACES).map(([name, place]) => [name.toLowerCase(), place]));

export function namesTab(): Tab {
  const form = byId<HTMLFormElement>("names-form");
  const back = byId<HTMLFormElement>("back-form");
  const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;
  const name = back.elements.namedItem("name") as HTMLInputElement;

  field("store").append(
    ...Object.entries(PROVIDERS).map(([name, words]) =>
      h("option", { value: name.toLowerCase() }, words.split(/, | of /)[0]),
    ),
  );
  field("scheme").append(
    ...Object.entries(NAME_SCHEMES).map(([name, words]) => h("option", { value: name }, `${name}: ${lower(words)}`)),
  );

  const update = () => {
    const store = field("store").value;
    const [label, example] = STORES.get(store) ?? ["", ""];
    byId("place-label").textContent = label;
    field("place").placeholder = example;
    byId("scheme-row").hidden = store === "azure";
    byId("names-answer").replaceChildren(answerTo(read()));
  };
  const read = (): NamesQuestion => {
    const [organization, domain, project, key, store, place, scheme] = FIELDS.map((name) => field(name).value.trim());
    return {
      organization: organization ?? "",
      key: key ?? "",
      store: store as NonNullable<NamesQuestion["store"]>,
      ...(domain && { domain }),
      ...(project && { project }),
      ...(place && { place }),
      ...(scheme && store !== "azure" && { schemes: [scheme as NameScheme] }),
    };
  };
  const readBack = () =>
    byId("back-answer").replaceChildren(...(name.value.trim() ? [decoded(name.value.trim())] : []));

  form.addEventListener("input", update);
  back.addEventListener("input", readBack);
  for (const each of [form, back]) each.addEventListener("submit", (event) => event.preventDefault());

  return {
    save: () => ({ ...Object.fromEntries(FIELDS.map((name) => [name, field(name).value])), name: name.value }),
    load: (state) => {
      const known: Record<string, string> = state.organization === undefined ? FIRST : state;
      for (const each of FIELDS) field(each).value = known[each] ?? "";
      name.value = state.name ?? "";
      update();
      readBack();
    },
  };
}

function lower(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}

function answerTo(question: NamesQuestion): HTMLElement {
  if (!question.organization || !question.key) return h("p", {}, "Fill in the organization and the key.");
  try {
    return h(
      "table",
      { class: "names" },
      h("caption", { class: "unseen" }, "Names by scope, in lookup order"),
      h(
        "thead",
        {},
        h("tr", {}, h("th", { scope: "col" }, "Scope"), h("th", { scope: "col" }, "Name and command that stores it")),
      ),
      h("tbody", {}, ...names(question).map(row)),
    );
  } catch (error) {
    return h("p", { class: "error" }, words(error));
  }
}

function row({ scope, name, secret, command, error }: StoredName): HTMLElement {
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, scope),
    h(
      "td",
      {},
      error !== undefined && h("p", { class: "error" }, error),
      secret !== undefined && line("Secret", secret, "Secret name"),
      name !== undefined && line(secret === undefined ? "" : "Key", name, "name"),
      command !== undefined && line("Command", command, "command"),
    ),
  );
}

function line(label: string, text: string, what: string): HTMLElement {
  return h(
    "div",
    { class: "copied" },
    label !== "" && h("span", { class: "quiet" }, label),
    code(text),
    copyButton(what, text),
  );
}

function decoded(name: string): HTMLElement {
  try {
    const { scheme, scope, organization, domain, project, key }: DecodedName = decodeName(name);
    return facts(Object.entries({ scheme, scope, organization, domain, project, key }));
  } catch (error) {
    return h("p", { class: "error" }, words(error));
  }
}
