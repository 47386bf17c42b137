//! Secret requests, decoded from a pod's annotations.
//!
//! Each annotation `flyte.secrets/s<n>` has one request: a `Secret` message in protobuf's text format, in base32. Knows
//! annotations as pairs of strings, and nothing else of Kubernetes.

pub mod base32;
pub mod text_format;

use std::collections::BTreeSet;
use std::fmt;

use crate::cut;
use crate::settings::UnknownFields;

/// Domain of Flyte's annotations.
pub const REQUEST_DOMAIN: &str = "flyte.secrets";

/// Prefix of the annotations that Flyte's webhook reads, followed by `s` and a number.
pub const ANNOTATION_PREFIX: &str = "flyte.secrets/";

/// Prefix of annotations with a secret request.
pub const REQUEST_PREFIX: &str = "flyte.secrets/s";

/// Maximum number of unknown fields of a pod that are reported.
const UNKNOWN: usize = 16;

/// How the task mounts the secret (`Secret.MountType` of flyteidl).
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, strum::Display)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum MountRequirement {
    /// The manager's default: a variable in Embedded, a file in others.
    #[default]
    Any,
    /// An environment variable.
    EnvVar,
    /// A file.
    File,
    /// A number that flyteidl does not define. Go's decoder accepts it, and no manager supports it.
    #[strum(to_string = "{0}")]
    Unknown(i32),
}

impl MountRequirement {
    /// Returns the requirement with this number in flyteidl.
    pub fn from_number(number: i32) -> Self {
        match number {
            0 => Self::Any,
            1 => Self::EnvVar,
            2 => Self::File,
            other => Self::Unknown(other),
        }
    }

    /// Returns the number in flyteidl.
    pub fn number(self) -> i32 {
        match self {
            Self::Any => 0,
            Self::EnvVar => 1,
            Self::File => 2,
            Self::Unknown(number) => number,
        }
    }
}

/// A secret request (`flyteidl.core.Secret`). Empty strings are absent fields.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct SecretRequest {
    /// Object in the store: Secret, Vault path, ARN, GCP secret, Key Vault URI.
    pub group: String,
    /// Version of the group, or Vault's engine: `kv1`, `kv2`, `db`.
    pub group_version: String,
    /// The key in the group.
    pub key: String,
    /// Variable or file.
    pub mount_requirement: MountRequirement,
    /// The variable that gets the value or, with a file, its path.
    pub env_var: String,
}

impl fmt::Display for SecretRequest {
    /// Prints `group/key`, and the version if there is one.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (cut(&self.group), cut(&self.key)) {
            ("", "") => f.write_str("without group and key")?,
            ("", key) => write!(f, "{key:?}")?,
            (group, "") => write!(f, "{group:?}")?,
            (group, key) => write!(f, "{:?}", format_args!("{group}/{key}").to_string())?,
        }
        match cut(&self.group_version) {
            "" => Ok(()),
            version => write!(f, " version {version:?}"),
        }
    }
}

impl SecretRequest {
    /// Returns the fields that are strings, by name.
    pub fn strings(&self) -> [(&'static str, &str); 4] {
        let Self { group, group_version, key, env_var, .. } = self;
        [("group", group), ("group_version", group_version), ("key", key), ("env_var", env_var)]
    }
}

/// A secret request with its annotation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Annotated {
    /// The annotation's key.
    pub annotation: String,
    /// The secret request.
    pub request: SecretRequest,
}

impl fmt::Display for Annotated {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} (annotation {})", self.request, self.annotation)
    }
}

/// An annotation that is not a valid secret request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("annotation {annotation} is not a valid secret request: {problem}; use flytekit to encode it")]
pub struct Error {
    annotation: String,
    problem: Unreadable,
}

/// Why a text is not a secret request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unreadable {
    /// It is not base32.
    #[error(transparent)]
    Base32(#[from] base32::Error),
    /// The decoded text is not a `Secret` message.
    #[error(transparent)]
    TextFormat(#[from] text_format::Error),
}

/// The secret requests of a pod.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Requests {
    /// Requests in the order of their numbers, without duplicates.
    pub requests: Vec<Annotated>,
    /// Annotations with the prefix and without a number. Flyte's webhook rejects such pods.
    pub ignored: Vec<String>,
    /// Annotations, cut, and fields in them that this version does not know; the first 16.
    pub unknown: Vec<(String, String)>,
}

/// Decodes the requests in annotations, which are pairs of key and value. Others are ignored.
///
/// # Errors
/// The first annotation, by number, that is not a valid request.
pub fn read<'a>(
    annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    unknown_fields: UnknownFields,
) -> Result<Requests, Error> {
    let mut numbered = Vec::new();
    let mut found = Requests::default();
    for (key, value) in annotations {
        if let Some(number) = number_of(key) {
            let significant = number.trim_start_matches('0');
            // By number of any length, then by spelling: s2 before s10, s1 after s01.
            numbered.push(((significant.len(), significant, number), key, value));
        } else if key.starts_with(ANNOTATION_PREFIX) {
            found.ignored.push(key.to_owned());
        }
    }
    numbered.sort_unstable();
    let mut known = BTreeSet::new();
    for (_, annotation, value) in numbered {
        let mut unknown = Vec::new();
        let request = decode_with(value, unknown_fields, &mut unknown)
            .map_err(|problem| Error { annotation: annotation.to_owned(), problem })?;
        let room = UNKNOWN.saturating_sub(found.unknown.len());
        found.unknown.extend(unknown.into_iter().take(room).map(|field| (cut(annotation).to_owned(), field)));
        if known.insert(request.clone()) {
            found.requests.push(Annotated { annotation: annotation.to_owned(), request });
        }
    }
    Ok(found)
}

/// Returns the digits of a request's annotation; `None` for other annotations.
pub fn number_of(annotation: &str) -> Option<&str> {
    let number = annotation.strip_prefix(REQUEST_PREFIX)?;
    (!number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())).then_some(number)
}

/// Decodes the value of an annotation.
///
/// # Errors
/// The value is not a secret request.
pub fn decode(value: &str) -> Result<SecretRequest, Unreadable> {
    decode_with(value, UnknownFields::Reject, &mut Vec::new())
}

fn decode_with(value: &str, fields: UnknownFields, unknown: &mut Vec<String>) -> Result<SecretRequest, Unreadable> {
    Ok(text_format::parse_with(&base32::decode(value)?, fields, unknown)?)
}

/// Encodes a request as Flyte does; the inverse of [`decode`].
pub fn encode(request: &SecretRequest) -> String {
    base32::encode(text_format::write(request).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(text: &str) -> String {
        base32::encode(text.as_bytes())
    }

    #[test]
    fn requests_come_in_the_order_of_their_numbers_and_once() {
        let (a, b) = (annotation("key:'a'"), annotation("key:'b'"));
        let annotations = [
            ("flyte.secrets/s10", a.as_str()),
            ("flyte.secrets/s2", b.as_str()),
            ("flyte.secrets/s99999999999999999999999", b.as_str()),
            ("flyte.secrets/source", "x"),
            ("flyte.secrets/s", a.as_str()),
            ("flyte.secrets/s-1", a.as_str()),
            ("other", "x"),
        ];
        let found = read(annotations, UnknownFields::Reject);
        let request = |key: &str| SecretRequest { key: key.to_owned(), ..SecretRequest::default() };
        assert_eq!(
            found,
            Ok(Requests {
                requests: vec![
                    Annotated { annotation: "flyte.secrets/s2".to_owned(), request: request("b") },
                    Annotated { annotation: "flyte.secrets/s10".to_owned(), request: request("a") },
                ],
                ignored: ["flyte.secrets/source", "flyte.secrets/s", "flyte.secrets/s-1"].map(str::to_owned).into(),
                unknown: Vec::new(),
            })
        );
    }

    #[test]
    fn a_malformed_annotation_is_named() {
        let bad = annotation("key:k");
        let annotations = [("flyte.secrets/s0", "?"), ("flyte.secrets/s1", bad.as_str())];
        let found = read(annotations, UnknownFields::Reject);
        assert_eq!(
            found.map_err(|wrong| wrong.to_string()),
            Err("annotation flyte.secrets/s0 is not a valid secret request: invalid base32 character at position 0; \
                 use flytekit to encode it"
                .to_owned())
        );
    }

    #[test]
    fn unknown_fields_are_passed_over_if_told() {
        let read_text = |text: &str, unknown| {
            let value = annotation(text);
            read([("flyte.secrets/s0", value.as_str())], unknown)
        };
        let wrapped = "key:'k' new { a: [1, 2] b: <c:'}'> } other:-1, group:'g' last:'x' 'y'";
        let found = read_text(wrapped, UnknownFields::Warn).map(|found| (found.requests, found.unknown));
        let request = SecretRequest { group: "g".to_owned(), key: "k".to_owned(), ..SecretRequest::default() };
        let name = || "flyte.secrets/s0".to_owned();
        let unknown = ["new", "other", "last"].map(|field| (name(), field.to_owned())).into();
        assert_eq!(found, Ok((vec![Annotated { annotation: name(), request }], unknown)));
        for malformed in ["new", "new:", "new {", "new }", "new ;", "new:'", "new ["] {
            assert!(read_text(malformed, UnknownFields::Warn).is_err(), "{malformed}");
        }
        assert!(read_text(wrapped, UnknownFields::Reject).is_err());
    }
}
