//! Names of a secret in a store, commands that store it, and a decoder for names.

use flyte_secrets_policy::names::{self, Decoded, NameScheme, Scope, azure, flyte, kubernetes};
use flyte_secrets_policy::settings::{self, Provider};
use flyte_secrets_policy::store as stores;
use serde::Serialize;

use crate::Error;
use crate::store::Store;

/// A query for names.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// The label `organization`.
    pub organization: &'a str,
    /// The label `domain`; without it, only the organization's scope.
    pub domain: Option<&'a str>,
    /// The label `project`; without it, the scopes of domain and organization.
    pub project: Option<&'a str>,
    /// The secret's key.
    pub key: &'a str,
    /// The store.
    pub provider: Provider,
    /// Region of AWS, project of GCP, name of the Key Vault, or namespace of Kubernetes [default: `flyte`].
    pub place: Option<&'a str>,
    /// Name schemes of the broader scopes, in this order; both if empty.
    pub schemes: &'a [NameScheme],
}

/// The name of a secret in a scope, or the reason why it has none.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StoredName {
    /// The scope.
    pub scope: String,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The reason why there is no name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Namespace and name of the Secret, in Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Shell command that stores standard input under the name, with the labels by which Flyte 2 lists Secrets. None
    /// for Azure without a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// Returns the names that the policy looks up, in its order.
///
/// # Errors
/// The query is invalid.
pub fn look_up(query: &Query) -> Result<Vec<StoredName>, Error> {
    let Query { organization, domain, project, key, provider, place, schemes } = *query;
    for (label, value) in [("organization", Some(organization)), ("domain", domain), ("project", project)] {
        if let Some(value) = value.filter(|value| !names::is_part(value)) {
            return Err(Error::Label(label, value.to_owned()));
        }
    }
    if let (Some(project), None) = (project, domain) {
        return Err(Error::NoDomain(project.to_owned()));
    }
    if key.is_empty() || key.contains(|c: char| c.is_control()) {
        return Err(Error::Key(key.to_owned()));
    }
    // Names do not depend on the place, which can be any.
    let mut config = settings::parse(&provider.example().to_string())?.embedded_secret_manager_config;
    if !schemes.is_empty() {
        config.name_schemes = schemes.to_vec();
    }
    let nothing = Store::empty();
    let reader = stores::Reader::new(&nothing, usize::MAX);
    let store = stores::Store::open(&config)?;
    let (domain, project) = (domain.unwrap_or_default(), project.unwrap_or_default());
    let mut cascade = Scope { organization, domain, project }.cascade().to_vec();
    cascade.dedup();
    let mut found = Vec::new();
    for scope in cascade {
        let stored = |name: String| {
            let secret = (provider == Provider::K8s).then(|| kubernetes::secret_name(&name));
            let command = command(provider, place, &name, secret.as_deref().unwrap_or_default(), scope);
            let secret = secret.map(|secret| [place.unwrap_or(NAMESPACE), "/", &secret].concat());
            StoredName { scope: scope.to_string(), name: Some(name), error: None, secret, command }
        };
        let none = |error: stores::Error| StoredName {
            scope: scope.to_string(),
            error: Some(error.to_string()),
            ..StoredName::default()
        };
        match store.names(scope, key) {
            Ok(names) => found.extend(names.into_iter().map(|name| match store.fetch(&reader, &name) {
                Ok(_) | Err(stores::Error::NotFound) => stored(name),
                Err(error) => none(error),
            })),
            Err(error) => found.push(none(error)),
        }
    }
    Ok(found)
}

/// The default of `k8sConfig.namespace`.
const NAMESPACE: &str = "flyte";

/// Prefix of the labels of Flyte 2's Secrets.
pub const FLYTE_LABELS: &str = "app.flyte.org/";

/// The only organization of Flyte 2 (`DefaultOrganization`).
const FLYTE_ORGANIZATION: &str = "flyte";

/// Returns the labels by which `flyte get secret` finds a Secret (`secret/service/secret_service.go` of Flyte 2). It
/// lists the Secrets of its only organization, and reads canonical names only.
fn labels(scope: Scope, name: &str) -> Vec<String> {
    if scope.organization != FLYTE_ORGANIZATION || flyte::decode(name).is_err() {
        return Vec::new();
    }
    let labels = [("managed", "true"), ("domain", scope.domain), ("project", scope.project)];
    labels
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{FLYTE_LABELS}{key}={value}"))
        .collect()
}

/// Returns a command for a POSIX shell that stores standard input under a name; in Kubernetes, in this Secret. None of
/// the tools prints the value.
fn command(provider: Provider, place: Option<&str>, name: &str, secret: &str, scope: Scope) -> Option<String> {
    let file = ["--from-file=", name, "=/dev/stdin"].concat();
    let (before, program, flag, place) = match provider {
        Provider::Aws => {
            let program = "aws secretsmanager create-secret --name NAME --secret-string file:///dev/stdin";
            ("", program, "--region", place)
        }
        Provider::Gcp => {
            let program = "gcloud secrets create NAME --replication-policy automatic --data-file -";
            ("", program, "--project", place)
        }
        Provider::Azure => {
            let json = "jq --raw-input --slurp '{type: \"STRING\", value: .}' | ";
            let program = "az keyvault secret set --name NAME --file /dev/stdin --encoding utf-8 --output none";
            (json, program, "--vault-name", Some(vault_name(place?)))
        }
        Provider::K8s => {
            ("", "kubectl create secret generic SECRET FILE", "--namespace", Some(place.unwrap_or(NAMESPACE)))
        }
    };
    let words = program.split(' ').map(|word| match word {
        "NAME" => name,
        "SECRET" => secret,
        "FILE" => &file,
        word => word,
    });
    // Only NUL cannot be quoted, which names and keys cannot contain.
    let create = shlex::try_join(words.chain(place.into_iter().flat_map(|place| [flag, place]))).ok()?;
    let labels = if provider == Provider::K8s { labels(scope, name) } else { Vec::new() };
    if labels.is_empty() {
        return Some([before, &create].concat());
    }
    // `kubectl create secret` has no flag for labels.
    let words = ["kubectl", "label", "secret", secret, flag, place.unwrap_or_default()];
    let label = shlex::try_join(words.into_iter().chain(labels.iter().map(String::as_str))).ok()?;
    Some(format!("{create} && {label}"))
}

/// Returns the name of a vault, which is the first label of its host.
fn vault_name(place: &str) -> &str {
    let host = place.strip_prefix("https://").unwrap_or(place);
    host.split('.').next().unwrap_or(host)
}

/// Scheme of a decoded name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Scheme {
    /// The names that Flyte's webhook looks up.
    Canonical,
    /// The names in Flyte's documentation of AWS Secrets Manager.
    Documented,
    /// The names in Azure Key Vault.
    Azure,
}

/// A decoded name. Missing parts are empty.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DecodedName {
    /// The scheme that the name follows.
    pub scheme: Scheme,
    /// The scope.
    pub scope: String,
    /// The organization.
    pub organization: String,
    /// The domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// The project.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// The secret's key.
    pub key: String,
}

/// Decodes a name in any store, or of an object of the secret gateway.
///
/// # Errors
/// The text is not the name of a secret.
pub fn decode(name: &str) -> Result<DecodedName, Error> {
    // Names of the gateway's objects start with the place.
    let stored = name.rsplit_once(':').map_or(name, |(_, stored)| stored);
    let found = read(name).or_else(|| read(stored));
    found.ok_or_else(|| Error::NoName(name.to_owned(), why_not(name)))
}

fn read(name: &str) -> Option<DecodedName> {
    let canonical = flyte::decode(name).map(|decoded| (Scheme::Canonical, decoded));
    let documented = |_| flyte::decode_documented(name).map(|decoded| (Scheme::Documented, decoded));
    let azure = |_| azure::decode(name).map(|decoded| (Scheme::Azure, decoded));
    let (scheme, decoded) = canonical.or_else(documented).or_else(azure).ok()?;
    let scope = decoded.scope().to_string();
    let Decoded { organization, domain, project, key } = decoded;
    Some(DecodedName { scheme, scope, organization, domain, project, key })
}

fn why_not(name: &str) -> &'static str {
    let secret = name.rsplit_once('/').map_or(name, |(_, secret)| secret);
    let hex = |text: &str, length| text.len() == length && text.bytes().all(|c| c.is_ascii_hexdigit());
    if hex(secret, 32) {
        ": an MD5 hash cannot be decoded; the Secret's data holds the value under the full name"
    } else if secret.strip_prefix("img-pull-").is_some_and(|rest| hex(rest, 16)) {
        ": the name of an image pull secret is a hash, which cannot be decoded"
    } else {
        "; expected u__org__O__domain__D__project__P__key__K or 1-O-D-P-BASE32(K)"
    }
}
