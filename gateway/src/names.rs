//! Kinds of the API, names of objects as `<place>:<secret>`, and which of them the configuration serves.
//!
//! Knows neither callers nor providers' APIs.

use std::fmt;

use flyte_secrets_policy::names::version;
use flyte_secrets_policy::settings::Provider;

use crate::config::{Config, Pods};

/// A kind of the API, a provider's store, or both.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// AWS Secrets Manager; places are regions.
    Aws,
    /// GCP Secret Manager; places are projects.
    Gcp,
    /// Azure Key Vault; places are hosts of vaults.
    Azure,
    /// Kubernetes Secrets; places are namespaces. Only for pods that pull: the API server itself serves Secrets.
    K8s,
    /// Whether a secret exists, in a place of any other kind, and whether it can be a variable, without its value.
    Lookup,
}

impl Kind {
    /// Kinds of the API, in the order of discovery.
    pub const ALL: [Self; 4] = [Self::Aws, Self::Gcp, Self::Azure, Self::Lookup];

    /// Kinds with a provider.
    pub const STORES: [Self; 4] = [Self::Aws, Self::Gcp, Self::Azure, Self::K8s];

    /// Returns the name in the field `kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aws => "AWSSecret",
            Self::Gcp => "GCPSecret",
            Self::Azure => "AzureSecret",
            Self::K8s => "Secret",
            Self::Lookup => "SecretLookup",
        }
    }

    /// Returns the name in paths.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Aws => "awssecrets",
            Self::Gcp => "gcpsecrets",
            Self::Azure => "azuresecrets",
            Self::K8s => "secrets",
            Self::Lookup => "secretlookups",
        }
    }

    /// Returns the singular name for kubectl.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Aws => "awssecret",
            Self::Gcp => "gcpsecret",
            Self::Azure => "azuresecret",
            Self::K8s => "secret",
            Self::Lookup => "secretlookup",
        }
    }

    /// Returns the term for the part before the colon.
    pub const fn place(self) -> &'static str {
        match self {
            Self::Aws => "region",
            Self::Gcp => "project",
            Self::Azure => "vault host",
            Self::K8s => "namespace",
            Self::Lookup => "region, project, vault host or namespace",
        }
    }

    /// Returns the key of the list of places in the configuration, below `providers`.
    pub const fn places_key(self) -> &'static str {
        match self {
            Self::Aws => "aws.regions",
            Self::Gcp => "gcp.projects",
            Self::Azure => "azure.vaults",
            Self::K8s => "k8s.namespaces",
            Self::Lookup => "aws, gcp, azure or k8s",
        }
    }

    /// Returns the kind with this name in paths.
    pub fn from_plural(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == plural)
    }

    /// Returns the maximum length of the provider's names.
    const fn longest(self) -> usize {
        match self {
            Self::Aws | Self::Lookup => 512,
            Self::Gcp => 255,
            Self::Azure => 127,
            // The limit for a key of `data`.
            Self::K8s => 253,
        }
    }

    /// Returns the provider whose rules for versions apply.
    const fn provider(self) -> Provider {
        match self {
            Self::Aws | Self::Lookup => Provider::Aws,
            Self::Gcp => Provider::Gcp,
            Self::Azure => Provider::Azure,
            Self::K8s => Provider::K8s,
        }
    }

    /// Returns the characters of [`Kind::has`], for messages.
    const fn characters(self) -> &'static str {
        match self {
            Self::Aws | Self::Lookup => "letters, digits and _+=.@-",
            Self::Gcp => "letters, digits, _ and -",
            Self::Azure => "letters, digits and -",
            Self::K8s => "letters, digits and ._-",
        }
    }

    /// Whether names of the provider's secrets can have this character. AWS also allows slashes, which names in
    /// Kubernetes cannot have.
    fn has(self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric()
            || match self {
                Self::Aws | Self::Lookup => b"_+=.@-".contains(&byte),
                Self::Gcp => b"_-".contains(&byte),
                Self::Azure => byte == b'-',
                Self::K8s => b"._-".contains(&byte),
            }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Maximum length of a place: that of a DNS name.
const LONGEST_PLACE: usize = 253;

/// Whether a text can be the name of a region, project or vault host.
pub fn is_place(text: &str) -> bool {
    // Project IDs of a Google domain contain a colon.
    let has = |byte: u8| byte.is_ascii_alphanumeric() || b".:-".contains(&byte);
    (1..=LONGEST_PLACE).contains(&text.len()) && text.bytes().all(has)
}

/// A valid name of an object, `<place>:<secret>` or `<place>:<secret>::<version>`, not necessarily served.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Name {
    /// The kind of the object.
    pub kind: Kind,
    /// Region, project or vault host.
    pub place: String,
    /// Name of the secret in the store, with a version if requested, in the format of [`version::join`].
    pub secret: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.place, self.secret)
    }
}

/// Why a text is not the name of an object.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadName {
    /// It has no colon.
    #[error("invalid name of {kind}: expected `<{place}>:<secret name>`", place = kind.place())]
    NoColon {
        /// The requested kind.
        kind: Kind,
    },
    /// The part before the colon is invalid.
    #[error("invalid {place} before the colon", place = kind.place())]
    Place {
        /// The requested kind.
        kind: Kind,
    },
    /// The part after the colon is invalid.
    #[error("invalid secret name: expected 1 to {longest} {characters}",
        longest = kind.longest(), characters = kind.characters())]
    Secret {
        /// The requested kind.
        kind: Kind,
    },
    /// The part after two colons is invalid.
    #[error("invalid version of an {kind}: expected {expected}")]
    Version {
        /// The requested kind.
        kind: Kind,
        /// The expected form.
        expected: &'static str,
    },
}

impl Name {
    /// Parses a name. Names of secrets have no colon: two separate the version, and the last one before them the place.
    ///
    /// # Errors
    /// A part is invalid. The error does not contain the text, which can be long.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, BadName> {
        let (place, secret, version) = split(text).ok_or(BadName::NoColon { kind })?;
        if !is_place(place) {
            return Err(BadName::Place { kind });
        }
        if !(1..=kind.longest()).contains(&secret.len()) || !secret.bytes().all(|byte| kind.has(byte)) {
            return Err(BadName::Secret { kind });
        }
        if let Some(version) = version {
            kind.provider().check_version(version).map_err(|expected| BadName::Version { kind, expected })?;
        }
        Ok(Self { kind, place: place.to_owned(), secret: version::join(secret, version.unwrap_or_default()) })
    }
}

/// Splits place, secret and version.
fn split(text: &str) -> Option<(&str, &str, Option<&str>)> {
    let (text, version) = version::split(text);
    let (place, secret) = text.rsplit_once(':')?;
    Some((place, secret, version))
}

/// Names that the configuration serves.
#[derive(Clone, Debug)]
pub struct Served {
    config: Config,
}

/// Why a name is not served.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotServed {
    /// Its place is not configured.
    #[error("{what} {place:?} is not served; add it to providers.{key} of the gateway")]
    Place {
        /// Term for the place: region, project, vault or namespace.
        what: &'static str,
        /// The place.
        place: String,
        /// Key of the configuration to which it must be added.
        key: &'static str,
    },
    /// It has none of the prefixes.
    #[error("name matches no served prefix; add one to prefixes of the gateway")]
    Prefix,
}

impl Served {
    /// Returns the names that a configuration serves.
    pub fn new(config: &Config) -> Self {
        Self { config: config.clone() }
    }

    /// Returns the kind of the store with the place in a lookup's name; the store that pods pull from takes precedence.
    /// [`Kind::Lookup`] if there is none.
    pub fn store_of(&self, text: &str) -> Kind {
        let place = split(text).map_or("", |(place, ..)| place);
        if let Some(Ok((kind, known))) = self.config.pods.as_ref().map(Pods::store)
            && known == place
        {
            return kind;
        }
        let has = |kind: &Kind| self.config.providers.places(*kind).iter().any(|known| known == place);
        Kind::STORES.into_iter().find(has).unwrap_or(Kind::Lookup)
    }

    /// Whether pods get values in Azure that Flyte did not encode, unchanged.
    pub fn plain_values(&self) -> bool {
        self.config
            .pods
            .as_ref()
            .is_some_and(|pods| pods.settings.embedded_secret_manager_config.azure_config.plain_values)
    }

    /// Checks that a name is served.
    ///
    /// # Errors
    /// Its place or prefix is not configured.
    pub fn check(&self, name: &Name) -> Result<(), NotServed> {
        let Name { kind, place, secret } = name;
        if !self.config.providers.places(*kind).contains(place) {
            return Err(NotServed::Place { what: kind.place(), place: place.clone(), key: kind.places_key() });
        }
        let prefixes = self.config.prefixes.of(*kind);
        if prefixes.is_empty() || prefixes.iter().any(|prefix| secret.starts_with(prefix.as_str())) {
            Ok(())
        } else {
            Err(NotServed::Prefix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(kind: Kind, place: &str, secret: &str) -> Result<Name, BadName> {
        Ok(Name { kind, place: place.to_owned(), secret: secret.to_owned() })
    }

    #[test]
    fn names_are_parsed() {
        let (no_colon, place, secret) = (
            |kind| Err(BadName::NoColon { kind }),
            |kind| Err(BadName::Place { kind }),
            |kind| Err(BadName::Secret { kind }),
        );
        let version =
            |kind: Kind| Err(BadName::Version { kind, expected: kind.provider().check_version("").unwrap_err() });
        let id = "0123456789abcdef0123456789abcdef";
        let table = [
            (Kind::Aws, "us-east-2:u__org__o".to_owned(), name(Kind::Aws, "us-east-2", "u__org__o")),
            (Kind::Aws, "us-east-2:a+b=c@d.e-f".to_owned(), name(Kind::Aws, "us-east-2", "a+b=c@d.e-f")),
            (Kind::Gcp, "example.com:project:key".to_owned(), name(Kind::Gcp, "example.com:project", "key")),
            (Kind::Azure, "v.vault.azure.net:1-o".to_owned(), name(Kind::Azure, "v.vault.azure.net", "1-o")),
            (Kind::Azure, "localhost:8443:1-o".to_owned(), name(Kind::Azure, "localhost:8443", "1-o")),
            (Kind::Aws, "us-east-2".to_owned(), no_colon(Kind::Aws)),
            (Kind::Aws, ":x".to_owned(), place(Kind::Aws)),
            (Kind::Aws, "a/b:x".to_owned(), place(Kind::Aws)),
            (Kind::Aws, format!("{}:x", "a".repeat(254)), place(Kind::Aws)),
            (Kind::Aws, "us-east-2:".to_owned(), secret(Kind::Aws)),
            (Kind::Aws, "us-east-2:a/b".to_owned(), secret(Kind::Aws)),
            (Kind::Aws, format!("us-east-2:{}", "a".repeat(513)), secret(Kind::Aws)),
            (Kind::Gcp, "p:a.b".to_owned(), secret(Kind::Gcp)),
            (Kind::Azure, "v:a_b".to_owned(), secret(Kind::Azure)),
            (Kind::Azure, format!("v:{}", "a".repeat(128)), secret(Kind::Azure)),
            (Kind::Aws, "us-east-2:k::AWSPREVIOUS".to_owned(), name(Kind::Aws, "us-east-2", "k::AWSPREVIOUS")),
            (Kind::Lookup, "us-east-2:k::1".to_owned(), name(Kind::Lookup, "us-east-2", "k::1")),
            (Kind::Gcp, "example.com:project:key::3".to_owned(), name(Kind::Gcp, "example.com:project", "key::3")),
            (Kind::Azure, format!("v:1-o::{id}"), name(Kind::Azure, "v", &format!("1-o::{id}"))),
            (Kind::Aws, "us-east-2:k::".to_owned(), version(Kind::Aws)),
            (Kind::Aws, "us-east-2:k::a/b".to_owned(), version(Kind::Aws)),
            (Kind::Aws, "us-east-2:k::a::b".to_owned(), version(Kind::Aws)),
            (Kind::Aws, "us-east-2::k".to_owned(), no_colon(Kind::Aws)),
            (Kind::Gcp, "p:k::AWSCURRENT".to_owned(), version(Kind::Gcp)),
            (Kind::Azure, "v:1-o::latest".to_owned(), version(Kind::Azure)),
            (Kind::K8s, "flyte:k::1".to_owned(), version(Kind::K8s)),
        ];
        for (kind, text, wanted) in table {
            assert_eq!(Name::parse(kind, &text), wanted, "{kind} {text}");
        }
    }

    #[test]
    fn only_configured_places_and_prefixes_are_served() {
        let text = "tls: { certFile: c, keyFile: k }\nproviders: { aws: { regions: [us-east-2] } }";
        let served = Served::new(&Config::parse(text).unwrap());
        let check = |kind, text| served.check(&Name::parse(kind, text).unwrap());
        let place = |what, place: &str, key| Err(NotServed::Place { what, place: place.to_owned(), key });
        assert_eq!(check(Kind::Aws, "us-east-2:u__org__o"), Ok(()));
        assert_eq!(check(Kind::Aws, "us-east-2:other"), Err(NotServed::Prefix));
        assert_eq!(check(Kind::Aws, "us-east-1:u__org__o"), place("region", "us-east-1", "aws.regions"));
        assert_eq!(check(Kind::Gcp, "us-east-2:u__org__o"), place("project", "us-east-2", "gcp.projects"));
    }
}
