//! Host capabilities, with the messages of policy-server.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use flyte_secrets_policy::store::{Cluster, GetResource};
use serde::Deserialize;
use serde_json::{Map, Value, json};

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

    /// Reads a store from a file of YAML or JSON.
    pub fn load(path: &Path) -> Result<Arc<Self>> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::new(serde_yaml::from_str(&text).with_context(|| format!("{} is no store", path.display()))?))
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
        let mut object = Map::new();
        object.insert("apiVersion".into(), json!(api_version));
        object.insert("kind".into(), json!(kind));
        object.insert("metadata".into(), json!({ "name": name, "namespace": namespace }));
        object.extend(found.as_object().cloned().unwrap_or_default());
        Ok(Value::Object(object))
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

/// A file for `kwctl run --replay-host-capabilities-interactions`.
#[derive(Debug)]
pub struct Replay {
    exchanges: Mutex<VecDeque<Exchange>>,
}

#[derive(Debug, Deserialize)]
struct Exchange {
    request: String,
    response: Answer,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum Answer {
    Success { payload: String },
    Error { message: String },
}

impl Replay {
    /// Reads a replay file.
    pub fn load(path: &Path) -> Result<Arc<Self>> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let exchanges: VecDeque<Exchange> =
            serde_yaml::from_str(&text).with_context(|| format!("{} is no replay file", path.display()))?;
        Ok(Arc::new(Self { exchanges: Mutex::new(exchanges) }))
    }
}

impl Capabilities for Replay {
    fn call(&self, namespace: &str, operation: &str, payload: &[u8]) -> Result<Vec<u8>, String> {
        if namespace == "tracing" {
            return Ok(Vec::new());
        }
        if operation != "get_resource" {
            return Err(format!("unknown operation: {operation}"));
        }
        let request: Request = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        let exchange = self.exchanges.lock().ok().and_then(|mut left| left.pop_front());
        let exchange = exchange.ok_or("no exchange is left in the replay file")?;
        let text = exchange.request.trim_start().trim_start_matches("!KubernetesGetResource");
        let recorded: Request = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        if recorded != request {
            return Err(format!("the replay file has {recorded:?} next, but {request:?} was asked"));
        }
        match exchange.response {
            Answer::Success { payload } => Ok(payload.into_bytes()),
            Answer::Error { message } => Err(message),
        }
    }
}
