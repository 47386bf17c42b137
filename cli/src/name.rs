//! Under which names a secret is stored, and how to store it there; and back from a name.

use clap::{Subcommand, ValueEnum};
use flyte_secrets_policy::names::{self, Decoded, NameScheme, Scope, azure, flyte, kubernetes};
use flyte_secrets_policy::settings::{self, EmbeddedSecretManager, Provider};
use flyte_secrets_policy::store;
use serde_json::{Value, json};

use crate::output::{self, Answer, Format};
use crate::store::Store;

/// Show the names of a secret in each scope, in the order in which they are tried
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    query: Option<Query>,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value = "text", global = true)]
    output: Format,
}

#[derive(Subcommand)]
enum Command {
    /// Show what a name is made of
    Decode {
        /// A name in any store, or an object of the secret gateway
        name: String,
    },
}

#[derive(clap::Args)]
struct Query {
    /// The organization, as in the pod's label
    #[arg(long, value_name = "NAME")]
    org: String,
    /// The domain; without it, the organization's secrets alone
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// The project; without it, the secrets of domain and organization
    #[arg(long, value_name = "NAME", requires = "domain")]
    project: Option<String>,
    /// The secret's key
    #[arg(long)]
    key: String,
    /// The store
    #[arg(long = "for", value_enum, value_name = "STORE")]
    store: Option<StoreKind>,
    /// Which names of the broader scopes, in this order; both without it
    #[arg(long, value_enum)]
    scheme: Vec<Scheme>,
    /// Print the line that stores the secret, with the value from standard input: for each scope, under its first name
    #[arg(long)]
    command: bool,
    /// Region of AWS, project of GCP, name of the Key Vault, or namespace of Kubernetes, which is flyte without it
    #[arg(long)]
    place: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum StoreKind {
    Aws,
    Gcp,
    Azure,
    K8s,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Scheme {
    /// As Flyte's webhook looks them up
    Canonical,
    /// As Flyte's page on AWS documents them
    Documented,
}

/// Why there are no names.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("--{0} {1:?} is no label's value or holds '__'; secrets' names are made of it")]
    Label(&'static str, String),
    #[error("--key {0:?} is no secret's key; write one that is not empty and has no control characters")]
    Key(String),
    #[error("the command for Azure needs the vault; name it with --place")]
    NoVault,
    #[error(transparent)]
    Settings(#[from] settings::Error),
}

/// A name in a scope, or why the scope has none.
struct Named {
    scope: String,
    name: Result<String, store::Error>,
}

pub fn run(arguments: &Arguments) -> Result<Answer, Error> {
    match (&arguments.command, &arguments.query) {
        (Some(Command::Decode { name }), _) => Ok(decode(name, arguments.output)),
        (None, Some(query)) => show(query, arguments.output),
        // clap lets nothing else through.
        (None, None) => Ok(Answer::No),
    }
}

fn show(query: &Query, format: Format) -> Result<Answer, Error> {
    let kind = query.store.unwrap_or(StoreKind::K8s);
    let place = query.place.as_deref();
    if query.command && kind == StoreKind::Azure && place.is_none() {
        return Err(Error::NoVault);
    }
    let mut found = look_up(query, kind)?;
    let answer = Answer::yes_if(found.iter().any(|named| named.name.is_ok()));
    if query.command {
        found.dedup_by(|second, first| first.scope == second.scope);
    }
    let namespace = place.unwrap_or("flyte");
    let secret = |name: &str| format!("{namespace}/{}", kubernetes::secret_name(name));
    match format {
        Format::Json => {
            let rows = found.iter().map(|Named { scope, name }| {
                let mut row = match name {
                    Ok(name) => json!({ "scope": scope, "name": name }),
                    Err(wrong) => json!({ "scope": scope, "error": wrong.to_string() }),
                };
                if let (Ok(name), Some(row)) = (name, row.as_object_mut()) {
                    if kind == StoreKind::K8s {
                        row.insert("secret".to_owned(), json!(secret(name)));
                    }
                    if query.command {
                        row.insert("command".to_owned(), json!(command(kind, place, name)));
                    }
                }
                row
            });
            output::json(&rows.collect::<Value>());
        }
        Format::Text if query.command => {
            for Named { scope, name } in &found {
                match name {
                    Ok(name) => output::print(&format!("# {scope}\n{}\n", command(kind, place, name))),
                    Err(wrong) => output::print(&format!("# {scope}: {wrong}\n")),
                }
            }
        }
        Format::Text => {
            let text = |name: &Result<String, store::Error>| match name {
                Ok(name) => name.clone(),
                Err(wrong) => format!("none: {wrong}"),
            };
            if kind == StoreKind::K8s {
                let rows = found.iter().map(|Named { scope, name }| {
                    let secret = name.as_deref().map(&secret).unwrap_or_default();
                    [scope.clone(), secret, text(name)]
                });
                output::print(&output::table(["SCOPE", "SECRET", "KEY IN ITS DATA"], &rows.collect::<Vec<_>>()));
            } else {
                let rows = found.iter().map(|Named { scope, name }| [scope.clone(), text(name)]);
                output::print(&output::table(["SCOPE", "NAME"], &rows.collect::<Vec<_>>()));
            }
        }
    }
    Ok(answer)
}

/// The names that the policy tries, as its own store says them.
fn look_up(query: &Query, kind: StoreKind) -> Result<Vec<Named>, Error> {
    let scope = Scope {
        organization: &query.org,
        domain: query.domain.as_deref().unwrap_or_default(),
        project: query.project.as_deref().unwrap_or_default(),
    };
    let given = [("org", Some(&query.org)), ("domain", query.domain.as_ref()), ("project", query.project.as_ref())];
    for (name, value) in given {
        if let Some(value) = value.filter(|value| !names::is_part(value)) {
            return Err(Error::Label(name, value.clone()));
        }
    }
    if query.key.is_empty() || query.key.contains(|c: char| c.is_control()) {
        return Err(Error::Key(query.key.clone()));
    }
    let mut config = EmbeddedSecretManager {
        r#type: Some(match kind {
            StoreKind::Aws => Provider::Aws,
            StoreKind::Gcp => Provider::Gcp,
            StoreKind::Azure => Provider::Azure,
            StoreKind::K8s => Provider::K8s,
        }),
        ..EmbeddedSecretManager::default()
    };
    // Any place does: what a name may be does not depend on it.
    (config.aws_config.region, config.gcp_config.project) = ("REGION", "PROJECT");
    config.azure_config.vault_uri = "https://vault";
    if !query.scheme.is_empty() {
        let scheme = |scheme: &Scheme| match scheme {
            Scheme::Canonical => NameScheme::Canonical,
            Scheme::Documented => NameScheme::Documented,
        };
        config.name_schemes = query.scheme.iter().map(scheme).collect();
    }
    let nothing = Store::empty();
    let store = store::open(&config, &nothing)?;
    let mut cascade = scope.cascade().to_vec();
    cascade.dedup();
    let mut found = Vec::new();
    for scope in cascade {
        let named = |name| Named { scope: scope.to_string(), name };
        match store.names(scope, &query.key) {
            Ok(names) => found.extend(names.into_iter().map(|name| match store.fetch(&name) {
                Ok(_) | Err(store::Error::NotFound) => named(Ok(name)),
                Err(wrong) => named(Err(wrong)),
            })),
            Err(wrong) => found.push(named(Err(wrong))),
        }
    }
    Ok(found)
}

/// The line that stores standard input under a name, for a POSIX shell. None of these tools prints the value.
fn command(kind: StoreKind, place: Option<&str>, name: &str) -> String {
    let (filter, words) = match kind {
        StoreKind::Aws => {
            let region = place.map(|region| ["--region", region]).into_iter().flatten();
            let words = ["aws", "secretsmanager", "create-secret"].into_iter().chain(region);
            ("", words.chain(["--name", name, "--secret-string", "file:///dev/stdin"]).map(str::to_owned).collect())
        }
        StoreKind::Gcp => {
            let project = place.map(|project| ["--project", project]).into_iter().flatten();
            let words = ["gcloud", "secrets", "create", name].into_iter().chain(project);
            ("", words.chain(["--replication-policy", "automatic", "--data-file", "-"]).map(str::to_owned).collect())
        }
        StoreKind::Azure => {
            let words = ["az", "keyvault", "secret", "set", "--vault-name", place.unwrap_or_default(), "--name", name];
            let rest = ["--file", "/dev/stdin", "--encoding", "utf-8", "--output", "none"];
            (
                "jq --raw-input --slurp '{type: \"STRING\", value: .}' | ",
                words.into_iter().chain(rest).map(str::to_owned).collect(),
            )
        }
        StoreKind::K8s => {
            let secret = kubernetes::secret_name(name);
            let words = ["kubectl", "create", "secret", "generic", &secret, "--namespace", place.unwrap_or("flyte")];
            let value = format!("--from-file={name}=/dev/stdin");
            ("", words.into_iter().map(str::to_owned).chain([value]).collect::<Vec<String>>())
        }
    };
    // Names hold no NUL, which alone cannot be quoted.
    let quoted = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default();
    format!("{filter}{quoted}")
}

fn decode(name: &str, format: Format) -> Answer {
    // In the names of the gateway's objects the place comes first.
    let stored = name.rsplit_once(':').map_or(name, |(_, stored)| stored);
    let Some((scheme, decoded)) = read(name).or_else(|| read(stored)) else {
        output::error(&format!("{name:?} is no name of a Flyte secret{}", why_not(name)));
        return Answer::No;
    };
    let scope = decoded.scope().to_string();
    let Decoded { organization, domain, project, key } = &decoded;
    let fields = [
        ("scheme", scheme),
        ("scope", &scope),
        ("organization", organization),
        ("domain", domain),
        ("project", project),
        ("key", key),
    ];
    let fields = fields.iter().filter(|(_, value)| !value.is_empty());
    match format {
        Format::Json => {
            output::json(&fields.map(|(field, value)| (field.to_string(), json!(value))).collect::<Value>())
        }
        Format::Text => fields.for_each(|(field, value)| output::print(&format!("{field:<14}{value}\n"))),
    }
    Answer::Yes
}

fn read(name: &str) -> Option<(&'static str, Decoded)> {
    let canonical = flyte::decode(name).map(|decoded| ("canonical", decoded));
    let documented = canonical.or_else(|_| flyte::decode_documented(name).map(|decoded| ("documented", decoded)));
    documented.or_else(|_| azure::decode(name).map(|decoded| ("azure", decoded))).ok()
}

fn why_not(name: &str) -> &'static str {
    let secret = name.rsplit_once('/').map_or(name, |(_, secret)| secret);
    let hex = |text: &str, length| text.len() == length && text.bytes().all(|c| c.is_ascii_hexdigit());
    if hex(secret, 32) {
        ": an MD5 cannot be turned back; the Secret's data holds the value under the whole name"
    } else if secret.strip_prefix("img-pull-").is_some_and(|rest| hex(rest, 16)) {
        ": an image pull secret's name is a hash, which cannot be turned back"
    } else {
        "; u__org__O__domain__D__project__P__key__K or 1-O-D-P-BASE32(K) wanted"
    }
}
