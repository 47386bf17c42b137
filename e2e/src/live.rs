//! Host capabilities of a live API server, as in policy-server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use flyte_secrets_testing::host::{Capabilities, Request};
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client, Config};
use tokio::runtime::{Handle, Runtime};

/// A live API server.
pub struct Live {
    client: Client,
    runtime: Handle,
    /// The runtime, if the caller has none.
    _own: Option<Runtime>,
    /// Kinds that the policy may read, with group and version [default: all].
    granted: Option<Vec<Kind>>,
    /// Discovered kinds, which policy-server caches, too.
    known: Mutex<HashMap<Kind, (ApiResource, bool)>>,
}

/// Group with version, and kind, such as `v1` and `Secret`.
pub type Kind = (String, String);

impl Live {
    /// Connects to the API server of KUBECONFIG or of the pod's service account. Everything is granted.
    pub fn infer() -> Result<Arc<Self>> {
        let config = Runtime::new()?.block_on(Config::infer()).context("cannot find an API server")?;
        Self::connect(config)
    }

    /// Connects to an API server. Everything is granted.
    pub fn connect(mut config: Config) -> Result<Arc<Self>> {
        let own = Runtime::new()?;
        // As in policy-server, which has an older client.
        config.default_retry = false;
        let client = own.block_on(async { Client::try_from(config) })?;
        let runtime = own.handle().clone();
        Ok(Arc::new(Self { client, runtime, _own: Some(own), granted: None, known: Mutex::default() }))
    }

    /// Returns capabilities that read granted kinds. Call them from threads that may block.
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
        let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
        let object = found.ok_or_else(|| request.not_found())?;
        serde_json::to_vec(&object).map_err(|error| error.to_string())
    }

    async fn discover(&self, asked: Kind) -> Result<(ApiResource, bool), String> {
        if let Some(known) = self.known.lock().ok().and_then(|known| known.get(&asked).cloned()) {
            return Ok(known);
        }
        let (api_version, kind) = &asked;
        let list = match api_version.as_str() {
            "v1" => self.client.list_core_api_resources("v1").await.map_err(|error| error.to_string()),
            _ => self
                .client
                .list_api_group_resources(api_version)
                .await
                .map_err(|error| format!("error finding resource {api_version} / {kind}: {error}")),
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
                let request: Request = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
                self.runtime.block_on(self.get(&request))
            }
            _ => Err(format!("unknown operation: {operation}")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)] // how tests fail
mod tests {
    //! Tests with a small double of an API server, over plain HTTP.

    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use serde_json::{Value, json};

    use super::*;

    /// Answers discovery of `v1`, one Secret, and 403 for another; everything else is a Status of 404.
    fn serve(listener: &TcpListener) {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut lines = BufReader::new(stream.try_clone().expect("a connection")).lines();
            let first = lines.next().and_then(Result::ok).unwrap_or_default();
            while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
            let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
            let status = |code: u16, reason: &str| {
                let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason,
                                   "reason": reason, "code": code });
                (code, body)
            };
            let (code, body) = match path.as_str() {
                "/api/v1" => (
                    200,
                    json!({ "kind": "APIResourceList", "groupVersion": "v1", "resources": [{
                    "name": "secrets", "singularName": "secret", "namespaced": true, "kind": "Secret", "verbs": ["get"],
                }] }),
                ),
                "/api/v1/namespaces/flyte/secrets/there" => (
                    200,
                    json!({ "apiVersion": "v1", "kind": "Secret",
                    "metadata": { "name": "there", "namespace": "flyte" }, "data": { "k": "dg==" } }),
                ),
                "/api/v1/namespaces/flyte/secrets/forbidden" => status(403, "Forbidden"),
                _ => status(404, "NotFound"),
            };
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).expect("an answer");
        }
    }

    #[test]
    fn a_live_api_server_answers_in_the_hosts_words() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || serve(&listener));
        let config = Config::new(format!("http://{address}").parse().expect("an address"));
        let live = Live::connect(config).expect("an API server");
        let get = |name: &str, kind: &str| {
            let request = json!({ "api_version": "v1", "kind": kind, "name": name, "namespace": "flyte",
                                  "disable_cache": true, "field_masks": ["data"] });
            live.call("kubernetes", "get_resource", request.to_string().as_bytes())
        };
        let secret: Value = serde_json::from_slice(&get("there", "Secret").expect("the Secret")).expect("JSON");
        assert_eq!(secret["data"], json!({ "k": "dg==" }));
        let missing = "Cannot find v1/Secret named 'nowhere' inside of namespace 'Some(\"flyte\")'";
        assert_eq!(get("nowhere", "Secret"), Err(missing.to_owned()));
        let forbidden = get("forbidden", "Secret").expect_err("no right");
        assert!(forbidden.contains("code: 403"), "{forbidden}");
        let unknown = get("x", "Unknown").expect_err("no kind");
        assert!(unknown.starts_with("Cannot find resource v1/Unknown"), "{unknown}");
    }
}
