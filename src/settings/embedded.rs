//! The section of the manager Embedded: stores and deliveries.

use std::borrow::Cow;

use serde_json::json;

use super::container::init_containers;
use super::de::settings;
#[cfg(feature = "schema")]
use super::patterns;
use super::resources::FILE_MOUNT;
use super::{Ignored, Provider, images};
use crate::grant;
use crate::names::NameScheme;
use crate::pod::Container;

settings! {
    /// `embeddedSecretManagerConfig`.
    pub struct EmbeddedSecretManager {
        /// Not in Flyte: how values are delivered to tasks.
        pub delivery: Delivery = Delivery::Auto,
        /// Not in Flyte: whether to look up names at admission, with `delivery: Pull`.
        pub lookup: LookupMode = LookupMode::Prefer,
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
        pub name_schemes: Vec<NameScheme> = vec![NameScheme::Canonical, NameScheme::Documented],
    }

    /// How a value of Embedded reaches the task.
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
    pub enum LookupMode {
        /// Look up; reject the pod if the gateway does not answer.
        Require,
        /// Look up; if the gateway does not answer, the pod waits for its secrets.
        Prefer,
        /// Do not look up.
        Off,
    }

    /// `embeddedSecretManagerConfig.awsConfig`.
    pub struct AwsConfig {
        /// Region of Secrets Manager, such as `eu-west-1`.
        #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::REGION), length(max = 63)))]
        pub region: String,
    }

    /// `embeddedSecretManagerConfig.gcpConfig`.
    pub struct GcpConfig {
        /// Project of Secret Manager, such as `acme-prod`.
        #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::PROJECT)))]
        pub project: String,
    }

    /// `embeddedSecretManagerConfig.azureConfig`.
    pub struct AzureConfig {
        /// URI of the Key Vault, such as `https://name.vault.azure.net/`.
        #[serde(rename = "vaultURI")]
        #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::VAULT_URI)))]
        pub vault_uri: String,
        /// Not in Flyte: whether to use values that are not Flyte's JSON of type and value as they are.
        pub plain_values: bool,
    }

    /// `embeddedSecretManagerConfig.k8sConfig`.
    pub struct K8sConfig {
        /// Namespace of the Secrets with the values.
        #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::LABEL), length(max = 63)))]
        pub namespace: String = "flyte".to_owned(),
        kube_client_config: Ignored,
    }

    /// `embeddedSecretManagerConfig.imagePullSecrets`.
    pub struct ImagePullSecrets {
        /// Whether to use a secret to pull images, too, if its copy is in the pod's namespace.
        pub enabled: bool,
    }
}

init_containers! {
    /// `embeddedSecretManagerConfig.fileMountInitContainer`.
    pub struct FileMountInitContainer(resources: FILE_MOUNT, read_only_root: true) {
        /// Image with `sh` and `base64`.
        image = images::BUSYBOX,
        /// Name of the container.
        #[cfg_attr(feature = "schema", schemars(regex(pattern = patterns::LABEL), length(max = 63)))]
        pub container_name: String = "init-embedded-secret".to_owned(),
    }

    /// `embeddedSecretManagerConfig.pull`, which Flyte does not have.
    pub struct Pull(resources: FILE_MOUNT, read_only_root: true) {
        /// Image of the puller.
        image = images::PULL,
        /// Address of the gateway's listener for pods, such as `https://secret-gateway-pods.flyte.svc:8444`.
        pub gateway: String,
        /// CA certificate of the gateway, in PEM.
        pub ca: String,
        /// Audience of the token that identifies the pod to the gateway.
        pub audience: String = grant::AUDIENCE.to_owned(),
        /// How long a pod retries before it fails, such as `2m`.
        pub patience: String = "2m".to_owned(),
        /// How often to pull files again while the pod runs, such as `5m`. By default never.
        pub refresh: Option<String>,
        /// Whether to pull variables, too. With `false`, requests for variables go to the next manager.
        pub variables: bool = true,
    }
}

impl EmbeddedSecretManager {
    /// Returns `pull`, or its defaults.
    pub fn pull_settings(&self) -> Cow<'_, Pull> {
        self.pull.as_ref().map_or_else(|| Cow::Owned(Pull::default()), Cow::Borrowed)
    }
}

impl Pull {
    /// Returns the init container that runs the puller.
    pub fn puller(&self) -> Container {
        let sidecar = self.refresh.is_some();
        let ready = ["/flyte-secrets-pull", grant::READY];
        let probe = || json!({ "exec": { "command": ready }, "failureThreshold": 3600, "periodSeconds": 1 });
        Container {
            termination_message_policy: Some("FallbackToLogsOnError"),
            restart_policy: sidecar.then_some("Always"),
            startup_probe: sidecar.then(probe),
            ..self.container()
        }
    }
}
