//! Secret requests in words.

use flyte_secrets_policy::secret_request::{self, ANNOTATION_PREFIX, MountRequirement, SecretRequest};
use flyte_secrets_policy::settings::UnknownFields;
use serde::{Serialize, Serializer};
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
        #[serde(serialize_with = "fields")]
        #[cfg_attr(feature = "schema", schemars(with = "Fields"))]
        request: SecretRequest,
        /// The secret request in words.
        asks: String,
    },
    /// The text is not a secret request.
    Error {
        /// The reason.
        error: String,
    },
}

impl Answer {
    fn of(request: SecretRequest) -> Self {
        Self::Request { asks: sentence(&request), request }
    }
}

/// Decodes the value of an annotation.
///
/// # Errors
/// The value is not a secret request.
pub fn decode(value: &str) -> Result<Answer, secret_request::Unreadable> {
    secret_request::decode(value.trim()).map(Answer::of)
}

/// Decodes the secret requests of a pod. Unlike the policy, it continues after one that is invalid.
pub fn read(pod: &Pod) -> AskedRequests {
    let annotations = at(&pod.object, &["metadata", "annotations"]).and_then(Value::as_object);
    let pairs = annotations.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let mut readable = Vec::new();
    let mut unreadable = Vec::new();
    for pair in pairs.filter(|(key, _)| key.starts_with(ANNOTATION_PREFIX)) {
        match secret_request::read([pair], UnknownFields::Reject) {
            Ok(_) => readable.push(pair),
            Err(error) => unreadable.push((pair.0.to_owned(), Answer::Error { error: error.to_string() })),
        }
    }
    let found = secret_request::read(readable, UnknownFields::Reject).unwrap_or_default();
    let requests = found.requests.into_iter().map(|it| (it.annotation, Answer::of(it.request)));
    let decoded = |(annotation, answer)| DecodedRequest { annotation: Some(annotation), answer };
    AskedRequests {
        name: pod.name.clone(),
        requests: requests.chain(unreadable).map(decoded).collect(),
        ignored: found.ignored,
    }
}

/// The fields of a secret request that are not empty.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SecretRequest"))]
struct Fields<'a> {
    /// The key in the group.
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
    /// The store's object: Secret, Vault path, ARN, GCP secret or Key Vault URI.
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    /// The group's version, or Vault's engine: `kv1`, `kv2`, `db`.
    #[serde(skip_serializing_if = "str::is_empty")]
    group_version: &'a str,
    /// The variable that gets the value or, with a file, its path.
    #[serde(skip_serializing_if = "str::is_empty")]
    env_var: &'a str,
    /// How the task mounts it.
    mount: Mount,
}

/// How a task mounts a secret; the number of a requirement that Flyte does not define.
#[derive(Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
enum Mount {
    Known(KnownMount),
    Unknown(i32),
}

/// Mount requirements, as named by the command line.
#[derive(Serialize)]
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

fn fields<S: Serializer>(request: &SecretRequest, serializer: S) -> Result<S::Ok, S::Error> {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    let mount = match mount_requirement {
        MountRequirement::Any => Mount::Known(KnownMount::Any),
        MountRequirement::EnvVar => Mount::Known(KnownMount::Env),
        MountRequirement::File => Mount::Known(KnownMount::File),
        MountRequirement::Unknown(number) => Mount::Unknown(*number),
    };
    Fields { key, group, group_version, env_var, mount }.serialize(serializer)
}

/// Returns a secret request in words.
pub fn sentence(request: &SecretRequest) -> String {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    let mut text = match (group.as_str(), key.as_str()) {
        ("", "") => "a secret without group and key".to_owned(),
        ("", key) => format!("key {key:?}"),
        (group, "") => format!("group {group:?}"),
        (group, key) => format!("key {key:?} of group {group:?}"),
    };
    if !group_version.is_empty() {
        text.push_str(&format!(" in version {group_version:?}"));
    }
    text.push_str(&match (mount_requirement, env_var.as_str()) {
        (MountRequirement::EnvVar, "") => ", as a variable".to_owned(),
        (MountRequirement::EnvVar, name) => format!(", as the variable {name}"),
        (MountRequirement::File, "") => ", as a file".to_owned(),
        (MountRequirement::File, name) => format!(", as a file whose path is in the variable {name}"),
        (MountRequirement::Any, "") => {
            ", by its manager's default: a variable from Embedded, a file from others".to_owned()
        }
        (MountRequirement::Any, name) => {
            format!(
                ", by its manager's default: the variable {name} from Embedded, a file from others with its path there"
            )
        }
        (MountRequirement::Unknown(number), _) => {
            format!(", with the mount_requirement {number}, which no manager supports")
        }
    });
    text
}
