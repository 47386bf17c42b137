//! Shared code: the policy, and pods with secret requests.

use std::sync::{Arc, OnceLock};

use flyte_secrets_testing::engine::{Policy, Response};
use flyte_secrets_testing::host::{Capabilities, Store};
use flyte_secrets_testing::pods;
pub use flyte_secrets_testing::pods::{annotation, pod, project_name, with};
pub use flyte_secrets_testing::repository::path as repository;
use serde_json::{Value, json};

/// The built policy, compiled once.
pub fn policy() -> &'static Policy {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    POLICY.get_or_init(|| Policy::built().expect("the policy"))
}

/// The settings that name these managers.
pub fn managers(names: &[&str]) -> Value {
    json!({ "secretManagerTypes": names })
}

/// Returns the default security context of the policy's init containers, which passes Pod Security `restricted`.
pub fn restricted() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "readOnlyRootFilesystem": true,
        "runAsGroup": 65532,
        "runAsNonRoot": true,
        "runAsUser": 65532,
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

/// Returns the policy's answer to a pod, with an empty store.
pub fn create(pod: &Value, settings: &Value) -> Response {
    create_with(pod, settings, &Store::new(json!({})))
}

/// Returns the policy's answer to a pod, with a store.
pub fn create_with(pod: &Value, settings: &Value, store: &Arc<Store>) -> Response {
    let store: Arc<dyn Capabilities> = Arc::clone(store) as Arc<dyn Capabilities>;
    policy().create_pod(pod, settings, &store).expect("the policy answers")
}

/// Returns the mutated pod, or fails with the rejection.
pub fn mutated(response: &Response) -> &Value {
    response.mutated().unwrap_or_else(|| panic!("not changed: {:#}", response.0))
}

/// Returns the pod after two mutations, of which the second must change nothing.
pub fn mutated_twice(pod: &Value, settings: &Value, store: &Arc<Store>) -> Value {
    let once = mutated(&create_with(pod, settings, store)).clone();
    let twice = create_with(&once, settings, store);
    assert_eq!(twice.patch(&once), json_patch(), "a second pass changes the pod");
    once
}

fn json_patch() -> json_patch::Patch {
    json_patch::Patch::default()
}

/// A store of Kubernetes Secrets that Embedded finds: full names with their values, in the namespace `flyte`.
pub fn kubernetes_store(values: &[(&str, &[u8])]) -> Arc<Store> {
    Store::new(pods::kubernetes_store(values))
}
