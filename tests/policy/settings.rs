//! Valid and invalid settings, with the operator's messages.

use std::sync::{Arc, Mutex};

use flyte_secrets_testing::host::{Capabilities, nothing};
use flyte_secrets_testing::settings;
use serde_json::{Value, json};

use crate::support::policy;

/// Returns the warnings of valid settings, or the error of invalid ones.
fn validated(settings: &Value) -> Result<String, String> {
    policy().validate_settings(settings, &nothing()).unwrap_or_else(|error| Err(format!("no answer: {error}")))
}

/// As [`validated`], without warnings about unverified labels and the order of managers.
fn validated_but_for_tenancy(settings: &Value) -> Result<String, String> {
    let is_other = |line: &&str| !line.starts_with("tenancy: ") && !line.contains("k8sSecretManager.verify");
    let others = |warnings: String| warnings.lines().filter(is_other).collect();
    validated(settings).map(others)
}

#[test]
fn accepted() {
    for settings in settings::accepted() {
        assert_eq!(validated_but_for_tenancy(&settings), Ok(String::new()), "{settings}");
    }
}

#[test]
fn unverified_labels_cause_a_warning() {
    let creators = json!(["system:serviceaccount:flyte:flyte-binary"]);
    let table = [
        (json!({}), vec!["organization", "project", "domain"]),
        (json!({ "secretManagerTypes": ["K8s"] }), vec![]),
        (json!({ "tenancy": { "namespaceTemplate": "flyte" } }), vec!["organization", "project", "domain"]),
        (json!({ "tenancy": { "namespaceTemplate": "{{ project }}-{{ domain }}" } }), vec!["organization"]),
        (json!({ "tenancy": { "namespaceTemplate": "{{ project }}", "organizations": ["flyte"] } }), vec!["domain"]),
        (json!({ "tenancy": { "namespaceTemplate": "flyte", "creators": creators } }), vec![]),
    ];
    for (settings, labels) in table {
        let warning = |label: &&str| {
            format!(
                "tenancy: label {label} of pods is not verified, so a pod can claim secrets of others; set \
                 tenancy.creators, or use the label in tenancy.namespaceTemplate"
            )
        };
        let warnings: Vec<String> = labels.iter().map(warning).collect();
        assert_eq!(validated(&settings), Ok(warnings.join("\n")), "{settings}");
    }
}

const GLOBAL_IS_SKIPPED: &str =
    "secretManagerTypes: ignored Global: a policy cannot read the environment and files of Flyte's webhook";

/// Warnings are in the answer and in the log of the policy server.
#[test]
fn global_is_skipped_with_a_warning() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&lines);
    let host: Arc<dyn Capabilities> = Arc::new(move |namespace: &str, operation: &str, payload: &[u8]| {
        let line: Value = serde_json::from_slice(payload).unwrap_or_default();
        log.lock().map(|mut lines| lines.push((format!("{namespace}/{operation}"), line))).map_err(|_| "poisoned")?;
        Ok(Vec::new())
    });
    let settings = json!({ "secretManagerTypes": ["Global", "K8s"] });
    let answer = policy().validate_settings(&settings, &host);
    assert_eq!(answer.ok(), Some(Ok(GLOBAL_IS_SKIPPED.to_owned())));
    let line = json!({ "level": "warning", "message": GLOBAL_IS_SKIPPED });
    assert_eq!(lines.lock().ok().as_deref(), Some(&vec![("tracing/log".to_owned(), line)]));
}

#[test]
fn refused() {
    for (settings, problem) in settings::refused() {
        assert_eq!(validated(&settings), Err(format!("InvalidSettings: {problem}")), "{settings}");
    }
}

/// The host's own JSON, and what is none.
#[test]
fn settings_answers_have_the_hosts_format() {
    let valid = |message: Value| json!({ "valid": true, "message": message });
    let invalid = |problem: &str| json!({ "valid": false, "message": format!("InvalidSettings: {problem}") });
    let table = [
        (r#"{"secretManagerType":"k8s"}"#, valid(Value::Null)),
        (r#"{"secretManagerTypes":["Global","K8s"]}"#, valid(json!(GLOBAL_IS_SKIPPED))),
        // `null` leaves a known key at its default; it does not make an unknown one known.
        (r#"{"secretManagerTypes":["K8s"],"vaultSecretManager":{"annotations":{"any":null}}}"#, valid(Value::Null)),
        (
            r#"{"secretManagrTypes":null}"#,
            invalid("unknown field `secretManagrTypes`, did you mean `secretManagerTypes`?"),
        ),
        (r#"{"tenancy":{"foo":null}}"#, invalid("unknown field `tenancy.foo`")),
        (r#"{"foo":1}"#, invalid("unknown field `foo`")),
        ("", invalid("not JSON at line 1, column 0")),
        ("{", invalid("not JSON at line 1, column 1")),
        (r#"{"secretEnvVarPrefix":"\ud800"}"#, invalid("not JSON at line 1, column 30")),
    ];
    for (payload, answer) in table {
        let found = policy().call("validate_settings", payload.as_bytes(), &nothing()).expect("the policy answers");
        assert_eq!(serde_json::from_slice::<Value>(&found).expect("JSON"), answer, "{payload}");
    }
}
