/**
 * The fields of a secret request, for all forms that encode one.
 */
import type { SecretRequest } from "flyte-secrets";
import { byId } from "./dom";

export interface RequestForm {
  /** Returns the filled fields, or nothing if all are empty. */
  read(): Partial<SecretRequest> | undefined;
  save(): Record<string, string>;
  load(values: Record<string, string>): void;
}

const TEXTS = ["key", "group", "groupVersion", "envVar"] as const;

/** Adds the fields at the start of the form. Their names in `save` start with the form's ID. */
export function requestForm(form: HTMLFormElement, changed: () => void): RequestForm {
  form.prepend(byId<HTMLTemplateElement>("request-fields").content.cloneNode(true));
  const input = (name: string) => form.elements.namedItem(name) as HTMLInputElement;
  const radios = [...form.querySelectorAll<HTMLInputElement>("[type=radio]")];
  for (const radio of radios) radio.name = `${form.id}-mount`;
  form.addEventListener("input", changed);

  return {
    read: () => {
      const request: Partial<SecretRequest> = {};
      for (const name of TEXTS) {
        const value = input(name).value.trim();
        if (value) request[name] = value;
      }
      if (Object.keys(request).length === 0) return undefined;
      request.mount = radios.find((radio) => radio.checked)?.value as NonNullable<SecretRequest["mount"]>;
      return request;
    },
    save: () => ({
      ...Object.fromEntries(TEXTS.map((name) => [`${form.id}.${name}`, input(name).value])),
      [`${form.id}.mount`]: radios.find((radio) => radio.checked)?.value ?? "any",
    }),
    load: (values) => {
      for (const name of TEXTS) input(name).value = values[`${form.id}.${name}`] ?? "";
      const mount = values[`${form.id}.mount`] ?? "any";
      for (const radio of radios) radio.checked = radio.value === mount;
    },
  };
}
