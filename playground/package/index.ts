/**
 * The policy's core in JavaScript: previews of pods, names of secrets, secret requests, and checks of the settings. Call `init` first.
 * All other functions are synchronous, and make no network requests.
 */
import type { CheckedSettings, DecodedName, DecodedRequests, Previews, SecretRequest, StoredName } from "./answers.js";
import load, * as wasm from "./flyte_secrets.js";
import type { NameScheme, Provider, Settings } from "./settings.js";

export type * from "./answers.js";
export * from "./settings.js";

/** The creation of a pod. */
export interface PreviewQuestion {
  /** YAML or JSON: pods, Lists of pods, or workloads with a pod template. */
  pod: string;
  /** Flyte's `webhook` section, as an object or in YAML; or a configuration, ConfigMap or policy that contains it. [default: Flyte's] */
  settings?: string | Settings;
  /**
   * Contents of the stores, as `{K8s: {NAMESPACE: {SECRET: DATA}}, AWS | GCP | Azure: {NAME: {stringValue | binaryValue}}}` or as Secrets
   * of Kubernetes. [default: each requested secret exists in its project's scope]
   */
  secrets?: string;
  /** Namespace of the pod. [default: the pod's own, or `default`] */
  namespace?: string;
  /** Show secret values instead of placeholders. */
  showValues?: boolean;
}

/** A secret and its store. */
export interface NamesQuestion {
  organization: string;
  domain?: string;
  project?: string;
  key: string;
  /** [default: `k8s`] */
  store?: Lowercase<Provider>;
  /** Region, project, vault or namespace of the store. [default: `flyte` for Kubernetes] */
  place?: string;
  /** Name schemes of the broader scopes, in this order. [default: both] */
  schemes?: NameScheme[];
}

/** Loads the wasm, by default from the folder of this module. In Node.js, pass its bytes. */
export default async function init(source?: URL | Uint8Array<ArrayBuffer>): Promise<void> {
  await load(source === undefined ? undefined : { module_or_path: source });
}

/** Returns the policy's answer for each pod in a text. Throws if a pod would exceed a limit with placeholders instead of values. */
export function preview({ pod, settings, secrets, namespace, showValues }: PreviewQuestion): Previews {
  const section = typeof settings === "object" ? JSON.stringify(settings) : (settings ?? "");
  return JSON.parse(wasm.preview(pod, section, secrets ?? "", namespace ?? "", showValues ?? false));
}

/** Returns the names of a secret in each scope, in lookup order. Throws if a label or the key is invalid. */
export function names({ organization, domain, project, key, store, place, schemes }: NamesQuestion): StoredName[] {
  return JSON.parse(
    wasm.names(organization, domain ?? "", project ?? "", key, store ?? "k8s", place ?? "", (schemes ?? []).join(" ")),
  );
}

/** Decodes a name of any store or scheme. Throws if it is not the name of a Flyte secret. */
export function decodeName(name: string): DecodedName {
  return JSON.parse(wasm.decodeName(name));
}

/** Decodes an annotation's value, or the annotations of the pods in a text. */
export function decodeRequests(text: string): DecodedRequests {
  return JSON.parse(wasm.decodeRequests(text));
}

/** Returns a secret request as an annotation's value. */
export function encodeRequest({ group, groupVersion, key, mount, envVar }: Partial<SecretRequest>): string {
  return JSON.parse(
    wasm.encodeRequest(group ?? "", groupVersion ?? "", key ?? "", String(mount ?? "any"), envVar ?? ""),
  );
}

/** Checks Flyte's `webhook` section: alone, or in a configuration, ConfigMap or policy. Throws if there is none. */
export function checkSettings(text: string): CheckedSettings {
  return JSON.parse(wasm.checkSettings(text));
}
