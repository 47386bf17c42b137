//! Notes of `helm install`.

use std::ffi::OsStr;
use std::fs;

use serde_json::{Value, json};

use crate::helm::{CHART, documents, holds, repository, run};

/// Returns the notes. Helm prints them with a cluster alone, so that a copy of the chart has them as a manifest.
fn notes(values: &Value) -> String {
    let chart = tempfile::tempdir().expect("a folder");
    for file in flyte_secrets_testing::repository::files(CHART, "").expect("the chart") {
        let copy = chart.path().join(file.strip_prefix("deploy/chart/").expect("a file of the chart"));
        fs::create_dir_all(copy.parent().expect("a folder")).expect("made");
        fs::copy(repository(&file), copy).expect("copied");
    }
    fs::rename(chart.path().join("templates/NOTES.txt"), chart.path().join("NOTES.txt")).expect("the notes");
    let manifest = "notes: {{ tpl (.Files.Get \"NOTES.txt\") . | toJson }}\n";
    fs::write(chart.path().join("templates/notes.yaml"), manifest).expect("written");
    let file = chart.path().join("given.json");
    fs::write(&file, values.to_string()).expect("written");
    let show = ["--namespace", "flyte", "--show-only", "templates/notes.yaml", "--values"].map(OsStr::new);
    let named = [OsStr::new("template"), OsStr::new("flyte-secrets"), chart.path().as_os_str()];
    let output = run("helm", &[&named[..], &show, &[file.as_os_str()]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rendered = String::from_utf8(output.stdout).expect("UTF-8");
    let notes = documents(&rendered).into_iter().find_map(|document| document["notes"].as_str().map(str::to_owned));
    notes.expect("the notes")
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn notes_describe_the_installation() {
    let tenancy = |tenancy: Value| json!({ "policy": { "settings": { "tenancy": tenancy } } });
    let rows = [
        json!({}),
        json!({ "flyte": { "version": 1 } }),
        json!({ "flyte": { "version": 1 }, "policy": { "settings": { "secretManagerTypes": ["embedded"] } } }),
        json!({ "flyte": { "tenancy": false } }),
        json!({ "delivery": "Pull" }),
        json!({ "policy": { "settings": { "embeddedSecretManagerConfig": { "k8sConfig": { "namespace": "secrets" } } } } }),
        json!({
            "policy": { "failurePolicy": "Ignore", "settings": { "embeddedSecretManagerConfig": { "gcpConfig": { "project": "acme-prod" } } } },
        }),
        tenancy(json!({ "creators": null })),
        tenancy(json!({ "creators": null, "namespaceTemplate": "{{org}}-{{ domain }}", "organizations": null })),
    ];
    let all = rows.iter().map(|values| format!("# {values}\n{}\n", notes(values)));
    holds(&repository("tests/chart/golden/notes.txt"), &all.collect::<String>());
}
