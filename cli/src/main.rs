//! `flyte-secrets`: the policy's answers on the command line, without a cluster.
//!
//! Declares the commands. Each has a module that reads its arguments and prints its answer, which `explain` computes.

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

/// Returns the command line, with the name of kubectl's plugin if kubectl runs it.
fn command() -> clap::Command {
    let called = std::env::args_os().next();
    let plugin =
        called.is_some_and(|path| Path::new(&path).file_stem().is_some_and(|it| it == "kubectl-flyte_secrets"));
    match plugin {
        true => Arguments::command().bin_name("kubectl flyte-secrets"),
        false => Arguments::command(),
    }
}
