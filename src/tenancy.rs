//! Who may have what: whether a pod is where its labels say it belongs, and runs as whom it may.
//!
//! Flyte trusts a pod's own labels. With `tenancy` set, the namespace, which the author of a pod needs rights in, must
//! bear them out. Knows neither managers nor stores.

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
    if let Some(template) = &tenancy.namespace_template {
        let wanted = template.render(scope);
        if wanted != namespace {
            return Err(Error::Namespace { found: namespace.to_owned(), wanted });
        }
    }
    if let Some(allowed) = &tenancy.service_accounts {
        let qualified = [namespace, service_account].join("/");
        if !allowed.iter().any(|name| *name == service_account || *name == qualified) {
            return Err(Error::ServiceAccount(service_account.to_owned()));
        }
    }
    Ok(())
}

/// A namespace with `{{ project }}`, `{{ domain }}` and `{{ organization }}` in it, as Flyte's `namespaceMapping` has
/// it; `{{ org }}` is read as well.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamespaceTemplate<'a>(Vec<Piece<'a>>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Piece<'a> {
    Literal(&'a str),
    Organization,
    Domain,
    Project,
}

/// What stands before and after the first two brackets.
fn split_once(text: &str, brackets: [u8; 2]) -> Option<(&str, &str)> {
    let at = text.as_bytes().windows(2).position(|pair| pair == brackets)?;
    Some((text.get(..at)?, text.get(at + 2..)?))
}

impl<'a> NamespaceTemplate<'a> {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, tail)) = split_once(rest, *b"{{") {
            let (name, after) = split_once(tail, *b"}}").ok_or_else(|| format!("{text:?} has {{{{ without }}}}"))?;
            pieces.push(Piece::Literal(literal));
            pieces.push(match name.trim() {
                "project" => Piece::Project,
                "domain" => Piece::Domain,
                "organization" | "org" => Piece::Organization,
                other => return Err(format!("{{{{ {other} }}}} is none of project, domain and organization")),
            });
            rest = after;
        }
        pieces.push(Piece::Literal(rest));
        if pieces.len() == 1 {
            return Err(format!("{text:?} is the same for every project; use {{{{ project }}}}-{{{{ domain }}}}"));
        }
        Ok(Self(pieces))
    }

    fn render<'s>(&'s self, scope: Scope<'s>) -> String {
        let piece = |piece: &Piece<'a>| match piece {
            Piece::Literal(text) => *text,
            Piece::Organization => scope.organization,
            Piece::Domain => scope.domain,
            Piece::Project => scope.project,
        };
        self.0.iter().map(piece).collect()
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
            ("x-{{org}}-{{project}}{{domain}}", Ok("x-acme-flytesnacksdevelopment".to_owned())),
            ("{{ project }}-{{ name }}", refused("{{ name }} is none of project, domain and organization")),
            ("{{ project", refused("\"{{ project\" has {{ without }}")),
            ("flyte", refused("\"flyte\" is the same for every project; use {{ project }}-{{ domain }}")),
        ];
        for (text, rendered) in table {
            assert_eq!(NamespaceTemplate::parse(text).map(|template| template.render(SCOPE)), rendered, "{text}");
        }
    }

    #[test]
    fn namespace_and_service_account_must_both_do() {
        let tenancy = Tenancy {
            namespace_template: NamespaceTemplate::parse("{{ project }}-{{ domain }}").ok(),
            service_accounts: Some(vec!["default", "flytesnacks-development/trainer"]),
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
}
