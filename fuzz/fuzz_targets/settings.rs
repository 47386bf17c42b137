//! Any bytes as settings. Their meaning must not depend on the spelling of JSON, and valid settings must accept a pod.

#![no_main]

use flyte_secrets_policy::secret_request::base32;
use flyte_secrets_policy::settings;
use flyte_secrets_policy_fuzz::{Stores, creation, read, respell, validate};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let verdict = settings::validate(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match (settings::parse(text), &verdict) {
        (parsed, Ok((settings, _))) => assert_eq!(parsed.as_ref(), Ok(settings)),
        (Ok(_), Err(settings::Error::Value { .. })) | (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => panic!("read, and then not of its type: {error}"),
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    let respelt = respell(text);
    assert_eq!(settings::validate(respelt.as_bytes()), verdict, "{respelt}");
    let annotation = base32::encode(b"group: 'g' group_version: '1' key: 'k'");
    let pod = json!({
        "metadata": {
            "labels": { "inject-flyte-secrets": "true", "organization": "o", "project": "p", "domain": "d" },
            "annotations": { "flyte.secrets/s0": annotation },
        },
        "spec": { "containers": [{ "name": "main" }] },
    });
    let answer = read(&validate(creation(pod, "p-d", value).to_string().as_bytes(), &Stores::default()));
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(
        verdict.is_err() || !message.starts_with("InvalidSettings") && !message.contains("invalid settings"),
        "settings that validate refuse a pod: {message}"
    );
});
