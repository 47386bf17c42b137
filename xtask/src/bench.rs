//! Cost of the policy for the payloads in `benches/payloads`: fuel and memory, which are the same on every machine, and
//! time in the engine, compared with a policy that does nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use flyte_secrets_policy::names::{Scope, flyte};
use flyte_secrets_policy::secret_request as requests;
use flyte_secrets_policy::settings::UnknownFields;
use flyte_secrets_testing::engine::Policy;
use flyte_secrets_testing::host::{Capabilities, Request};
use flyte_secrets_testing::meter::Meter;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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

/// The costs of a policy.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    /// Size of the wasm.
    pub wasm_bytes: u64,
    /// Costs by payload.
    pub payloads: BTreeMap<String, Cost>,
    /// Time of a new instance that accepts everything, in µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor_us: Option<f64>,
    /// Time of a new instance of the policy that returns its protocol version, in µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_us: Option<f64>,
}

/// The cost of one payload.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Cost {
    /// Fuel of wasmtime.
    pub fuel: u64,
    /// The guest's linear memory after the call.
    pub memory_bytes: u64,
    /// Median time in a new instance, in µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_us: Option<f64>,
    /// Its 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_p99_us: Option<f64>,
    /// Median time in an instance that has been called before, in µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_us: Option<f64>,
}

/// Measures fuel, memory and size, and no time.
pub fn measure(wasm: &Path, payloads: &Path) -> Result<Report> {
    let meter = Meter::load(wasm)?;
    let mut report =
        Report { wasm_bytes: std::fs::metadata(wasm)?.len(), payloads: BTreeMap::new(), floor_us: None, idle_us: None };
    for (name, payload) in read(payloads)? {
        let cost = meter.call("validate", &payload, &secrets_of(&payload)?)?;
        let answer: Value = serde_json::from_slice(&cost.answer)?;
        if answer["accepted"] != json!(true) {
            bail!("{name} is refused: {answer}");
        }
        let cost =
            Cost { fuel: cost.fuel, memory_bytes: cost.memory, fresh_us: None, fresh_p99_us: None, warm_us: None };
        report.payloads.insert(name, cost);
    }
    Ok(report)
}

/// Adds times to a report.
pub fn time(report: &mut Report, wasm: &Path, payloads: &Path) -> Result<()> {
    let policy = Policy::load(wasm)?;
    let floor = Policy::compile(FLOOR.as_bytes())?;
    for (name, payload) in read(payloads)? {
        let secrets = secrets_of(&payload)?;
        let cost = report.payloads.get_mut(&name).context("a payload that was not measured")?;
        let host = policy.instance(&secrets)?;
        for _ in 0..ROUNDS {
            let mut fresh = times(|| policy.call("validate", &payload, &secrets).map(drop))?;
            let mut warm = times(|| host.call("validate", &payload).map(drop).map_err(Into::into))?;
            let mut empty = times(|| floor.call("validate", &payload, &secrets).map(drop))?;
            let mut idle = times(|| policy.call("protocol_version", b"", &secrets).map(drop))?;
            keep_least(&mut cost.fresh_us, percentile(&mut fresh, 50));
            keep_least(&mut cost.fresh_p99_us, percentile(&mut fresh, 99));
            keep_least(&mut cost.warm_us, percentile(&mut warm, 50));
            keep_least(&mut report.floor_us, percentile(&mut empty, 50));
            keep_least(&mut report.idle_us, percentile(&mut idle, 50));
        }
    }
    Ok(())
}

fn keep_least(known: &mut Option<f64>, new: f64) {
    *known = Some(known.map_or(new, |known| known.min(new)));
}

/// Memory grows by pages of wasm. A difference of one page is ignored.
const PAGE: u64 = 65_536;

/// Returns the costs that exceed those of another report by more than 3 %.
pub fn exceeds(found: &Report, ceilings: &Report) -> Vec<String> {
    let mut over = Vec::new();
    let mut check = |what: String, found: u64, ceiling: u64, step: u64| {
        if found > ceiling + step.max(ceiling * 3 / 100) {
            over.push(format!("{what}: {found}, over the ceiling of {ceiling}"));
        }
    };
    check("wasm_bytes".to_owned(), found.wasm_bytes, ceilings.wasm_bytes, 0);
    for (name, cost) in &found.payloads {
        match ceilings.payloads.get(name) {
            Some(ceiling) => {
                check(format!("{name}.fuel"), cost.fuel, ceiling.fuel, 0);
                check(format!("{name}.memory_bytes"), cost.memory_bytes, ceiling.memory_bytes, PAGE);
            }
            None => check(format!("{name}, which has no ceiling"), cost.fuel, 0, 0),
        }
    }
    over
}

fn read(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut payloads = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "json") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            payloads.insert(name, std::fs::read(&path)?);
        }
    }
    Ok(payloads)
}

fn times(mut call: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    (0..CALLS)
        .map(|_| {
            let start = Instant::now();
            call()?;
            Ok(start.elapsed().as_secs_f64() * 1e6)
        })
        .collect()
}

fn percentile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(0.0, |time| (time * 10.0).round() / 10.0)
}

/// Returns capabilities with all secrets that a payload's pod requests, each in the project's scope.
pub fn secrets_of(payload: &[u8]) -> Result<Arc<dyn Capabilities>> {
    let payload: Value = serde_json::from_slice(payload)?;
    let metadata = &payload["request"]["object"]["metadata"];
    let label = |name: &str| metadata["labels"][name].as_str().unwrap_or_default();
    let (organization, domain, project) = (label("organization"), label("domain"), label("project"));
    let annotations = metadata["annotations"].as_object().into_iter().flatten();
    let annotations = annotations.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let found = requests::read(annotations, UnknownFields::Reject)?;
    let mut data = Map::new();
    for annotated in &found.requests {
        let name = flyte::encode(Scope { organization, domain, project }, &annotated.request.key);
        data.insert(name, json!("c2VjcmV0"));
    }
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "data": data }).to_string();
    Ok(Arc::new(move |_: &str, _: &str, payload: &[u8]| {
        let request: Request = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        match request.kind.as_str() {
            "Secret" => Ok(secret.clone().into_bytes()),
            _ => Err(request.not_found()),
        }
    }))
}
