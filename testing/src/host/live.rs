//! Host capabilities answered by a live API server, as policy-server answers them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client, Config};
use tokio::runtime::{Handle, Runtime};

use super::{Capabilities, Request};

/// A live API server.
pub struct Live {
    client: Client,
    runtime: Handle,
    /// Kept while it is needed, where the caller brings none.
    _own: Option<Runtime>,
    /// The kinds that the policy may read, with their group and version; all of them without.
    granted: Option<Vec<Kind>>,
    /// What has been discovered; policy-server asks once, too.
    known: Mutex<HashMap<Kind, (ApiResource, bool)>>,
}

/// Group and version, and kind, such as `v1` and `Secret`.
pub type Kind = (String, String);

impl Live {
    /// Connects to the API server as kubectl finds it: KUBECONFIG, or the pod's own account. Everything is granted.
    pub fn infer() -> Result<Arc<Self>> {
        let config = Runtime::new()?.block_on(Config::infer()).context("cannot find an API server")?;
        Self::connect(config)
    }

    /// Connects to an API server. Everything is granted.
    pub fn connect(mut config: Config) -> Result<Arc<Self>> {
        let own = Runtime::new()?;
        // As policy-server's, which is an older one.
        config.default_retry = false;
        let client = own.block_on(async { Client::try_from(config) })?;
        let runtime = own.handle().clone();
        Ok(Arc::new(Self { client, runtime, _own: Some(own), granted: None, known: Mutex::default() }))
    }

    /// Reads through a client what is granted; to be called from threads that may block.
    pub fn new(client: Client, runtime: Handle, granted: Vec<Kind>) -> Arc<Self> {
        Arc::new(Self { client, runtime, _own: None, granted: Some(granted), known: Mutex::default() })
    }

    async fn get(&self, request: &Request) -> Result<Vec<u8>, String> {
        let Request { api_version, kind, name, namespace, .. } = request;
        let asked = (api_version.clone(), kind.clone());
        if self.granted.as_ref().is_some_and(|granted| !granted.contains(&asked)) {
            return Err(format!(
                "Policy has not been granted access to Kubernetes {api_version}/{kind} resources. The violation has \
                 been reported."
            ));
        }
        let (resource, namespaced) = self.discover(asked).await?;
        let client = self.client.clone();
        let api: Api<DynamicObject> = match (namespaced, namespace) {
            (false, _) => Api::all_with(client, &resource),
            (true, Some(namespace)) => Api::namespaced_with(client, namespace, &resource),
            (true, None) => {
                return Err(format!("Resource {api_version}/{kind} is namespaced, but no namespace was provided"));
            }
        };
        let found = api.get_opt(name).await.map_err(|wrong| wrong.to_string())?;
        let object = found.ok_or_else(|| request.not_found())?;
        serde_json::to_vec(&object).map_err(|wrong| wrong.to_string())
    }

    async fn discover(&self, asked: Kind) -> Result<(ApiResource, bool), String> {
        if let Some(known) = self.known.lock().ok().and_then(|known| known.get(&asked).cloned()) {
            return Ok(known);
        }
        let (api_version, kind) = &asked;
        let list = match api_version.as_str() {
            "v1" => self.client.list_core_api_resources("v1").await.map_err(|wrong| wrong.to_string()),
            _ => self
                .client
                .list_api_group_resources(api_version)
                .await
                .map_err(|wrong| format!("error finding resource {api_version} / {kind}: {wrong}")),
        }?;
        let found = list.resources.into_iter().find(|resource| resource.kind == *kind);
        let found = found.ok_or_else(|| format!("Cannot find resource {api_version}/{kind}"))?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: api_version.clone(),
            kind: kind.clone(),
            plural: found.name,
        };
        let known = (resource, found.namespaced);
        if let Ok(mut all) = self.known.lock() {
            all.insert(asked, known.clone());
        }
        Ok(known)
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
