//! Values in Kubernetes Secrets of one namespace, in Flyte 2's format: the name of the Secret is a hash, and its `data`
//! has the value under the full name.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Error, GetResource, Reader, SecretValue, decode_base64, secret_request, value_of};
use crate::names::kubernetes::secret_name;

/// Returns the namespace.
pub(super) fn guard(name: &str) -> GetResource<'_> {
    GetResource { api_version: "v1", kind: "Namespace", name, namespace: None, field_masks: &["metadata.name"] }
}

/// Returns the value of a name, as [`Store::fetch`](super::Store::fetch).
pub(super) fn fetch(reader: &Reader, namespace: &str, name: &str) -> Result<SecretValue, Error> {
    if !name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.')) {
        return Err(Error::Name(name.to_owned()));
    }
    let hashed = secret_name(name);
    // Not `data.<name>`: dots in a name would be separators in a mask.
    let request = secret_request(&hashed, namespace, &["data"]);
    let encoded = data(reader, &request)?.remove(name).flatten();
    let encoded = encoded.ok_or_else(|| Error::NoValue(request.to_string(), name.to_owned()))?;
    value_of(&request, decode_base64(&encoded))
}

/// Returns the keys of a Secret; none if it does not exist.
///
/// # Errors
/// The Secret cannot be read.
pub fn keys(reader: &Reader, namespace: &str, name: &str) -> Result<impl Iterator<Item = String>, Error> {
    match data(reader, &secret_request(name, namespace, &["data"])) {
        Err(Error::NotFound) => Ok(BTreeMap::new().into_keys()),
        data => Ok(data?.into_keys()),
    }
}

/// The fields of a Secret that are read. Values are in base64.
#[derive(Deserialize)]
struct Secret {
    data: Option<BTreeMap<String, Option<String>>>,
}

fn data(reader: &Reader, request: &GetResource) -> Result<BTreeMap<String, Option<String>>, Error> {
    let secret: Secret = reader.read_fields(request, "no `data` of strings")?;
    Ok(secret.data.unwrap_or_default())
}
