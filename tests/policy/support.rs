//! Shared code: the policy, its answers, and pods with secret requests.

use std::sync::{Arc, OnceLock};

use flyte_secrets_policy::names::Scope;
use flyte_secrets_policy::names::kubernetes::{image_pull_name, secret_name};
use flyte_secrets_testing::engine::{Policy, Response, creation};
use flyte_secrets_testing::host::{Capabilities, Request, Store};
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

/// Settings of `embeddedSecretManagerConfig`.
pub fn embedded(settings: Value) -> Value {
    json!({ "embeddedSecretManagerConfig": settings })
}

/// Settings with values in AWS.
pub fn aws() -> Value {
    embedded(json!({ "awsConfig": { "region": "eu-west-1" } }))
}

/// Settings with values in Azure.
pub fn azure() -> Value {
    embedded(json!({ "azureConfig": { "vaultURI": "https://name.vault.azure.net/" } }))
}

/// Settings with image pull secrets.
pub fn image_pull_secrets() -> Value {
    embedded(json!({ "imagePullSecrets": { "enabled": true } }))
}

/// Settings that require the namespace of a pod's labels.
pub fn namespace_of_labels() -> Value {
    json!({ "tenancy": { "namespaceTemplate": "{{ project }}-{{ domain }}" } })
}

/// Every name that `key: "k"` of [`pod`] may have, in the order in which they are tried.
pub const NAMES: [&str; 5] = [
    "u__org__acme__domain__development__project__flytesnacks__key__k",
    "u__org__acme__domain__development__project____key__k",
    "u__org__acme__domain__development__key__k",
    "u__org__acme__domain____project____key__k",
    "u__org__acme__key__k",
];

/// The name of `key: "k"` of [`pod`] in Azure.
pub const AZURE_NAME: &str = "1-acme-development-flytesnacks-NM";

/// The scope of [`pod`].
pub const SCOPE: Scope = Scope { organization: "acme", domain: "development", project: "flytesnacks" };

/// The image-pull twin of a key of [`pod`].
pub fn twin(key: &str) -> String {
    image_pull_name(SCOPE, key)
}

/// Returns the place of a value in messages and audit annotations.
pub fn location(name: &str) -> String {
    format!("{name} (Secret flyte/{})", secret_name(name))
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

/// Returns JSON in which the members at these paths are set, see [`with`].
pub fn edited<'a>(value: Value, edits: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    edits.into_iter().fold(value, |value, (path, to)| with(value, path, to))
}

/// A pod with the value of `key: "k"` in its variable.
pub fn with_variable(pod: Value, value: &str) -> Value {
    let env = json!([
        { "name": "_UNION_K", "value": value },
        { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" },
    ]);
    with(pod, "/spec/containers/0/env", env)
}

/// A pod whose container has the folder of secrets, and a variable for the path of each of these files.
pub fn with_file_variables(pod: Value, paths: &[(&str, &str)]) -> Value {
    let paths = paths.iter().map(|(name, path)| json!({ "name": name, "value": path }));
    let folder = json!({ "name": "FLYTE_SECRETS_DEFAULT_DIR", "value": "/etc/flyte/secrets" });
    let env = paths.chain([json!({ "name": "FLYTE_SECRETS_FILE_PREFIX" }), folder]).collect();
    with(pod, "/spec/containers/0/env", env)
}

/// The whole answer to a pod that gets secrets.
pub fn injected(audit: &str, pod: Value) -> Value {
    json!({ "accepted": true, "audit_annotations": { "secrets": audit }, "mutated_object": pod })
}

/// Returns the policy's answer to a pod, with an empty store.
pub fn create(pod: &Value, settings: &Value) -> Response {
    create_with(pod, settings, &Store::new(json!({})))
}

/// Returns the policy's answer to a pod, with a store.
pub fn create_with(pod: &Value, settings: &Value, store: &Arc<Store>) -> Response {
    validate(&creation(pod), settings, store)
}

/// Returns the policy's answer to an admission request, with a store. Its texts must be lines, and its patch must make
/// the mutated pod.
pub fn validate(request: &Value, settings: &Value, store: &Arc<Store>) -> Response {
    let store: Arc<dyn Capabilities> = Arc::clone(store) as Arc<dyn Capabilities>;
    let response = policy().validate(request, settings, &store).expect("the policy answers");
    let audit = response.0["audit_annotations"]["secrets"].as_str().unwrap_or_default();
    for line in response.warnings().into_iter().chain([response.message(), audit]) {
        assert_line(line);
    }
    // The host makes a patch of the pod, in which names with `/` and `~` are steps of a path (RFC 6901).
    let mut patched = request["object"].clone();
    json_patch::patch(&mut patched, &response.patch(&request["object"])).expect("the patch applies");
    assert_eq!(Some(&patched), response.mutated().or(Some(&request["object"])));
    response
}

/// Checks that a text is one line without anything that a terminal or a log would take for something else: control
/// characters, and those that change the direction of a text, its lines, or nothing that is seen.
fn assert_line(line: &str) {
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    let bad: Vec<char> = line.chars().filter(|c| c.is_control() || hidden(*c) || *c == '\u{feff}').collect();
    assert_eq!(bad, Vec::<char>::new(), "{line:?}");
}

/// Returns the policy's answer to a pod whose host answers each read with `read`.
pub fn create_on(
    pod: &Value,
    settings: &Value,
    read: impl Fn(&Request) -> Result<Vec<u8>, String> + Send + Sync + 'static,
) -> Value {
    let host: Arc<dyn Capabilities> = Arc::new(move |namespace: &str, operation: &str, payload: &[u8]| {
        assert_eq!((namespace, operation), ("kubernetes", "get_resource"));
        read(&serde_json::from_slice(payload).map_err(|error| error.to_string())?)
    });
    policy().create_pod(pod, settings, &host).expect("the policy answers").0
}

/// Returns the mutated pod, or fails with the rejection.
#[track_caller]
pub fn mutated(response: &Response) -> &Value {
    response.mutated().unwrap_or_else(|| panic!("not changed: {:#}", response.0))
}

/// Returns the pod after two mutations, of which the second must change nothing.
#[track_caller]
pub fn mutated_twice(pod: &Value, settings: &Value, store: &Arc<Store>) -> Value {
    let once = mutated(&create_with(pod, settings, store)).clone();
    let twice = create_with(&once, settings, store);
    assert_eq!(twice.patch(&once).0, [], "a second pass changes the pod");
    once
}

/// Returns the variables of a pod's first container.
pub fn env(pod: &Value) -> &Value {
    &pod["spec"]["containers"][0]["env"]
}

/// Returns the names of a list's items.
pub fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|item| item["name"].as_str()).collect()
}

/// A store of Kubernetes Secrets that Embedded finds: full names with their values, in the namespace `flyte`.
pub fn kubernetes_store(values: &[(&str, &[u8])]) -> Arc<Store> {
    Store::new(pods::kubernetes_store(values))
}

/// A pod with so many requests, in each of which `@` is its number.
pub fn asking(count: usize, request: &str) -> Value {
    let requests: Vec<String> = (0..count).map(|number| request.replace('@', &number.to_string())).collect();
    pod(&requests.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A store in which these names have the same value, where `@` is a number from zero on.
pub fn numbered_store(count: usize, name: &str, value: &[u8]) -> Arc<Store> {
    let names: Vec<String> = (0..count).map(|number| name.replace('@', &number.to_string())).collect();
    kubernetes_store(&names.iter().map(|name| (name.as_str(), value)).collect::<Vec<_>>())
}

/// A store in which `key: "k"` of [`pod`] has this value.
pub fn store_of_k(value: &[u8]) -> Arc<Store> {
    kubernetes_store(&[(NAMES[0], value)])
}
