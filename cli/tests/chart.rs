//! Compares the output of `policy` with the chart for the same settings. Requires helm; `make chart-test` runs it.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // how tests fail

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use flyte_secrets_policy::settings;
use serde::Deserialize;
use serde_json::{Value, json};

fn output(command: &mut Command) -> String {
    let output = command.output().expect("a command that starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn policy(arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyte-secrets"));
    command.arg("policy").args(arguments).args(["-o", "json"]);
    serde_json::from_str(&output(&mut command)).expect("JSON")
}

/// Returns the chart's objects of the policy, without labels.
fn chart(values: &Path) -> Vec<Value> {
    let tools = env::var_os("CHART_TOOLS").expect("CHART_TOOLS is not set; `make chart-test` builds helm and sets it");
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/chart");
    let mut helm = Command::new(Path::new(&tools).join("helm"));
    helm.env_clear().env("HOME", "/nonexistent").args(["template", "flyte-secrets"]).arg(chart);
    helm.args(["--namespace", "flyte", "--kube-version", "v1.35.0", "--set", "fullnameOverride=flyte-secrets-policy"]);
    let rendered = output(helm.arg("--values").arg(values));
    let documents = serde_yaml::Deserializer::from_str(&rendered).map(|it| Value::deserialize(it).expect("YAML"));
    let of_policy = |it: &Value| it["metadata"]["labels"]["app.kubernetes.io/component"] == "policy";
    let mut documents: Vec<Value> = documents.filter(of_policy).collect();
    for document in &mut documents {
        document["metadata"].as_object_mut().expect("metadata").remove("labels");
    }
    documents
}

/// In one order, and with the settings as the policy reads them: the chart writes defaults out.
fn sorted(mut documents: Vec<Value>) -> Vec<Value> {
    for settings in documents.iter_mut().filter_map(|it| it.pointer_mut("/spec/settings")) {
        let parsed = settings::parse(&settings.to_string()).expect("settings");
        *settings = serde_json::to_value(parsed).expect("JSON");
    }
    documents.sort_by_key(|it| {
        let text = |path: &str| it.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
    });
    documents
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn manifests_match_the_chart() {
    let embedded = |settings: Value| json!({ "embeddedSecretManagerConfig": settings });
    let pull =
        json!({ "gateway": "https://gateway.flyte.svc:8444", "ca": "-----BEGIN CERTIFICATE-----", "image": "pull:1" });
    let pull = |more: Value| embedded(with(json!({ "delivery": "Pull", "pull": pull }), more));
    let verify = json!({ "secretManagerTypes": ["Embedded", "K8s"], "k8sSecretManager": { "verify": true } });
    let aws = json!({ "awsConfig": { "region": "eu-west-1" } });
    let table = [
        ("Embedded", json!({}), vec![]),
        ("another namespace", embedded(json!({ "k8sConfig": { "namespace": "secrets" } })), vec![]),
        ("AWS", embedded(aws.clone()), vec![]),
        ("GCP", embedded(json!({ "gcpConfig": { "project": "acme" } })), vec![]),
        ("Azure", embedded(json!({ "azureConfig": { "vaultURI": "https://v.vault.azure.net/" } })), vec![]),
        ("Pull", pull(json!({})), vec![]),
        ("Pull from AWS", pull(aws), vec![]),
        ("Pull without lookups", pull(json!({ "lookup": "Off", "pull": { "audience": "a.example" } })), vec![]),
        ("verify", verify.clone(), vec!["a", "b"]),
        ("verify in one namespace", with(verify, json!({ "tenancy": { "namespaceTemplate": "flyte" } })), vec![]),
        ("pull images", embedded(json!({ "imagePullSecrets": { "enabled": true } })), vec!["a", "flyte"]),
        ("Vault", json!({ "secretManagerTypes": ["Vault"] }), vec![]),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let (file, values) = (folder.path().join("settings.json"), folder.path().join("values.json"));
    let path = file.to_str().expect("text");
    for (what, settings, namespaces) in table {
        // What the chart chooses by the cluster's version and Flyte's.
        let chosen =
            json!({ "secretManagerTypes": ["Embedded"], "embeddedSecretManagerConfig": { "delivery": "Auto" } });
        fs::write(&file, with(chosen, settings).to_string()).expect("written");
        let mut arguments = vec!["-f", path];
        namespaces.into_iter().for_each(|it| arguments.extend(["--task-namespace", it]));
        let printed = policy(&arguments)["items"].as_array().cloned().expect("manifests");
        arguments.push("--values");
        fs::write(&values, policy(&arguments).to_string()).expect("written");
        assert_eq!(sorted(printed), sorted(chart(&values)), "{what}");
    }
}

fn with(mut settings: Value, more: Value) -> Value {
    json_patch::merge(&mut settings, &more);
    settings
}
