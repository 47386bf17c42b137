/**
 * What the package answers. Made by `make generate` of the types in explain and playground/src.
 */
import type { ManagerType } from "./settings.js";

/** The policy's answers for the pods in a text. */
export interface Previews {
  /** One for each pod, in the order of the text. */
  pods: PodPreview[];
  /** Whether no secrets are given, so that each requested secret is assumed to exist. */
  assumed: boolean;
  /** What is wrong in each text. With an error in one of them there are no pods. */
  findings: InputFindings;
}

/** The policy's answer for one pod, and the pod itself. YAML is written in JavaScript, because a writer is 10 kB of gzipped wasm. */
export interface PodPreview {
  /** The pod, as people call it. */
  name: string;
  /** Where it is created. */
  namespace: string;
  /** What becomes of it. */
  outcome: Outcome;
  /** Why it is rejected, if it is. */
  refusal?: Refused;
  /** What its author should know. */
  warnings: string[];
  /** What becomes of each secret request. */
  requests: ExplainedRequest[];
  /** The pod as it comes in. */
  before: unknown;
  /** The pod as it will be. */
  after: unknown;
}

/** What becomes of a pod. */
export type Outcome = "untouched" | "changed" | "refused";

/** Why a pod is rejected. */
export interface Refused {
  /** The HTTP status. */
  code: number;
  /** All that the policy says: the fact, and a line for each manager that has declined. */
  message: string;
}

/** What becomes of one secret request, and why. */
export interface ExplainedRequest {
  /** The annotation. */
  annotation: string;
  /** What it asks for, in words. */
  asks: string;
  /** The managers that were asked, in order; the last one takes it, or nobody does. None if the pod is rejected before. */
  managers: AskedManager[];
}

/** What one manager makes of a secret request. */
export interface AskedManager {
  /** The manager. */
  manager: ManagerType;
  /** Whether it takes the request. */
  takes: boolean;
  /** Under which name the secret is found, if it does. */
  source?: string;
  /** Why it does not, if it does not. */
  reason?: string;
  /** What was looked up, in order. */
  read: LookedUp[];
}

/** A name that was looked up. */
export interface LookedUp {
  /** The object that holds it, or its kind and place. */
  object: string;
  /** The name. */
  name: string;
  /** Whether it is there. */
  found: boolean;
}

/** What is wrong in each input of a preview. */
export interface InputFindings {
  pod: Finding[];
  settings: Finding[];
  secrets: Finding[];
}

/** Something that somebody should look at. */
export interface Finding {
  /** How bad it is. */
  severity: Severity;
  /** The keys to it; empty if it is about the whole text. */
  path: string;
  /** The fact and the way out. */
  message: string;
  /** Where it stands in the text, if that is known. */
  place?: Place;
  /** The file of the ConfigMap in which it stands, if the text holds it as one string, whose inside has no place. */
  file?: string;
}

/** How bad a finding is. */
export type Severity = "error" | "warning";

/** Where something stands in a text. Lines and columns count from 1, columns and lengths in characters. */
export interface Place {
  /** The line. */
  line: number;
  /** The column. */
  column: number;
  /** How long it is, at least 1. */
  length: number;
}

/** A name in a scope, or why the scope has none. */
export interface StoredName {
  /** The scope, in a word. */
  scope: string;
  /** The name. */
  name?: string;
  /** Why there is none. */
  error?: string;
  /** Namespace and name of the Secret that holds it, in Kubernetes. */
  secret?: string;
  /** The line that stores standard input there, with the labels by which Flyte 2 lists Secrets; none for Azure without a place. */
  command?: string;
}

/** What a name is made of. Parts that it lacks are empty. */
export interface DecodedName {
  /** The scheme that the name follows. */
  scheme: Scheme;
  /** The scope, in a word. */
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

/** How a decoded name is written. */
export type Scheme = "canonical" | "documented" | "azure";

/** The secret requests in a text. */
export interface DecodedRequests {
  /** One without a name for an annotation's value. */
  pods: AskedRequests[];
  /** Why the text cannot be read. */
  findings: Finding[];
}

/** What a pod asks for. */
export interface AskedRequests {
  /** The pod, as people call it; empty for an annotation's value alone. */
  name: string;
  /** Its secret requests, in the policy's order, and behind them the annotations that hold none. */
  requests: DecodedRequest[];
}

/** A secret request, or why there is none. */
export interface DecodedRequest {
  /** The annotation that holds it, if it is one of a pod's. */
  annotation?: string;
  /** Its fields. */
  request?: SecretRequest;
  /** The same in words. */
  asks?: string;
  /** Why. */
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

/** As the command line names them. */
export type KnownMount = "any" | "env" | "file";

/** What a look at all sections of a text has found. */
export interface CheckedSettings {
  /** Whether the policy would start with it. */
  valid: boolean;
  /** The sections, by the keys that lead to them. */
  sections: string[];
  /** What Flyte makes of the sections that are in its configuration. */
  configurations?: Configuration[];
  /** In the order of the text. */
  findings: Finding[];
}

/** What Flyte makes of a configuration. */
export interface Configuration {
  /** Namespace and name of the ConfigMap; empty if the text is the configuration. */
  name: string;
  /** The version of Flyte, 1 or 2, if it can be told. */
  flyte: number;
  /** By what it was recognized. */
  evidence: string;
  /** The files with a section `webhook`, in the order in which they are merged. */
  files: string[];
  /** Values that a later file replaces. */
  replaced: string[];
  /** What is in effect. */
  effective: Setting[];
  /** What the policy will do, by manager. */
  does: string[];
  /** What Flyte's webhook does and the policy does not. */
  missing: string[];
}

/** A setting, and where it comes from. */
export interface Setting {
  /** What it is, in words. */
  name: string;
  /** Its value, for people. */
  value: string;
  /** A file, or whose default it is. */
  from: string;
}
