//! What is particular to a provider of Embedded, but for its section of the settings: the policy, the gateway, the chart and
//! all tools have it from here.

use std::ops::RangeInclusive;

use serde_json::{Value, json};
use strum::VariantArray;

use super::de::settings;
use super::{EmbeddedSecretManager, Error};
use crate::names::kubernetes::{is_dns_label, is_dns_subdomain};

settings! {
    /// Where Embedded fetches.
    #[derive(Hash, Ord, PartialOrd, VariantArray)]
    pub enum Provider {
        /// AWS Secrets Manager, through the secret gateway.
        #[serde(rename = "AWS")]
        Aws,
        /// GCP Secret Manager, through the secret gateway.
        #[serde(rename = "GCP")]
        Gcp,
        /// Azure Key Vault, through the secret gateway.
        Azure,
        /// Kubernetes Secrets of one namespace.
        K8s,
    }
}

/// Names and rules of a provider.
pub struct Facts {
    /// Kind of the objects that hold its values, in the gateway's API or in Kubernetes.
    pub kind: &'static str,
    /// What its secrets are in. With an `s`, the key of a list of them in the gateway's configuration.
    pub place: &'static str,
    /// The setting with the place, below `embeddedSecretManagerConfig`.
    pub setting: &'static str,
    /// A place, as it stands in settings.
    pub example: &'static str,
    /// Length of the longest name of a secret.
    pub longest: usize,
    /// Characters of names besides letters and digits. AWS also has slashes, which names in Kubernetes cannot have.
    pub characters: &'static str,
}

impl Provider {
    /// All providers.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Whether the gateway's API serves it, because the policy cannot reach it.
    pub fn is_cloud(self) -> bool {
        self != Self::K8s
    }

    /// Returns its names and rules.
    #[inline]
    pub const fn facts(self) -> Facts {
        let (kind, place, setting, example, longest, characters) = match self {
            Self::Aws => ("AWSSecret", "region", "awsConfig.region", "eu-west-1", 512, "_+=.@-"),
            Self::Gcp => ("GCPSecret", "project", "gcpConfig.project", "acme-prod", 255, "_-"),
            Self::Azure => ("AzureSecret", "vault", "azureConfig.vaultURI", "https://name.vault.azure.net/", 127, "-"),
            // Names are keys of a Secret.
            Self::K8s => ("Secret", "namespace", "k8sConfig.namespace", "flyte", 253, "._-"),
        };
        Facts { kind, place, setting, example, longest, characters }
    }

    /// Returns settings with which Embedded fetches from it.
    pub fn example(self) -> Value {
        let Facts { setting, example, .. } = self.facts();
        let (section, key) = setting.split_once('.').unwrap_or_default();
        json!({ "embeddedSecretManagerConfig": { "type": self.to_string(), section: { key: example } } })
    }

    /// Checks that a text can be the name of a secret.
    ///
    /// # Errors
    /// What it must be.
    pub fn check_name(self, name: &str) -> Result<(), String> {
        let Facts { longest, characters, .. } = self.facts();
        let has = |byte: u8| byte.is_ascii_alphanumeric() || characters.as_bytes().contains(&byte);
        if (1..=longest).contains(&name.len()) && name.bytes().all(has) {
            return Ok(());
        }
        Err(format!("expected 1 to {longest} letters, digits and {characters}"))
    }

    /// Checks that a text can be a version of its secrets.
    ///
    /// # Errors
    /// What it must be.
    pub fn check_version(self, version: &str) -> Result<(), &'static str> {
        let has = |lengths: RangeInclusive<usize>, is: fn(&u8) -> bool| {
            lengths.contains(&version.len()) && version.as_bytes().iter().all(is)
        };
        let (valid, expected) = match self {
            // Stages have other characters, too, which the path of an object cannot have.
            Self::Aws => (
                has(1..=256, |c| c.is_ascii_alphanumeric() || b"._-".contains(c)),
                "a valid version; expected a stage or an ID of up to 256 of letters, digits, '.', '_' and '-'",
            ),
            Self::Gcp => {
                (version == "latest" || has(1..=19, u8::is_ascii_digit), "a valid version; expected a number or latest")
            }
            Self::Azure => {
                (has(32..=32, u8::is_ascii_hexdigit), "a valid version; expected an ID of 32 hexadecimal digits")
            }
            Self::K8s => (false, "empty: Secrets have no versions"),
        };
        if valid { Ok(()) } else { Err(expected) }
    }
}

impl EmbeddedSecretManager {
    /// The provider: the one that is named or, without a name, the only one that is configured; K8s with none.
    ///
    /// # Errors
    /// Several are configured and none is named.
    pub fn provider(&self) -> Result<Provider, Error> {
        if let Some(named) = self.r#type {
            return Ok(named);
        }
        let is_configured = |it: &&Provider| it.is_cloud() && !self.written_place(**it).is_empty();
        let configured: Vec<&Provider> = Provider::ALL.iter().filter(is_configured).collect();
        match configured.as_slice() {
            [] => Ok(Provider::K8s),
            [one] => Ok(**one),
            several => {
                let several = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
                let problem = format!("{several} are configured; set the field to one of them");
                Err(Error::value("embeddedSecretManagerConfig.type", problem))
            }
        }
    }

    /// The region, project, vault's host or namespace of a provider.
    ///
    /// # Errors
    /// It is missing or invalid.
    pub fn place(&self, provider: Provider) -> Result<String, Error> {
        let written = self.written_place(provider);
        let mut place = written.to_owned();
        let valid = match provider {
            Provider::Aws => place.contains('-') && is_dns_label(&place),
            // Old projects have a domain in front, and a colon.
            Provider::Gcp => place.split(':').all(is_dns_subdomain),
            Provider::Azure => {
                let uri = place.to_ascii_lowercase();
                let host = uri.strip_prefix("https://").unwrap_or_default();
                place = host.strip_suffix('/').unwrap_or(host).to_owned();
                is_dns_subdomain(&place)
            }
            Provider::K8s => is_dns_label(&place),
        };
        if valid {
            return Ok(place);
        }
        let Facts { place, setting, example, .. } = provider.facts();
        let expected = match provider {
            Provider::K8s => "must be a DNS label".to_owned(),
            _ => format!("expected one such as {example}"),
        };
        let path = ["embeddedSecretManagerConfig.", setting].concat();
        Err(Error::value(&path, format!("invalid {place} {written:?}; {expected}")))
    }

    fn written_place(&self, provider: Provider) -> &str {
        match provider {
            Provider::Aws => &self.aws_config.region,
            Provider::Gcp => &self.gcp_config.project,
            Provider::Azure => &self.azure_config.vault_uri,
            Provider::K8s => &self.k8s_config.namespace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::version::{join, split};

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
                assert_eq!(provider.check_version(version), Ok(()), "{provider} {version}");
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
                assert!(provider.check_version(version).is_err(), "{provider} {version:?}");
            }
        }
        assert_eq!((join("a", ""), split("a")), ("a".to_owned(), ("a", None)));
    }
}
