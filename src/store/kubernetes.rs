//! Values in Kubernetes Secrets of one namespace, as Flyte 2 stores them: the Secret is named by a hash, and its
//! `data` holds the value under the whole name.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

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
        // Not `data.<name>`: a name may hold dots, which a mask reads as steps.
        let request = secret_request(&hashed, self.namespace, &["data"]);
        let object = || describe(&request);
        let answer = self.cluster.read(&request)?;
        let secret: Secret =
            from_json(&answer).ok_or_else(|| Error::BadValue { object: object(), problem: "no `data` of strings" })?;
        let encoded = secret.data.unwrap_or_default().remove(name).flatten();
        let encoded = encoded.ok_or_else(|| Error::NoValue { object: object(), key: name.to_owned() })?;
        not_empty(decode_base64(&encoded, object)?, object)
    }
}

/// Whether a Secret exists and has a key.
///
/// # Errors
/// The question was not answered.
pub fn has_key(reader: &Reader, namespace: &str, name: &str, key: &str) -> Result<bool, Error> {
    let request = secret_request(name, namespace, &["data"]);
    let answer = match reader.read(&request) {
        Ok(answer) => answer,
        Err(Error::NotFound) => return Ok(false),
        Err(failure) => return Err(failure),
    };
    let keys: Keys = from_json(&answer)
        .ok_or_else(|| Error::BadValue { object: describe(&request), problem: "no `data` of strings" })?;
    Ok(keys.data.is_some_and(|data| data.contains_key(key)))
}

/// A Secret without its values.
#[derive(Deserialize)]
struct Keys {
    data: Option<BTreeMap<String, IgnoredAny>>,
}

/// A Secret, as far as it is read. Values are in base64.
#[derive(Deserialize)]
struct Secret {
    data: Option<BTreeMap<String, Option<String>>>,
}
