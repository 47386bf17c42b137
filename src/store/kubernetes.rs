//! Values in Kubernetes Secrets of one namespace, as Flyte 2 stores them: the Secret is named by a hash, and its
//! `data` holds the value under the whole name.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Cluster, Error, Lookup, SecretStore, SecretValue, decode_base64, describe, not_empty, read, secret_request,
};
use crate::names::{NameScheme, Scope, kubernetes};

pub(super) struct Secrets<'a> {
    pub cluster: &'a dyn Cluster,
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

    fn fetch(&self, name: &str) -> Result<SecretValue, Error> {
        if !name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.')) {
            return Err(Error::Name(name.to_owned()));
        }
        let hashed = kubernetes::secret_name(name);
        // Not `data.<name>`: a name may hold dots, which a mask reads as steps.
        let request = secret_request(&hashed, self.namespace, &["data"]);
        let object = || describe(&request);
        let answer = read(self.cluster, &request)?;
        let secret: Secret = serde_json::from_slice(&answer)
            .map_err(|_| Error::BadValue { object: object(), problem: "something else than a Secret's data" })?;
        let encoded = secret.data.unwrap_or_default().remove(name).flatten();
        let encoded = encoded.ok_or_else(|| Error::NoValue { object: object(), key: name.to_owned() })?;
        not_empty(decode_base64(&encoded, object)?, object)
    }
}

/// A Secret, as far as it is read. Values are in base64.
#[derive(Deserialize)]
struct Secret {
    data: Option<BTreeMap<String, Option<String>>>,
}
