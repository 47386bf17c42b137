//! Host capabilities answered by a live API server, found as kubectl finds it: KUBECONFIG, or the pod's own account.

use std::sync::Arc;

use anyhow::{Context, Result};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::discovery::{self, Scope};
use kube::{Api, Client};
use tokio::runtime::{Builder, Runtime};

use super::{Capabilities, Request};

/// A live API server.
pub struct Live {
    client: Client,
    runtime: Runtime,
}

impl Live {
    /// Connects to the API server.
    pub fn connect() -> Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(Client::try_default()).context("cannot find an API server")?;
        Ok(Arc::new(Self { client, runtime }))
    }

    async fn get(&self, request: &Request) -> Result<Vec<u8>, String> {
        let Request { api_version, kind, name, namespace, .. } = request;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kinds = GroupVersionKind::gvk(group, version, kind);
        let missing = |wrong: kube::Error| format!("Cannot find resource {api_version}/{kind}: {wrong}");
        let (resource, capabilities): (ApiResource, _) =
            discovery::pinned_kind(&self.client, &kinds).await.map_err(missing)?;
        let client = self.client.clone();
        let api: Api<DynamicObject> = match (capabilities.scope, namespace) {
            (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client, namespace, &resource),
            _ => Api::all_with(client, &resource),
        };
        let found = api.get_opt(name).await.map_err(|wrong| wrong.to_string())?;
        let object = found.ok_or_else(|| request.not_found())?;
        serde_json::to_vec(&object).map_err(|wrong| wrong.to_string())
    }
}

impl Capabilities for Live {
    fn call(&self, namespace: &str, operation: &str, payload: &[u8]) -> Result<Vec<u8>, String> {
        match (namespace, operation) {
            ("tracing", "log") => Ok(Vec::new()),
            ("kubernetes", "get_resource") => {
                let request: Request = serde_json::from_slice(payload).map_err(|wrong| wrong.to_string())?;
                self.runtime.block_on(self.get(&request))
            }
            _ => Err(format!("unknown operation: {operation}")),
        }
    }
}
