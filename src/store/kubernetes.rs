//! Values in Kubernetes Secrets of one namespace, as Flyte 2 stores them: the Secret is named by a hash, and its
//! `data` holds the value under the whole name.

use std::borrow::Cow;

use super::{decode_base64, describe, not_empty, read, secret_request, Cluster, Error, SecretStore, SecretValue};
use crate::json::{Cursor, Malformed};
use crate::names::{kubernetes, NameScheme, Scope};

pub(super) struct Secrets<'a> {
    pub cluster: &'a dyn Cluster,
    pub namespace: &'a str,
    pub schemes: &'a [NameScheme],
}

impl SecretStore for Secrets<'_> {
    fn names(&self, scope: Scope, key: &str) -> Result<Vec<String>, Error> {
        Ok(scope.candidates(key, self.schemes))
    }

    fn location(&self, name: &str) -> String {
        format!("{name} (Secret {}/{})", self.namespace, kubernetes::secret_name(name))
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
        let encoded = value(&answer, name)
            .map_err(|_| Error::BadValue { object: object(), problem: "something else than a Secret's data" })?
            .ok_or_else(|| Error::NoValue { object: object(), key: name.to_owned() })?;
        not_empty(decode_base64(&encoded, object)?, object)
    }
}

/// `data[name]` of a Secret.
fn value<'a>(secret: &'a [u8], name: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
    let mut value = None;
    let mut cursor = Cursor::new(secret);
    cursor.members(&mut |cursor, key| {
        if key != b"data" || cursor.peek() == Some(b'n') {
            return cursor.pass();
        }
        let data = cursor.members(&mut |cursor, key| match key == name.as_bytes() {
            true => cursor.text_or_null().map(|it| value = it),
            false => cursor.pass(),
        });
        data.map(drop)
    })?;
    Ok(value)
}
