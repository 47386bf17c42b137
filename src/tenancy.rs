//! Who may have what: whether a pod is where its labels say it belongs, and runs as whom it may.
//!
//! Flyte trusts a pod's own labels. With `tenancy` set, the namespace, which the author of a pod needs rights in, must
//! bear them out. Knows neither managers nor stores.

use serde::{Deserialize, Serialize};

use crate::names::Scope;
use crate::settings::Tenancy;

/// Why a pod may not have the secrets that it claims.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The namespace is not what the labels yield.
    #[error(
        "the pod is in namespace {found:?}, but secrets of its project, domain and organization are for pods in \
             namespace {wanted:?}; correct the labels, or run the task where its project runs"
    )]
    Namespace {
        /// The pod's.
        found: String,
        /// What the template yields.
        wanted: String,
    },
    /// The labels are not all that the namespace could mean.
    #[error(
        "the pod's label {label} holds {divider:?}, which divides tenancy.namespaceTemplate, so that its namespace could be \
             another project's, too; rename it, or divide the template by something else"
    )]
    Ambiguous {
        /// The label.
        label: &'static str,
        /// What stands before its value in the template.
        divider: String,
    },
    /// The organization is not one of those that the settings name.
    #[error("the pod's label organization is {0:?}, which is none of this cluster's in tenancy.organizations")]
    Organization(String),
    /// The service account is not one of those that the settings name.
    #[error(
        "the pod runs as service account {0:?}, which may have no secrets; the operator names those that may in \
             tenancy.serviceAccounts"
    )]
    ServiceAccount(String),
}

/// Says whether a pod in `namespace`, run as `service_account`, may have secrets of `scope`.
///
/// # Errors
/// It may not, and why.
pub fn check(tenancy: &Tenancy, scope: Scope, namespace: &str, service_account: &str) -> Result<(), Error> {
    let names = |allowed: &[String]| allowed.iter().any(|name| name == scope.organization);
    if tenancy.organizations.as_deref().is_some_and(|allowed| !names(allowed)) {
        return Err(Error::Organization(scope.organization.to_owned()));
    }
    if let Some(template) = &tenancy.namespace_template {
        let wanted = template.render(scope);
        if wanted != namespace {
            return Err(Error::Namespace { found: namespace.to_owned(), wanted });
        }
        template.divides(scope)?;
    }
    if let Some(allowed) = &tenancy.service_accounts {
        let qualified = [namespace, service_account].join("/");
        // The API server has not checked the pod's yet.
        if service_account.contains('/') || !allowed.iter().any(|name| name == service_account || *name == qualified) {
            return Err(Error::ServiceAccount(service_account.to_owned()));
        }
    }
    Ok(())
}

/// A namespace with `{{ project }}`, `{{ domain }}` and `{{ organization }}` in it, as Flyte's `namespaceMapping` has
/// it; `{{ org }}` is read as well.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub struct NamespaceTemplate {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Literal(String),
    Organization,
    Domain,
    Project,
}

impl Piece {
    /// The label that it stands for, and its value.
    fn of<'s>(&'s self, scope: Scope<'s>) -> (&'static str, &'s str) {
        match self {
            Piece::Literal(text) => ("", text),
            Piece::Organization => ("organization", scope.organization),
            Piece::Domain => ("domain", scope.domain),
            Piece::Project => ("project", scope.project),
        }
    }
}

impl TryFrom<String> for NamespaceTemplate {
    type Error = String;

    /// Reads a template; the error says what is wrong with it.
    fn try_from(text: String) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while let Some((literal, tail)) = rest.split_once("{{") {
            let (name, after) = tail.split_once("}}").ok_or_else(|| format!("{text:?} has {{{{ without }}}}"))?;
            pieces.push(Piece::Literal(literal.to_owned()));
            pieces.push(match name.trim() {
                "project" => Piece::Project,
                "domain" => Piece::Domain,
                "organization" | "org" => Piece::Organization,
                other => return Err(format!("{{{{ {other} }}}} is none of project, domain and organization")),
            });
            rest = after;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        let inner = pieces.get(1..pieces.len() - 1).unwrap_or_default();
        if inner.contains(&Piece::Literal(String::new())) {
            return Err(format!("{text:?} has two names side by side, so that several pairs yield one namespace"));
        }
        if pieces.len() == 1 {
            return Err(format!("{text:?} is the same for every project; use {{{{ project }}}}-{{{{ domain }}}}"));
        }
        Ok(Self { text, pieces })
    }
}

impl From<NamespaceTemplate> for String {
    fn from(template: NamespaceTemplate) -> Self {
        template.text
    }
}

impl NamespaceTemplate {
    /// Whether the namespace says of which organization a pod is.
    pub fn binds_organization(&self) -> bool {
        self.pieces.contains(&Piece::Organization)
    }

    fn render(&self, scope: Scope) -> String {
        self.pieces.iter().map(|piece| piece.of(scope).1).collect()
    }

    /// Says whether no other labels yield the same namespace. That is so if what follows a divider does not hold it: then the
    /// last one divides. (Labels start and end with letters or digits.)
    fn divides(&self, scope: Scope) -> Result<(), Error> {
        let (mut divider, mut first) = ("", true);
        for piece in &self.pieces {
            match (piece, piece.of(scope)) {
                (Piece::Literal(text), _) => divider = text,
                (_, (label, value)) if !first && value.contains(divider) => {
                    return Err(Error::Ambiguous { label, divider: divider.to_owned() });
                }
                _ => first = false,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: Scope = Scope { organization: "acme", domain: "development", project: "flytesnacks" };

    #[test]
    fn templates() {
        let refused = |problem: &str| Err(problem.to_owned());
        let table = [
            ("{{ project }}-{{ domain }}", Ok("flytesnacks-development".to_owned())),
            ("x-{{org}}-{{project}}.{{domain}}", Ok("x-acme-flytesnacks.development".to_owned())),
            (
                "{{org}}-{{project}}{{domain}}",
                refused(
                    "\"{{org}}-{{project}}{{domain}}\" has two names side by side, so that several pairs yield one namespace",
                ),
            ),
            ("{{ project }}-{{ name }}", refused("{{ name }} is none of project, domain and organization")),
            ("{{ project", refused("\"{{ project\" has {{ without }}")),
            ("flyte", refused("\"flyte\" is the same for every project; use {{ project }}-{{ domain }}")),
        ];
        for (text, rendered) in table {
            assert_eq!(
                NamespaceTemplate::try_from(text.to_owned()).map(|template| template.render(SCOPE)),
                rendered,
                "{text}"
            );
        }
    }

    #[test]
    fn namespace_and_service_account_must_both_do() {
        let tenancy = Tenancy {
            namespace_template: NamespaceTemplate::try_from("{{ project }}-{{ domain }}".to_owned()).ok(),
            organizations: None,
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
                Err(Error::Namespace { found: "elsewhere".into(), wanted: "flytesnacks-development".into() }),
            ),
        ];
        for (namespace, name, answer) in table {
            assert_eq!(check(&tenancy, SCOPE, namespace, name), answer, "{namespace}/{name}");
        }
        assert_eq!(check(&Tenancy::default(), SCOPE, "elsewhere", "other"), Ok(()));
    }

    #[test]
    fn organizations_are_those_that_are_named() {
        let tenancy =
            Tenancy { organizations: Some(["globex", "acme"].map(str::to_owned).into()), ..Tenancy::default() };
        let other = Scope { organization: "Acme", ..SCOPE };
        assert_eq!(check(&tenancy, SCOPE, "x", "y"), Ok(()));
        assert_eq!(check(&tenancy, other, "x", "y"), Err(Error::Organization("Acme".into())));
    }

    #[test]
    fn a_namespace_is_one_tenants() {
        let ambiguous = |label, divider: &str| Err(Error::Ambiguous { label, divider: divider.to_owned() });
        // Template, organization, project and domain.
        let table = [
            ("{{ project }}-{{ domain }}", ["o", "a-b", "c"], Ok(())),
            ("{{ project }}-{{ domain }}", ["o", "a", "b-c"], ambiguous("domain", "-")),
            ("{{ project }}--{{ domain }}", ["o", "a", "b-c"], Ok(())),
            ("{{ project }}--{{ domain }}", ["o", "a", "b--c"], ambiguous("domain", "--")),
            ("x-{{ domain }}-{{ org }}-y", ["o", "p", "a-b"], Ok(())),
            ("x-{{ domain }}-{{ org }}-y", ["a-b", "p", "c"], ambiguous("organization", "-")),
            ("{{ project }}", ["o", "a-b", "c-d"], Ok(())),
        ];
        for (text, [organization, project, domain], answer) in table {
            let scope = Scope { organization, domain, project };
            let template = NamespaceTemplate::try_from(text.to_owned()).expect("a template");
            let namespace = template.render(scope);
            let tenancy = Tenancy { namespace_template: Some(template), ..Tenancy::default() };
            assert_eq!(check(&tenancy, scope, &namespace, "default"), answer, "{text} {scope:?}");
        }
    }
}
