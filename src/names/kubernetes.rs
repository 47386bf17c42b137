//! Names of Kubernetes' objects: what they may be, and hashes of the names that may not be theirs.

use md5::Md5;
use sha2::{Digest, Sha256};

use super::Scope;

/// The Secret that holds the value stored under `name`: MD5 in hex, a short name and no protection.
///
/// Source: `EncodeK8sSecretName` of Flyte's webhook.
pub fn secret_name(name: &str) -> String {
    hex::encode(Md5::digest(name.as_bytes()))
}

/// The image-pull twin of a secret: `img-pull-` and 16 hex digits.
///
/// Source: `ToImagePullK8sName` of Flyte's webhook.
pub fn image_pull_name(scope: Scope, key: &str) -> String {
    let components = [scope.organization, scope.domain, scope.project, key].join(":");
    let mut name = hex::encode(Sha256::digest(components.as_bytes()));
    name.truncate(16);
    name.insert_str(0, "img-pull-");
    name
}

/// A volume's name, which Kubernetes limits to 63 characters: longer ones, and only those, are hashed.
pub fn volume_name(name: String) -> String {
    if name.len() <= 63 {
        return name;
    }
    let mut hashed = hex::encode(Sha256::digest(name.as_bytes()));
    hashed.truncate(63);
    hashed
}

/// A DNS label as Kubernetes wants it for namespaces and containers: 1 to 63 of `a-z0-9-`, no hyphen at the ends
/// (`IsDNS1123Label` of apimachinery).
pub fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_dns_part(name)
}

/// A DNS subdomain as Kubernetes wants it for most names: parts of `a-z0-9-`, joined by dots, 253 characters in all
/// (`IsDNS1123Subdomain` of apimachinery).
pub fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_part)
}

fn is_dns_part(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        && !part.starts_with('-')
        && !part.ends_with('-')
}

/// Whether a text is a label's value as Kubernetes wants it (`IsValidLabelValue` of apimachinery), but not empty. Names of
/// annotations and resources are made alike.
pub fn is_label_value(value: &str) -> bool {
    let ends = |c: char| !c.is_ascii_alphanumeric();
    (1..=63).contains(&value.len())
        && value.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        && !value.starts_with(ends)
        && !value.ends_with(ends)
}

/// Whether annotations and resources may be named so: a name of up to 63 characters, perhaps with a domain and a slash in
/// front (`IsQualifiedName` of apimachinery).
pub fn is_qualified_name(text: &str) -> bool {
    let (domain, name) = text.split_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
    domain.is_none_or(is_dns_subdomain) && is_label_value(name)
}
