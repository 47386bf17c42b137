//! Secret requests in words.

use flyte_secrets_policy::secret_request::{self, ANNOTATION_PREFIX, MountRequirement, SecretRequest};
use flyte_secrets_policy::settings::UnknownFields;
use serde::Serialize;
use serde_json::Value;

use crate::at;
use crate::source::Pod;

/// The secret requests of a pod.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AskedRequests {
    /// Kind and name of the pod; empty for the value of an annotation.
    pub name: String,
    /// Its secret requests in the policy's order, followed by annotations that cannot be decoded.
    pub requests: Vec<DecodedRequest>,
    /// Annotations with the prefix of secret requests and without a number.
    #[serde(skip)]
    pub ignored: Vec<String>,
}

/// A decoded secret request, or an error.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DecodedRequest {
    /// The annotation, if it is of a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<String>,
    /// The secret request.
    #[serde(flatten)]
    pub answer: Answer,
}

/// A decoded secret request, or an error.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Answer {
    /// The secret request.
    Request {
        /// Its fields.
        request: Fields,
        /// The secret request in words.
        asks: String,
    },
    /// The text is not a secret request.
    Error {
        /// The reason.
        error: String,
    },
}

/// Decodes the value of an annotation.
pub fn decode(value: &str) -> Answer {
    match secret_request::decode(value.trim()) {
        Ok(request) => request.into(),
        Err(error) => Answer::Error { error: error.to_string() },
    }
}

/// Decodes the secret requests of a pod, with the setting for unknown fields. Unlike the policy, it continues after one
/// that is invalid.
pub fn read(pod: &Pod, unknown_fields: UnknownFields) -> AskedRequests {
    let annotations = at(&pod.object, &["metadata", "annotations"]).and_then(Value::as_object);
    let pairs = annotations.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
    let decoded = |annotation: String, answer| DecodedRequest { annotation: Some(annotation), answer };
    for pair in pairs.filter(|(key, _)| key.starts_with(ANNOTATION_PREFIX)) {
        match secret_request::read([pair], unknown_fields) {
            Ok(_) => readable.push(pair),
            Err(error) => unreadable.push(decoded(pair.0.to_owned(), Answer::Error { error: error.to_string() })),
        }
    }
    let found = secret_request::read(readable, unknown_fields).unwrap_or_default();
    let requests = found.requests.into_iter().map(|it| decoded(it.annotation, it.request.into()));
    AskedRequests { name: pod.name.clone(), requests: requests.chain(unreadable).collect(), ignored: found.ignored }
}

/// The fields of a secret request that are not empty.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SecretRequest"))]
pub struct Fields {
    /// The key in the group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) key: String,
    /// The store's object: Secret, Vault path, ARN, GCP secret or Key Vault URI.
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    /// The group's version, or Vault's engine: `kv1`, `kv2`, `db`.
    #[serde(skip_serializing_if = "String::is_empty")]
    group_version: String,
    /// The variable that gets the value or, with a file, its path.
    #[serde(skip_serializing_if = "String::is_empty")]
    env_var: String,
    /// How the task mounts it.
    mount: Mount,
}

/// How a task mounts a secret; the number of a requirement that Flyte does not define.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
enum Mount {
    Known(KnownMount),
    Unknown(i32),
}

/// Mount requirements, as named by the command line.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
enum KnownMount {
    /// The manager's default.
    Any,
    /// A variable.
    Env,
    /// A file.
    File,
}

/// Returns the mount requirement with this name.
pub fn mount(name: &str) -> Option<MountRequirement> {
    match name {
        "any" => Some(MountRequirement::Any),
        "env" => Some(MountRequirement::EnvVar),
        "file" => Some(MountRequirement::File),
        _ => None,
    }
}

impl From<SecretRequest> for Answer {
    fn from(request: SecretRequest) -> Self {
        let asks = sentence(&request);
        let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
        let mount = match mount_requirement {
            MountRequirement::Any => Mount::Known(KnownMount::Any),
            MountRequirement::EnvVar => Mount::Known(KnownMount::Env),
            MountRequirement::File => Mount::Known(KnownMount::File),
            MountRequirement::Unknown(number) => Mount::Unknown(number),
        };
        Self::Request { request: Fields { key, group, group_version, env_var, mount }, asks }
    }
}

/// Returns a secret request in words.
fn sentence(request: &SecretRequest) -> String {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    let secret = match (group.as_str(), key.as_str()) {
        ("", "") => "a secret without group and key".to_owned(),
        ("", key) => format!("key {key:?}"),
        (group, "") => format!("group {group:?}"),
        (group, key) => format!("key {key:?} of group {group:?}"),
    };
    let version = if group_version.is_empty() { String::new() } else { format!(" in version {group_version:?}") };
    let mount = match (mount_requirement, env_var.as_str()) {
        (MountRequirement::EnvVar, "") => "as a variable".to_owned(),
        (MountRequirement::EnvVar, name) => format!("as the variable {name}"),
        (MountRequirement::File, "") => "as a file".to_owned(),
        (MountRequirement::File, name) => format!("as a file whose path is in the variable {name}"),
        (MountRequirement::Any, "") => {
            "by its manager's default: a variable from Embedded, a file from others".to_owned()
        }
        (MountRequirement::Any, name) => {
            format!(
                "by its manager's default: the variable {name} from Embedded, a file from others with its path there"
            )
        }
        (MountRequirement::Unknown(number), _) => {
            format!("with the mount_requirement {number}, which no manager supports")
        }
    };
    format!("{secret}{version}, {mount}")
}
