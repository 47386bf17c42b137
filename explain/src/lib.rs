//! What people ask of the policy, and its own answers: as data, which the command line and the playground show.
//!
//! | module | holds |
//! |---|---|
//! | [`preview`] | the pod as it will be, or why it is rejected, and what becomes of each secret request |
//! | [`names`] | under which names a secret is stored, how to store it there, and what a name is made of |
//! | [`requests`] | what secret requests ask for, in words |
//! | [`check`] | what is wrong in Flyte's `webhook` section, and where |
//! | [`flyte`] | Flyte's configuration as Flyte reads it: its files merged, its version, its defaults |
//! | [`store`] | a cluster with the secrets that somebody has written down |
//! | [`source`] | a text that somebody has given: its documents, the pods in it |
//! | [`yaml`] | YAML with the places where things stand, and YAML for people to read |
//!
//! All answers are the core's: nothing here decides what becomes of a pod. No files, no terminal, no browser. Answers are types
//! that serde writes; values are [`serde_json::Value`].

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

/// Returns the variant of one of the core's enums that has this name, in any case.
pub fn named<Enum: DeserializeOwned>(name: &str) -> Option<Enum> {
    let deserializer: serde::de::value::StrDeserializer<Error> = name.into_deserializer();
    Enum::deserialize(deserializer).ok()
}

/// Returns the text at the end of a path of keys; empty if there is none.
fn text<'v>(value: &'v serde_json::Value, path: &[&str]) -> &'v str {
    at(value, path).and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// Returns what stands at the end of a path of keys.
fn at<'v>(value: &'v serde_json::Value, path: &[&str]) -> Option<&'v serde_json::Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}
