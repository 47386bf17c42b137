//! Tools of maintainers, for `cargo xtask`.

mod bench;
mod codegen;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anstream::eprintln;
use anyhow::{Context, Result};
use flyte_secrets_testing::engine::Policy;
use flyte_secrets_testing::host::{self, Capabilities, Store};
use flyte_secrets_testing::{golden, repository, show};
use serde_json::{Value, json};

const USAGE: &str = "\
usage: cargo xtask golden FILE...         run cases recorded from Flyte's code
       cargo xtask run PAYLOAD [STORE]    run one payload {\"request\", \"settings\"} and print the answer
       cargo xtask demo POD STORE [SETTINGS]
                                          print a pod before and after
       cargo xtask bench [CEILINGS]       measure benches/payloads: fuel, memory, time and size, as a table and as
                                          target/bench.json; with CEILINGS only compare what needs no clock
       cargo xtask generate               write the files generated from the settings' types

The policy is built first, unless POLICY_WASM names a file.
STORE is YAML or JSON as in tests/golden/README.md";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["golden", files @ ..] if !files.is_empty() => golden(files),
        ["run", payload] => run(payload, None),
        ["run", payload, store] => run(payload, Some(store)),
        ["demo", pod, store] => demo(pod, store, None),
        ["demo", pod, store, settings] => demo(pod, store, Some(settings)),
        ["bench"] => bench::run("target/bench.json"),
        ["bench", ceilings] => bench::check(ceilings),
        ["generate"] => generate(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn golden(files: &[&str]) -> Result<bool> {
    let policy = Policy::built()?;
    let (mut all, mut failed) = (0, 0);
    for file in files {
        let (count, failures) = golden::run_file(&policy, Path::new(file))?;
        all += count;
        failed += failures.len();
        failures.iter().for_each(|failure| println!("{failure}\n"));
    }
    println!("{} passed, {failed} failed", all - failed);
    Ok(failed == 0)
}

fn run(payload: &str, store: Option<&str>) -> Result<bool> {
    let payload = std::fs::read(payload).with_context(|| format!("cannot read {payload}"))?;
    let capabilities = store.map_or_else(|| Ok(host::nothing()), open)?;
    let answer = Policy::built()?.call("validate", &payload, &capabilities)?;
    print!("{}", show::pretty(&serde_json::from_slice(&answer)?));
    Ok(true)
}

fn demo(pod: &str, store: &str, settings: Option<&str>) -> Result<bool> {
    let settings = settings.map_or_else(|| Ok(json!({})), yaml)?;
    show::demo(&yaml(pod)?, &settings, &open(store)?)?;
    Ok(true)
}

fn open(store: &str) -> Result<Arc<dyn Capabilities>> {
    Ok(Store::new(yaml(store)?))
}

fn yaml(path: &str) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    serde_yaml::from_str(&text).with_context(|| format!("{path} is not YAML"))
}

fn generate() -> Result<bool> {
    for (file, text) in codegen::files()? {
        std::fs::write(repository::path(file), text).with_context(|| format!("cannot write {file}"))?;
    }
    Ok(true)
}
