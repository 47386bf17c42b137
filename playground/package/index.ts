/**
 * The policy's core in JavaScript: what it makes of a pod, under which names secrets are stored, what annotations ask for, and what is
 * wrong in the settings. `init` comes first; after it, everything is answered at once, in the page or the process, and nothing is sent
 * anywhere.
 *
 * Holds the types of what the wasm answers in JSON, and decides nothing.
 */
import load, * as wasm from "./flyte_secrets.js";
import type { NameScheme, Provider, Settings } from "./settings.js";

export type * from "./settings.js";

/** Where something stands in a text. Lines and columns count from 1; the length is in characters of one line, at least 1. */
export interface Place {
  line: number;
  column: number;
  length: number;
}

/** Something that somebody should look at. `path` holds the keys to it, and is empty if the whole text is meant. */
export interface Finding {
  severity: "error" | "warning";
  path: string;
  message: string;
  place?: Place;
}

/** A pod that is created. */
export interface PreviewQuestion {
  /** YAML or JSON: pods, Lists of them, or workloads with a pod's template. */
  pod: string;
  /** Flyte's `webhook` section, as an object or in YAML; or a configuration, ConfigMap or policy that holds it. [default: Flyte's] */
  settings?: string | Settings;
  /**
   * What the stores hold, as `{K8s: {NAMESPACE: {SECRET: DATA}}, AWS | GCP | Azure: {NAME: {stringValue | binaryValue}}}` or as Secrets
   * of Kubernetes. Without it, each secret that is asked for is taken to be in its project's scope.
   */
  secrets?: string;
  /** The namespace that the pod is created in; its own without it, or `default`. */
  namespace?: string;
  /** Show values, which else are named only. */
  showValues?: boolean;
}

export interface Preview {
  pods: PodPreview[];
  /** Whether no secrets are given, so that each that is asked for is taken to be there. */
  assumed: boolean;
  /** What is wrong in each text. With an error in one of them there are no pods. */
  findings: { pod: Finding[]; settings: Finding[]; secrets: Finding[] };
}

/** What the policy makes of one pod. */
export interface PodPreview {
  /** Kind and name. */
  name: string;
  namespace: string;
  outcome: "changed" | "untouched" | "refused";
  /** If it is refused: the HTTP status, and all that the policy says: the fact, and a line for each manager that has declined. */
  refusal?: { code: 400 | 403 | 503; message: string };
  warnings: string[];
  /** The pod in YAML, as it comes in and as it will be. */
  before: string;
  after: string;
  requests: ExplainedRequest[];
}

/**
 * What becomes of one request: the managers that were asked, in order. The last one takes it, or nobody does. None are asked if the pod
 * is untouched or rejected before.
 */
export interface ExplainedRequest {
  annotation: string;
  /** In words. */
  asks: string;
  managers: AskedManager[];
}

export interface AskedManager {
  manager: string;
  takes: boolean;
  /** Under which name the secret is found, if it takes the request. */
  source?: string;
  /** Why it does not. */
  reason?: string;
  /** What was looked up, in order. */
  read: { object: string; name: string; found: boolean }[];
}

/** Whose secret it is, and where it is stored. */
export interface NamesQuestion {
  organization: string;
  domain?: string;
  project?: string;
  key: string;
  /** `k8s` without it. */
  store?: Lowercase<Provider>;
  /** Region of AWS, project of GCP, name of the Key Vault, or namespace of Kubernetes, which is `flyte` without it. */
  place?: string;
  /** Which names of the broader scopes, in this order; both without it. */
  schemes?: NameScheme[];
}

/** A name that the policy tries, or why the scope has none. */
export interface StoredName {
  scope: "project" | "domain" | "organization";
  name?: string;
  /** Namespace and name of the Secret that holds it, in Kubernetes. */
  secret?: string;
  /** The line for a POSIX shell that stores standard input there; for Azure with a place only. */
  command?: string;
  error?: string;
}

/** What a name is made of. */
export interface DecodedName {
  scheme: NameScheme | "azure";
  scope: "project" | "domain" | "organization";
  organization: string;
  domain?: string;
  project?: string;
  key: string;
}

/** Flyte's message `Secret`. */
export interface SecretRequest {
  key?: string;
  /** The store's object: Secret, Vault path, ARN, GCP secret or Key Vault URI. */
  group?: string;
  /** Its version, or Vault's engine: `kv1`, `kv2`, `db`. */
  groupVersion?: string;
  /** `any` without it; a number that Flyte does not define stands as itself. */
  mount?: "any" | "env" | "file" | number;
  /** The variable that gets the value or, with a file, its path. */
  envVar?: string;
}

/** A request and what it asks for in words, or why there is none. */
export interface DecodedRequest {
  annotation?: string;
  request?: SecretRequest;
  asks?: string;
  error?: string;
}

export interface DecodedRequests {
  /** One without a name for an annotation's value. */
  pods: { name: string; requests: DecodedRequest[] }[];
  findings: Finding[];
}

export interface CheckedSettings {
  valid: boolean;
  /** The sections that were found, by the keys that lead to them. */
  sections: string[];
  /** What Flyte makes of the sections that are in its configuration. */
  configurations?: FlyteConfiguration[];
  findings: Finding[];
}

/** The files of a ConfigMap, merged as Flyte merges them, and what is in effect. */
export interface FlyteConfiguration {
  /** Namespace and name of the ConfigMap. */
  name: string;
  flyte: 1 | 2 | null;
  /** By what the version was recognized. */
  evidence: string;
  /** Files with a section `webhook`, in the order in which they are merged. */
  files: string[];
  /** Values that a later file replaces. */
  replaced: string[];
  effective: { name: string; value: string; from: string }[];
  /** What the policy will do, by manager. */
  does: string[];
  /** What Flyte's webhook does and the policy does not. */
  missing: string[];
}

/** Loads the wasm, from beside this module if nothing else is given. Node.js wants its bytes. */
export default async function init(source?: URL | Uint8Array<ArrayBuffer>): Promise<void> {
  await load(source === undefined ? undefined : { module_or_path: source });
}

/** What the policy makes of each pod in a text. Throws if the pod has no room for the words that stand for values. */
export function preview({ pod, settings, secrets, namespace, showValues }: PreviewQuestion): Preview {
  const section = typeof settings === "object" ? JSON.stringify(settings) : (settings ?? "");
  return read(wasm.preview(pod, section, secrets ?? "", namespace ?? "", showValues ?? false));
}

/** The names that the policy tries, in its order. Throws if no secret can be asked for so. */
export function names({ organization, domain, project, key, store, place, schemes }: NamesQuestion): StoredName[] {
  return read(
    wasm.names(organization, domain ?? "", project ?? "", key, store ?? "k8s", place ?? "", (schemes ?? []).join(" ")),
  );
}

/** What a name is made of, in any store or scheme. Throws if it is none of a secret. */
export function decodeName(name: string): DecodedName {
  return read(wasm.decodeName(name));
}

/** What an annotation's value asks for, or the pods in a text. */
export function decodeRequests(text: string): DecodedRequests {
  return read(wasm.decodeRequests(text));
}

/** A request as an annotation's value. */
export function encodeRequest({ group, groupVersion, key, mount, envVar }: SecretRequest): string {
  return read(wasm.encodeRequest(group ?? "", groupVersion ?? "", key ?? "", String(mount ?? "any"), envVar ?? ""));
}

/** What is wrong in Flyte's `webhook` section, or in a text that holds some. Throws if there is none. */
export function checkSettings(text: string): CheckedSettings {
  return read(wasm.checkSettings(text));
}

/** What cannot be answered is thrown, in the core's words. */
function read<Answer>(json: string): Answer {
  const answer = JSON.parse(json);
  if (typeof answer?.error === "string") throw new Error(answer.error);
  return answer;
}
