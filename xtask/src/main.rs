//! Tools of maintainers, for `cargo xtask`.

mod bench;
mod codegen;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anstream::eprintln;
use anyhow::{Context, Result};
use flyte_secrets_testing::engine::{self, Policy};
use flyte_secrets_testing::host::{self, Capabilities, Replay, Store};
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
STORE is YAML or JSON as in tests/golden/README.md, or a replay file of kwctl";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["golden", files @ ..] if !files.is_empty() => golden(files),
        ["run", payload] => run(payload, None),
        ["run", payload, store] => run(payload, Some(store)),
        ["demo", pod, store] => demo(pod, store, None),
        ["demo", pod, store, settings] => demo(pod, store, Some(settings)),
        ["bench"] => bench("benches/payloads", "target/bench.json"),
        ["bench", ceilings] => bench_check("benches/payloads", ceilings),
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

/// Opens a store, or a replay file, which is a list.
fn open(path: &Path) -> Result<Arc<dyn Capabilities>> {
    match Replay::load(path) {
        Ok(replay) => Ok(replay),
        Err(_) => Ok(Store::load(path)?),
    }
}

fn demo(pod: &str, store: &str, settings: Option<&str>) -> Result<bool> {
    let settings = settings.map_or_else(|| Ok(json!({})), yaml)?;
    show::demo(&yaml(pod)?, &settings, &open(Path::new(store))?)?;
    Ok(true)
}

fn yaml(path: &str) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    serde_yaml::from_str(&text).with_context(|| format!("{path} is not YAML"))
}

fn bench(payloads: &str, output: &str) -> Result<bool> {
    let (wasm, payloads) = (engine::built()?, Path::new(payloads));
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
    let found = bench::measure(&engine::built()?, Path::new(payloads))?;
    let text = std::fs::read_to_string(ceilings).with_context(|| format!("cannot read {ceilings}"))?;
    let over = bench::exceeds(&found, &serde_json::from_str(&text)?);
    over.iter().for_each(|line| println!("{line}"));
    if !over.is_empty() {
        println!("the policy costs more than {ceilings} allows; if that is on purpose, these are its costs now:");
        println!("{}", show::pretty(&serde_json::to_value(&found)?));
    }
    Ok(over.is_empty())
}

fn generate() -> Result<bool> {
    for (file, text) in codegen::files()? {
        std::fs::write(repository::path(file), text).with_context(|| format!("cannot write {file}"))?;
    }
    Ok(true)
}
