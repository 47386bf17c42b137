//! Values of AWS, GCP and Azure, which a policy cannot reach: one object of the secret gateway's API for each.
//!
//! The gateway returns the stored value as `{"stringValue"}` or `{"binaryValue"}`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Error, GetResource, Reader, SecretValue, Store, decode_base64, value_of};
use crate::settings::Provider;

/// API of the gateway.
pub(super) const API_VERSION: &str = "secret-gateway.flyte.org/v1alpha1";

/// Kind that reports whether a secret exists.
const LOOKUP: &str = "SecretLookup";

/// The object that exists whenever the gateway does.
pub(crate) const READY: GetResource = object(LOOKUP, "ready", &["metadata.name"]);

const fn object<'a>(kind: &'a str, name: &'a str, field_masks: &'a [&'a str]) -> GetResource<'a> {
    GetResource { api_version: API_VERSION, kind, name, namespace: None, field_masks }
}

/// The gateway's report on a secret, without its value.
#[derive(Deserialize)]
pub struct Existing {
    /// Whether it can be an environment variable, if known.
    pub variable: Option<bool>,
    /// Why it cannot be a variable.
    pub problem: Option<String>,
}

/// The fields of an object with a value that are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    string_value: Option<String>,
    binary_value: Option<String>,
}

impl Store<'_> {
    /// Returns the gateway's report on a name.
    ///
    /// # Errors
    /// As for [`Store::fetch`].
    pub fn exists(&self, reader: &Reader, name: &str) -> Result<Existing, Error> {
        let name = [&self.place, name].join(":");
        reader.read_fields(&object(LOOKUP, &name, &["problem", "variable"]), "no lookup result")
    }

    /// Returns the value in `stringValue` or, if that is absent or empty, in `binaryValue`.
    pub(super) fn fetch_from_gateway(&self, reader: &Reader, name: &str) -> Result<SecretValue, Error> {
        let name = [&self.place, name].join(":");
        let request = object(self.provider.facts().kind, &name, &["binaryValue", "stringValue"]);
        let Object { string_value, binary_value } = reader.read_fields(&request, "no value")?;
        let decoded = match string_value.filter(|text| !text.is_empty()) {
            Some(text) if self.provider == Provider::Azure => unpack_azure(&text, self.plain_values),
            Some(text) => Ok(text.into_bytes()),
            None => decode_base64(&binary_value.unwrap_or_default()),
        };
        value_of(&request, decoded)
    }
}

/// Returns the bytes that Flyte has packed into the text of a secret of Azure, which holds text only: `{"type": "STRING" | 0
/// | "BINARY" | 1, "value": …}`, without a type a string. With `plain`, a text that Flyte has not packed is the value.
///
/// Flyte writes the names of the types; its page on Azure shows the numbers. Keys are read in any case, as Go reads
/// them.
///
/// # Errors
/// What is there instead, in words that hold nothing of it.
pub fn unpack_azure(text: &str, plain: bool) -> Result<Vec<u8>, &'static str> {
    unpack_json(text).or_else(|problem| if plain { Ok(text.as_bytes().to_vec()) } else { Err(problem) })
}

fn unpack_json(text: &str) -> Result<Vec<u8>, &'static str> {
    let other = "a value that is not Flyte's {\"type\", \"value\"} JSON";
    let packed: Map<String, Value> = serde_json::from_str(text).map_err(|_| other)?;
    let member = |name: &str| {
        let any_case = || packed.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        packed.get(name).or_else(any_case)
    };
    let value = match member("value") {
        None | Some(Value::Null) => "",
        Some(Value::String(value)) => value,
        Some(_) => return Err(other),
    };
    match member("type") {
        None => Ok(value.as_bytes().to_vec()),
        Some(kind) if *kind == "STRING" || *kind == 0 => Ok(value.as_bytes().to_vec()),
        Some(kind) if *kind == "BINARY" || *kind == 1 => decode_base64(value),
        Some(_) => Err("a value of a type other than STRING and BINARY"),
    }
}
