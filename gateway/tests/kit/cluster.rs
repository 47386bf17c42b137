//! A test double of a cluster: the ConfigMap with the front proxy's authority, reviews of access and of tokens, pods
//! and Secrets.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use flyte_secrets_policy::grant::AUDIENCE;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::authority::Authority;

/// Answer to the spec of a review.
#[derive(Clone)]
pub enum Verdict {
    Allow,
    Deny(&'static str),
    Fail(u16),
    Stall(Duration),
}

/// Returns the user of a service account's token that is bound to a pod.
pub fn bound(namespace: &str, account: &str, pod: &str, uid: &str) -> Value {
    let extra =
        json!({ "authentication.kubernetes.io/pod-name": [pod], "authentication.kubernetes.io/pod-uid": [uid] });
    json!({ "username": format!("system:serviceaccount:{namespace}:{account}"), "extra": extra })
}

/// Returns the pod `a0` whose init container has these arguments, a grant.
pub fn granted(namespace: &str, uid: &str, args: &[impl AsRef<str>]) -> Value {
    let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    let token = json!({ "serviceAccountToken": { "audience": AUDIENCE, "path": "token" } });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "namespace": namespace, "name": "a0", "uid": uid },
        "spec": {
            "nodeName": "node-1", "containers": [{ "name": "main" }],
            "initContainers": [{ "name": "flyte-secrets", "args": args }],
            "volumes": [{ "name": "flyte-secrets-token", "projected": { "sources": [token] } }],
        },
        "status": { "phase": "Pending" },
    })
}

/// Returns a Secret of the namespace `flyte`.
pub fn secret(name: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "namespace": "flyte", "name": name }, "data": data })
}

/// Returns a kubeconfig without TLS and credentials.
pub fn kubeconfig(address: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: stand-in\n\
         clusters: [{{ name: stand-in, cluster: {{ server: \"http://{address}\" }} }}]\n\
         users: [{{ name: stand-in, user: {{}} }}]\n\
         contexts: [{{ name: stand-in, context: {{ cluster: stand-in, user: stand-in }} }}]\n"
    )
}

struct Inner {
    /// The ConfigMap, and whether it is there.
    config_map: watch::Sender<(Value, bool)>,
    judge: Arc<dyn Fn(&Value) -> Verdict + Send + Sync>,
    reviews: Vec<Value>,
    /// Results of reviews, by token and audience.
    tokens: HashMap<(String, String), Value>,
    /// Objects by path.
    objects: HashMap<String, Value>,
    /// Status of all requests for pods, tokens and Secrets, if set.
    failure: Option<u16>,
}

/// An API server on loopback.
#[derive(Clone)]
pub struct Cluster {
    pub address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

impl Cluster {
    /// Starts a cluster that allows everything, without the ConfigMap.
    pub async fn start() -> Self {
        let config_map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "extension-apiserver-authentication", "namespace": "kube-system", "resourceVersion": "1" },
            "data": {
                "client-ca-file": "not read",
                "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
                "requestheader-group-headers": r#"["X-Remote-Group"]"#,
                "requestheader-uid-headers": r#"["X-Remote-Uid"]"#,
                "requestheader-username-headers": r#"["X-Remote-User"]"#,
            },
        });
        let inner = Inner {
            config_map: watch::Sender::new((config_map, false)),
            judge: Arc::new(|_| Verdict::Allow),
            reviews: Vec::new(),
            tokens: HashMap::new(),
            objects: HashMap::new(),
            failure: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("an address");
        let cluster = Self { address, inner: Arc::new(Mutex::new(inner)) };
        let router = cluster.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        cluster
    }

    /// Returns its routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", get(config_map))
            .route("/api/v1/namespaces/kube-system/configmaps", get(config_maps))
            .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(review))
            .route("/apis/authentication.k8s.io/v1/tokenreviews", post(token_review))
            .route("/api/v1/namespaces/{namespace}/pods/{name}", get(object))
            .route("/api/v1/namespaces/{namespace}/secrets/{name}", get(object))
            .with_state(self.clone())
    }

    pub fn client(&self) -> kube::Client {
        let config = kube::Config::new(format!("http://{}", self.address).parse().expect("a URI"));
        kube::Client::try_from(config).expect("a client")
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Sets the authorities and common names of the front proxy.
    pub fn trust(&self, authorities: &[&Authority], common_names: &[&str]) {
        let ca: String = authorities.iter().map(|authority| authority.certificate.as_str()).collect();
        self.inner().config_map.send_modify(|(map, there)| {
            map["data"]["requestheader-allowed-names"] = json!(json!(common_names).to_string());
            map["data"]["requestheader-client-ca-file"] = json!(ca);
            *there = true;
        });
    }

    /// Sets a key of the ConfigMap.
    pub fn say(&self, key: &str, value: &str) {
        self.inner().config_map.send_modify(|(map, _)| map["data"][key] = json!(value));
    }

    /// Makes reads of the ConfigMap fail.
    pub fn forget_config_map(&self) {
        self.inner().config_map.send_modify(|(_, there)| *there = false);
    }

    /// Sets the decision on reviews.
    pub fn judge(&self, judge: impl Fn(&Value) -> Verdict + Send + Sync + 'static) {
        self.inner().judge = Arc::new(judge);
    }

    /// Sets the user of a token for an audience.
    pub fn token(&self, token: &str, audience: &str, user: Value) {
        let status = json!({ "authenticated": true, "user": user, "audiences": [audience] });
        self.token_status(token, audience, status);
    }

    /// Sets the review of a token for an audience.
    pub fn token_status(&self, token: &str, audience: &str, status: Value) {
        self.inner().tokens.insert((token.to_owned(), audience.to_owned()), status);
    }

    /// Adds an object of `pods` or `secrets`.
    pub fn object(&self, resource: &str, object: Value) {
        let name = |field: &str| object["metadata"][field].as_str().expect("a name").to_owned();
        let path = format!("/api/v1/namespaces/{}/{resource}/{}", name("namespace"), name("name"));
        self.inner().objects.insert(path, object);
    }

    /// Removes an object.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/{resource}/{name}");
        self.inner().objects.remove(&path).expect("an object");
    }

    /// Answers all requests for tokens, pods and Secrets with this status.
    pub fn fail(&self, code: Option<u16>) {
        self.inner().failure = code;
    }

    /// Returns the specs of all reviews so far.
    pub fn reviews(&self) -> Vec<Value> {
        self.inner().reviews.clone()
    }
}

async fn config_map(State(cluster): State<Cluster>) -> Response {
    let (map, there) = cluster.inner().config_map.borrow().clone();
    if there { Json(map).into_response() } else { failure(404) }
}

/// A list of the one, or what becomes of it from now on.
async fn config_maps(State(cluster): State<Cluster>, Query(query): Query<HashMap<String, String>>) -> Response {
    assert_eq!(query["fieldSelector"], "metadata.name=extension-apiserver-authentication");
    let mut maps = cluster.inner().config_map.subscribe();
    if query.get("watch").is_none_or(|watch| watch != "true") {
        let (map, there) = maps.borrow().clone();
        let items: Vec<_> = there.then_some(map).into_iter().collect();
        let metadata = json!({ "resourceVersion": "1" });
        let list = json!({ "kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items });
        return Json(list).into_response();
    }
    // What has changed since the list.
    maps.mark_changed();
    let events = futures_util::stream::unfold(maps, |mut maps| async move {
        maps.changed().await.ok()?;
        let (map, there) = maps.borrow_and_update().clone();
        let event = json!({ "type": if there { "MODIFIED" } else { "DELETED" }, "object": map });
        Some((Ok::<_, Infallible>(format!("{event}\n")), maps))
    });
    Body::from_stream(events).into_response()
}

async fn review(State(cluster): State<Cluster>, Json(mut review): Json<Value>) -> Response {
    assert_eq!(review["kind"], "SubjectAccessReview");
    let judge = Arc::clone(&cluster.inner().judge);
    cluster.inner().reviews.push(review["spec"].clone());
    review["status"] = match judge(&review["spec"]) {
        Verdict::Allow => json!({ "allowed": true }),
        Verdict::Deny(reason) => json!({ "allowed": false, "reason": reason }),
        Verdict::Fail(code) => return failure(code),
        Verdict::Stall(duration) => {
            tokio::time::sleep(duration).await;
            json!({ "allowed": true })
        }
    };
    (StatusCode::CREATED, Json(review)).into_response()
}

async fn token_review(State(cluster): State<Cluster>, Json(mut review): Json<Value>) -> Response {
    let inner = cluster.inner();
    if let Some(code) = inner.failure {
        return failure(code);
    }
    assert_eq!(review["kind"], "TokenReview");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    assert_eq!(review["spec"]["audiences"].as_array().map(Vec::len), Some(1));
    let key = (text(&review["spec"]["token"]), text(&review["spec"]["audiences"][0]));
    let unknown = || json!({ "authenticated": false, "error": "as the test wants it" });
    review["status"] = inner.tokens.get(&key).cloned().unwrap_or_else(unknown);
    (StatusCode::CREATED, Json(review)).into_response()
}

async fn object(State(cluster): State<Cluster>, _: Path<(String, String)>, uri: Uri) -> Response {
    let inner = cluster.inner();
    match (inner.failure, inner.objects.get(uri.path())) {
        (Some(code), _) => failure(code),
        (None, Some(object)) => Json(object).into_response(),
        (None, None) => failure(404),
    }
}

fn failure(code: u16) -> Response {
    let code = StatusCode::from_u16(code).expect("a code");
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "message": "as the test wants it",
        "reason": code.canonical_reason().unwrap_or_default().replace(' ', ""), "code": code.as_u16(),
    });
    (code, Json(status)).into_response()
}
