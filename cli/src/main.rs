//! `flyte-secrets`: the policy's answers on the command line, without a cluster.
//!
//! Declares the commands. Each has a module that reads its arguments and prints its answer, which `explain` computes.

mod check;
mod name;
mod output;
mod policy;
mod preview;
mod request;
mod shell;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use flyte_secrets_explain::source::Source;
use flyte_secrets_policy::settings;

const EXIT_CODES: &str = "\
Exit codes:
  0  success: the name exists, the pod is accepted, the settings are valid
  1  failure: the pod is rejected, the input has errors
  2  error: invalid usage, or a file that cannot be read";

/// Look up secret names, decode secret requests, preview pods and check settings, without a cluster
#[derive(Parser)]
#[command(name = "flyte-secrets", version, after_help = EXIT_CODES, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Name(name::Arguments),
    #[command(subcommand)]
    Request(request::Command),
    Preview(preview::Arguments),
    Check(check::Arguments),
    Policy(policy::Arguments),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// Why a command has no answer: exit code 2.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to read {0}: {1}")]
    File(String, io::Error),
    #[error(transparent)]
    Answer(#[from] flyte_secrets_explain::Error),
    #[error("missing vault for the Azure command; set --place")]
    NoVault,
    #[error("invalid settings: {0}")]
    Delivery(settings::Error),
    #[error("{0}; use --show-values")]
    Placeholders(flyte_secrets_explain::Error),
    #[error("--explain does not support -o patch; use diff, yaml or json")]
    ExplainedPatch,
    #[error("invalid settings: {0}; see --namespace-template")]
    Template(#[from] settings::Error),
    #[error("{0} requires permission to read Secrets in the namespaces of tasks; set --task-namespace")]
    NoTaskNamespace(&'static str),
    #[error("failed to write the manual pages to {0}: {1}; name an existing folder")]
    Manual(PathBuf, io::Error),
    #[error("failed to write the manual page: {0}")]
    Page(io::Error),
}

fn main() -> ExitCode {
    let command = command();
    let arguments = Arguments::from_arg_matches(&command.clone().get_matches()).unwrap_or_else(|error| error.exit());
    // Whether the answer is a success.
    let answer = match arguments.command {
        Command::Name(arguments) => name::run(&arguments),
        Command::Request(command) => request::run(&command),
        Command::Preview(arguments) => preview::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Policy(arguments) => policy::run(&arguments),
        Command::Completions(arguments) => shell::completions(&arguments, command),
        Command::Man(arguments) => shell::man(&arguments, command),
    };
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            output::error(&error.to_string());
            ExitCode::from(2)
        }
    }
}

/// Returns the command line, with the name of kubectl's plugin if kubectl runs it.
fn command() -> clap::Command {
    let called = std::env::args_os().next();
    match called.is_some_and(|path| Path::new(&path).file_stem().is_some_and(|it| it == "kubectl-flyte_secrets")) {
        true => Arguments::command().bin_name("kubectl flyte-secrets"),
        false => Arguments::command(),
    }
}

/// Reads a file, or standard input for `-`.
fn read(path: &str) -> Result<Source, Error> {
    let (name, text) = match path {
        "-" => ("standard input", io::read_to_string(io::stdin())),
        path => (path, std::fs::read_to_string(path)),
    };
    let name = name.to_owned();
    match text {
        Ok(text) => Ok(Source { name, text }),
        Err(error) => Err(Error::File(name, error)),
    }
}

/// Returns a parser of values that have names.
fn choice<Choice: Clone + Send + Sync + 'static>(
    names: impl IntoIterator<Item = impl Into<PossibleValue>>,
    find: fn(&str) -> Option<Choice>,
) -> impl TypedValueParser<Value = Choice> {
    PossibleValuesParser::new(names).try_map(move |name| find(&name).ok_or("unknown name"))
}
