//! Cases recorded from Flyte's own code. Pods are mutated twice.

use flyte_secrets_testing::golden::run_file;

use crate::support::{policy, repository};

#[test]
fn recorded_cases_pass() {
    for file in ["pods.jsonl", "requests.jsonl", "names.jsonl", "azure-values.jsonl"] {
        let outcomes = run_file(policy(), &repository("tests/golden").join(file)).expect("the cases can be read");
        let failures: Vec<String> = outcomes
            .iter()
            .filter_map(|outcome| outcome.failure.as_ref().map(|failure| format!("{}\n{failure}", outcome.name)))
            .collect();
        assert!(!outcomes.is_empty(), "{file} holds no cases");
        assert!(failures.is_empty(), "{} of {} fail\n{}", failures.len(), outcomes.len(), failures.join("\n"));
    }
}
