//! The policy's settings: Flyte's `webhook` section as users have it, with Flyte's defaults, and our own keys.
//!
//! [`parse`] reads them for each request, [`validate`] also checks what they say when the policy starts. The types are the
//! one place where keys, names and defaults are written down; the comments of the fields are what users read of them.

mod check;
pub(crate) mod de;
mod error;
pub mod images;
#[cfg(feature = "schema")]
mod patterns;
mod provider;
mod quantity;
mod resources;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::grant;
use crate::names::NameScheme;
use crate::names::kubernetes::is_dns_subdomain;
use crate::pod::Container;
use crate::tenancy::{Creator, NamespaceTemplate};
use de::setting;
pub use error::Error;
pub use provider::{Facts, Provider};
pub use resources::{Quantity, Resources};

/// Reads settings from JSON of the host; `null` is the default, for the whole and for each field.
///
/// # Errors
/// A key is unknown, or its value not of its type.
pub fn parse(json: &str) -> Result<Settings, Error> {
    if json == "null" {
        return Ok(Settings::default());
    }
    // `null` in place of a value is rare, and to look for it takes a tree.
    read(json).or_else(|_| {
        let mut value: Value = serde_json::from_str(json)?;
        remove_nulls(&mut value, &|null| null)?;
        read(&value.to_string())
    })
}

fn read(json: &str) -> Result<Settings, Error> {
    // One way to read them is a tenth of the wasm.
    Ok(serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json))?)
}

/// Removes members that are `null`, which is the default of each key that there is. `within` puts a value where `value` is.
fn remove_nulls(value: &mut Value, within: &dyn Fn(Value) -> Value) -> Result<(), Error> {
    let Value::Object(members) = value else { return Ok(()) };
    for (key, value) in &mut *members {
        let member = |value| within(json!({ key: value }));
        if !value.is_null() {
            remove_nulls(value, &member)?;
        } else if let Err(error @ Error::UnknownField { .. }) = read(&member(Value::Null).to_string()) {
            return Err(error);
        }
    }
    members.retain(|_, value| !value.is_null());
    Ok(())
}

/// Reads settings and checks for everything that would make each pod fail. The second part of the answer is what the
/// operator should know although it is no error.
///
/// # Errors
/// The first thing that is wrong, with its path and what to do.
pub fn validate(json: &[u8]) -> Result<(Settings, Vec<String>), Error> {
    let settings = parse(str::from_utf8(json).map_err(|_| Error::NotUtf8)?)?;
    let warnings = settings.check()?;
    Ok((settings, warnings))
}

/// Flyte's `webhook` section, as far as it has a meaning in a policy, and our own keys. Key names and defaults:
/// `flyteplugins/go/tasks/pluginmachinery/secret/config/config.go`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// Managers in order of preference. `Global` is skipped with a warning.
    pub secret_manager_types: Vec<ManagerType>,
    /// Deprecated by Flyte: one manager, used if `secretManagerTypes` is missing or empty.
    pub secret_manager_type: ManagerType,
    /// Prefix of the variables that K8s and Embedded name.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::PREFIX)))]
    pub secret_env_var_prefix: String,
    /// Not in Flyte: variables that are allowed although they change how programs start, such as `PATH`.
    pub allowed_env_vars: Vec<String>,
    /// Not in Flyte: containers that get secrets. The pod's annotation `flyte-secrets.flyte.org/containers` overrides it.
    pub inject_into: InjectInto,
    /// Not in Flyte: position of init containers that fetch secrets, before or after the pod's own.
    pub init_containers: InitContainerOrder,
    /// Not in Flyte: how to handle a secret request with an unknown field.
    pub unknown_fields: UnknownFields,
    /// Not in Flyte: size limit of the volume in memory that init containers write secrets to.
    pub volume_size_limit: Quantity,
    /// Not in Flyte: limits for one pod.
    pub limits: PodLimits,
    /// Not in Flyte: options of the manager K8s.
    pub k8s_secret_manager: K8sSecretManager,
    /// Init containers of the manager AWS, which run Amazon's sidecar.
    pub aws_secret_manager: AwsSecretManager,
    /// Init containers of the manager GCP, which run `gcloud`.
    pub gcp_secret_manager: GcpSecretManager,
    /// Init containers of the manager Azure, which run `az`.
    pub azure_secret_manager: AzureSecretManager,
    /// Annotations of the manager Vault for the Vault Agent Injector.
    pub vault_secret_manager: VaultSecretManager,
    /// The manager Embedded, which looks up secrets at admission.
    pub embedded_secret_manager_config: EmbeddedSecretManager,
    /// Not in Flyte: which pods may have which secrets of Embedded.
    pub tenancy: Tenancy,
    // Flyte's keys that mean nothing in a policy.
    cert_dir: Ignored,
    listen_port: Ignored,
    service_name: Ignored,
    #[serde(rename = "metrics-prefix")]
    metrics_prefix: Ignored,
    local_cert: Ignored,
    secret_name: Ignored,
    service_port: Ignored,
    cache_invalidation_port: Ignored,
    image_builder_config: Ignored,
    webhook_timeout: Ignored,
    disable_create_mutating_webhook_config: Ignored,
    namespace_selector: Ignored,
    kube_client_config: Ignored,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            secret_manager_types: Vec::new(),
            secret_manager_type: ManagerType::Embedded,
            secret_env_var_prefix: "_UNION_".to_owned(),
            allowed_env_vars: Vec::new(),
            inject_into: InjectInto::All,
            init_containers: InitContainerOrder::First,
            unknown_fields: UnknownFields::Reject,
            volume_size_limit: Quantity("64Mi".to_owned()),
            limits: PodLimits::default(),
            k8s_secret_manager: K8sSecretManager::default(),
            aws_secret_manager: AwsSecretManager::default(),
            gcp_secret_manager: GcpSecretManager::default(),
            azure_secret_manager: AzureSecretManager::default(),
            vault_secret_manager: VaultSecretManager::default(),
            embedded_secret_manager_config: EmbeddedSecretManager::default(),
            tenancy: Tenancy::default(),
            cert_dir: Ignored,
            listen_port: Ignored,
            service_name: Ignored,
            metrics_prefix: Ignored,
            local_cert: Ignored,
            secret_name: Ignored,
            service_port: Ignored,
            cache_invalidation_port: Ignored,
            image_builder_config: Ignored,
            webhook_timeout: Ignored,
            disable_create_mutating_webhook_config: Ignored,
            namespace_selector: Ignored,
            kube_client_config: Ignored,
        }
    }
}

impl Settings {
    /// The managers to ask, in order. `Global` is left out: a policy has no environment and no files of its own.
    pub fn managers(&self) -> impl Iterator<Item = ManagerType> + '_ {
        self.named_managers().iter().copied().filter(|manager| *manager != ManagerType::Global)
    }

    fn named_managers(&self) -> &[ManagerType] {
        match self.secret_manager_types.as_slice() {
            [] => std::slice::from_ref(&self.secret_manager_type),
            types => types,
        }
    }
}

/// The value of a key of Flyte's that means nothing in a policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "Value"))]
pub struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A secret manager, under Flyte's name for it; any case is read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self")]
pub enum ManagerType {
    /// References to Kubernetes Secrets of the pod's namespace.
    K8s,
    /// AWS Secrets Manager through a sidecar.
    #[serde(rename = "AWS")]
    Aws,
    /// GCP Secret Manager through a sidecar.
    #[serde(rename = "GCP")]
    Gcp,
    /// Azure Key Vault through a sidecar.
    Azure,
    /// HashiCorp Vault through the Vault Agent Injector.
    Vault,
    /// Fetched at admission.
    Embedded,
    /// The webhook's own environment and files; skipped.
    Global,
}

/// Which containers get secrets.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self")]
pub enum InjectInto {
    /// All containers and init containers, as in Flyte.
    All,
    /// The one that Flyte's annotation `primary_container_name` names, Knative's `user-container`, or else the first.
    Primary,
}

/// Position of init containers that fetch secrets.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self")]
pub enum InitContainerOrder {
    /// Before the pod's own, so that these have their secrets.
    First,
    /// After the pod's own, as in Flyte.
    Last,
}

/// How to handle a secret request with an unknown field.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self")]
pub enum UnknownFields {
    /// Reject the pod, as Flyte does.
    Reject,
    /// Ignore the field, with a warning.
    Warn,
}

/// How a value of Embedded reaches the task.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self")]
pub enum Delivery {
    /// As `Reference` where possible, otherwise as `Value`.
    Auto,
    /// The value is written into the pod.
    Value,
    /// The pod refers to the Secret, which must be in its own namespace.
    Reference,
    /// The pod pulls the value from the secret gateway when it starts; requires Kubernetes 1.35.
    Pull,
}

/// Whether the policy looks up names in the secret gateway before it admits a pod that pulls. It never reads values.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self")]
pub enum LookupMode {
    /// Look up; reject the pod if the gateway does not answer.
    Require,
    /// Look up; if the gateway does not answer, the pod waits for its secrets.
    Prefer,
    /// Do not look up.
    Off,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self")]
pub enum PullPolicy {
    /// Whenever a container starts.
    Always,
    /// If the node does not have it.
    IfNotPresent,
    /// Never; the node must have it.
    Never,
}

/// Version of Vault's key-value engine.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self")]
pub enum KvVersion {
    /// Plain values under `.Data`.
    #[serde(rename = "1")]
    V1,
    /// Versioned values under `.Data.data`.
    #[serde(rename = "2")]
    V2,
}

/// Shows enums as they are written in settings.
macro_rules! display {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                Serialize::serialize(self, f)
            }
        }
    )*};
}

display!(ManagerType, Provider, PullPolicy);

/// `limits`: pods that exceed them are rejected.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PodLimits {
    /// Maximum number of secret requests that Embedded serves for one pod.
    pub embedded_requests: usize,
    /// Maximum number of init containers that fetch secrets, or have similar names.
    pub init_containers: usize,
    /// Maximum number of objects that are read for one pod.
    pub reads: usize,
}

impl Default for PodLimits {
    fn default() -> Self {
        Self { embedded_requests: 64, init_containers: 64, reads: 200 }
    }
}

/// `k8sSecretManager`, which Flyte does not have.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
pub struct K8sSecretManager {
    /// Whether a pod starts without a missing Secret, as in Flyte. With `false` it waits.
    pub optional: bool,
    /// Whether to look up the Secret and its key, and try the next manager if they are missing.
    pub verify: bool,
}

impl Default for K8sSecretManager {
    fn default() -> Self {
        Self { optional: true, verify: false }
    }
}

/// Returns the security context that passes Pod Security `restricted`, as a user that is no other's: images of clouds and of
/// distributions leave 65532 to processes without a name.
fn restricted(read_only_root: bool) -> SecurityContext {
    let context = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "readOnlyRootFilesystem": read_only_root,
        "runAsGroup": 65532,
        "runAsNonRoot": true,
        "runAsUser": 65532,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    if let Value::Object(context) = context { context } else { Map::new() }
}

/// A security context as Kubernetes reads it: its fields are Kubernetes' to check.
type SecurityContext = Map<String, Value>;

/// Returns a container with what the settings of its kind say.
fn container(
    image: &str,
    pull: Option<PullPolicy>,
    resources: &Resources,
    security: Option<&SecurityContext>,
    read_only_root: bool,
) -> Container {
    Container {
        image: image.to_owned(),
        image_pull_policy: pull.map(|policy| policy.to_string()),
        resources: resources.requirements(),
        security_context: security.cloned().unwrap_or_else(|| restricted(read_only_root)),
        ..Container::default()
    }
}

/// Declares the settings of a manager whose init containers run a cloud's tool.
macro_rules! sidecar {
    ($(#[$meta:meta])* $name:ident, $image:expr, read_only_root: $read_only_root:literal) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
        pub struct $name {
            /// Image of the init containers.
            #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::IMAGE)))]
            pub sidecar_image: String,
            /// Resource requests and limits, merged over the defaults amount by amount.
            #[serde(deserialize_with = "Resources::over_sidecars")]
            pub resources: Resources,
            /// Not in Flyte: security context of the init containers. Replaces the default, which passes Pod Security `restricted`.
            pub security_context: Option<SecurityContext>,
            /// Not in Flyte: image pull policy. By default, Kubernetes decides by the tag.
            pub image_pull_policy: Option<PullPolicy>,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    sidecar_image: $image.to_owned(),
                    resources: Resources::sidecar(),
                    security_context: None,
                    image_pull_policy: None,
                }
            }
        }

        impl $name {
            /// Returns the init container that runs the image.
            pub fn container(&self) -> Container {
                let Self { sidecar_image, image_pull_policy, resources, security_context } = self;
                container(sidecar_image, *image_pull_policy, resources, security_context.as_ref(), $read_only_root)
            }
        }
    };
}

sidecar!(
    /// `awsSecretManager`.
    AwsSecretManager,
    images::AWS,
    read_only_root: true
);
sidecar!(
    /// `gcpSecretManager`.
    GcpSecretManager,
    images::GCP,
    // gcloud writes its state and its log.
    read_only_root: false
);
sidecar!(
    /// `azureSecretManager`.
    AzureSecretManager,
    images::AZURE,
    // So does az, with the token.
    read_only_root: false
);

/// `vaultSecretManager`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
pub struct VaultSecretManager {
    /// Role that the agent logs in with.
    pub role: String,
    /// Deprecated by Flyte: default engine for requests without `group_version`; a number or a string.
    pub kv_version: KvVersion,
    /// Annotations for each pod with a secret from Vault. They override those of the policy; those of the pod override them.
    #[cfg_attr(feature = "schema", schemars(extend("propertyNames" = { "pattern": patterns::ANNOTATION })))]
    pub annotations: BTreeMap<String, String>,
    /// Not in Flyte: with `true`, annotations of the pod override neither `role` nor `annotations`.
    pub lock_annotations: bool,
}

impl Default for VaultSecretManager {
    fn default() -> Self {
        Self {
            role: "flyte".to_owned(),
            kv_version: KvVersion::V2,
            annotations: BTreeMap::new(),
            lock_annotations: false,
        }
    }
}

/// `embeddedSecretManagerConfig`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
pub struct EmbeddedSecretManager {
    /// Not in Flyte: how values are delivered to tasks.
    pub delivery: Delivery,
    /// Not in Flyte: whether to look up names at admission, with `delivery: Pull`.
    pub lookup: LookupMode,
    /// Not in Flyte: options of `delivery: Pull`.
    pub pull: Option<Pull>,
    /// Not in Flyte: whether `group` names the secret and `key` a property of its JSON object. By default, `group` is ignored.
    pub properties: bool,
    /// Not in Flyte: whether `group_version` names a version of the secret: a stage or ID in `AWS`, a number in `GCP`, an
    /// ID in `Azure`. By default, the current version is read.
    pub versions: bool,
    /// Store of the secrets. By default, the one provider that is configured, or `K8s`.
    pub r#type: Option<Provider>,
    /// Options of the type `AWS`.
    pub aws_config: AwsConfig,
    /// Options of the type `GCP`.
    pub gcp_config: GcpConfig,
    /// Options of the type `Azure`.
    pub azure_config: AzureConfig,
    /// Options of the type `K8s` and of image pull secrets.
    pub k8s_config: K8sConfig,
    /// Init container that writes files.
    pub file_mount_init_container: FileMountInitContainer,
    /// Secrets that are also used to pull images.
    pub image_pull_secrets: ImagePullSecrets,
    /// Not in Flyte: name schemes to look up in the scopes of domain and organization, in this order. Not for `Azure`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub name_schemes: Vec<NameScheme>,
}

impl Default for EmbeddedSecretManager {
    fn default() -> Self {
        Self {
            delivery: Delivery::Auto,
            lookup: LookupMode::Prefer,
            pull: None,
            properties: false,
            versions: false,
            r#type: None,
            aws_config: AwsConfig::default(),
            gcp_config: GcpConfig::default(),
            azure_config: AzureConfig::default(),
            k8s_config: K8sConfig::default(),
            file_mount_init_container: FileMountInitContainer::default(),
            image_pull_secrets: ImagePullSecrets::default(),
            name_schemes: vec![NameScheme::Canonical, NameScheme::Documented],
        }
    }
}

/// `embeddedSecretManagerConfig.awsConfig`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
pub struct AwsConfig {
    /// Region of Secrets Manager, such as `eu-west-1`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::REGION), length(max = 63)))]
    pub region: String,
}

/// `embeddedSecretManagerConfig.gcpConfig`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
pub struct GcpConfig {
    /// Project of Secret Manager, such as `acme-prod`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::PROJECT)))]
    pub project: String,
}

/// `embeddedSecretManagerConfig.azureConfig`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
pub struct AzureConfig {
    /// URI of the Key Vault, such as `https://name.vault.azure.net/`.
    #[serde(rename = "vaultURI")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::VAULT_URI)))]
    pub vault_uri: String,
    /// Not in Flyte: whether to use values that are not Flyte's JSON of type and value as they are.
    pub plain_values: bool,
}

impl AzureConfig {
    /// The vault's host in lower case, if the URI is one: `https://`, a host, and no path.
    pub fn host(&self) -> Option<String> {
        let host = self.vault_uri.to_ascii_lowercase();
        let host = host.strip_prefix("https://")?;
        let host = host.strip_suffix('/').unwrap_or(host);
        is_dns_subdomain(host).then(|| host.to_owned())
    }
}

/// `embeddedSecretManagerConfig.k8sConfig`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
pub struct K8sConfig {
    /// Namespace of the Secrets with the values.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::LABEL), length(max = 63)))]
    pub namespace: String,
    kube_client_config: Ignored,
}

impl Default for K8sConfig {
    fn default() -> Self {
        Self { namespace: "flyte".to_owned(), kube_client_config: Ignored }
    }
}

/// `embeddedSecretManagerConfig.fileMountInitContainer`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
pub struct FileMountInitContainer {
    /// Image with `sh` and `base64`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::IMAGE)))]
    pub image: String,
    /// Resource requests and limits, merged over the defaults amount by amount.
    #[serde(deserialize_with = "Resources::over_file_mount")]
    pub resources: Resources,
    /// Not in Flyte: security context. Replaces the default, which passes Pod Security `restricted`.
    pub security_context: Option<SecurityContext>,
    /// Not in Flyte: image pull policy. By default, Kubernetes decides by the tag.
    pub image_pull_policy: Option<PullPolicy>,
    /// Name of the container.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::LABEL), length(max = 63)))]
    pub container_name: String,
}

impl Default for FileMountInitContainer {
    fn default() -> Self {
        Self {
            image: images::BUSYBOX.to_owned(),
            resources: Resources::file_mount(),
            security_context: None,
            image_pull_policy: None,
            container_name: "init-embedded-secret".to_owned(),
        }
    }
}

impl FileMountInitContainer {
    /// Returns the init container that runs the image.
    pub fn container(&self) -> Container {
        let Self { image, image_pull_policy, resources, security_context, .. } = self;
        container(image, *image_pull_policy, resources, security_context.as_ref(), true)
    }
}

/// `embeddedSecretManagerConfig.pull`, which Flyte does not have.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Pull {
    /// Address of the gateway's listener for pods, such as `https://secret-gateway-pods.flyte.svc:8444`.
    pub gateway: String,
    /// CA certificate of the gateway, in PEM.
    pub ca: String,
    /// Audience of the token that identifies the pod to the gateway.
    pub audience: String,
    /// How long a pod retries before it fails, such as `2m`.
    pub patience: String,
    /// How often to pull files again while the pod runs, such as `5m`. By default never.
    pub refresh: Option<String>,
    /// Whether to pull variables, too. With `false`, requests for variables go to the next manager.
    pub variables: bool,
    /// Image of the puller.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::IMAGE)))]
    pub image: String,
    /// Resource requests and limits, merged over the defaults amount by amount.
    #[serde(deserialize_with = "Resources::over_file_mount")]
    pub resources: Resources,
    /// Security context. Replaces the default, which passes Pod Security `restricted`.
    pub security_context: Option<SecurityContext>,
    /// Image pull policy. By default, Kubernetes decides by the tag.
    pub image_pull_policy: Option<PullPolicy>,
}

impl Default for Pull {
    fn default() -> Self {
        Self {
            gateway: String::new(),
            ca: String::new(),
            audience: grant::AUDIENCE.to_owned(),
            patience: "2m".to_owned(),
            refresh: None,
            variables: true,
            image: images::PULL.to_owned(),
            resources: Resources::file_mount(),
            security_context: None,
            image_pull_policy: None,
        }
    }
}

impl Pull {
    /// Returns the init container that runs the puller.
    pub fn container(&self) -> Container {
        let Self { image, image_pull_policy, resources, security_context, .. } = self;
        let container = container(image, *image_pull_policy, resources, security_context.as_ref(), true);
        let sidecar = self.refresh.is_some();
        let probe = || json!({ "exec": { "command": ["/flyte-secrets-pull", grant::READY] }, "failureThreshold": 3600, "periodSeconds": 1 });
        Container {
            termination_message_policy: Some("FallbackToLogsOnError"),
            restart_policy: sidecar.then_some("Always"),
            startup_probe: sidecar.then(probe),
            ..container
        }
    }
}

/// `embeddedSecretManagerConfig.imagePullSecrets`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ImagePullSecrets {
    /// Whether to use a secret to pull images, too, if its copy is in the pod's namespace.
    pub enabled: bool,
}

/// `tenancy`: off by default, as in Flyte; on in the manifests that are shipped.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Tenancy {
    /// Namespace that a pod must be in to get secrets: a template of `{{ project }}`, `{{ domain }}` and
    /// `{{ organization }}` (or `{{ org }}`), or one namespace for all.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = patterns::TEMPLATE)))]
    pub namespace_template: Option<NamespaceTemplate>,
    /// Organizations whose secrets pods of this cluster can get. By default, the label `organization` is not verified.
    pub organizations: Option<Vec<String>>,
    /// Users whose pods get secrets, as user names or as `serviceaccount:NAMESPACE/NAME`. Set it if all tasks run in one
    /// namespace, as in Flyte 2, to verify their labels. By default, labels of all users' pods are trusted.
    pub creators: Option<Vec<Creator>>,
    /// Service accounts whose pods get secrets, as `name` or `namespace/name`. By default all. An empty list
    /// allows none.
    pub service_accounts: Option<Vec<String>>,
}

setting!(
    Settings,
    ManagerType,
    Provider,
    InjectInto,
    InitContainerOrder,
    UnknownFields,
    Delivery,
    LookupMode,
    Pull,
    PullPolicy,
    PodLimits,
    K8sSecretManager,
    AwsSecretManager,
    GcpSecretManager,
    AzureSecretManager,
    VaultSecretManager,
    KvVersion,
    EmbeddedSecretManager,
    AwsConfig,
    GcpConfig,
    AzureConfig,
    K8sConfig,
    FileMountInitContainer,
    ImagePullSecrets,
    Tenancy
);
