//! What the tests share: the policy, and pods that ask for secrets.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use flyte_secrets_policy::base32::{self, Alphabet};
use flyte_secrets_testing::engine::{Policy, Response};
use flyte_secrets_testing::host::{Capabilities, Store};
use serde_json::{json, Value};

/// The built policy, compiled once.
pub fn policy() -> &'static Policy {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    POLICY.get_or_init(|| Policy::built().expect("`make policy.wasm` builds the policy"))
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A request in the text format, as flytekit writes it into an annotation.
pub fn annotation(request: &str) -> String {
    base32::encode(Alphabet::Flyte, request.as_bytes())
}

/// A task's pod with one container, in `flytesnacks-development`, that asks for `requests` in the text format.
pub fn pod(requests: &[&str]) -> Value {
    let annotations = requests.iter().enumerate();
    let annotations = annotations.map(|(number, it)| (format!("flyte.secrets/s{number}"), json!(annotation(it))));
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "task-1",
            "namespace": "flytesnacks-development",
            "labels": {
                "inject-flyte-secrets": "true",
                "organization": "acme",
                "project": "flytesnacks",
                "domain": "development",
            },
            "annotations": annotations.collect::<serde_json::Map<String, Value>>(),
        },
        "spec": { "containers": [{ "name": "main", "image": "train:1" }] },
    })
}

/// `value` with the member at `path`, a JSON pointer, set to `to`; objects on the way are made.
pub fn with(mut value: Value, path: &str, to: Value) -> Value {
    let mut place = &mut value;
    for key in path.split('/').skip(1) {
        place = match key.parse::<usize>() {
            Ok(at) if place.is_array() => &mut place[at],
            _ => &mut place[key],
        };
    }
    *place = to;
    value
}

/// The settings that name these managers.
pub fn managers(names: &[&str]) -> Value {
    json!({ "secretManagerTypes": names })
}

/// What the policy says to a pod, with an empty store.
pub fn create(pod: &Value, settings: &Value) -> Response {
    create_with(pod, settings, &Store::new(json!({})))
}

/// What the policy says to a pod, with a store.
pub fn create_with(pod: &Value, settings: &Value, store: &Arc<Store>) -> Response {
    let store: Arc<dyn Capabilities> = Arc::clone(store) as Arc<dyn Capabilities>;
    policy().create_pod(pod, settings, &store).expect("the policy answers")
}

/// The pod that comes out; the refusal is shown where there is none.
pub fn mutated(response: &Response) -> &Value {
    response.mutated().unwrap_or_else(|| panic!("not changed: {:#}", response.0))
}

/// The pod that comes out of two passes, of which the second must change nothing.
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
    use base64::Engine;
    use flyte_secrets_policy::names::kubernetes::secret_name;
    let encode = |value: &[u8]| base64::engine::general_purpose::STANDARD.encode(value);
    let secrets = values.iter().map(|(name, value)| {
        let mut data = serde_json::Map::new();
        data.insert((*name).to_owned(), json!(encode(value)));
        (secret_name(name), Value::Object(data))
    });
    Store::new(json!({ "K8s": { "flyte": secrets.collect::<serde_json::Map<String, Value>>() } }))
}

/// The full name of a secret in the project scope of [`pod`].
pub fn project_name(key: &str) -> String {
    format!("u__org__acme__domain__development__project__flytesnacks__key__{key}")
}
