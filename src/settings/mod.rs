//! The policy's settings: Flyte's `webhook` section as users have it, with Flyte's defaults, and our own keys.
//!
//! [`parse`] reads them for each request, [`validate`] also checks what they say when the policy starts. The types are the
//! one place where keys, names and defaults are written down; the comments of the fields are what users read of them.

mod check;
mod container;
pub(crate) mod de;
mod embedded;
mod error;
pub mod images;
mod managers;
#[cfg(feature = "schema")]
mod patterns;
mod provider;
mod quantity;
mod resources;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::tenancy::{Creator, NamespaceTemplate};
pub use container::PullPolicy;
use de::settings;
pub use embedded::{
    AwsConfig, AzureConfig, Delivery, EmbeddedSecretManager, FileMountInitContainer, GcpConfig, ImagePullSecrets,
    K8sConfig, LookupMode, Pull,
};
pub use error::Error;
pub use managers::{
    AwsSecretManager, AzureSecretManager, GcpSecretManager, K8sSecretManager, KvVersion, VaultSecretManager,
};
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

settings! {
    /// Flyte's `webhook` section, as far as it has a meaning in a policy, and our own keys. Key names and defaults:
    /// `flyteplugins/go/tasks/pluginmachinery/secret/config/config.go`.
    pub struct Settings {
        /// Managers in order of preference. `Global` is skipped with a warning.
        pub secret_manager_types: Vec<ManagerType>,
        /// Deprecated by Flyte: one manager, used if `secretManagerTypes` is missing or empty.
        pub secret_manager_type: ManagerType = ManagerType::Embedded,
        /// Prefix of the variables that K8s and Embedded name.
        #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::PREFIX)))]
        pub secret_env_var_prefix: String = "_UNION_".to_owned(),
        /// Not in Flyte: variables that are allowed although they change how programs start, such as `PATH`.
        pub allowed_env_vars: Vec<String>,
        /// Not in Flyte: containers that get secrets. The pod's annotation `flyte-secrets.flyte.org/containers` overrides it.
        pub inject_into: InjectInto = InjectInto::All,
        /// Not in Flyte: position of init containers that fetch secrets, before or after the pod's own.
        pub init_containers: InitContainerOrder = InitContainerOrder::First,
        /// Not in Flyte: how to handle a secret request with an unknown field.
        pub unknown_fields: UnknownFields = UnknownFields::Reject,
        /// Not in Flyte: size limit of the volume in memory that init containers write secrets to.
        pub volume_size_limit: Quantity = Quantity("64Mi".to_owned()),
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

    /// A secret manager, under Flyte's name for it; any case is read.
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
    pub enum InjectInto {
        /// All containers and init containers, as in Flyte.
        All,
        /// The one that Flyte's annotation `primary_container_name` names, Knative's `user-container`, or else the first.
        Primary,
    }

    /// Position of init containers that fetch secrets.
    pub enum InitContainerOrder {
        /// Before the pod's own, so that these have their secrets.
        First,
        /// After the pod's own, as in Flyte.
        Last,
    }

    /// How to handle a secret request with an unknown field.
    pub enum UnknownFields {
        /// Reject the pod, as Flyte does.
        Reject,
        /// Ignore the field, with a warning.
        Warn,
    }

    /// `limits`: pods that exceed them are rejected.
    pub struct PodLimits {
        /// Maximum number of secret requests that Embedded serves for one pod.
        pub embedded_requests: usize = 64,
        /// Maximum number of init containers that fetch secrets, or have similar names.
        pub init_containers: usize = 64,
        /// Maximum number of objects that are read for one pod.
        pub reads: usize = 200,
    }

    /// `tenancy`: off by default, as in Flyte; on in the manifests that are shipped.
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
}

impl Settings {
    /// The managers to ask, in order. `Global` is left out: a policy has no environment and no files of its own.
    pub fn managers(&self) -> impl Iterator<Item = ManagerType> + '_ {
        let named = match self.secret_manager_types.as_slice() {
            [] => std::slice::from_ref(&self.secret_manager_type),
            types => types,
        };
        named.iter().copied().filter(|manager| *manager != ManagerType::Global)
    }
}

/// The value of a key of Flyte's that means nothing in a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "Value"))]
pub struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
