//! What is particular to a provider of Embedded, but for its section of the settings: the policy, the gateway, the chart and
//! all tools have it from here.

use strum::VariantArray;

use super::de::setting;
use super::{EmbeddedSecretManager, Error};
use crate::names::kubernetes::{is_dns_label, is_dns_subdomain};

setting! {
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
    /// What its secrets are in.
    pub place: &'static str,
    /// The setting with the place, below `embeddedSecretManagerConfig`.
    pub setting: &'static str,
    /// The list of places in the gateway's configuration, below the provider's name in lower case.
    pub places: &'static str,
    /// What a place in the settings must be.
    pub expected: &'static str,
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
        match self {
            Self::Aws => Facts {
                kind: "AWSSecret",
                place: "region",
                setting: "awsConfig.region",
                places: "regions",
                expected: "expected one such as eu-west-1",
                longest: 512,
                characters: "_+=.@-",
            },
            Self::Gcp => Facts {
                kind: "GCPSecret",
                place: "project",
                setting: "gcpConfig.project",
                places: "projects",
                expected: "expected a project ID such as acme-prod",
                longest: 255,
                characters: "_-",
            },
            Self::Azure => Facts {
                kind: "AzureSecret",
                place: "vault",
                setting: "azureConfig.vaultURI",
                places: "vaults",
                expected: "expected one such as https://name.vault.azure.net/",
                longest: 127,
                characters: "-",
            },
            // Names are keys of a Secret.
            Self::K8s => Facts {
                kind: "Secret",
                place: "namespace",
                setting: "k8sConfig.namespace",
                places: "namespaces",
                expected: "must be a DNS label",
                longest: 253,
                characters: "._-",
            },
        }
    }

    /// Checks that a text can be a version of its secrets.
    ///
    /// # Errors
    /// What it must be.
    pub fn check_version(self, version: &str) -> Result<(), &'static str> {
        let consists_of = |is: fn(&u8) -> bool| version.as_bytes().iter().all(is);
        let (valid, expected) = match self {
            // Stages have other characters, too, which the path of an object cannot have.
            Self::Aws => (
                (1..=256).contains(&version.len())
                    && consists_of(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-')),
                "a valid version; expected a stage or an ID of up to 256 of letters, digits, '.', '_' and '-'",
            ),
            Self::Gcp => (
                version == "latest" || (1..=19).contains(&version.len()) && consists_of(u8::is_ascii_digit),
                "a valid version; expected a number or latest",
            ),
            Self::Azure => (
                version.len() == 32 && consists_of(u8::is_ascii_hexdigit),
                "a valid version; expected an ID of 32 hexadecimal digits",
            ),
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
        let is_configured = |it: &Provider| it.is_cloud() && !self.written_place(*it).is_empty();
        let configured: Vec<Provider> = Provider::ALL.iter().copied().filter(is_configured).collect();
        match configured.as_slice() {
            [] => Ok(Provider::K8s),
            [one] => Ok(*one),
            several => {
                let several: Vec<String> = several.iter().map(ToString::to_string).collect();
                let problem = format!("{} are configured; set the field to one of them", several.join(" and "));
                Err(Error::value("embeddedSecretManagerConfig.type", problem))
            }
        }
    }

    /// The region, project, vault's host or namespace of a provider.
    ///
    /// # Errors
    /// It is missing or invalid.
    pub fn place(&self, provider: Provider) -> Result<String, Error> {
        let text = self.written_place(provider);
        let valid = match provider {
            Provider::Aws => text.contains('-') && is_dns_label(text),
            // Old projects have a domain in front, and a colon.
            Provider::Gcp => text.split(':').all(is_dns_subdomain),
            Provider::Azure => {
                return self.azure_config.host().ok_or_else(|| invalid(provider, text));
            }
            Provider::K8s => is_dns_label(text),
        };
        if valid { Ok(text.to_owned()) } else { Err(invalid(provider, text)) }
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

fn invalid(provider: Provider, text: &str) -> Error {
    let Facts { place, setting, expected, .. } = provider.facts();
    let path = ["embeddedSecretManagerConfig.", setting].concat();
    Error::value(&path, format!("invalid {place} {text:?}; {expected}"))
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
