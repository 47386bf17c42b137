//! What secret requests ask for, in words.

use flyte_secrets_policy::secret_request::{self, ANNOTATION_PREFIX, MountRequirement, SecretRequest};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::at;
use crate::source::Pod;

/// What a pod asks for.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// The pod, as people call it; empty for an annotation's value alone.
    pub name: String,
    /// Its secret requests, in the policy's order, and behind them the annotations that hold none.
    pub requests: Vec<Decoded>,
    /// Annotations that start as secret requests do and have no number.
    #[serde(skip)]
    pub ignored: Vec<String>,
}

/// A secret request, or why there is none.
#[derive(Clone, Debug, Serialize)]
pub struct Decoded {
    /// The annotation that holds it, if it is one of a pod's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<String>,
    /// What it asks for.
    #[serde(flatten)]
    pub answer: Answer,
}

/// A secret request, or why there is none.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// What it asks for.
    Request {
        /// Its fields.
        #[serde(serialize_with = "fields")]
        request: SecretRequest,
        /// The same in words.
        asks: String,
    },
    /// The text holds no request.
    Error {
        /// Why.
        error: String,
    },
}

impl Answer {
    fn of(request: SecretRequest) -> Self {
        Self::Request { asks: sentence(&request), request }
    }
}

/// Returns what an annotation's value asks for.
///
/// # Errors
/// It holds no secret request.
pub fn decode(value: &str) -> Result<Answer, secret_request::Unreadable> {
    secret_request::decode(value.trim()).map(Answer::of)
}

/// Reads the secret requests of a pod; unlike the policy, those that can be read also where others cannot.
pub fn read(pod: &Pod) -> Asked {
    let annotations = at(&pod.object, &["metadata", "annotations"]).and_then(Value::as_object);
    let pairs = annotations.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let mut readable = Vec::new();
    let mut unreadable = Vec::new();
    for pair in pairs.filter(|(key, _)| key.starts_with(ANNOTATION_PREFIX)) {
        match secret_request::read([pair].into_iter()) {
            Ok(_) => readable.push(pair),
            Err(error) => unreadable.push((pair.0.to_owned(), Answer::Error { error: error.to_string() })),
        }
    }
    let found = secret_request::read(readable.into_iter()).unwrap_or_default();
    let requests = found.requests.into_iter().map(|it| (it.annotation, Answer::of(it.request)));
    let decoded = |(annotation, answer)| Decoded { annotation: Some(annotation), answer };
    Asked {
        name: pod.name.clone(),
        requests: requests.chain(unreadable).map(decoded).collect(),
        ignored: found.ignored,
    }
}

/// Writes the fields that are not empty; `mount` in the words of the command line.
fn fields<S: Serializer>(request: &SecretRequest, serializer: S) -> Result<S::Ok, S::Error> {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    let texts = [("key", key), ("group", group), ("groupVersion", group_version), ("envVar", env_var)];
    let mount = match mount_requirement {
        MountRequirement::Any => "any".into(),
        MountRequirement::EnvVar => "env".into(),
        MountRequirement::File => "file".into(),
        MountRequirement::Unknown(number) => Value::from(*number),
    };
    let texts =
        texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(field, text)| (field, text.as_str().into()));
    serializer.collect_map(texts.chain([("mount", mount)]))
}

/// Returns what a secret request asks for, in words.
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
            ", as its manager likes best: a variable from Embedded, a file from others".to_owned()
        }
        (MountRequirement::Any, name) => {
            format!(
                ", as its manager likes best: the variable {name} from Embedded, a file from others with its path there"
            )
        }
        (MountRequirement::Unknown(number), _) => {
            format!(", with the mount_requirement {number}, which no manager serves")
        }
    });
    text
}
