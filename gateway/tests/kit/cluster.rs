//! A test double of a cluster: the ConfigMap with the front proxy's authority, reviews of access and of tokens, pods
//! and Secrets.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
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
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "namespace": namespace, "name": "a0", "uid": uid },
        "spec": {
            "nodeName": "node-1",
            "containers": [{ "name": "main" }],
            "initContainers": [{ "name": "flyte-secrets", "args": args }],
            "volumes": [{ "name": "flyte-secrets-token", "projected": { "sources": [token] } }],
        },
        "status": { "phase": "Pending" },
    })
}

type Judge = Arc<dyn Fn(&Value) -> Verdict + Send + Sync>;

struct Inner {
    config_map: watch::Sender<Option<Value>>,
    judge: Judge,
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
        let inner = Inner {
            config_map: watch::Sender::new(None),
            judge: Arc::new(|_: &Value| Verdict::Allow),
            reviews: Vec::new(),
            tokens: HashMap::new(),
            objects: HashMap::new(),
            failure: None,
        };
        let inner = Arc::new(Mutex::new(inner));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("an address");
        let cluster = Self { address, inner };
        let router = cluster.router::<()>().with_state(());
        tokio::spawn(async move { axum::serve(listener, router).await });
        cluster
    }

    /// Returns its routes.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        Router::new()
            .route("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", get(config_map))
            .route("/api/v1/namespaces/kube-system/configmaps", get(config_maps))
            .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(review))
            .route("/apis/authentication.k8s.io/v1/tokenreviews", post(token_review))
            .route("/api/v1/namespaces/{namespace}/pods/{name}", get(object))
            .route("/api/v1/namespaces/{namespace}/secrets/{name}", get(object))
            .layer(Extension(Arc::clone(&self.inner)))
    }

    pub fn client(&self) -> kube::Client {
        let config = kube::Config::new(format!("http://{}", self.address).parse().expect("a URI"));
        kube::Client::try_from(config).expect("a client")
    }

    /// Sets the authorities and common names of the front proxy.
    pub fn trust(&self, authorities: &[&Authority], common_names: &[&str]) {
        let ca: String = authorities.iter().map(|authority| authority.certificate.as_str()).collect();
        self.inner.lock().unwrap().config_map.send_replace(Some(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "extension-apiserver-authentication", "namespace": "kube-system", "resourceVersion": "1" },
            "data": {
                "client-ca-file": "not read",
                "requestheader-allowed-names": json!(common_names).to_string(),
                "requestheader-client-ca-file": ca,
                "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
                "requestheader-group-headers": r#"["X-Remote-Group"]"#,
                "requestheader-uid-headers": r#"["X-Remote-Uid"]"#,
                "requestheader-username-headers": r#"["X-Remote-User"]"#,
            },
        })));
    }

    /// Sets a key of the ConfigMap.
    pub fn say(&self, key: &str, value: &str) {
        let inner = self.inner.lock().unwrap();
        inner.config_map.send_modify(|map| map.as_mut().expect("a ConfigMap")["data"][key] = json!(value));
    }

    /// Makes reads of the ConfigMap fail.
    pub fn forget_config_map(&self) {
        self.inner.lock().unwrap().config_map.send_replace(None);
    }

    /// Sets the decision on reviews.
    pub fn judge(&self, judge: impl Fn(&Value) -> Verdict + Send + Sync + 'static) {
        self.inner.lock().unwrap().judge = Arc::new(judge);
    }

    /// Sets the user of a token for an audience.
    pub fn token(&self, token: &str, audience: &str, user: Value) {
        let status = json!({ "authenticated": true, "user": user, "audiences": [audience] });
        self.token_status(token, audience, status);
    }

    /// Sets the review of a token for an audience.
    pub fn token_status(&self, token: &str, audience: &str, status: Value) {
        self.inner.lock().unwrap().tokens.insert((token.to_owned(), audience.to_owned()), status);
    }

    /// Adds an object of `pods` or `secrets`.
    pub fn object(&self, resource: &str, object: Value) {
        let name = |field: &str| object["metadata"][field].as_str().expect("a name").to_owned();
        let path = format!("/api/v1/namespaces/{}/{resource}/{}", name("namespace"), name("name"));
        self.inner.lock().unwrap().objects.insert(path, object);
    }

    /// Removes an object.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/{resource}/{name}");
        self.inner.lock().unwrap().objects.remove(&path).expect("an object");
    }

    /// Answers all requests for tokens, pods and Secrets with this status.
    pub fn fail(&self, code: Option<u16>) {
        self.inner.lock().unwrap().failure = code;
    }

    /// Returns the specs of all reviews so far.
    pub fn reviews(&self) -> Vec<Value> {
        self.inner.lock().unwrap().reviews.clone()
    }
}

async fn config_map(Extension(inner): Extension<Arc<Mutex<Inner>>>) -> Response {
    let map = inner.lock().unwrap().config_map.borrow().clone();
    map.map_or_else(|| failure(404, "NotFound"), |map| Json(map).into_response())
}

/// A list of the one, or what becomes of it from now on.
async fn config_maps(
    Extension(inner): Extension<Arc<Mutex<Inner>>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    assert_eq!(query["fieldSelector"], "metadata.name=extension-apiserver-authentication");
    let mut maps = inner.lock().unwrap().config_map.subscribe();
    if query.get("watch").is_none_or(|watch| watch != "true") {
        let items: Vec<_> = maps.borrow().iter().cloned().collect();
        let metadata = json!({ "resourceVersion": "1" });
        let list = json!({ "kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items });
        return Json(list).into_response();
    }
    // What has changed since the list.
    maps.mark_changed();
    let events = futures_util::stream::unfold((maps, None), |(mut maps, mut last)| async move {
        maps.changed().await.ok()?;
        let now = maps.borrow_and_update().clone();
        let event = match &now {
            Some(map) => json!({ "type": "MODIFIED", "object": map }),
            None => json!({ "type": "DELETED", "object": last.unwrap_or_else(nothing) }),
        };
        last = now;
        Some((Ok::<_, Infallible>(format!("{event}\n")), (maps, last)))
    });
    Body::from_stream(events).into_response()
}

fn nothing() -> Value {
    let metadata = json!({
        "name": "extension-apiserver-authentication", "namespace": "kube-system", "resourceVersion": "1",
    });
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata })
}

async fn review(Extension(inner): Extension<Arc<Mutex<Inner>>>, Json(review): Json<Value>) -> Response {
    assert_eq!(review["kind"], "SubjectAccessReview");
    let spec = review["spec"].clone();
    let judge = {
        let mut inner = inner.lock().unwrap();
        inner.reviews.push(spec.clone());
        Arc::clone(&inner.judge)
    };
    let status = match judge(&spec) {
        Verdict::Allow => json!({ "allowed": true }),
        Verdict::Deny(reason) => json!({ "allowed": false, "reason": reason }),
        Verdict::Fail(403) => return failure(403, "Forbidden"),
        Verdict::Fail(code) => return failure(code, "InternalError"),
        Verdict::Stall(duration) => {
            tokio::time::sleep(duration).await;
            json!({ "allowed": true })
        }
    };
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": spec,
        "status": status,
    });
    (StatusCode::CREATED, Json(review)).into_response()
}

async fn token_review(Extension(inner): Extension<Arc<Mutex<Inner>>>, Json(review): Json<Value>) -> Response {
    let inner = inner.lock().unwrap();
    if let Some(code) = inner.failure {
        return failure(code, if code == 403 { "Forbidden" } else { "InternalError" });
    }
    assert_eq!(review["kind"], "TokenReview");
    let spec = review["spec"].clone();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    assert_eq!(spec["audiences"].as_array().map(Vec::len), Some(1));
    let status = inner.tokens.get(&(text(&spec["token"]), text(&spec["audiences"][0]))).cloned();
    let status = status.unwrap_or_else(|| json!({ "authenticated": false, "error": "as the test wants it" }));
    let kind = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {} });
    let mut answer = kind;
    answer["spec"] = spec;
    answer["status"] = status;
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn object(Extension(inner): Extension<Arc<Mutex<Inner>>>, _: Path<(String, String)>, uri: Uri) -> Response {
    let inner = inner.lock().unwrap();
    match (inner.failure, inner.objects.get(uri.path())) {
        (Some(code), _) => failure(code, if code == 403 { "Forbidden" } else { "InternalError" }),
        (None, Some(object)) => Json(object).into_response(),
        (None, None) => failure(404, "NotFound"),
    }
}

fn failure(code: u16, reason: &str) -> Response {
    let status = json!({
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": "as the test wants it",
        "reason": reason,
        "code": code,
    });
    (StatusCode::from_u16(code).expect("a code"), Json(status)).into_response()
}
