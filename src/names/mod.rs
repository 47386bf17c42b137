//! Names of secrets: scopes, and the schemes of each store. Pure functions and their inverses, without stores and pods.

pub mod azure;
pub mod flyte;
pub mod kubernetes;
pub mod version;

use std::fmt;

use crate::settings::de::settings;

settings! {
    /// How the names of the broader scopes are written.
    #[serde(rename_all = "lowercase")]
    pub enum NameScheme {
        /// As Flyte's webhook looks them up.
        Canonical,
        /// As Flyte's page on AWS documents them.
        Documented,
    }
}

/// The scope of a secret: a project in a domain, a domain, or an organization (Flyte's cascade).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scope<'a> {
    /// Label `organization`.
    pub organization: &'a str,
    /// Label `domain`; empty in the organization's scope.
    pub domain: &'a str,
    /// Label `project`; empty in the scopes of domain and organization.
    pub project: &'a str,
}

impl<'a> Scope<'a> {
    /// Returns the scopes that a pod of this project sees, narrowest first.
    pub fn cascade(self) -> [Self; 3] {
        [self, Self { project: "", ..self }, Self { project: "", domain: "", ..self }]
    }

    /// Returns the names of `key` in this scope, in lookup order.
    pub fn candidates(self, key: &str, schemes: &[NameScheme]) -> Vec<String> {
        let mut names = Vec::with_capacity(2);
        for scheme in schemes {
            let name = match scheme {
                NameScheme::Canonical => flyte::encode(self, key),
                NameScheme::Documented => flyte::encode_documented(self, key),
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match (self.project, self.domain) {
            ("", "") => "organization",
            ("", _) => "domain",
            _ => "project",
        })
    }
}

/// Whether a label value can be a part of a name: valid, not empty, and without the separator.
pub fn is_part(value: &str) -> bool {
    kubernetes::is_label_value(value) && !value.as_bytes().windows(2).any(|pair| pair == flyte::SEPARATOR.as_bytes())
}

/// Scope and key of a decoded name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decoded {
    /// Organization.
    pub organization: String,
    /// Domain, or empty.
    pub domain: String,
    /// Project, or empty.
    pub project: String,
    /// The secret's key.
    pub key: String,
}

impl Decoded {
    /// Returns organization, domain, project and key.
    fn of(parts: [&str; 4]) -> Self {
        let [organization, domain, project, key] = parts.map(str::to_owned);
        Self { organization, domain, project, key }
    }

    /// Returns the scope.
    pub fn scope(&self) -> Scope<'_> {
        Scope { organization: &self.organization, domain: &self.domain, project: &self.project }
    }
}

/// An error of encoding or decoding a name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The name is not `u__org__O__domain__D__project__P__key__K`.
    #[error("{0:?} is not a valid secret name; expected u__org__O__domain__D__project__P__key__K")]
    NotFlyte(String),
    /// The name is not `1-O-D-P-B32(K)`.
    #[error("{0:?} is not a valid secret name in Azure Key Vault; expected 1-O-D-P-BASE32(K)")]
    NotAzure(String),
    /// The name exceeds Key Vault's limit.
    #[error("secret name of {0} characters exceeds the limit of 127 in Azure Key Vault; shorten the key")]
    TooLongForAzure(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [NameScheme; 2] = [NameScheme::Canonical, NameScheme::Documented];

    #[test]
    fn broader_scopes_have_two_names_each() {
        let scope = Scope { organization: "o", domain: "d", project: "p" };
        let names = scope.cascade().map(|scope| (scope.to_string(), scope.candidates("k", &BOTH)));
        let table = [
            ("project", vec!["u__org__o__domain__d__project__p__key__k"]),
            ("domain", vec!["u__org__o__domain__d__project____key__k", "u__org__o__domain__d__key__k"]),
            ("organization", vec!["u__org__o__domain____project____key__k", "u__org__o__key__k"]),
        ]
        .map(|(scope, names)| (scope.to_owned(), names.into_iter().map(str::to_owned).collect()));
        assert_eq!(names, table);
    }
}
