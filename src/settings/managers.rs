//! The sections of the managers K8s, AWS, GCP, Azure and Vault.

use std::collections::BTreeMap;

use super::container::init_containers;
use super::de::settings;
use super::images;
#[cfg(feature = "schema")]
use super::patterns;
use super::resources::SIDECAR;

settings! {
    /// `k8sSecretManager`, which Flyte does not have.
    pub struct K8sSecretManager {
        /// Whether a pod starts without a missing Secret, as in Flyte. With `false` it waits.
        pub optional: bool = true,
        /// Whether to look up the Secret and its key, and try the next manager if they are missing.
        pub verify: bool,
    }

    /// `vaultSecretManager`.
    pub struct VaultSecretManager {
        /// Role that the agent logs in with.
        pub role: String = "flyte".to_owned(),
        /// Deprecated by Flyte: default engine for requests without `group_version`; a number or a string.
        pub kv_version: KvVersion = KvVersion::V2,
        /// Annotations for each pod with a secret from Vault. They override those of the policy; those of the pod override them.
        #[cfg_attr(feature = "schema", schemars(extend("propertyNames" = { "pattern": patterns::ANNOTATION })))]
        pub annotations: BTreeMap<String, String>,
        /// Not in Flyte: with `true`, annotations of the pod override neither `role` nor `annotations`.
        pub lock_annotations: bool,
    }

    /// Version of Vault's key-value engine.
    pub enum KvVersion {
        /// Plain values under `.Data`.
        #[serde(rename = "1")]
        V1,
        /// Versioned values under `.Data.data`.
        #[serde(rename = "2")]
        V2,
    }
}

init_containers! {
    /// `awsSecretManager`.
    pub struct AwsSecretManager(resources: SIDECAR, read_only_root: true) {
        /// Image of the init containers.
        sidecar_image = images::AWS,
    }

    /// `gcpSecretManager`.
    // gcloud writes its state and its log.
    pub struct GcpSecretManager(resources: SIDECAR, read_only_root: false) {
        /// Image of the init containers.
        sidecar_image = images::GCP,
    }

    /// `azureSecretManager`.
    // So does az, with the token.
    pub struct AzureSecretManager(resources: SIDECAR, read_only_root: false) {
        /// Image of the init containers.
        sidecar_image = images::AZURE,
    }
}
