/**
 * What the package answers. Made by `make generate` of the types in explain and playground/src.
 */
import type { ManagerType } from "./settings.js";

/** The policy's answers for the pods in a text. */
export interface Previews {
  /** Answers in the order of the pods. */
  pods: PodPreview[];
  /** Whether secrets are not given, so that each requested secret is assumed to exist. */
  assumed: boolean;
  /** Findings in each text. With an error there are no pods. */
  findings: InputFindings;
}

/** The policy's answer for one pod, with the pod. JavaScript writes YAML, because a writer takes 10 kB of gzipped wasm. */
export interface PodPreview {
  /** Kind and name of the pod. */
  name: string;
  /** Namespace in which it is created. */
  namespace: string;
  /** The outcome. */
  outcome: Outcome;
  /** The rejection, if it is rejected. */
  refusal?: Refused;
  /** Warnings for the author of the pod. */
  warnings: string[];
  /** The result of each secret request. */
  requests: ExplainedRequest[];
  /** The original pod. */
  before: unknown;
  /** The mutated pod. */
  after: unknown;
}

/** The outcome for a pod. */
export type Outcome = "untouched" | "changed" | "refused";

/** A rejection. */
export interface Refused {
  /** The HTTP status. */
  code: number;
  /** The message of the policy. */
  message: string;
}

/** The result of one secret request. */
export interface ExplainedRequest {
  /** The annotation. */
  annotation: string;
  /** The request in words. */
  asks: string;
  /** Managers that were tried, in order. Only the last one can accept. Empty if the pod is rejected before. */
  managers: AskedManager[];
}

/** The result of one manager. */
export interface AskedManager {
  /** The manager. */
  manager: ManagerType;
  /** Whether it accepts the request. */
  takes: boolean;
  /** Name under which the secret was found, if it accepts. */
  source?: string;
  /** Reason, if it does not accept. */
  reason?: string;
  /** Names that were looked up, in order. */
  read: LookedUp[];
}

/** A name that was looked up. */
export interface LookedUp {
  /** The object with that name, or its kind and place. */
  object: string;
  /** The name. */
  name: string;
  /** Whether it exists. */
  found: boolean;
}

/** Findings in the inputs of a preview. */
export interface InputFindings {
  pod: Finding[];
  settings: Finding[];
  secrets: Finding[];
}

/** An error or a warning. */
export interface Finding {
  /** The severity. */
  severity: Severity;
  /** Path of keys; empty if it concerns the whole text. */
  path: string;
  /** The message. */
  message: string;
  /** Place in the text, if known. */
  place?: Place;
  /** File of the ConfigMap, if the text has it as a quoted string, within which places are unknown. */
  file?: string;
}

/** Severity of a finding. */
export type Severity = "error" | "warning";

/** A place in a text. Lines and columns count from 1; columns and lengths are in characters. */
export interface Place {
  /** The line. */
  line: number;
  /** The column. */
  column: number;
  /** The length, at least 1. */
  length: number;
}

/** The name of a secret in a scope, or the reason why it has none. */
export interface StoredName {
  /** The scope. */
  scope: string;
  /** The name. */
  name?: string;
  /** The reason why there is no name. */
  error?: string;
  /** Namespace and name of the Secret, in Kubernetes. */
  secret?: string;
  /** Shell command that stores standard input under the name, with the labels by which Flyte 2 lists Secrets. None for Azure without a place. */
  command?: string;
}

/** A decoded name. Missing parts are empty. */
export interface DecodedName {
  /** The scheme that the name follows. */
  scheme: Scheme;
  /** The scope. */
  scope: string;
  /** The organization. */
  organization: string;
  /** The domain. */
  domain?: string;
  /** The project. */
  project?: string;
  /** The secret's key. */
  key: string;
}

/** Scheme of a decoded name. */
export type Scheme = "canonical" | "documented" | "azure";

/** The secret requests in a text. */
export interface DecodedRequests {
  /** Pods; one without a name for the value of an annotation. */
  pods: AskedRequests[];
  /** Errors of the text. */
  findings: Finding[];
}

/** The secret requests of a pod. */
export interface AskedRequests {
  /** Kind and name of the pod; empty for the value of an annotation. */
  name: string;
  /** Its secret requests in the policy's order, followed by annotations that cannot be decoded. */
  requests: DecodedRequest[];
}

/** A decoded secret request, or an error. */
export interface DecodedRequest {
  /** The annotation, if it is of a pod. */
  annotation?: string;
  /** Its fields. */
  request?: SecretRequest;
  /** The secret request in words. */
  asks?: string;
  /** The reason. */
  error?: string;
}

/** The fields of a secret request that are not empty. */
export interface SecretRequest {
  /** The key in the group. */
  key?: string;
  /** The store's object: Secret, Vault path, ARN, GCP secret or Key Vault URI. */
  group?: string;
  /** The group's version, or Vault's engine: `kv1`, `kv2`, `db`. */
  groupVersion?: string;
  /** The variable that gets the value or, with a file, its path. */
  envVar?: string;
  /** How the task mounts it. */
  mount: Mount;
}

/** How a task mounts a secret; the number of a requirement that Flyte does not define. */
export type Mount = KnownMount | number;

/** Mount requirements, as named by the command line. */
export type KnownMount = "any" | "env" | "file";

/** The result of checking all sections of a text. */
export interface CheckedSettings {
  /** Whether the policy starts with these settings. */
  valid: boolean;
  /** Paths of the sections. */
  sections: string[];
  /** Sections that are part of Flyte's configuration, as Flyte reads them. */
  configurations?: Configuration[];
  /** Findings in the order of the text. */
  findings: Finding[];
}

/** A configuration as Flyte reads it. */
export interface Configuration {
  /** Namespace and name of the ConfigMap; empty if the text is the configuration. */
  name: string;
  /** Major version of Flyte, if known. */
  flyte: number;
  /** How the version was detected. */
  evidence: string;
  /** Files with a section `webhook`, in the order of merging. */
  files: string[];
  /** Values that a later file replaces. */
  replaced: string[];
  /** Settings in effect. */
  effective: Setting[];
  /** Behavior of the policy by manager. */
  does: string[];
  /** Features of Flyte's webhook that the policy does not have. */
  missing: string[];
}

/** A setting and its origin. */
export interface Setting {
  /** Its description. */
  name: string;
  /** Its value in words. */
  value: string;
  /** A file, or the version of Flyte whose default it is. */
  from: string;
}
