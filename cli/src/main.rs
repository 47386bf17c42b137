//! `flyte-secrets`: what the policy would do, said without a cluster.
//!
//! Holds the tree of commands and nothing else. Each command has a file of its own, which reads arguments and shows answers; the
//! answers are those of `explain`.

mod check;
mod files;
mod name;
mod output;
mod policy;
mod preview;
mod request;
mod shell;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use output::Answer;

const EXIT_CODES: &str = "\
Exit codes:
  0  yes: the name exists, the pod is accepted, the settings are valid
  1  no: the pod is rejected, the input has errors
  2  the question could not be answered: invalid usage, a file that cannot be read";

/// Names, requests, previews and settings of Flyte's secrets, without a cluster
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

fn main() -> ExitCode {
    let command = command();
    let arguments = Arguments::from_arg_matches(&command.clone().get_matches()).unwrap_or_else(|error| error.exit());
    let answer = match arguments.command {
        Command::Name(arguments) => name::run(&arguments).map_err(|error| error.to_string()),
        Command::Request(command) => request::run(&command).map_err(|error| error.to_string()),
        Command::Preview(arguments) => preview::run(&arguments).map_err(|error| error.to_string()),
        Command::Check(arguments) => check::run(&arguments).map_err(|error| error.to_string()),
        Command::Policy(arguments) => policy::run(&arguments).map_err(|error| error.to_string()),
        Command::Completions(arguments) => Ok(shell::completions(&arguments, command)),
        Command::Man(arguments) => shell::man(&arguments, command).map_err(|error| error.to_string()),
    };
    match answer {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(message) => {
            output::error(&message);
            ExitCode::from(2)
        }
    }
}

/// As a plugin, kubectl calls this program by another name.
fn command() -> clap::Command {
    let called = std::env::args_os().next();
    let plugin =
        called.is_some_and(|path| Path::new(&path).file_stem().is_some_and(|it| it == "kubectl-flyte_secrets"));
    match plugin {
        true => Arguments::command().bin_name("kubectl flyte-secrets"),
        false => Arguments::command(),
    }
}
