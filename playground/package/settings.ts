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
  /** Prefix of the variables that K8s and Embedded name. */
  secretEnvVarPrefix?: string;
  /** Not in Flyte: variables that are allowed although they change how programs start, such as `PATH`. */
  allowedEnvVars?: string[];
  /** Not in Flyte: containers that get secrets. The pod's annotation `flyte-secrets.flyte.org/containers` overrides it. */
  injectInto?: InjectInto;
  /** Not in Flyte: position of init containers that fetch secrets, before or after the pod's own. */
  initContainers?: InitContainerOrder;
  /** Not in Flyte: how to handle a secret request with an unknown field. */
  unknownFields?: UnknownFields;
  /** Not in Flyte: size limit of the volume in memory that init containers write secrets to. */
  volumeSizeLimit?: Quantity;
  /** Not in Flyte: limits for one pod. */
  limits?: PodLimits;
  /** Not in Flyte: options of the manager K8s. */
  k8sSecretManager?: K8sSecretManager;
  /** Init containers of the manager AWS, which run Amazon's sidecar. */
  awsSecretManager?: AwsSecretManager;
  /** Init containers of the manager GCP, which run `gcloud`. */
  gcpSecretManager?: GcpSecretManager;
  /** Init containers of the manager Azure, which run `az`. */
  azureSecretManager?: AzureSecretManager;
  /** Annotations of the manager Vault for the Vault Agent Injector. */
  vaultSecretManager?: VaultSecretManager;
  /** The manager Embedded, which looks up secrets at admission. */
  embeddedSecretManagerConfig?: EmbeddedSecretManager;
  /** Not in Flyte: which pods may have which secrets of Embedded. */
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

/** Position of init containers that fetch secrets. */
export type InitContainerOrder = "First" | "Last";

/** How to handle a secret request with an unknown field. */
export type UnknownFields = "Reject" | "Warn";

export type Quantity = string | number;

/** `limits`: pods that exceed them are rejected. */
export interface PodLimits {
  /** Maximum number of secret requests that Embedded serves for one pod. */
  embeddedRequests?: number;
  /** Maximum number of init containers that fetch secrets, or have similar names. */
  initContainers?: number;
  /** Maximum number of objects that are read for one pod. */
  reads?: number;
}

/** `k8sSecretManager`, which Flyte does not have. */
export interface K8sSecretManager {
  /** Whether a pod starts without a missing Secret, as in Flyte. With `false` it waits. */
  optional?: boolean;
  /** Whether to look up the Secret and its key, and try the next manager if they are missing. */
  verify?: boolean;
}

/** `awsSecretManager`. */
export interface AwsSecretManager {
  /** Image of the init containers. */
  sidecarImage?: string;
  /** Resource requests and limits, merged over the defaults amount by amount. */
  resources?: Resources;
  /** Not in Flyte: security context, whose fields Kubernetes checks. Replaces the default, which passes Pod Security `restricted`. */
  securityContext?: Record<string, unknown>;
  /** Not in Flyte: image pull policy. By default, Kubernetes decides by the tag. */
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
  /** Image of the init containers. */
  sidecarImage?: string;
  /** Resource requests and limits, merged over the defaults amount by amount. */
  resources?: Resources;
  /** Not in Flyte: security context, whose fields Kubernetes checks. Replaces the default, which passes Pod Security `restricted`. */
  securityContext?: Record<string, unknown>;
  /** Not in Flyte: image pull policy. By default, Kubernetes decides by the tag. */
  imagePullPolicy?: PullPolicy;
}

/** `azureSecretManager`. */
export interface AzureSecretManager {
  /** Image of the init containers. */
  sidecarImage?: string;
  /** Resource requests and limits, merged over the defaults amount by amount. */
  resources?: Resources;
  /** Not in Flyte: security context, whose fields Kubernetes checks. Replaces the default, which passes Pod Security `restricted`. */
  securityContext?: Record<string, unknown>;
  /** Not in Flyte: image pull policy. By default, Kubernetes decides by the tag. */
  imagePullPolicy?: PullPolicy;
}

/** `vaultSecretManager`. */
export interface VaultSecretManager {
  /** Role that the agent logs in with. */
  role?: string;
  /** Deprecated by Flyte: default engine for requests without `group_version`; a number or a string. */
  kvVersion?: KvVersion;
  /** Annotations for each pod with a secret from Vault. They override those of the policy; those of the pod override them. */
  annotations?: Record<string, string>;
  /** Not in Flyte: with `true`, annotations of the pod override neither `role` nor `annotations`. */
  lockAnnotations?: boolean;
}

/** Version of Vault's key-value engine. */
export type KvVersion = "1" | "2";

/** `embeddedSecretManagerConfig`. */
export interface EmbeddedSecretManager {
  /** Not in Flyte: how values are delivered to tasks. */
  delivery?: Delivery;
  /** Not in Flyte: whether to look up names at admission, with `delivery: Pull`. */
  lookup?: LookupMode;
  /** Not in Flyte: options of `delivery: Pull`. */
  pull?: Pull;
  /** Not in Flyte: whether `group` names the secret and `key` a property of its JSON object. By default, `group` is ignored. */
  properties?: boolean;
  /** Not in Flyte: whether `group_version` names a version of the secret: a stage or ID in `AWS`, a number in `GCP`, an ID in `Azure`. By default, the current version is read. */
  versions?: boolean;
  /** Store of the secrets. By default, the one provider that is configured, or `K8s`. */
  type?: Provider;
  /** Options of the type `AWS`. */
  awsConfig?: AwsConfig;
  /** Options of the type `GCP`. */
  gcpConfig?: GcpConfig;
  /** Options of the type `Azure`. */
  azureConfig?: AzureConfig;
  /** Options of the type `K8s` and of image pull secrets. */
  k8sConfig?: K8sConfig;
  /** Init container that writes files. */
  fileMountInitContainer?: FileMountInitContainer;
  /** Secrets that are also used to pull images. */
  imagePullSecrets?: ImagePullSecrets;
  /** Not in Flyte: name schemes to look up in the scopes of domain and organization, in this order. Not for `Azure`. */
  nameSchemes?: NameScheme[];
}

/** How a value of Embedded reaches the task. */
export type Delivery = "Auto" | "Value" | "Reference" | "Pull";

/** Whether the policy looks up names in the secret gateway before it admits a pod that pulls. It never reads values. */
export type LookupMode = "Require" | "Prefer" | "Off";

/** `embeddedSecretManagerConfig.pull`, which Flyte does not have. */
export interface Pull {
  /** Address of the gateway's listener for pods, such as `https://secret-gateway-pods.flyte.svc:8444`. */
  gateway?: string;
  /** CA certificate of the gateway, in PEM. */
  ca?: string;
  /** Audience of the token that identifies the pod to the gateway. */
  audience?: string;
  /** How long a pod retries before it fails, such as `2m`. */
  patience?: string;
  /** How often to pull files again while the pod runs, such as `5m`. By default never. */
  refresh?: string;
  /** Whether to pull variables, too. With `false`, requests for variables go to the next manager. */
  variables?: boolean;
  /** Image of the puller. */
  image?: string;
  /** Resource requests and limits, merged over the defaults amount by amount. */
  resources?: Resources;
  /** Not in Flyte: security context, whose fields Kubernetes checks. Replaces the default, which passes Pod Security `restricted`. */
  securityContext?: Record<string, unknown>;
  /** Not in Flyte: image pull policy. By default, Kubernetes decides by the tag. */
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
  /** Not in Flyte: whether to use values that are not Flyte's JSON of type and value as they are. */
  plainValues?: boolean;
}

/** `embeddedSecretManagerConfig.k8sConfig`. */
export interface K8sConfig {
  /** Namespace of the Secrets with the values. */
  namespace?: string;
  kubeClientConfig?: Ignored;
}

/** The value of a key of Flyte's that means nothing in a policy. */
export type Ignored = unknown;

/** `embeddedSecretManagerConfig.fileMountInitContainer`. */
export interface FileMountInitContainer {
  /** Name of the container. */
  containerName?: string;
  /** Image with `sh` and `base64`. */
  image?: string;
  /** Resource requests and limits, merged over the defaults amount by amount. */
  resources?: Resources;
  /** Not in Flyte: security context, whose fields Kubernetes checks. Replaces the default, which passes Pod Security `restricted`. */
  securityContext?: Record<string, unknown>;
  /** Not in Flyte: image pull policy. By default, Kubernetes decides by the tag. */
  imagePullPolicy?: PullPolicy;
}

/** `embeddedSecretManagerConfig.imagePullSecrets`. */
export interface ImagePullSecrets {
  /** Whether to use a secret to pull images, too, if its copy is in the pod's namespace. */
  enabled?: boolean;
}

/** How the names of the broader scopes are written. */
export type NameScheme = "canonical" | "documented";

/** `tenancy`: off by default, as in Flyte; on in the manifests that are shipped. */
export interface Tenancy {
  /** Namespace that a pod must be in to get secrets: a template of `{{ project }}`, `{{ domain }}` and `{{ organization }}` (or `{{ org }}`), or one namespace for all. */
  namespaceTemplate?: NamespaceTemplate;
  /** Organizations whose secrets pods of this cluster can get. By default, the label `organization` is not verified. */
  organizations?: string[];
  /** Users whose pods get secrets, as user names or as `serviceaccount:NAMESPACE/NAME`. Set it if all tasks run in one namespace, as in Flyte 2, to verify their labels. By default, labels of all users' pods are trusted. */
  creators?: Creator[];
  /** Service accounts whose pods get secrets, as `name` or `namespace/name`. By default all. An empty list allows none. */
  serviceAccounts?: string[];
}

/** A template of a namespace with `{{ project }}`, `{{ domain }}` and `{{ organization }}` or `{{ org }}`, as Flyte's `namespaceMapping`. Without placeholders it is one namespace, as in Flyte 2. */
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

/** What secrets of a provider are in, as a label, and an example. */
export const PLACES: Record<Provider, [string, string]> = {
  AWS: ["Region", "eu-west-1"],
  GCP: ["Project", "acme-prod"],
  Azure: ["Vault", "https://name.vault.azure.net/"],
  K8s: ["Namespace", "flyte"],
};
