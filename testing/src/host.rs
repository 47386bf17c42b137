//! Host capabilities, with the messages of policy-server.

use std::sync::{Arc, Mutex};

use flyte_secrets_policy::store::{Cluster, GetResource};
use serde::Deserialize;
use serde_json::{Value, json};

/// Host capabilities of a policy.
pub trait Capabilities: Send + Sync {
    /// Answers a call, or returns the message of a host.
    fn call(&self, namespace: &str, operation: &str, payload: &[u8]) -> Result<Vec<u8>, String>;
}

impl<F: Fn(&str, &str, &[u8]) -> Result<Vec<u8>, String> + Send + Sync> Capabilities for F {
    fn call(&self, namespace: &str, operation: &str, payload: &[u8]) -> Result<Vec<u8>, String> {
        self(namespace, operation, payload)
    }
}

/// Returns a host without capabilities.
pub fn nothing() -> Arc<dyn Capabilities> {
    Arc::new(|namespace: &str, operation: &str, _: &[u8]| match namespace {
        "tracing" => Ok(Vec::new()),
        _ => Err(format!("Policy has not been granted access to the '{namespace}/{operation}' host capability.")),
    })
}

/// A request of `kubernetes/get_resource`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Request {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: Option<String>,
    /// Whether the host's cache is bypassed.
    #[serde(default)]
    pub disable_cache: bool,
    /// Requested fields [default: all].
    #[serde(default)]
    pub field_masks: Option<Vec<String>>,
}

impl Request {
    /// Returns the host's message for an object that does not exist.
    pub fn not_found(&self) -> String {
        let Self { api_version, kind, name, namespace, .. } = self;
        format!("Cannot find {api_version}/{kind} named '{name}' inside of namespace '{namespace:?}'")
    }
}

/// Secrets in the format of the golden cases: `AWS`, `GCP` and `Azure` map names to `{"stringValue"}`,
/// `{"binaryValue"}` or `{"error"}`; `K8s` maps namespaces to Secrets with their `data`.
#[derive(Debug, Default)]
pub struct Store {
    contents: Value,
    asked: Mutex<Vec<Request>>,
}

impl Store {
    /// Returns a store with these contents.
    pub fn new(contents: Value) -> Arc<Self> {
        Arc::new(Self { contents, asked: Mutex::default() })
    }

    /// Returns all requests so far.
    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }

    /// Returns all requests so far, except those that check whether a store exists.
    pub fn looked_up(&self) -> Vec<Request> {
        let is_guard = |request: &Request| ["Namespace", "SecretLookup"].contains(&request.kind.as_str());
        self.asked().into_iter().filter(|request| !is_guard(request)).collect()
    }

    fn object(&self, request: &Request) -> Result<Value, String> {
        let Request { api_version, kind, name, namespace, .. } = request;
        let found = match (api_version.as_str(), kind.as_str(), namespace) {
            ("v1", "Secret", Some(namespace)) => {
                let data = self.contents.get("K8s").and_then(|all| all.get(namespace)?.get(name));
                data.map(|data| json!({ "data": data }))
            }
            ("secret-gateway.flyte.org/v1alpha1", kind, None) if kind.ends_with("Secret") => {
                let store = kind.trim_end_matches("Secret");
                let stored = name.split_once(':').map(|(_, stored)| stored).unwrap_or_default();
                self.contents.get(store).and_then(|all| all.get(stored)).cloned()
            }
            // Shows that the store exists, unless the contents differ.
            ("v1", "Namespace", None) | ("secret-gateway.flyte.org/v1alpha1", "SecretLookup", None) => {
                self.contents.get(kind).map_or(Some(json!({})), |all| all.get(name).cloned())
            }
            _ => return Err(format!("Cannot find resource {api_version}/{kind}")),
        };
        let found = found.ok_or_else(|| request.not_found())?;
        if let Some(error) = found.get("error").and_then(Value::as_str) {
            return Err(format!("ApiError: {error} (ErrorResponse {{ code: 503 }})"));
        }
        let mut object =
            json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name, "namespace": namespace } });
        for (member, value) in found.as_object().into_iter().flatten() {
            object[member] = value.clone();
        }
        Ok(object)
    }
}

impl Capabilities for Store {
    fn call(&self, namespace: &str, operation: &str, payload: &[u8]) -> Result<Vec<u8>, String> {
        match (namespace, operation) {
            ("tracing", "log") => Ok(Vec::new()),
            ("kubernetes", "get_resource") => {
                let request: Request = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
                let answer = self.object(&request);
                if let Ok(mut asked) = self.asked.lock() {
                    asked.push(request);
                }
                answer.map(|object| object.to_string().into_bytes())
            }
            _ => Err(format!("unknown operation: {operation}")),
        }
    }
}

/// The same store for the core without wasm.
impl Cluster for Store {
    fn get_resource(&self, request: &GetResource) -> Result<Vec<u8>, String> {
        let GetResource { api_version, kind, name, namespace, field_masks } = request;
        let request = json!({
            "api_version": api_version, "kind": kind, "name": name, "namespace": namespace, "disable_cache": true,
            "field_masks": field_masks,
        });
        self.call("kubernetes", "get_resource", request.to_string().as_bytes())
    }
}
