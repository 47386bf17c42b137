//! Versions of secrets, by the provider that has them, and how a name carries one.

use crate::settings::Provider;

/// Separates a name from its version. Names in AWS, GCP and Azure have no colon.
const SEPARATOR: &str = "::";

/// Returns the name of a version of a secret, or of its current one without a version.
pub fn join(name: &str, version: &str) -> String {
    match version {
        "" => name.to_owned(),
        version => [name, version].join(SEPARATOR),
    }
}

/// Splits a name and its version; [`join`] is the inverse.
pub fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once(SEPARATOR).map_or((name, None), |(name, version)| (name, Some(version)))
}

/// Checks that a text can be a version of a provider's secrets.
///
/// # Errors
/// What it must be.
pub fn check(provider: Provider, version: &str) -> Result<(), &'static str> {
    let consists_of = |is: fn(&u8) -> bool| version.as_bytes().iter().all(is);
    let (valid, expected) = match provider {
        // Stages have other characters, too, which the path of an object cannot have.
        Provider::Aws => (
            (1..=256).contains(&version.len())
                && consists_of(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-')),
            "a valid version; expected a stage or an ID of up to 256 of letters, digits, '.', '_' and '-'",
        ),
        Provider::Gcp => (
            version == "latest" || (1..=19).contains(&version.len()) && consists_of(u8::is_ascii_digit),
            "a valid version; expected a number or latest",
        ),
        Provider::Azure => (
            version.len() == 32 && consists_of(u8::is_ascii_hexdigit),
            "a valid version; expected an ID of 32 hexadecimal digits",
        ),
        Provider::K8s => (false, "empty: Secrets have no versions"),
    };
    if valid { Ok(()) } else { Err(expected) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_that_the_provider_can_have() {
        let (id, long) = ("0123456789abcdef0123456789ABCDEF", "a".repeat(256));
        let valid = [
            (Provider::Aws, vec!["AWSPREVIOUS", "8b8c0e3e-4b1e-4f3c-9d0a-0a4b6f1f2e3d", "blue_1.0", &long]),
            (Provider::Gcp, vec!["latest", "1", "0042"]),
            (Provider::Azure, vec![id]),
        ];
        for (provider, versions) in valid {
            for version in versions {
                assert_eq!(check(provider, version), Ok(()), "{provider} {version}");
                assert_eq!(split(&join("a", version)), ("a", Some(version)));
            }
        }
        let too_long = [long.as_str(), "a"].concat();
        let invalid = [
            (Provider::Aws, vec!["", "a/b", "a:b", "..:", "a b", "\u{e9}", &too_long]),
            (Provider::Gcp, vec!["", "LATEST", "-1", "1.0", "prod", "12345678901234567890"]),
            (Provider::Azure, vec!["", "latest", "0123", "0123456789abcdef0123456789abcdeg"]),
            (Provider::K8s, vec!["", "1"]),
        ];
        for (provider, versions) in invalid {
            for version in versions {
                assert!(check(provider, version).is_err(), "{provider} {version:?}");
            }
        }
        assert_eq!((join("a", ""), split("a")), ("a".to_owned(), ("a", None)));
    }
}
