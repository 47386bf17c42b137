//! `name`: the names of a secret in a store, the commands that store it, and a decoder for names.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Subcommand, ValueEnum};
use flyte_secrets_explain::names::{self, DecodedName, StoredName};
use flyte_secrets_policy::names::NameScheme;
use flyte_secrets_policy::settings::Provider;

use crate::output::{self, Answer, Format};

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
    #[arg(long = "for", value_parser = stores(), value_name = "STORE", default_value = "k8s")]
    store: Provider,
    /// Name schemes of the broader scopes, in lookup order [default: canonical, documented]
    #[arg(long, value_enum)]
    scheme: Vec<Scheme>,
    /// Print a command for each scope that stores the secret from standard input, under its first name. For Kubernetes
    /// and the organization flyte, it sets the labels that `flyte get secret` requires
    #[arg(long)]
    command: bool,
    /// Region, project, vault or namespace of the store [default: flyte for Kubernetes]
    #[arg(long)]
    place: Option<String>,
}

/// Returns the providers by their names in lower case.
fn stores() -> impl TypedValueParser<Value = Provider> {
    let names = Provider::ALL.iter().map(|it| it.to_string().to_ascii_lowercase());
    PossibleValuesParser::new(names).map(|name| {
        let named = |it: &Provider| it.to_string().eq_ignore_ascii_case(&name);
        Provider::ALL.iter().copied().find(named).unwrap_or(Provider::K8s)
    })
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Scheme {
    /// As looked up by Flyte's webhook
    Canonical,
    /// As documented in Flyte's AWS guide
    Documented,
}

impl From<Scheme> for NameScheme {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Canonical => Self::Canonical,
            Scheme::Documented => Self::Documented,
        }
    }
}

/// An error of a lookup or of its arguments.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("missing vault for the Azure command; set --place")]
    NoVault,
    #[error(transparent)]
    Names(#[from] names::Error),
}

pub fn run(arguments: &Arguments) -> Result<Answer, Error> {
    match (&arguments.command, &arguments.query) {
        (Some(Command::Decode { name }), _) => Ok(decode(name, arguments.output)),
        (None, Some(query)) => show(query, arguments.output),
        // clap rejects this.
        (None, None) => Ok(Answer::No),
    }
}

fn show(query: &Query, format: Format) -> Result<Answer, Error> {
    if query.command && query.store == Provider::Azure && query.place.is_none() {
        return Err(Error::NoVault);
    }
    let schemes: Vec<NameScheme> = query.scheme.iter().copied().map(NameScheme::from).collect();
    let mut found = names::look_up(&names::Query {
        organization: &query.org,
        domain: query.domain.as_deref(),
        project: query.project.as_deref(),
        key: &query.key,
        provider: query.store,
        place: query.place.as_deref(),
        schemes: &schemes,
    })?;
    let answer = Answer::yes_if(found.iter().any(|named| named.name.is_some()));
    if query.command {
        found.dedup_by(|second, first| first.scope == second.scope);
    } else {
        found.iter_mut().for_each(|named| named.command = None);
    }
    let text = |StoredName { name, error, .. }: &StoredName| match (name, error) {
        (Some(name), _) => name.clone(),
        (None, error) => format!("none: {}", error.as_deref().unwrap_or_default()),
    };
    match format {
        Format::Json => output::json(&found),
        Format::Text if query.command => {
            for StoredName { scope, error, command, .. } in &found {
                match error {
                    None => output::print(&format!("# {scope}\n{}\n", command.as_deref().unwrap_or_default())),
                    Some(error) => output::print(&format!("# {scope}: {error}\n")),
                }
            }
        }
        Format::Text if query.store == Provider::K8s => {
            let rows =
                found.iter().map(|named| [named.scope.clone(), named.secret.clone().unwrap_or_default(), text(named)]);
            output::print(&output::table(["SCOPE", "SECRET", "KEY IN ITS DATA"], &rows.collect::<Vec<_>>()));
        }
        Format::Text => {
            let rows = found.iter().map(|named| [named.scope.clone(), text(named)]);
            output::print(&output::table(["SCOPE", "NAME"], &rows.collect::<Vec<_>>()));
        }
    }
    if query.command && query.store == Provider::K8s {
        let labelled =
            found.iter().any(|named| named.command.as_deref().is_some_and(|it| it.contains(names::FLYTE_LABELS)));
        output::note(match labelled {
            true => "the labels app.flyte.org/* let `flyte get secret` find the Secrets",
            false => "`flyte get secret` does not find the Secrets: it reads canonical names of the organization flyte",
        });
    }
    Ok(answer)
}

fn decode(name: &str, format: Format) -> Answer {
    match (names::decode(name), format) {
        (Ok(read), Format::Json) => output::json(&read),
        (Ok(DecodedName { scheme, scope, organization, domain, project, key }), Format::Text) => {
            let fields = [("scheme", scheme.name()), ("scope", &scope), ("organization", &organization)];
            let more = [("domain", &*domain), ("project", &project), ("key", &key)];
            for (field, value) in fields.into_iter().chain(more).filter(|(_, value)| !value.is_empty()) {
                output::print(&format!("{field:<14}{value}\n"));
            }
        }
        (Err(error), _) => {
            output::error(&error.to_string());
            return Answer::No;
        }
    }
    Answer::Yes
}
