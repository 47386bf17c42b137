//! A Kubernetes cluster and its clients. Objects are JSON in the API server's format.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

/// A cluster, with a client of its administrator.
pub struct Cluster {
    pub kubeconfig: PathBuf,
    pub admin: Caller,
    config: Config,
    /// Address at which the cluster reaches this machine; without one, addresses of Services are on this machine.
    address: Option<IpAddr>,
    made: Mutex<Vec<String>>,
}

impl Cluster {
    pub async fn connect(kubeconfig: &Path, address: Option<IpAddr>) -> Result<Self> {
        let file = Kubeconfig::read_from(kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        config.read_timeout = Some(Duration::from_secs(60));
        // Tests check each response, and the client of policy-server does not retry, either.
        config.default_retry = false;
        let admin = Caller(Client::try_from(config.clone())?);
        Ok(Self { kubeconfig: kubeconfig.to_owned(), admin, config, address, made: Mutex::default() })
    }

    /// Returns a client with a token.
    pub fn with_token(&self, token: &str) -> Result<Caller> {
        let mut config = self.config.clone();
        config.auth_info = serde_json::from_value(json!({ "token": token }))?;
        Ok(Caller(Client::try_from(config)?))
    }

    /// Returns a client that impersonates a service account.
    pub fn account_client(&self, namespace: &str, account: &str) -> Result<Caller> {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(format!("system:serviceaccount:{namespace}:{account}"));
        let groups = ["system:authenticated".to_owned(), "system:serviceaccounts".to_owned()];
        let own = format!("system:serviceaccounts:{namespace}");
        config.auth_info.impersonate_groups = Some(groups.into_iter().chain([own]).collect());
        Ok(Caller(Client::try_from(config)?))
    }

    /// Returns a new token of a service account, by the `spec` of a TokenRequest.
    pub async fn token(&self, namespace: &str, account: &str, spec: &Value) -> Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
        let answer = self.admin.post(&path, &request).await?.ok()?;
        Ok(answer["status"]["token"].as_str().context("no token")?.to_owned())
    }

    /// Checks by SubjectAccessReviews what a user may do with resources of an API group: verb, resource, namespace, and
    /// whether that is allowed.
    pub async fn has_rights(&self, user: &str, group: &str, rights: &[(&str, &str, &str, bool)]) -> Result<()> {
        for (verb, resource, namespace, allowed) in rights {
            let attributes = json!({ "group": group, "verb": verb, "resource": resource, "namespace": namespace });
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                "spec": { "user": user, "resourceAttributes": attributes },
            });
            let review = self.admin.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await?.ok()?;
            ensure!(review["status"]["allowed"] == *allowed, "{verb} {resource} in {namespace:?}: {review}");
        }
        Ok(())
    }

    /// Waits until the API server applies changes of permissions and webhooks, which it watches as clients do.
    pub async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    /// Writes a kubeconfig for a service account.
    pub async fn kubeconfig_for(&self, folder: &Path, namespace: &str, account: &str) -> Result<PathBuf> {
        let token = self.token(namespace, account, &json!({})).await?;
        let mut file = Kubeconfig::read_from(&self.kubeconfig)?;
        for user in &mut file.auth_infos {
            user.auth_info = Some(serde_json::from_value(json!({ "token": token }))?);
        }
        let path = folder.join(format!("{namespace}-{account}.kubeconfig"));
        std::fs::write(&path, serde_json::to_string(&file)?)?;
        Ok(path)
    }

    /// Creates a namespace with the service account `default`, whose token is not mounted into pods.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        if self.admin.get(&format!("/api/v1/namespaces/{name}")).await?.code == 404 {
            self.apply("/api/v1/namespaces", &named("v1", "Namespace", name)).await?;
            self.remember(format!("/api/v1/namespaces/{name}"));
        }
        self.account(name, "default").await
    }

    /// Enforces the restricted standard of Pod Security in a namespace, which is created if needed.
    pub async fn restrict(&self, name: &str) -> Result<()> {
        self.namespace(name).await?;
        let mut namespace = named("v1", "Namespace", name);
        namespace["metadata"]["labels"] = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
        self.apply("/api/v1/namespaces", &namespace).await
    }

    fn remember(&self, path: String) {
        if let Ok(mut made) = self.made.lock() {
            made.push(path);
        }
    }

    /// Returns the paths of namespaces and permissions that were created.
    pub fn made(&self) -> Vec<String> {
        self.made.lock().map(|made| made.clone()).unwrap_or_default()
    }

    /// Creates a service account.
    pub async fn account(&self, namespace: &str, name: &str) -> Result<()> {
        let mut account = named("v1", "ServiceAccount", name);
        account["automountServiceAccountToken"] = json!(false);
        self.apply(&format!("/api/v1/namespaces/{namespace}/serviceaccounts"), &account).await
    }

    /// Grants a service account a rule, by a ClusterRole and a binding with its name.
    pub async fn grant(&self, namespace: &str, account: &str, rule: &Value) -> Result<()> {
        let mut role = named("rbac.authorization.k8s.io/v1", "ClusterRole", account);
        let mut binding = named("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", account);
        role["rules"] = json!([rule]);
        binding["roleRef"] = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account });
        binding["subjects"] = json!([{ "kind": "ServiceAccount", "namespace": namespace, "name": account }]);
        for (collection, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
            let collection = format!("/apis/rbac.authorization.k8s.io/v1/{collection}");
            self.apply(&collection, &object).await?;
            self.remember(format!("{collection}/{account}"));
        }
        self.settle().await;
        Ok(())
    }

    /// Deletes an object, and returns it in a form in which it can be created again.
    pub async fn take(&self, collection: &str, name: &str) -> Result<Value> {
        let path = format!("{collection}/{name}");
        let mut object = self.admin.get(&path).await?.ok()?;
        self.admin.delete(&path).await?.ok()?;
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.retain(|key, _| matches!(key.as_str(), "annotations" | "labels" | "name"));
        }
        Ok(object)
    }

    /// Creates or replaces an object.
    pub async fn apply(&self, collection: &str, object: &Value) -> Result<()> {
        self.apply_part(collection, "", object).await
    }

    /// Sets the status of an object, as its controller does.
    pub async fn apply_status(&self, collection: &str, object: &Value) -> Result<()> {
        self.apply_part(collection, "/status", object).await
    }

    async fn apply_part(&self, collection: &str, part: &str, object: &Value) -> Result<()> {
        let name = object["metadata"]["name"].as_str().context("the object has no name")?;
        let path = format!("{collection}/{name}{part}?fieldManager=e2e&force=true");
        self.admin.send("PATCH", &path, "application/apply-patch+yaml", Some(object)).await?.ok().map(drop)
    }

    /// Creates a Service with the port `https`, and returns the address at which to listen for it.
    pub async fn expose(&self, namespace: &str, service: &str, port: u16) -> Result<SocketAddr> {
        let mut object = named("v1", "Service", service);
        let port = json!({ "name": "https", "port": port, "targetPort": port, "protocol": "TCP" });
        object["spec"] = json!({ "selector": { "app": service }, "ports": [port] });
        self.apply(&format!("/api/v1/namespaces/{namespace}/services"), &object).await?;
        self.serve_as(namespace, service).await
    }

    /// Returns the address at which to listen for a Service's port `https`, and makes it an endpoint of the Service.
    pub async fn serve_as(&self, namespace: &str, service: &str) -> Result<SocketAddr> {
        let path = format!("/api/v1/namespaces/{namespace}/services/{service}");
        let object = self.admin.get(&path).await?.ok()?;
        let ports = object["spec"]["ports"].as_array().into_iter().flatten();
        let port = ports.filter(|port| port["name"] == "https").find_map(|port| port["port"].as_u64());
        let port: u16 = port.context("the Service has no port https")?.try_into()?;
        let (listen, endpoint) = match self.address {
            Some(address) => {
                let listen = SocketAddr::new("0.0.0.0".parse()?, crate::process::free_port()?);
                (listen, SocketAddr::new(address, listen.port()))
            }
            None => {
                let address = object["spec"]["clusterIP"].as_str().context("the Service has no address")?;
                // No client connects there, but the API server requires an endpoint that is not on loopback.
                (SocketAddr::new(address.parse()?, port), SocketAddr::new("192.0.2.1".parse()?, port))
            }
        };
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "name": format!("{service}-e2e"), "labels": {
                "kubernetes.io/service-name": service, "endpointslice.kubernetes.io/managed-by": "e2e",
            } },
            "addressType": if endpoint.is_ipv4() { "IPv4" } else { "IPv6" },
            "endpoints": [{ "addresses": [endpoint.ip()], "conditions": { "ready": true } }],
            "ports": [{ "name": "https", "port": endpoint.port(), "protocol": "TCP" }],
        });
        self.apply(&format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"), &slice).await?;
        Ok(listen)
    }
}

/// Returns an object that has only a name.
pub fn named(api_version: &str, kind: &str, name: &str) -> Value {
    json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name } })
}

/// A client of the API server.
#[derive(Clone)]
pub struct Caller(pub Client);

impl Caller {
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, "application/json", None).await
    }

    pub async fn post(&self, path: &str, object: &Value) -> Result<Answer> {
        self.send("POST", path, "application/json", Some(object)).await
    }

    pub async fn put(&self, path: &str, object: &Value) -> Result<Answer> {
        self.send("PUT", path, "application/json", Some(object)).await
    }

    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.send("DELETE", path, "application/json", None).await
    }

    /// Returns a pod.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Value> {
        self.get(&format!("/api/v1/namespaces/{namespace}/pods/{name}")).await?.ok()
    }

    /// Returns the log of a container.
    pub async fn log(&self, namespace: &str, pod: &str, container: &str) -> Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}");
        let log = self.get(&path).await?.ok()?;
        Ok(log.as_str().map_or_else(|| log.to_string(), str::to_owned))
    }

    /// Creates a pod, and deletes it at once if it was accepted.
    pub async fn admit(&self, namespace: &str, pod: &Value) -> Result<Answer> {
        let created = self.create_pod(namespace, pod).await?;
        if let (201, Some(name)) = (created.code, created.body["metadata"]["name"].as_str()) {
            self.delete_pod(namespace, name).await?;
        }
        Ok(created)
    }

    /// Creates a pod in a dry run.
    pub async fn dry_run(&self, namespace: &str, pod: &Value) -> Result<Answer> {
        self.post(&format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"), pod).await
    }

    /// Creates a pod.
    pub async fn create_pod(&self, namespace: &str, pod: &Value) -> Result<Answer> {
        self.post(&format!("/api/v1/namespaces/{namespace}/pods"), pod).await
    }

    /// Deletes a pod at once.
    pub async fn delete_pod(&self, namespace: &str, name: &str) -> Result<()> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}?gracePeriodSeconds=0");
        self.delete(&path).await?.ok().map(drop)
    }

    async fn send(&self, method: &str, path: &str, content: &str, object: Option<&Value>) -> Result<Answer> {
        let body = object.map(|object| object.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header("content-type", content);
        let request = request.header("accept", "application/json").body(Body::from(body))?;
        let response = self.0.send(request).await?;
        // The form of a header is: 299 - "text".
        let warnings = response.headers().get_all("warning").iter();
        let warnings =
            warnings.filter_map(|value| serde_json::from_str(value.to_str().ok()?.strip_prefix("299 - ")?).ok());
        let (warnings, code) = (warnings.collect(), response.status().as_u16());
        let body = response.into_body().collect().await?.to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
        Ok(Answer { code, body, warnings })
    }
}

/// A response of the API server.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
    pub warnings: Vec<String>,
}

impl Answer {
    /// Returns the object, or an error with the server's message.
    pub fn ok(self) -> Result<Value> {
        match self.code {
            200..=299 => Ok(self.body),
            code => bail!("{code}: {}", self.body["message"].as_str().unwrap_or(&self.body.to_string())),
        }
    }

    /// Returns the message of a rejection with this code.
    pub fn refused(&self, code: u16) -> Result<&str> {
        let message = self.body["message"].as_str().unwrap_or_default();
        ensure!(self.code == code, "{code} was expected, but {} came: {message}", self.code);
        Ok(message)
    }

    /// Checks that it is a rejection with this code, whose message contains all of these texts.
    pub fn refused_for(&self, code: u16, words: &[&str]) -> Result<()> {
        has_all(self.refused(code)?, words)
    }
}

/// Checks that a message contains all of these texts.
pub fn has_all(message: &str, words: &[&str]) -> Result<()> {
    let missing: Vec<_> = words.iter().filter(|word| !message.contains(*word)).collect();
    ensure!(missing.is_empty(), "{message:?} lacks {missing:?}");
    Ok(())
}
