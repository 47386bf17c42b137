//! Seeds for the targets that read text, from the recorded cases: `seed GOLDEN_DIRECTORY SEEDS_DIRECTORY`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use flyte_secrets_policy::secret_request::base32;
use flyte_secrets_policy_fuzz::creation;
use serde_json::Value;

/// Inputs by target.
#[derive(Default)]
struct Seeds(BTreeMap<&'static str, Vec<Vec<u8>>>);

impl Seeds {
    fn add(&mut self, target: &'static str, input: impl Into<Vec<u8>>) {
        self.0.entry(target).or_default().push(input.into());
    }

    fn add_annotation(&mut self, annotation: &str) {
        self.add("request", annotation);
        if let Ok(text) = base32::decode(annotation) {
            self.add("request", text);
        }
    }

    fn add_case(&mut self, case: &Value) {
        for annotation in [&case["annotation"], &case["encoded"]].into_iter().filter_map(Value::as_str) {
            self.add_annotation(annotation);
        }
        if let Some(pod) = case.get("pod") {
            let annotations = pod["metadata"]["annotations"].as_object().into_iter().flatten();
            for (_, value) in annotations.filter(|(key, _)| key.starts_with("flyte.secrets/")) {
                self.add_annotation(value.as_str().unwrap_or_default());
            }
            self.add("settings", case["settings"].to_string());
            let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
            let mut payload = creation(pod.clone(), namespace, case["settings"].clone());
            payload["store"] = case["store"].clone();
            self.add("payload", payload.to_string());
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [golden, seeds] = arguments.as_slice() else {
        return Err("usage: seed GOLDEN_DIRECTORY SEEDS_DIRECTORY".into());
    };
    let mut found = Seeds::default();
    for entry in fs::read_dir(golden)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            for line in fs::read_to_string(&path)?.lines().filter(|line| !line.is_empty()) {
                found.add_case(&serde_json::from_str(line)?);
            }
        }
    }
    for (target, mut inputs) in found.0 {
        // Cases share settings and requests.
        inputs.sort();
        inputs.dedup();
        let folder = Path::new(seeds).join(target);
        fs::create_dir_all(&folder)?;
        for (number, input) in inputs.iter().enumerate() {
            fs::write(folder.join(number.to_string()), input)?;
        }
        println!("{target}: {} seeds", inputs.len());
    }
    Ok(())
}
