//! Values in Kubernetes Secrets of one namespace, in Flyte 2's format: the name of the Secret is a hash, and its `data`
//! has the value under the full name.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Error, GetResource, Lookup, Reader, SecretStore, SecretValue, decode_base64, describe, not_empty, secret_request,
};
use crate::from_json;
use crate::names::{NameScheme, Scope, kubernetes};

pub(super) struct Secrets<'a> {
    pub cluster: &'a Reader<'a>,
    pub namespace: &'a str,
    pub schemes: &'a [NameScheme],
}

impl SecretStore for Secrets<'_> {
    fn names(&self, scope: Scope, key: &str) -> Result<Vec<String>, Error> {
        Ok(scope.candidates(key, self.schemes))
    }

    fn lookup(&self, name: &str) -> Lookup {
        let object = format!("Secret {}/{}", self.namespace, kubernetes::secret_name(name));
        Lookup::Name { name: name.to_owned(), object }
    }

    fn guard(&self) -> GetResource<'_> {
        let field_masks = &["metadata.name"];
        GetResource { api_version: "v1", kind: "Namespace", name: self.namespace, namespace: None, field_masks }
    }

    fn fetch(&self, name: &str) -> Result<SecretValue, Error> {
        if !name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.')) {
            return Err(Error::Name(name.to_owned()));
        }
        let hashed = kubernetes::secret_name(name);
        // Not `data.<name>`: dots in a name would be separators in a mask.
        let request = secret_request(&hashed, self.namespace, &["data"]);
        let object = || describe(&request);
        let encoded = data(self.cluster, &request)?.remove(name).flatten();
        let encoded = encoded.ok_or_else(|| Error::NoValue { object: object(), key: name.to_owned() })?;
        not_empty(decode_base64(&encoded, object)?, object)
    }
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

/// The data of a Secret.
fn data(reader: &Reader, request: &GetResource) -> Result<BTreeMap<String, Option<String>>, Error> {
    let bad = || Error::BadValue { object: describe(request), problem: "no `data` of strings" };
    let secret: Secret = from_json(&reader.read(request)?).ok_or_else(bad)?;
    Ok(secret.data.unwrap_or_default())
}

/// The fields of a Secret that are read. Values are in base64.
#[derive(Deserialize)]
struct Secret {
    data: Option<BTreeMap<String, Option<String>>>,
}
