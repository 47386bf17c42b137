//! `name`: the names of a secret in a store, the commands that store it, and a decoder for names.

use clap::Subcommand;
use clap::builder::PossibleValue;
use flyte_secrets_explain::named;
use flyte_secrets_explain::names::{self, StoredName};
use flyte_secrets_policy::names::NameScheme;
use flyte_secrets_policy::settings::Provider;

use crate::output::{self, Format};
use crate::{Error, choice};

/// Show the names of a secret in each scope, in lookup order
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    query: Option<Query>,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text", global = true)]
    output: Format,
}

#[derive(Subcommand)]
enum Command {
    /// Decode the name of a secret
    Decode {
        /// Name in any store, or of an object of the secret gateway
        name: String,
    },
}

#[derive(clap::Args)]
struct Query {
    /// Organization, as in the pod's label
    #[arg(long, value_name = "NAME")]
    org: String,
    /// Domain; omit it for secrets of the organization
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// Project; omit it for secrets of the domain and the organization
    #[arg(long, value_name = "NAME", requires = "domain")]
    project: Option<String>,
    /// Key of the secret
    #[arg(long)]
    key: String,
    /// Store that holds the secret
    #[arg(long = "for", value_parser = choice(stores(), named::<Provider>), value_name = "STORE", default_value = "k8s")]
    store: Provider,
    /// Name schemes of the broader scopes, in lookup order [default: canonical, documented]
    #[arg(long, value_parser = choice(schemes(), named::<NameScheme>))]
    scheme: Vec<NameScheme>,
    /// Print a command for each scope that stores the secret from standard input, under its first name. For Kubernetes
    /// and the organization flyte, it sets the labels that `flyte get secret` requires
    #[arg(long)]
    command: bool,
    /// Region, project, vault or namespace of the store [default: flyte for Kubernetes]
    #[arg(long)]
    place: Option<String>,
}

fn stores() -> impl Iterator<Item = String> {
    Provider::ALL.iter().map(|it| it.to_string().to_ascii_lowercase())
}

fn schemes() -> [PossibleValue; 2] {
    [("canonical", "As looked up by Flyte's webhook"), ("documented", "As documented in Flyte's AWS guide")]
        .map(|(name, help)| PossibleValue::new(name).help(help))
}

pub fn run(arguments: &Arguments) -> Result<bool, Error> {
    match (&arguments.command, &arguments.query) {
        (Some(Command::Decode { name }), _) => Ok(decode(name, arguments.output)),
        (None, Some(query)) => show(query, arguments.output),
        // clap rejects this.
        (None, None) => Ok(false),
    }
}

fn show(query: &Query, format: Format) -> Result<bool, Error> {
    let Query { org, domain, project, key, store, scheme, command, place } = query;
    let is_kubernetes = *store == Provider::K8s;
    if *command && *store == Provider::Azure && place.is_none() {
        return Err(Error::NoVault);
    }
    let mut found = names::look_up(&names::Query {
        organization: org,
        domain: domain.as_deref(),
        project: project.as_deref(),
        key,
        provider: *store,
        place: place.as_deref(),
        schemes: scheme,
    })?;
    let success = found.iter().any(|named| named.name.is_some());
    if *command {
        found.dedup_by(|second, first| first.scope == second.scope);
    } else {
        found.iter_mut().for_each(|named| named.command = None);
    }
    match format {
        Format::Json => output::json(&found),
        Format::Text if *command => {
            for StoredName { scope, error, command, .. } in &found {
                output::print(&match error {
                    None => format!("# {scope}\n{}\n", command.as_deref().unwrap_or_default()),
                    Some(error) => format!("# {scope}: {error}\n"),
                });
            }
        }
        Format::Text => {
            let heading: &[&str] =
                if is_kubernetes { &["SCOPE", "SECRET", "KEY IN ITS DATA"] } else { &["SCOPE", "NAME"] };
            let rows = found.iter().cloned().map(|StoredName { scope, name, error, secret, .. }| {
                let name = name.unwrap_or_else(|| format!("none: {}", error.unwrap_or_default()));
                match is_kubernetes {
                    true => vec![scope, secret.unwrap_or_default(), name],
                    false => vec![scope, name],
                }
            });
            output::print(&output::table(heading, rows));
        }
    }
    if *command && is_kubernetes {
        let is_labelled =
            |named: &StoredName| named.command.as_deref().unwrap_or_default().contains(names::FLYTE_LABELS);
        output::note(match found.iter().any(is_labelled) {
            true => "the labels app.flyte.org/* let `flyte get secret` find the Secrets",
            false => "`flyte get secret` does not find the Secrets: it reads canonical names of the organization flyte",
        });
    }
    Ok(success)
}

fn decode(name: &str, format: Format) -> bool {
    match names::decode(name) {
        Ok(decoded) if format == Format::Json => output::json(&decoded),
        Ok(decoded) => {
            let fields = serde_json::to_value(decoded).unwrap_or_default();
            for (field, value) in fields.as_object().into_iter().flatten() {
                if let Some(value) = value.as_str().filter(|value| !value.is_empty()) {
                    output::print(&format!("{field:<14}{value}\n"));
                }
            }
        }
        Err(error) => {
            output::error(&error.to_string());
            return false;
        }
    }
    true
}
