//! Cases recorded from Flyte's own code. Pods are mutated twice.

use flyte_secrets_testing::golden::run_file;

use crate::support::{policy, repository};

fn all_pass(file: &str) {
    let (count, failures) = run_file(policy(), &repository("tests/golden").join(file)).expect("the cases can be read");
    assert!(count > 0, "{file} holds no cases");
    assert!(failures.is_empty(), "{} of {count} fail\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn pods() {
    all_pass("pods.jsonl");
}

#[test]
fn requests() {
    all_pass("requests.jsonl");
}

#[test]
fn names() {
    all_pass("names.jsonl");
}

#[test]
fn azure_values() {
    all_pass("azure-values.jsonl");
}
