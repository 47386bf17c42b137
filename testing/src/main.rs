//! The harness on the command line: what `make golden`, `make run`, `make demo` and the like call.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anstream::eprintln;
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail};
use flyte_secrets_testing::engine::{self, Policy, creation};
use flyte_secrets_testing::host::{self, Capabilities, Replay, Store};
use flyte_secrets_testing::{bench, book, codegen, golden, profile, repository, show, size};
use serde_json::{Value, json};

const USAGE: &str = "\
usage: harness golden FILE...         run cases recorded from Flyte's code
       harness run PAYLOAD [STORE]    one payload {\"request\", \"settings\"} through the policy; prints its answer
       harness demo POD STORE [SETTINGS]
                                      a pod before and after
       harness bench FOLDER OUTPUT    what each payload in a folder costs, as a table and as JSON
       harness bench-check FOLDER CEILINGS
                                      fuel, memory and size against ceilings
       harness profile WASM PAYLOAD OUTPUT
                                      fuel by function, and stacks for a flame graph
       harness size WASM NAMED        what the bytes of a wasm are; NAMED is the same with names
       harness generate               write what is made of the settings' types
       harness links                  whether links in the repository's Markdown lead anywhere

The policy is policy.wasm at the root of the repository, or the file that POLICY_WASM names.
STORE is YAML or JSON as in tests/golden/README.md, a replay file of kwctl's, or live: the API server of KUBECONFIG";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["golden", files @ ..] if !files.is_empty() => golden(files),
        ["run", payload] => run(payload, None),
        ["run", payload, store] => run(payload, Some(store)),
        ["demo", pod, store] => demo(pod, store, None),
        ["demo", pod, store, settings] => demo(pod, store, Some(settings)),
        ["bench", payloads, output] => bench(payloads, output),
        ["bench-check", payloads, ceilings] => bench_check(payloads, ceilings),
        ["size", wasm, named] => size_of(wasm, named),
        ["profile", wasm, payload, output] => profile_of(wasm, payload, output),
        ["generate"] => generate(),
        ["links"] => links(),
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

/// A store, a replay file, which is a list, or `live` for the API server that kubectl talks to.
fn open(path: &Path) -> Result<Arc<dyn Capabilities>> {
    if path == Path::new("live") {
        return live();
    }
    match Replay::load(path) {
        Ok(replay) => Ok(replay),
        Err(_) => Ok(Store::load(path)?),
    }
}

#[cfg(feature = "live")]
fn live() -> Result<Arc<dyn Capabilities>> {
    Ok(host::live::Live::infer()?)
}

#[cfg(not(feature = "live"))]
fn live() -> Result<Arc<dyn Capabilities>> {
    bail!(
        "a live API server needs the feature live: cargo run --package flyte-secrets-testing --features live -- run …"
    )
}

fn demo(pod: &str, store: &str, settings: Option<&str>) -> Result<bool> {
    let policy = Policy::built()?;
    let pod = yaml(pod)?;
    let settings = settings.map_or_else(|| Ok(json!({})), yaml)?;
    let capabilities = open(Path::new(store))?;
    let heading = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
    let title = |title: &str| anstream::println!("{heading}── {title}{heading:#}\n");

    title("a task's pod as Flyte creates it; it asks for three secrets");
    println!("{}", show::yaml(&pod));
    let response = policy.validate(&creation(&pod), &settings, &capabilities)?;
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

fn yaml(path: &str) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    serde_yaml::from_str(&text).with_context(|| format!("{path} is not YAML"))
}

fn bench(payloads: &str, output: &str) -> Result<bool> {
    let (wasm, payloads) = (engine::built(), Path::new(payloads));
    let mut report = bench::measure(&wasm, payloads)?;
    bench::time(&mut report, &wasm, payloads)?;
    let floor = report.floor_us.unwrap_or_default();
    println!(
        "{:<18} {:>10} {:>12} {:>9} {:>9} {:>9} {:>9}",
        "payload", "fuel", "memory", "fresh µs", "p99 µs", "over", "warm µs"
    );
    for (name, cost) in &report.payloads {
        let [fresh, p99, warm] = [cost.fresh_us, cost.fresh_p99_us, cost.warm_us].map(Option::unwrap_or_default);
        let (fuel, memory, over) = (cost.fuel, cost.memory_bytes, fresh - floor);
        println!("{name:<18} {fuel:>10} {memory:>12} {fresh:>9.1} {p99:>9.1} {over:>+9.1} {warm:>9.1}");
    }
    println!(
        "the host's floor: {floor:.1} µs; an instance that does nothing: {:.1} µs",
        report.idle_us.unwrap_or_default()
    );
    println!("the wasm: {} bytes", report.wasm_bytes);
    std::fs::write(output, show::pretty(&serde_json::to_value(&report)?))?;
    Ok(true)
}

fn bench_check(payloads: &str, ceilings: &str) -> Result<bool> {
    let found = bench::measure(&engine::built(), Path::new(payloads))?;
    let text = std::fs::read_to_string(ceilings).with_context(|| format!("cannot read {ceilings}"))?;
    let over = bench::exceeds(&found, &serde_json::from_str(&text)?);
    over.iter().for_each(|line| println!("{line}"));
    if !over.is_empty() {
        println!("the policy costs more than {ceilings} allows; if that is on purpose, these are its costs now:");
        println!("{}", show::pretty(&serde_json::to_value(&found)?));
    }
    Ok(over.is_empty())
}

fn profile_of(wasm: &str, payload: &str, output: &str) -> Result<bool> {
    let profile = profile::profile(Path::new(wasm), Path::new(payload))?;
    print!("{}", profile.table(40));
    println!("{} fuel; stacks for a flame graph: {output}", profile.fuel);
    std::fs::write(output, profile.folded())?;
    Ok(true)
}

fn size_of(wasm: &str, named: &str) -> Result<bool> {
    println!("{}", size::account(Path::new(wasm))?.sections());
    print!("{}", size::account(Path::new(named))?.functions());
    Ok(true)
}

fn generate() -> Result<bool> {
    for (file, text) in codegen::files()? {
        std::fs::write(repository::path(file), text).with_context(|| format!("cannot write {file}"))?;
    }
    Ok(true)
}

fn links() -> Result<bool> {
    let (looked_at, dead) = book::links::dead()?;
    dead.iter().for_each(|line| println!("{line}"));
    println!("{looked_at} links, {} of them dead", dead.len());
    Ok(dead.is_empty())
}
