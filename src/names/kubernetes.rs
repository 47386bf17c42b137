//! Names of objects in Kubernetes: their rules, and hashes of other names.

use md5::Md5;
use sha2::{Digest, Sha256};

use super::Scope;

/// Returns the name of the Secret for the name of a secret: its MD5 in hex, which is short and not for security.
///
/// Source: `EncodeK8sSecretName` of Flyte's webhook.
pub fn secret_name(name: &str) -> String {
    hex::encode(Md5::digest(name))
}

/// Returns the name of a secret's copy for image pulls: `img-pull-` and 16 hex digits.
///
/// Source: `ToImagePullK8sName` of Flyte's webhook.
pub fn image_pull_name(scope: Scope, key: &str) -> String {
    let components = [scope.organization, scope.domain, scope.project, key].join(":");
    format!("img-pull-{:.16}", hex::encode(Sha256::digest(components)))
}

/// Returns the name of a volume. Names longer than 63 characters are hashed.
pub fn volume_name(name: String) -> String {
    if name.len() <= 63 { name } else { format!("{:.63}", hex::encode(Sha256::digest(name))) }
}

/// Whether a text is a DNS label, as required for namespaces and containers: 1 to 63 of `a-z0-9-`, without a hyphen at
/// the ends (`IsDNS1123Label` of apimachinery).
pub fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_dns_part(name)
}

/// Whether a text is a DNS subdomain, as required for most names: parts of `a-z0-9-`, joined by dots, up to 253
/// characters (`IsDNS1123Subdomain` of apimachinery).
pub fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_part)
}

fn is_dns_part(part: &str) -> bool {
    let is_inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !part.is_empty() && part.bytes().all(is_inner) && !part.starts_with('-') && !part.ends_with('-')
}

/// Whether a text is a valid label value (`IsValidLabelValue` of apimachinery) and not empty. The rules are those of
/// names of annotations and resources, too.
pub fn is_label_value(value: &str) -> bool {
    let is_inner = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    let is_end = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    bytes.len() <= 63 && value.bytes().all(is_inner) && is_end(bytes.first()) && is_end(bytes.last())
}

/// Whether a text is a valid key of annotations and resources: a name of up to 63 characters, with an optional domain
/// and slash as prefix (`IsQualifiedName` of apimachinery).
pub fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => is_dns_subdomain(domain) && is_label_value(name),
        None => is_label_value(text),
    }
}
