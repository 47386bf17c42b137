//! The program `flyte-secrets-pull`: arguments, exit code and log.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use flyte_secrets_policy::grant::{Grant, READY};
use flyte_secrets_pull::request::Gateway;
use flyte_secrets_pull::{Places, run};
use rustix::process::{Resource, Rlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;

/// Variable with a folder to use instead of `/`, to run outside of a container.
const ROOT: &str = "FLYTE_SECRETS_PULL_ROOT";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let root = std::env::var_os(ROOT).unwrap_or_else(|| "/".into());
    let places = Places::under(Path::new(&root));
    if args == [READY] {
        return if places.ready().exists() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let Err(error) = pull(&args, &places) else { return ExitCode::SUCCESS };
    log(&format!("cannot pull secrets: {error}"));
    ExitCode::FAILURE
}

fn pull(args: &[String], places: &Places) -> Result<(), Box<dyn std::error::Error>> {
    // Core dumps would contain values.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // Without a handler, signals do not end the first process of a container.
    for signal in [SIGTERM, SIGINT] {
        register_conditional_shutdown(signal, 128 + signal, Arc::new(AtomicBool::new(true)))?;
    }
    let grant = Grant::parse(args)?;
    let gateway = Gateway::new(&grant)?;
    match grant.refresh {
        Some(every) => run::refresh(&gateway, &grant, places, every, &log)?,
        None => log(&run::pulled(&grant, run::run(&gateway, &grant, places, &log)?)),
    }
    Ok(())
}

fn log(line: &str) {
    eprintln!("{line}");
}
