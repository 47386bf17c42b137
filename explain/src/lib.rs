//! Answers about the policy as data, for the command line and the playground.
//!
//! | module | purpose |
//! |---|---|
//! | [`preview`] | the mutated pod, or the reason for its rejection, and the result of each secret request |
//! | [`names`] | names of a secret in a store, commands that store it, and decoded names |
//! | [`requests`] | secret requests in words |
//! | [`check`] | errors in Flyte's `webhook` section, with their places |
//! | [`flyte`] | Flyte's configuration: merged files, version, defaults |
//! | [`store`] | a cluster with the secrets in a file |
//! | [`source`] | an input text: its documents and pods |
//! | [`yaml`] | YAML with line and column of each value |
//!
//! The core gives all answers: this crate decides nothing about pods. It uses no files, terminal or browser. Answers
//! implement `Serialize`; values are [`serde_json::Value`].

use flyte_secrets_policy::settings;
use serde::de::value::{Error as NoVariant, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde_json::Value;

pub mod check;
pub mod flyte;
pub mod names;
pub mod preview;
pub mod requests;
pub mod source;
pub mod store;
pub mod yaml;

/// An error of this crate. The first field names the text, if there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not YAML.
    #[error("{0} is not YAML: {1}")]
    Yaml(String, yaml::Invalid),
    /// The text has no pod.
    #[error("{0} holds no pod; expected a Pod, a List of Pods, or a workload with a pod template")]
    NoPod(String),
    /// The text has no section `webhook`.
    #[error("{0} holds no webhook section; expected one under the key webhook, as in Flyte's configuration")]
    NoSection(String),
    /// The text has several sections, at these paths.
    #[error("{0} holds {count} webhook sections: {list}; name a file or a ConfigMap with one of them", count = .1.len(), list = .1.join(", "))]
    Sections(String, Vec<String>),
    /// The only section is invalid.
    #[error("{0}: invalid settings: {1}; `flyte-secrets check {0}` shows where")]
    Section(String, settings::Error),
    /// A store has an unknown key, at this place if known.
    #[error("{0} is not a store: expected K8s, AWS, GCP, Azure or Secrets of Kubernetes, found {1:?}")]
    NotStore(String, String, Option<yaml::Place>),
    /// A Secret has no namespace.
    #[error("{0} holds the Secret {1} without a namespace; set metadata.namespace")]
    NoNamespace(String, String),
    /// A part of a name is not a valid label value.
    #[error("{0} {1:?} must be a valid label value without \"__\", the separator in secret names")]
    Label(&'static str, String),
    /// The key is invalid.
    #[error("invalid key {0:?}: must not be empty or contain control characters")]
    Key(String),
    /// The project has no domain.
    #[error("missing domain of project {0:?}")]
    NoDomain(String),
    /// A text is not the name of a Flyte secret, with the reason if known.
    #[error("{0:?} is not the name of a Flyte secret{1}")]
    NoName(String, &'static str),
    /// The settings are invalid.
    #[error("invalid settings: {0}")]
    Settings(#[from] settings::Error),
    /// Placeholders exceed a limit that values do not exceed.
    #[error("the pod would exceed a limit with placeholders instead of values")]
    NoRoom,
}

/// Returns the variant of an enum of the core with this name, case-insensitively.
pub fn named<Enum: DeserializeOwned>(name: &str) -> Option<Enum> {
    let deserializer: StrDeserializer<NoVariant> = name.into_deserializer();
    Enum::deserialize(deserializer).ok()
}

/// Returns the text at a path of keys, or an empty one.
fn text<'v>(value: &'v Value, path: &[&str]) -> &'v str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the value at a path of keys.
fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}
