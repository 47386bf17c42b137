//! Host capabilities of a live API server, as in policy-server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use flyte_secrets_testing::host::{Capabilities, Request};
use kube::api::{ApiResource, DynamicObject, TypeMeta};
use kube::discovery::{ApiCapabilities, Scope, oneshot};
use kube::error::DiscoveryError;
use kube::{Api, Client, Error};
use tokio::runtime::Handle;

/// A live API server.
pub struct Live {
    client: Client,
    runtime: Handle,
    /// Kinds that the policy may read [default: all].
    granted: Option<Vec<TypeMeta>>,
    /// Discovered kinds, which policy-server caches, too.
    known: Mutex<HashMap<TypeMeta, (ApiResource, ApiCapabilities)>>,
}

impl Live {
    /// Returns capabilities that read granted kinds. Call them from threads that may block.
    pub fn new(client: Client, runtime: Handle, granted: Option<Vec<TypeMeta>>) -> Arc<Self> {
        Arc::new(Self { client, runtime, granted, known: Mutex::default() })
    }

    async fn get(&self, request: &Request) -> Result<Vec<u8>, String> {
        let Request { api_version, kind, name, namespace, .. } = request;
        let asked = TypeMeta { api_version: api_version.clone(), kind: kind.clone() };
        if self.granted.as_ref().is_some_and(|granted| !granted.contains(&asked)) {
            return Err(format!(
                "Policy has not been granted access to Kubernetes {api_version}/{kind} resources. The violation has \
                 been reported."
            ));
        }
        let (resource, about) = self.discover(asked).await?;
        let client = self.client.clone();
        let api: Api<DynamicObject> = match (about.scope, namespace) {
            (Scope::Cluster, _) => Api::all_with(client, &resource),
            (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client, namespace, &resource),
            (Scope::Namespaced, None) => {
                return Err(format!("Resource {api_version}/{kind} is namespaced, but no namespace was provided"));
            }
        };
        let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
        let object = found.ok_or_else(|| request.not_found())?;
        serde_json::to_vec(&object).map_err(|error| error.to_string())
    }

    async fn discover(&self, asked: TypeMeta) -> Result<(ApiResource, ApiCapabilities), String> {
        if let Some(known) = self.known.lock().ok().and_then(|known| known.get(&asked).cloned()) {
            return Ok(known);
        }
        let TypeMeta { api_version, kind } = &asked;
        let gvk = (&asked).try_into().map_err(|error| format!("{error}"))?;
        let found = oneshot::pinned_kind(&self.client, &gvk).await.map_err(|error| match error {
            Error::Discovery(DiscoveryError::MissingKind(_)) => format!("Cannot find resource {api_version}/{kind}"),
            error if api_version == "v1" => error.to_string(),
            error => format!("error finding resource {api_version} / {kind}: {error}"),
        })?;
        if let Ok(mut all) = self.known.lock() {
            all.insert(asked, found.clone());
        }
        Ok(found)
    }
}

impl Capabilities for Live {
    fn call(&self, namespace: &str, operation: &str, payload: &[u8]) -> Result<Vec<u8>, String> {
        match (namespace, operation) {
            ("tracing", "log") => Ok(Vec::new()),
            ("kubernetes", "get_resource") => {
                let request: Request = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
                self.runtime.block_on(self.get(&request))
            }
            _ => Err(format!("unknown operation: {operation}")),
        }
    }
}
