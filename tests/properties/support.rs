//! Shared code: the core's answer to a case, and JSON with paths of its parts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::{admission, policy};
use flyte_secrets_testing::generate::Case;
use flyte_secrets_testing::generate::stores::CANARY;
use flyte_secrets_testing::host::Store;
use proptest::test_runner::{Config, RngSeed};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

/// How often a property is tried. Cases repeat from run to run, so that a failure does.
pub fn cases(cases: u32) -> Config {
    let default = Config::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        chosen => chosen,
    };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    Config { cases, rng_seed, failure_persistence: None, ..default }
}

/// Returns the core's answer to a payload, as the host reads it.
pub fn answer(payload: &str, store: &Arc<Store>) -> String {
    let answer = policy::respond(admission::validate(payload.as_bytes(), &**store)).expect("JSON");
    String::from_utf8(answer).expect("an answer is text")
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    /// The pod as it is to be, if it is changed.
    pub pod: Option<String>,
    /// All but that pod.
    pub rest: Value,
}

impl Answer {
    /// The core's answer to a case.
    pub fn to(case: &Case) -> Self {
        Self::parse(&answer(&case.payload(), &Store::new(case.store.clone())))
    }

    /// Reads an answer, of which no message, warning or audit annotation contains a value or an error of the host.
    pub fn parse(text: &str) -> Self {
        let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(text).expect("an answer is JSON");
        members.retain(|_, raw| raw.get() != "null");
        let pod = members.remove("mutated_object").map(|pod| pod.get().to_owned());
        let rest: Value = members.into_iter().map(|(name, raw)| (name, value(raw.get()))).collect();
        let (text, encoded) = (rest.to_string(), STANDARD.encode(CANARY));
        // The last group of four depends on what follows.
        for secret in [CANARY, &encoded[..encoded.len() - 4], "backtrace"] {
            assert!(!text.contains(secret), "{text}");
        }
        Self { pod, rest }
    }

    /// Whether the pod is let through.
    pub fn accepted(&self) -> bool {
        self.rest["accepted"] == true
    }

    /// The code of a refusal.
    pub fn code(&self) -> u64 {
        self.rest["code"].as_u64().unwrap_or_default()
    }

    /// The message of a refusal.
    pub fn message(&self) -> &str {
        self.rest["message"].as_str().unwrap_or_default()
    }
}

/// The parts of an object or a list, with their names if they have any, in the order in which they stand.
pub fn parts(text: &str) -> Option<Vec<(String, Range<usize>)>> {
    let place = |raw: &RawValue| {
        let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
        start..start + raw.get().len()
    };
    let mut parts: Vec<(String, Range<usize>)> = match text.trim_start().chars().next()? {
        '{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            members.into_iter().map(|(name, raw)| (name, place(raw))).collect()
        }
        '[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            elements.into_iter().map(|raw| (String::new(), place(raw))).collect()
        }
        _ => return None,
    };
    parts.sort_by_key(|(_, place)| place.start);
    Some(parts)
}

/// A value, in which numbers too large for `serde_json` are their own text.
pub fn value(text: &str) -> Value {
    if let Ok(value) = serde_json::from_str(text) {
        return value;
    }
    match parts(text) {
        Some(parts) if text.trim_start().starts_with('[') => {
            parts.into_iter().map(|(_, place)| value(&text[place])).collect()
        }
        Some(parts) => parts.into_iter().map(|(name, place)| (name, value(&text[place]))).collect(),
        None => {
            assert!(serde_json::from_str::<Number>(text).is_err(), "{text}");
            Value::from(text)
        }
    }
}

/// A list that may be missing.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Where a path leads, whatever way it is written; the kubelet takes relative ones from the root.
pub fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
