//! Versions of secrets as part of names.

/// Separates a name from its version. Names in AWS, GCP and Azure have no colon.
const SEPARATOR: &str = "::";

/// Returns the name of a version of a secret, or of its current one without a version.
pub fn join(name: &str, version: &str) -> String {
    if version.is_empty() { name.to_owned() } else { [name, version].join(SEPARATOR) }
}

/// Splits a name and its version; [`join`] is the inverse.
pub fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once(SEPARATOR).map_or((name, None), |(name, version)| (name, Some(version)))
}
