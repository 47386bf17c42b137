//! Pods of Flyte tasks, with secret requests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_policy::secret_request::base32;
use serde_json::{Map, Value, json};

/// A unique value. Tests fetch it, and `make test` checks that no output contains it: it may only be in pods. Its
/// length is a multiple of three, so that its base64 has no padding.
pub const CANARY: &str = "canary-5f1d93b7e2c8a640z";

/// Variables that secret requests must not name, because they change how programs start.
pub const DENIED_VARIABLES: [&str; 13] = [
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "PATH",
    "BASH_ENV",
    "ENV",
    "IFS",
    "NODE_OPTIONS",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PERL5OPT",
    "RUBYOPT",
    "JAVA_TOOL_OPTIONS",
    "KUBERNETES_SERVICE_HOST",
];

/// Encodes a request in the text format, as flytekit does for annotations.
pub fn annotation(request: &str) -> String {
    base32::encode(request.as_bytes())
}

/// Returns a task pod with one container, in `flytesnacks-development`, with `requests` in the text format.
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
            "annotations": annotations.collect::<Map<String, Value>>(),
        },
        "spec": { "containers": [{ "name": "main", "image": "train:1" }] },
    })
}

/// Sets the member at `path`, a JSON pointer, and creates missing objects.
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

/// Returns the full name of a secret in the project scope of [`pod`].
pub fn project_name(key: &str) -> String {
    format!("u__org__acme__domain__development__project__flytesnacks__key__{key}")
}

/// Returns Secrets for [`crate::host::Store`] that Embedded finds: full names with their values, in the namespace
/// `flyte`.
pub fn kubernetes_store(values: &[(&str, &[u8])]) -> Value {
    let secrets = values.iter().map(|(name, value)| {
        let data: Map<String, Value> = [((*name).to_owned(), json!(STANDARD.encode(value)))].into_iter().collect();
        (secret_name(name), Value::Object(data))
    });
    json!({ "K8s": { "flyte": secrets.collect::<Map<String, Value>>() } })
}
