//! Tenancy: checks whether a pod may have the secrets of the scope that its labels claim.
//!
//! Flyte trusts a pod's labels. With `tenancy` set, they must match the namespace, in which the author of a pod needs
//! permissions. Knows neither managers nor stores.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use crate::names::Scope;
use crate::names::kubernetes::{is_dns_label, is_dns_subdomain};
use crate::settings::Tenancy;

/// Why a pod may not have secrets of a scope.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The namespace is not the one that the template yields.
    #[error(
        "namespace {found:?} does not match the pod's labels, which require namespace {expected:?}; correct the \
         labels, or run the task in that namespace"
    )]
    Namespace {
        /// The pod's namespace.
        found: String,
        /// The namespace that the template yields.
        expected: String,
    },
    /// Other labels could yield the same namespace.
    #[error(
        "label {label}={value:?} contains the template's separator {separator:?}, so its namespace is ambiguous; \
         rename it or change tenancy.namespaceTemplate"
    )]
    Ambiguous {
        /// The label.
        label: &'static str,
        /// Its value.
        value: String,
        /// The separator before its value in the template.
        separator: String,
    },
    /// The organization is not in the settings.
    #[error(
        "label organization={0:?} is not in tenancy.organizations; correct the label, or ask the operator to add it"
    )]
    Organization(String),
    /// The service account is not in the settings.
    #[error(
        "service account {0:?} is not in tenancy.serviceAccounts; use another service account, or ask the operator to \
         add it"
    )]
    ServiceAccount(String),
    /// The pod's creator is not in the settings.
    #[error(
        "user {0:?} is not in tenancy.creators, so labels of its pods are not trusted; create the pod through Flyte, or \
         ask the operator to add the user"
    )]
    Creator(String),
}

/// The origin of a pod, as reported by the API server.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's service account.
    pub service_account: &'a str,
    /// The user who creates it (`userInfo.username` of the admission request). It is unknown after admission, at which
    /// the policy has checked it.
    pub creator: Option<&'a str>,
}

/// Checks that a pod may have secrets of `scope`.
///
/// # Errors
/// The pod may not have them.
pub fn check(tenancy: &Tenancy, scope: Scope, origin: &Origin) -> Result<(), Error> {
    let Origin { namespace, service_account, creator } = *origin;
    let names = |allowed: &[String]| allowed.iter().any(|name| name == scope.organization);
    if tenancy.organizations.as_deref().is_some_and(|allowed| !names(allowed)) {
        return Err(Error::Organization(scope.organization.to_owned()));
    }
    if let (Some(allowed), Some(creator)) = (&tenancy.creators, creator)
        && !allowed.iter().any(|it| it.0 == creator)
    {
        return Err(Error::Creator(creator.to_owned()));
    }
    if let Some(template) = &tenancy.namespace_template {
        let expected = template.render(scope);
        if expected != namespace {
            return Err(Error::Namespace { found: namespace.to_owned(), expected });
        }
        template.divides(scope)?;
    }
    if let Some(allowed) = &tenancy.service_accounts {
        let qualified = [namespace, service_account].join("/");
        // The API server has not validated the pod's service account yet.
        if service_account.contains('/') || !allowed.iter().any(|name| name == service_account || *name == qualified) {
            return Err(Error::ServiceAccount(service_account.to_owned()));
        }
    }
    Ok(())
}

impl Tenancy {
    /// Returns the labels that are not verified.
    pub fn unbound_labels(&self) -> impl Iterator<Item = &'static str> {
        let is_bound = |label: Label| {
            let mut templates = self.namespace_template.iter();
            templates.any(|template| template.labels.iter().any(|(_, bound)| *bound == label))
                || label == Label::Organization && self.organizations.is_some()
        };
        let labels = [Label::Organization, Label::Project, Label::Domain];
        labels.into_iter().filter(move |label| self.creators.is_none() && !is_bound(*label)).map(Into::into)
    }
}

/// The user who creates pods: a user name, or a service account as `serviceaccount:NAMESPACE/NAME`, which is read as
/// Kubernetes' user name for it, `system:serviceaccount:NAMESPACE:NAME`.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(try_from = "String")]
pub struct Creator(String);

impl TryFrom<String> for Creator {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix("serviceaccount:").map(|account| account.split_once('/')) {
            Some(Some((namespace, name))) if is_dns_label(namespace) && is_dns_subdomain(name) => {
                Ok(Self(["system:serviceaccount", namespace, name].join(":")))
            }
            None if !text.is_empty() => Ok(Self(text)),
            _ => Err(format!("invalid user {text:?}; expected a user name or serviceaccount:NAMESPACE/NAME")),
        }
    }
}

/// A template of a namespace with `{{ project }}`, `{{ domain }}` and `{{ organization }}` or `{{ org }}`, as Flyte's
/// `namespaceMapping`. Without placeholders it is one namespace, as in Flyte 2.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub struct NamespaceTemplate {
    text: String,
    /// Labels, each after the literal before it.
    labels: Vec<(String, Label)>,
    /// The literal at the end.
    tail: String,
}

#[derive(Clone, Copy, Debug, EnumString, Eq, IntoStaticStr, PartialEq)]
#[strum(serialize_all = "lowercase")]
enum Label {
    #[strum(serialize = "org", to_string = "organization")]
    Organization,
    Domain,
    Project,
}

impl Label {
    fn value(self, scope: Scope<'_>) -> &str {
        match self {
            Self::Organization => scope.organization,
            Self::Domain => scope.domain,
            Self::Project => scope.project,
        }
    }
}

impl TryFrom<String> for NamespaceTemplate {
    type Error = String;

    /// Parses a template.
    fn try_from(text: String) -> Result<Self, String> {
        let mut labels = Vec::new();
        let mut rest = text.as_str();
        while let Some((literal, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or_else(|| format!("{text:?} has an unclosed {{{{"))?;
            let name = name.trim();
            let unknown =
                |_| format!("{{{{ {name} }}}} is not a placeholder; expected project, domain or organization");
            labels.push((literal.to_owned(), name.parse().map_err(unknown)?));
            rest = after;
        }
        if labels.iter().skip(1).any(|(literal, _)| literal.is_empty()) {
            return Err(format!("{text:?} has two placeholders without a separator, so namespaces are ambiguous"));
        }
        if labels.is_empty() && !is_dns_label(&text) {
            let expected = "expected a DNS label, or a template such as {{ project }}-{{ domain }}";
            return Err(format!("invalid namespace {text:?}; {expected}"));
        }
        Ok(Self { labels, tail: rest.to_owned(), text })
    }
}

impl From<NamespaceTemplate> for String {
    fn from(template: NamespaceTemplate) -> Self {
        template.text
    }
}

impl NamespaceTemplate {
    fn render(&self, scope: Scope) -> String {
        let parts = self.labels.iter().flat_map(|(literal, label)| [literal.as_str(), label.value(scope)]);
        parts.chain([self.tail.as_str()]).collect()
    }

    /// Checks that no other labels yield the same namespace. This holds if a separator and the value after it contain
    /// the separator once, including overlaps: then the value starts after its last occurrence in the namespace.
    fn divides(&self, scope: Scope) -> Result<(), Error> {
        for (separator, label) in self.labels.iter().skip(1) {
            let value = label.value(scope).to_owned();
            if [separator.as_str(), &value].concat().rfind(separator) != Some(0) {
                return Err(Error::Ambiguous { label: label.into(), value, separator: separator.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from<'a>(namespace: &'a str, service_account: &'a str) -> Origin<'a> {
        Origin { namespace, service_account, creator: Some("system:serviceaccount:flyte:flyte-binary") }
    }

    const SCOPE: Scope = Scope { organization: "acme", domain: "development", project: "flytesnacks" };

    #[test]
    fn templates() {
        let rendered = |text: &str| NamespaceTemplate::try_from(text.to_owned()).map(|template| template.render(SCOPE));
        assert_eq!(rendered("x-{{org}}-{{project}}.{{domain}}-y"), Ok("x-acme-flytesnacks.development-y".to_owned()));
        let expected = "expected a DNS label, or a template such as {{ project }}-{{ domain }}";
        assert_eq!(rendered(""), Err(format!("invalid namespace \"\"; {expected}")));
    }

    #[test]
    fn namespace_and_service_account_must_both_do() {
        let tenancy = Tenancy {
            namespace_template: NamespaceTemplate::try_from("{{ project }}-{{ domain }}".to_owned()).ok(),
            organizations: None,
            creators: None,
            service_accounts: Some(["default", "flytesnacks-development/trainer"].map(str::to_owned).into()),
        };
        let account = |name: &str| Err(Error::ServiceAccount(name.to_owned()));
        let table = [
            ("flytesnacks-development", "default", Ok(())),
            ("flytesnacks-development", "trainer", Ok(())),
            ("flytesnacks-development", "other", account("other")),
            (
                "elsewhere",
                "default",
                Err(Error::Namespace { found: "elsewhere".into(), expected: "flytesnacks-development".into() }),
            ),
        ];
        for (namespace, name, answer) in table {
            assert_eq!(check(&tenancy, SCOPE, &from(namespace, name)), answer, "{namespace}/{name}");
        }
        assert_eq!(check(&Tenancy::default(), SCOPE, &from("elsewhere", "other")), Ok(()));
    }

    #[test]
    fn organizations_are_those_that_are_named() {
        let tenancy =
            Tenancy { organizations: Some(["globex", "acme"].map(str::to_owned).into()), ..Tenancy::default() };
        let other = Scope { organization: "Acme", ..SCOPE };
        assert_eq!(check(&tenancy, SCOPE, &from("x", "y")), Ok(()));
        assert_eq!(check(&tenancy, other, &from("x", "y")), Err(Error::Organization("Acme".into())));
    }

    #[test]
    fn a_namespace_is_one_tenants() {
        let ambiguous = |label, value: &str, separator: &str| {
            Err(Error::Ambiguous { label, value: value.to_owned(), separator: separator.to_owned() })
        };
        // Template, organization, project and domain.
        let table = [
            ("{{ project }}-{{ domain }}", ["o", "a-b", "c"], Ok(())),
            ("{{ project }}-{{ domain }}", ["o", "a", "b-c"], ambiguous("domain", "b-c", "-")),
            ("{{ project }}--{{ domain }}", ["o", "a", "b-c"], Ok(())),
            ("{{ project }}--{{ domain }}", ["o", "a", "b--c"], ambiguous("domain", "b--c", "--")),
            ("x-{{ domain }}-{{ org }}-y", ["o", "p", "a-b"], Ok(())),
            ("x-{{ domain }}-{{ org }}-y", ["a-b", "p", "c"], ambiguous("organization", "a-b", "-")),
            ("{{ project }}", ["o", "a-b", "c-d"], Ok(())),
            // These separators can overlap themselves.
            ("{{ project }}-x-{{ domain }}", ["o", "a", "x-b"], ambiguous("domain", "x-b", "-x-")),
            ("{{ project }}-x-{{ domain }}", ["o", "a-x", "b"], Ok(())),
            ("{{ project }}aa{{ domain }}", ["o", "b", "ac"], ambiguous("domain", "ac", "aa")),
        ];
        for (text, [organization, project, domain], answer) in table {
            let scope = Scope { organization, domain, project };
            let template = NamespaceTemplate::try_from(text.to_owned()).expect("a template");
            let namespace = template.render(scope);
            let tenancy = Tenancy { namespace_template: Some(template), ..Tenancy::default() };
            assert_eq!(check(&tenancy, scope, &from(&namespace, "default")), answer, "{text} {scope:?}");
        }
    }

    #[test]
    fn creators_are_users_or_service_accounts() {
        let account = "system:serviceaccount:flyte:flyte-binary";
        let table = [
            (account, Ok(account)),
            ("serviceaccount:flyte/flyte-binary", Ok(account)),
            ("jane@example.com", Ok("jane@example.com")),
            ("", Err(())),
            ("serviceaccount:flyte-binary", Err(())),
            ("serviceaccount:flyte/../x", Err(())),
        ];
        for (text, user) in table {
            let creator = Creator::try_from(text.to_owned());
            assert_eq!(creator.clone().map(|it| it.0).map_err(drop), user.map(str::to_owned), "{text}");
            let tenancy = Tenancy { creators: creator.ok().map(|it| vec![it]), ..Tenancy::default() };
            let other = Err(Error::Creator(account.to_owned()));
            let answer = if user.is_ok_and(|user| user != account) { other } else { Ok(()) };
            assert_eq!(check(&tenancy, SCOPE, &from("flyte", "default")), answer, "{text}");
        }
    }
}
