//! Cases recorded from Flyte's own code. Pods are mutated twice.

use flyte_secrets_testing::golden::run_file;

use crate::support::{policy, repository};

#[test]
fn recorded_cases_pass() {
    for file in ["pods.jsonl", "requests.jsonl", "names.jsonl", "azure-values.jsonl"] {
        let cases = repository("tests/golden").join(file);
        let (count, failures) = run_file(policy(), &cases).expect("the cases can be read");
        assert!(count > 0, "{file} holds no cases");
        assert!(failures.is_empty(), "{} of {count} fail\n{}", failures.len(), failures.join("\n"));
    }
}
