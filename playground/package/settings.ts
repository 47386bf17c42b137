/**
 * The policy's settings: Flyte's `webhook` section, and the policy's own keys. Made by `make generate` of the types in src/settings.
 * Each key may be left out. Names of managers, types and schemes are read in any case; write them as they stand here.
 */
/** Flyte's `webhook` section, as far as it has a meaning in a policy, and our own keys. Key names and defaults: `flyteplugins/go/tasks/pluginmachinery/secret/config/config.go`. */
export interface Settings {
  /** Managers in order of preference. `Global` is skipped with a warning. */
  secretManagerTypes?: ManagerType[];
  /** Deprecated by Flyte: one manager, used if `secretManagerTypes` is missing or empty. */
  secretManagerType?: ManagerType;
  /** What the variables that K8s and Embedded name start with. */
  secretEnvVarPrefix?: string;
  /** Ours: names in `env_var`, or made of keys, that are allowed although they change how programs start, such as `PATH`. */
  allowedEnvVars?: string[];
  /** Ours: which containers get secrets. The pod's annotation `flyte-secrets.flyte.org/containers` goes before it. */
  injectInto?: InjectInto;
  /** Ours: where init-containers that bring secrets stand among the pod's own. */
  initContainers?: InitContainerOrder;
  /** Ours: what a field in a secret request means that this version does not know. */
  unknownFields?: UnknownFields;
  /** Ours: the size of the volume in memory that init-containers write secrets to. */
  volumeSizeLimit?: Quantity;
  /** Ours: how much of the policy server one pod may take. */
  limits?: PodLimits;
  /** Ours: what the manager K8s does beyond Flyte's. */
  k8sSecretManager?: K8sSecretManager;
  /** The init-containers of the manager AWS, which run Amazon's sidecar. */
  awsSecretManager?: AwsSecretManager;
  /** The init-containers of the manager GCP, which run `gcloud`. */
  gcpSecretManager?: GcpSecretManager;
  /** The init-containers of the manager Azure, which run `az`. */
  azureSecretManager?: AzureSecretManager;
  /** The annotations that the manager Vault leaves for the Vault Agent Injector. */
  vaultSecretManager?: VaultSecretManager;
  /** The manager Embedded, which fetches at admission. */
  embeddedSecretManagerConfig?: EmbeddedSecretManager;
  /** Ours: who may have what of Embedded. */
  tenancy?: Tenancy;
  certDir?: Ignored;
  listenPort?: Ignored;
  serviceName?: Ignored;
  "metrics-prefix"?: Ignored;
  localCert?: Ignored;
  secretName?: Ignored;
  servicePort?: Ignored;
  cacheInvalidationPort?: Ignored;
  imageBuilderConfig?: Ignored;
  webhookTimeout?: Ignored;
  disableCreateMutatingWebhookConfig?: Ignored;
  namespaceSelector?: Ignored;
  kubeClientConfig?: Ignored;
}

/** A secret manager, under Flyte's name for it; any case is read. */
export type ManagerType = "K8s" | "AWS" | "GCP" | "Azure" | "Vault" | "Embedded" | "Global";

/** Which containers get secrets. */
export type InjectInto = "All" | "Primary";

/** Where init-containers that bring secrets stand. */
export type InitContainerOrder = "First" | "Last";

/** What becomes of a pod whose secret request has a field that this version does not know. */
export type UnknownFields = "Reject" | "Warn";

export type Quantity = string | number;

/** `limits`, ours: pods beyond them are rejected. */
export interface PodLimits {
  /** Secret requests that Embedded fetches for one pod. */
  embeddedRequests?: number;
  /** Init-containers that bring secrets, and others that are named like them. */
  initContainers?: number;
  /** Objects that are read for one pod. */
  reads?: number;
}

/** `k8sSecretManager`, ours. */
export interface K8sSecretManager {
  /** Whether a pod whose Secret is missing starts without it, as in Flyte. With `false` it waits. */
  optional?: boolean;
  /** Whether the policy looks for the Secret and its key, and asks the next manager if they are not there. */
  verify?: boolean;
}

/** `awsSecretManager`. */
export interface AwsSecretManager {
  /** Image of the init-containers. */
  sidecarImage?: string;
  /** Requests and limits. What is given goes over the default, amount by amount. */
  resources?: Resources;
  /** Ours: security context of the init-containers, in place of the default, which passes Pod Security `restricted`. */
  securityContext?: Record<string, unknown>;
  /** Ours: when the image is pulled; without it, as Kubernetes decides by the tag. */
  imagePullPolicy?: PullPolicy;
}

/** A container's requests and limits. What is given is merged over the default, amount by amount. */
export interface Resources {
  /** Limits by resource. */
  limits?: Record<string, Quantity>;
  /** Requests by resource. */
  requests?: Record<string, Quantity>;
}

/** When an image is pulled. */
export type PullPolicy = "Always" | "IfNotPresent" | "Never";

/** `gcpSecretManager`. */
export interface GcpSecretManager {
  /** Image of the init-containers. */
  sidecarImage?: string;
  /** Requests and limits. What is given goes over the default, amount by amount. */
  resources?: Resources;
  /** Ours: security context of the init-containers, in place of the default, which passes Pod Security `restricted`. */
  securityContext?: Record<string, unknown>;
  /** Ours: when the image is pulled; without it, as Kubernetes decides by the tag. */
  imagePullPolicy?: PullPolicy;
}

/** `azureSecretManager`. */
export interface AzureSecretManager {
  /** Image of the init-containers. */
  sidecarImage?: string;
  /** Requests and limits. What is given goes over the default, amount by amount. */
  resources?: Resources;
  /** Ours: security context of the init-containers, in place of the default, which passes Pod Security `restricted`. */
  securityContext?: Record<string, unknown>;
  /** Ours: when the image is pulled; without it, as Kubernetes decides by the tag. */
  imagePullPolicy?: PullPolicy;
}

/** `vaultSecretManager`. */
export interface VaultSecretManager {
  /** Role that the agent logs in with. */
  role?: string;
  /** Deprecated by Flyte: the engine of requests whose `group_version` names none; a number or a string. */
  kvVersion?: KvVersion;
  /** Annotations for each pod with a secret from Vault. They win over the policy's own; the pod's own win over them. */
  annotations?: Record<string, string>;
  /** Ours: with `true` a pod's own annotations override neither `role` nor what `annotations` sets. */
  lockAnnotations?: boolean;
}

/** Version of Vault's key-value engine. */
export type KvVersion = "1" | "2";

/** `embeddedSecretManagerConfig`. */
export interface EmbeddedSecretManager {
  /** Ours: how values reach tasks. */
  delivery?: Delivery;
  /** Ours: whether names are looked up at admission, with `delivery: Pull`. */
  lookup?: LookupMode;
  /** Ours: how pods pull, with `delivery: Pull`. */
  pull?: Pull;
  /** Ours: whether `group` names the secret and `key` a property of the JSON object in it. Without it `group` has no meaning. */
  properties?: boolean;
  /** Ours: whether `group_version` names a version of the secret: a stage or an ID of `AWS`, a number of `GCP`, an ID of `Azure`. Without it the current version is read. */
  versions?: boolean;
  /** Where it fetches. Without it, from the one provider that is configured, and with none from `K8s`. */
  type?: Provider;
  /** For the type `AWS`. */
  awsConfig?: AwsConfig;
  /** For the type `GCP`. */
  gcpConfig?: GcpConfig;
  /** For the type `Azure`. */
  azureConfig?: AzureConfig;
  /** For the type `K8s`, and for image pull secrets. */
  k8sConfig?: K8sConfig;
  /** The init-container that writes files. */
  fileMountInitContainer?: FileMountInitContainer;
  /** Secrets that also serve to pull images. */
  imagePullSecrets?: ImagePullSecrets;
  /** Ours: which names are looked up in the scopes of domain and organization, in this order. No meaning for `Azure`. */
  nameSchemes?: NameScheme[];
}

/** How a value of Embedded reaches the task. */
export type Delivery = "Auto" | "Value" | "Reference" | "Pull";

/** Whether the policy asks the secret gateway for names before a pod that pulls is let in. It never asks for values. */
export type LookupMode = "Require" | "Prefer" | "Off";

/** `embeddedSecretManagerConfig.pull`, ours. */
export interface Pull {
  /** Address of the gateway's pod listener, such as `https://secret-gateway-pods.flyte.svc:8444`. */
  gateway?: string;
  /** Authority of the gateway's certificate, in PEM. */
  ca?: string;
  /** Audience of the token by which the gateway knows the pod. */
  audience?: string;
  /** How long a pod retries before it fails, such as `2m`. */
  patience?: string;
  /** How often files are pulled again while the pod runs, such as `5m`; never without it. */
  refresh?: string;
  /** Whether variables are pulled, too. With `false` requests for them go to the next manager. */
  variables?: boolean;
  /** Image of the puller. */
  image?: string;
  /** Requests and limits. What is given goes over the default, amount by amount. */
  resources?: Resources;
  /** Security context, in place of the default, which passes Pod Security `restricted`. */
  securityContext?: Record<string, unknown>;
  /** When the image is pulled; without it, as Kubernetes decides by the tag. */
  imagePullPolicy?: PullPolicy;
}

/** Where Embedded fetches. */
export type Provider = "AWS" | "GCP" | "Azure" | "K8s";

/** `embeddedSecretManagerConfig.awsConfig`. */
export interface AwsConfig {
  /** Region of Secrets Manager, such as `eu-west-1`. */
  region?: string;
}

/** `embeddedSecretManagerConfig.gcpConfig`. */
export interface GcpConfig {
  /** Project of Secret Manager, such as `acme-prod`. */
  project?: string;
}

/** `embeddedSecretManagerConfig.azureConfig`. */
export interface AzureConfig {
  /** URI of the Key Vault, such as `https://name.vault.azure.net/`. */
  vaultURI?: string;
  /** Ours: whether a value that is not Flyte's JSON of type and value is taken as it is. */
  plainValues?: boolean;
}

/** `embeddedSecretManagerConfig.k8sConfig`. */
export interface K8sConfig {
  /** The namespace of the Secrets that hold the values. */
  namespace?: string;
  kubeClientConfig?: Ignored;
}

/** The value of a key of Flyte's that means nothing in a policy. */
export type Ignored = unknown;

/** `embeddedSecretManagerConfig.fileMountInitContainer`. */
export interface FileMountInitContainer {
  /** Image, with `sh` and `base64` in it. */
  image?: string;
  /** Requests and limits. What is given goes over the default, amount by amount. */
  resources?: Resources;
  /** Ours: security context, in place of the default, which passes Pod Security `restricted`. */
  securityContext?: Record<string, unknown>;
  /** Ours: when the image is pulled; without it, as Kubernetes decides by the tag. */
  imagePullPolicy?: PullPolicy;
  /** Name of the container. */
  containerName?: string;
}

/** `embeddedSecretManagerConfig.imagePullSecrets`. */
export interface ImagePullSecrets {
  /** Whether a secret that is found also serves to pull images, if its twin is in the pod's namespace. */
  enabled?: boolean;
}

/** How the names of the broader scopes are written. */
export type NameScheme = "canonical" | "documented";

/** `tenancy`, ours: off by default, as Flyte has it; on in the manifests that are shipped. */
export interface Tenancy {
  /** The namespace that a pod must be in to have what its labels claim, made of `{{ project }}`, `{{ domain }}` and `{{ organization }}` (or `{{ org }}`); or one namespace for all. */
  namespaceTemplate?: NamespaceTemplate;
  /** Organizations whose secrets there are for pods of this cluster. Without it the label `organization` is taken as it is. */
  organizations?: string[];
  /** Users who may create the pods whose labels are believed, as user names or as `serviceaccount:NAMESPACE/NAME`. Where all tasks run in one namespace, as in Flyte 2, this is what binds their labels. Without it everybody's are believed. */
  creators?: Creator[];
  /** Service accounts whose pods Embedded serves, as `name` or `namespace/name`. Without it all are; an empty list serves nobody. */
  serviceAccounts?: string[];
}

/** A namespace with `{{ project }}`, `{{ domain }}` and `{{ organization }}` in it, as Flyte's `namespaceMapping` has it; `{{ org }}` is read as well. Without any of them it is one namespace, as Flyte 2 runs all tasks in one. */
export type NamespaceTemplate = string;

/** The user who creates pods: a user name, or a service account as `serviceaccount:NAMESPACE/NAME`, which is read as Kubernetes' user name for it, `system:serviceaccount:NAMESPACE:NAME`. */
export type Creator = string;

/** The names, and what each is. */
export const PROVIDERS: Record<Provider, string> = {
  AWS: "AWS Secrets Manager, through the secret gateway",
  GCP: "GCP Secret Manager, through the secret gateway",
  Azure: "Azure Key Vault, through the secret gateway",
  K8s: "Kubernetes Secrets of one namespace",
};

/** The names, and what each is. */
export const NAME_SCHEMES: Record<NameScheme, string> = {
  canonical: "As Flyte's webhook looks them up",
  documented: "As Flyte's page on AWS documents them",
};
