//! Cost of the policy for the payloads in `benches/payloads`: fuel and memory, which are the same on every machine, and
//! time in the engine, compared with a policy that does nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use flyte_secrets_policy::names::flyte;
use flyte_secrets_policy::secret_request as requests;
use flyte_secrets_policy::settings::UnknownFields;
use flyte_secrets_testing::engine::{self, Policy};
use flyte_secrets_testing::generate::stores::scope;
use flyte_secrets_testing::host::{Capabilities, Request};
use flyte_secrets_testing::meter::Meter;
use flyte_secrets_testing::{repository, show};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A policy that accepts everything: its time is that of the host.
const FLOOR: &str = r#"(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 64)
  (data (i32.const 0) "{\"accepted\":true}")
  (func (export "__guest_call") (param i32 i32) (result i32)
    (call $request (i32.const 1024) (i32.const 2048))
    (call $response (i32.const 0) (i32.const 17))
    (i32.const 1)))"#;

/// Number of rounds. Rounds of the policy and of the floor alternate, and the fastest of each is kept, so that other
/// load on the machine affects both or none.
const ROUNDS: usize = 20;
const CALLS: usize = 100;

/// The costs of the policy.
#[derive(Deserialize, Serialize)]
struct Report {
    /// Size of the wasm.
    wasm_bytes: u64,
    /// Costs by payload.
    payloads: BTreeMap<String, Cost>,
}

/// The cost of one payload.
#[derive(Deserialize, Serialize)]
struct Cost {
    /// Fuel of wasmtime.
    fuel: u64,
    /// The guest's linear memory after the call.
    memory_bytes: u64,
}

/// Times of one payload in µs: the least of all rounds.
#[derive(Serialize)]
struct Times {
    /// Median in a new instance.
    fresh: f64,
    /// Its 99th percentile.
    fresh_p99: f64,
    /// Median in an instance that has been called before.
    warm: f64,
    /// Median of a new instance that accepts everything.
    floor: f64,
    /// Median of a new instance of the policy that returns its protocol version.
    idle: f64,
}

/// Measures the policy, prints its costs, and writes them to a file.
pub fn run(output: &str) -> Result<bool> {
    let (report, times) = (measure()?, time()?);
    let least = |time: fn(&Times) -> f64| times.values().map(time).fold(f64::INFINITY, f64::min);
    let (floor, idle) = (least(|times| times.floor), least(|times| times.idle));
    let head = ["fuel", "memory", "fresh µs", "p99 µs", "over", "warm µs"];
    println!("{:<18}{}", "payload", head.map(|name| format!("{name:>12}")).concat());
    for ((name, Cost { fuel, memory_bytes }), Times { fresh, fresh_p99, warm, .. }) in
        report.payloads.iter().zip(times.values())
    {
        let over = fresh - floor;
        println!("{name:<18}{fuel:>12}{memory_bytes:>12}{fresh:>12.1}{fresh_p99:>12.1}{over:>+12.1}{warm:>12.1}");
    }
    println!("the host's floor: {floor:.1} µs; an instance that does nothing: {idle:.1} µs");
    println!("the wasm: {} bytes", report.wasm_bytes);
    let costs = json!({ "wasm_bytes": report.wasm_bytes, "payloads": report.payloads, "times_us": times });
    std::fs::write(output, show::pretty(&costs))?;
    Ok(true)
}

/// Memory grows by pages of wasm. A difference of one page is ignored.
const PAGE: u64 = 65_536;

/// Compares the costs that need no clock with those of a file, and returns whether none exceeds them by more than 3 %.
pub fn check(ceilings: &str) -> Result<bool> {
    let found = measure()?;
    let text = std::fs::read_to_string(ceilings).with_context(|| format!("cannot read {ceilings}"))?;
    let known: Report = serde_json::from_str(&text)?;
    let mut costs = vec![("wasm_bytes".to_owned(), found.wasm_bytes, known.wasm_bytes, 0)];
    for (name, cost) in &found.payloads {
        let ceiling = known.payloads.get(name).unwrap_or(&Cost { fuel: 0, memory_bytes: 0 });
        costs.push((format!("{name}.fuel"), cost.fuel, ceiling.fuel, 0));
        costs.push((format!("{name}.memory_bytes"), cost.memory_bytes, ceiling.memory_bytes, PAGE));
    }
    costs.retain(|(_, found, ceiling, step)| *found > ceiling + step.max(&(ceiling * 3 / 100)));
    for (name, found, ceiling, _) in &costs {
        println!("{name}: {found}, over the ceiling of {ceiling}");
    }
    if !costs.is_empty() {
        println!("the policy costs more than {ceilings} allows; if that is on purpose, these are its costs now:");
        println!("{}", show::pretty(&serde_json::to_value(&found)?));
    }
    Ok(costs.is_empty())
}

/// Measures fuel, memory and size.
fn measure() -> Result<Report> {
    let meter = Meter::built()?;
    let mut costs = BTreeMap::new();
    for (name, payload) in payloads()? {
        let cost = meter.call("validate", &payload, &secrets_of(&payload)?)?;
        let answer: Value = serde_json::from_slice(&cost.answer)?;
        if answer["accepted"] != json!(true) {
            bail!("{name} is rejected: {answer}");
        }
        costs.insert(name, Cost { fuel: cost.fuel, memory_bytes: cost.memory });
    }
    Ok(Report { wasm_bytes: std::fs::metadata(engine::built()?)?.len(), payloads: costs })
}

/// Measures times.
fn time() -> Result<BTreeMap<String, Times>> {
    let (policy, floor) = (Policy::built()?, Policy::compile(FLOOR.as_bytes())?);
    let mut all = BTreeMap::new();
    for (name, payload) in payloads()? {
        let secrets = secrets_of(&payload)?;
        let host = policy.instance(&secrets)?;
        let mut least = [f64::INFINITY; 5];
        for _ in 0..ROUNDS {
            let fresh = times(|| policy.call("validate", &payload, &secrets).map(drop))?;
            let warm = times(|| host.call("validate", &payload).map(drop).map_err(Into::into))?;
            let empty = times(|| floor.call("validate", &payload, &secrets).map(drop))?;
            let idle = times(|| policy.call("protocol_version", b"", &secrets).map(drop))?;
            let found = [(&fresh, 50), (&fresh, 99), (&warm, 50), (&empty, 50), (&idle, 50)];
            for (least, (times, percent)) in least.iter_mut().zip(found) {
                *least = least.min(times[(CALLS * percent / 100).min(CALLS - 1)]);
            }
        }
        let [fresh, fresh_p99, warm, floor, idle] = least;
        all.insert(name, Times { fresh, fresh_p99, warm, floor, idle });
    }
    Ok(all)
}

/// Returns the times of [`CALLS`] calls in µs, sorted.
fn times(mut call: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..CALLS {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Returns the payloads by name.
fn payloads() -> Result<BTreeMap<String, Vec<u8>>> {
    let files = repository::files("benches/payloads", ".json")?;
    let named = files.into_iter().map(|file| {
        let name = file.trim_start_matches("benches/payloads/").trim_end_matches(".json").to_owned();
        Ok((name, repository::read(&file)?.into_bytes()))
    });
    named.collect()
}

/// Returns capabilities with all secrets that a payload's pod requests, each in the project's scope.
fn secrets_of(payload: &[u8]) -> Result<Arc<dyn Capabilities>> {
    let payload: Value = serde_json::from_slice(payload)?;
    let pod = &payload["request"]["object"];
    let annotations = pod["metadata"]["annotations"].as_object().into_iter().flatten();
    let found = requests::read(
        annotations.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))),
        UnknownFields::Reject,
    )?;
    let names = found.requests.iter().map(|it| flyte::encode(scope(pod), &it.request.key));
    let data: Value = names.map(|name| (name, json!("c2VjcmV0"))).collect();
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "data": data }).to_string();
    Ok(Arc::new(move |_: &str, _: &str, payload: &[u8]| {
        let request: Request = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        match request.kind.as_str() {
            "Secret" => Ok(secret.clone().into_bytes()),
            _ => Err(request.not_found()),
        }
    }))
}
