//! Values of AWS, GCP and Azure, which a policy cannot reach: one object of the secret gateway's API for each.
//!
//! The gateway returns the stored value as `{"stringValue"}` or `{"binaryValue"}`. [`azure_value`] decodes Flyte's JSON
//! in Azure.

use serde::Deserialize;

use super::azure_value;
use super::{Error, GetResource, Lookup, Reader, SecretStore, SecretValue, decode_base64, describe, not_empty};
use crate::from_json;
use crate::names::{NameScheme, Scope, azure};
use crate::settings::EmbeddedSecretManager;

/// API of the gateway.
pub(super) const API_VERSION: &str = "secret-gateway.flyte.org/v1alpha1";

/// Kind that reports whether a secret exists.
const LOOKUP: &str = "SecretLookup";

pub(super) struct Gateway<'a> {
    pub(super) cluster: &'a Reader<'a>,
    pub(super) kind: &'static str,
    /// Region, project or vault host: the part of an object's name before the colon.
    pub(super) place: String,
    /// Empty for Azure, which has a scheme of its own.
    pub(super) schemes: &'a [NameScheme],
    /// Whether values in Azure that are not Flyte's JSON are used unchanged.
    pub(super) plain_values: bool,
}

impl SecretStore for Gateway<'_> {
    fn names(&self, scope: Scope, key: &str) -> Result<Vec<String>, Error> {
        match self.schemes {
            [] => Ok(vec![azure::encode(scope, key)?]),
            // A colon separates the place and the version.
            _ if key.bytes().any(|c| c == b':') => Err(Error::Name(key.to_owned())),
            schemes => Ok(scope.candidates(key, schemes)),
        }
    }

    fn lookup(&self, name: &str) -> Lookup {
        Lookup::Name { name: name.to_owned(), object: format!("{} in {}", self.kind, self.place) }
    }

    fn guard(&self) -> GetResource<'_> {
        ready()
    }

    fn fetch(&self, name: &str) -> Result<SecretValue, Error> {
        let name = [&self.place, name].join(":");
        let request = GetResource {
            api_version: API_VERSION,
            kind: self.kind,
            name: &name,
            namespace: None,
            field_masks: &["binaryValue", "stringValue"],
        };
        let object = || describe(&request);
        let answer = self.cluster.read(&request)?;
        let bytes = self.open(&answer, object)?;
        not_empty(bytes, object)
    }
}

impl Gateway<'_> {
    /// Returns the bytes in `{"stringValue": …}` or, if that is absent or empty, `{"binaryValue": …}`.
    fn open(&self, answer: &[u8], object: impl Fn() -> String) -> Result<Vec<u8>, Error> {
        let bad = |problem| Error::BadValue { object: object(), problem };
        let Object { string_value, binary_value } = from_json(answer).ok_or_else(|| bad("no value"))?;
        match (string_value.filter(|text| !text.is_empty()), binary_value) {
            (Some(text), _) if self.schemes.is_empty() => azure_value::open(&text, self.plain_values).map_err(bad),
            (Some(text), _) => Ok(text.into_bytes()),
            (None, Some(encoded)) => decode_base64(&encoded, &object),
            (None, None) => Ok(Vec::new()),
        }
    }
}

/// Returns the object that exists whenever the gateway does.
pub fn ready() -> GetResource<'static> {
    let field_masks = &["metadata.name"];
    GetResource { api_version: API_VERSION, kind: LOOKUP, name: "ready", namespace: None, field_masks }
}

/// The gateway's report on a secret, without its value.
#[derive(Default, Deserialize)]
pub struct Existing {
    /// Whether it can be an environment variable, if known.
    pub variable: Option<bool>,
    /// Why it cannot be a variable.
    pub problem: Option<String>,
}

/// Returns the gateway's report on a name in the store of the settings, without its value.
///
/// # Errors
/// As for reads.
pub fn exists(settings: &EmbeddedSecretManager, reader: &Reader, name: &str) -> Result<Existing, Error> {
    // Settings without a store have been rejected before.
    let place = settings.provider().and_then(|provider| settings.place(provider)).unwrap_or_default();
    let name = [&place, name].join(":");
    let field_masks = &["problem", "variable"];
    let request = GetResource { api_version: API_VERSION, kind: LOOKUP, name: &name, namespace: None, field_masks };
    let answer = reader.read(&request)?;
    from_json(&answer).ok_or_else(|| Error::BadValue { object: describe(&request), problem: "no lookup result" })
}

/// The fields of an object of the gateway's API that are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    string_value: Option<String>,
    binary_value: Option<String>,
}
