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

use serde::de::value::Error;
use serde::de::{DeserializeOwned, IntoDeserializer};

pub mod check;
pub mod flyte;
pub mod names;
pub mod preview;
pub mod requests;
pub mod source;
pub mod store;
pub mod yaml;

/// Returns the variant of an enum of the core with this name, case-insensitively.
pub fn named<Enum: DeserializeOwned>(name: &str) -> Option<Enum> {
    let deserializer: serde::de::value::StrDeserializer<Error> = name.into_deserializer();
    Enum::deserialize(deserializer).ok()
}

/// Returns the text at a path of keys, or an empty one.
fn text<'v>(value: &'v serde_json::Value, path: &[&str]) -> &'v str {
    at(value, path).and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// Returns the value at a path of keys.
fn at<'v>(value: &'v serde_json::Value, path: &[&str]) -> Option<&'v serde_json::Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}
