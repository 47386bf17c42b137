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
    /// Secrets of a provider. Those of Kubernetes are only for pods that pull: the API server itself serves Secrets.
    Store(Provider),
    /// Whether a secret exists, in a place of any other kind, and whether it can be a variable, without its value.
    Lookup,
}

impl Kind {
    /// Returns the kinds of the API, in the order of discovery.
    pub fn served() -> impl Iterator<Item = Self> {
        Self::stores().filter(|kind| kind.provider().is_cloud()).chain([Self::Lookup])
    }

    /// Returns the kinds with a provider.
    pub fn stores() -> impl Iterator<Item = Self> {
        Provider::ALL.iter().copied().map(Self::Store)
    }

    /// Returns the name in the field `kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store(provider) => provider.facts().kind,
            Self::Lookup => "SecretLookup",
        }
    }

    /// Returns the name in paths.
    pub fn plural(self) -> String {
        self.singular() + "s"
    }

    /// Returns the singular name for kubectl.
    pub fn singular(self) -> String {
        self.name().to_ascii_lowercase()
    }

    /// Returns the term for the part before the colon.
    pub fn place(self) -> String {
        match self {
            Self::Store(provider) => provider.facts().place.to_owned(),
            Self::Lookup => Provider::ALL.iter().map(|it| it.facts().place).collect::<Vec<_>>().join(" or "),
        }
    }

    /// Returns the key of the list of places in the configuration.
    pub fn places_key(self) -> String {
        match self {
            Self::Store(provider) => {
                format!("providers.{}.{}s", provider.to_string().to_ascii_lowercase(), provider.facts().place)
            }
            Self::Lookup => "providers".to_owned(),
        }
    }

    /// Returns the kind with this name in paths.
    pub fn from_plural(plural: &str) -> Option<Self> {
        Self::served().find(|kind| kind.plural() == plural)
    }

    /// Returns the provider whose rules for versions apply.
    const fn provider(self) -> Provider {
        match self {
            Self::Store(provider) => provider,
            Self::Lookup => Provider::Aws,
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
    /// Region, project or vault.
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
    #[error("invalid secret name: {0}")]
    Secret(String),
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
        kind.provider().check_name(secret).map_err(BadName::Secret)?;
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
    #[error("{what} {place:?} is not served; add it to {key} of the gateway")]
    Place {
        /// Term for the place: region, project, vault or namespace.
        what: String,
        /// The place.
        place: String,
        /// Key of the configuration to which it must be added.
        key: String,
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
        Kind::stores().find(has).unwrap_or(Kind::Lookup)
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

    const AWS: Kind = Kind::Store(Provider::Aws);
    const GCP: Kind = Kind::Store(Provider::Gcp);
    const AZURE: Kind = Kind::Store(Provider::Azure);
    const K8S: Kind = Kind::Store(Provider::K8s);

    fn name(kind: Kind, place: &str, secret: &str) -> Result<Name, BadName> {
        Ok(Name { kind, place: place.to_owned(), secret: secret.to_owned() })
    }

    #[test]
    fn names_are_parsed() {
        let (no_colon, place, secret) = (
            |kind| Err(BadName::NoColon { kind }),
            |kind| Err(BadName::Place { kind }),
            |kind: Kind| Err(BadName::Secret(kind.provider().check_name("").unwrap_err())),
        );
        let version =
            |kind: Kind| Err(BadName::Version { kind, expected: kind.provider().check_version("").unwrap_err() });
        let id = "0123456789abcdef0123456789abcdef";
        let table = [
            (AWS, "us-east-2:u__org__o".to_owned(), name(AWS, "us-east-2", "u__org__o")),
            (AWS, "us-east-2:a+b=c@d.e-f".to_owned(), name(AWS, "us-east-2", "a+b=c@d.e-f")),
            (GCP, "example.com:project:key".to_owned(), name(GCP, "example.com:project", "key")),
            (AZURE, "v.vault.azure.net:1-o".to_owned(), name(AZURE, "v.vault.azure.net", "1-o")),
            (AZURE, "localhost:8443:1-o".to_owned(), name(AZURE, "localhost:8443", "1-o")),
            (AWS, "us-east-2".to_owned(), no_colon(AWS)),
            (AWS, ":x".to_owned(), place(AWS)),
            (AWS, "a/b:x".to_owned(), place(AWS)),
            (AWS, format!("{}:x", "a".repeat(254)), place(AWS)),
            (AWS, "us-east-2:".to_owned(), secret(AWS)),
            (AWS, "us-east-2:a/b".to_owned(), secret(AWS)),
            (AWS, format!("us-east-2:{}", "a".repeat(513)), secret(AWS)),
            (GCP, "p:a.b".to_owned(), secret(GCP)),
            (AZURE, "v:a_b".to_owned(), secret(AZURE)),
            (AZURE, format!("v:{}", "a".repeat(128)), secret(AZURE)),
            (AWS, "us-east-2:k::AWSPREVIOUS".to_owned(), name(AWS, "us-east-2", "k::AWSPREVIOUS")),
            (Kind::Lookup, "us-east-2:k::1".to_owned(), name(Kind::Lookup, "us-east-2", "k::1")),
            (GCP, "example.com:project:key::3".to_owned(), name(GCP, "example.com:project", "key::3")),
            (AZURE, format!("v:1-o::{id}"), name(AZURE, "v", &format!("1-o::{id}"))),
            (AWS, "us-east-2:k::".to_owned(), version(AWS)),
            (AWS, "us-east-2:k::a/b".to_owned(), version(AWS)),
            (AWS, "us-east-2:k::a::b".to_owned(), version(AWS)),
            (AWS, "us-east-2::k".to_owned(), no_colon(AWS)),
            (GCP, "p:k::AWSCURRENT".to_owned(), version(GCP)),
            (AZURE, "v:1-o::latest".to_owned(), version(AZURE)),
            (K8S, "flyte:k::1".to_owned(), version(K8S)),
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
        let place = |what: &str, place: &str, key: &str| {
            let [what, place, key] = [what, place, key].map(str::to_owned);
            Err(NotServed::Place { what, place, key })
        };
        assert_eq!(check(AWS, "us-east-2:u__org__o"), Ok(()));
        assert_eq!(check(AWS, "us-east-2:other"), Err(NotServed::Prefix));
        assert_eq!(check(AWS, "us-east-1:u__org__o"), place("region", "us-east-1", "providers.aws.regions"));
        assert_eq!(check(GCP, "us-east-2:u__org__o"), place("project", "us-east-2", "providers.gcp.projects"));
    }
}
