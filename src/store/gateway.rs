//! Values of AWS, GCP and Azure, which a policy cannot reach: one object of the secret gateway's API for each.
//!
//! The gateway returns the stored value as `{"stringValue"}` or `{"binaryValue"}`. [`azure_value`] decodes Flyte's JSON
//! in Azure.

use serde::Deserialize;

use super::{Error, GetResource, Reader, SecretValue, Store, azure_value, decode_base64, value_of};
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
            Some(text) if self.provider == Provider::Azure => azure_value::unpack(&text, self.plain_values),
            Some(text) => Ok(text.into_bytes()),
            None => decode_base64(&binary_value.unwrap_or_default()),
        };
        value_of(&request, decoded)
    }
}
