//! A gateway for the fuzz targets: its routers without sockets, with a cluster and a provider in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use flyte_secrets_policy::grant::{AUDIENCE, CONTAINER};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body as KubeBody;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use secret_gateway::access::front_proxy::{FrontProxy, Peer, Trust};
use secret_gateway::access::pods::Identifier;
use secret_gateway::access::review::Reviewer;
use secret_gateway::api::{self, Health, Pulls, Turns};
use secret_gateway::audit::Log;
use secret_gateway::config::Config;
use secret_gateway::metrics::Metrics;
use secret_gateway::names::{Kind, Served};
use secret_gateway::provider::{BoxFuture, Failure, Provider, Value as Secret};
use secret_gateway::reader::Reader;
use secret_gateway::store::Store;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tower::ServiceExt;

use crate::CANARY;

/// The token of the pod.
pub const TOKEN: &str = "good";

/// Regions, projects and vaults that are served.
pub const PLACES: [&str; 3] = ["us-east-2", "flyte", "flyte.vault.azure.net"];

/// Prefixes of the names that are served.
pub const PREFIXES: [&str; 2] = ["u__org__", "1-"];

/// Configuration without a cache, so that requests are independent.
const CONFIG: &str = "
tls: { certFile: none, keyFile: none }
access: { allowedTtl: 0s, deniedTtl: 0s }
cache: { ttl: 0s, negativeTtl: 0s }
providers:
  aws: { regions: [us-east-2] }
  gcp: { projects: [flyte] }
  azure: { vaults: [flyte.vault.azure.net] }
pods: { settings: { embeddedSecretManagerConfig: { awsConfig: { region: us-east-2 } } } }
";

/// Effects of one request.
#[derive(Debug, Default)]
pub struct Seen {
    /// The specs of SubjectAccessReviews.
    pub reviews: Vec<Value>,
    /// Places and names of the provider's lookups.
    pub asked: Vec<(String, String)>,
    /// Audit lines.
    pub lines: Vec<String>,
    /// Arguments of the pod's init container.
    args: Vec<String>,
}

/// A complete response.
#[derive(Debug, Eq, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether it contains a value.
    pub fn shows_a_value(&self) -> bool {
        self.body.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
    }

    /// Checks that a failure is a `Status` of Kubernetes.
    pub fn check_status(&self) {
        let status: Value = serde_json::from_slice(&self.body).expect("a Status is JSON");
        assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(self.status)), "{status}");
        let says = |field: &str| status[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(says("message") && says("reason"), "{status}");
    }
}

/// State that is shared with the doubles.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Seen>>);

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider for Shared {
    fn fetch<'a>(&'a self, place: &'a str, name: &'a str) -> BoxFuture<'a, Result<Secret, Failure>> {
        self.seen().asked.push((place.to_owned(), name.to_owned()));
        Box::pin(std::future::ready(Ok(Secret::Text(CANARY.into()))))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.seen().lines.push(String::from_utf8(bytes.to_vec()).expect("audit lines are text"));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A gateway with its doubles.
pub struct Gateway {
    runtime: Runtime,
    api: Router,
    pods: Router,
    /// The front proxy, and a peer without a certificate.
    peers: [Arc<Peer>; 2],
    shared: Shared,
    metrics: Arc<Metrics>,
}

impl Default for Gateway {
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _entered = runtime.enter();
        let shared = Shared::default();
        let (config_map, peer) = front_proxy();
        let cluster = cluster(config_map, shared.clone());
        let config = Config::parse(CONFIG).expect("a configuration");
        let providers = Kind::stores().map(|kind| (kind, Arc::new(shared.clone()) as _)).collect();
        let metrics = Metrics::new();
        let reader = Reader::new(&config, providers, Arc::clone(&metrics));
        let audit = Arc::new(Log::new(shared.clone(), Arc::clone(&metrics)).expect("a thread"));
        let health = Arc::new(Health::default());
        let pods = config.pods.clone().expect("a listener for pods");
        let pulls = Pulls {
            identifier: Identifier::new(cluster.clone(), pods.audience.clone(), pods.timeout),
            store: Store::open(&pods, Served::new(&config), reader.clone()).expect("a store"),
            config: pods,
            metrics: Arc::clone(&metrics),
            audit: Arc::clone(&audit),
            turns: Turns::default(),
        };
        let gateway = api::Gateway {
            front_proxy: FrontProxy::new(runtime.block_on(Trust::load(&cluster)).expect("a ConfigMap")),
            reviewer: Reviewer::new(&config.access, cluster, Arc::clone(&metrics)),
            served: Served::new(&config),
            reader,
            metrics: Arc::clone(&metrics),
            audit,
            health: Arc::clone(&health),
        };
        Self {
            api: api::router(Arc::new(gateway)),
            pods: api::pulls_router(Arc::new(pulls), health),
            peers: [Arc::new(peer), Arc::new(Peer::default())],
            runtime,
            shared,
            metrics,
        }
    }
}

impl Gateway {
    /// Sends a request to the API, as the front proxy or as another peer.
    pub fn api(&self, is_front_proxy: bool, request: Request<Body>) -> (Answer, Seen) {
        let [front_proxy, stranger] = &self.peers;
        self.send(&self.api, if is_front_proxy { front_proxy } else { stranger }, Vec::new(), request)
    }

    /// Sends a pull of a pod whose init container has these arguments.
    pub fn pull(&self, args: Vec<String>, request: Request<Body>) -> (Answer, Seen) {
        self.send(&self.pods, &self.peers[1], args, request)
    }

    fn send(&self, router: &Router, peer: &Arc<Peer>, args: Vec<String>, mut request: Request<Body>) -> (Answer, Seen) {
        *self.shared.seen() = Seen { args, ..Seen::default() };
        request.extensions_mut().insert(Arc::clone(peer));
        let answer = self.runtime.block_on(async {
            let (head, body) = router.clone().oneshot(request).await.expect("an answer").into_parts();
            let body = body.collect().await.expect("a body").to_bytes().to_vec();
            Answer { status: head.status.as_u16(), headers: head.headers, body }
        });
        while self.metrics.audit_queued_bytes.get() > 0 {
            std::thread::yield_now();
        }
        let seen = std::mem::take(&mut *self.shared.seen());
        for line in &seen.lines {
            let read: Value = serde_json::from_str(line).expect("an audit line is JSON");
            assert!(line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
            assert_eq!(read["code"], json!(answer.status), "{line}");
            assert!(!line.contains(CANARY), "a value in the audit log: {line}");
        }
        (answer, seen)
    }
}

/// Parses headers in lines `name: value`, without those that HTTP does not allow.
pub fn headers<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let header = |line: &[u8]| {
        let (name, value) = split(line, b':')?;
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value.trim_ascii()).ok()?))
    };
    let mut headers = HeaderMap::new();
    lines.filter_map(header).for_each(|(name, value)| drop(headers.append(name, value)));
    headers
}

/// Parses a request in lines: method and path, then headers.
pub fn request(text: &[u8]) -> Option<Request<Body>> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let (method, path) = split(lines.next()?, b' ')?;
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = Uri::try_from(path).ok()?;
    *request.headers_mut() = headers(lines);
    Some(request)
}

fn split(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Returns the data of a ConfigMap with an authority, and a peer with its certificate.
pub fn front_proxy() -> (BTreeMap<String, String>, Peer) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("a certificate");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(Vec::new()).expect("a certificate");
    params.distinguished_name.push(DnType::CommonName, "front-proxy-client");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client = params.signed_by(&KeyPair::generate().expect("a key"), &issuer).expect("a certificate");
    let data = [
        ("allowed-names", r#"["front-proxy-client"]"#),
        ("client-ca-file", &ca),
        ("extra-headers-prefix", r#"["X-Remote-Extra-"]"#),
        ("group-headers", r#"["X-Remote-Group"]"#),
        ("uid-headers", r#"["X-Remote-Uid"]"#),
        ("username-headers", r#"["X-Remote-User"]"#),
    ];
    let data = data.map(|(key, value)| (format!("requestheader-{key}"), value.to_owned())).into();
    (data, Peer::new(&[CertificateDer::from(client.der().to_vec())]))
}

/// Returns an authenticator with this ConfigMap.
pub fn believer(data: &BTreeMap<String, String>) -> FrontProxy {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let loading = async { Trust::load(&cluster(data.clone(), Shared::default())).await };
    FrontProxy::new(runtime.block_on(loading).expect("a ConfigMap"))
}

/// Returns a client of a cluster that allows everything, with one pod and one token.
fn cluster(config_map: BTreeMap<String, String>, shared: Shared) -> Client {
    let answer = move |request: Request<KubeBody>| {
        let (config_map, shared) = (config_map.clone(), shared.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            let mut sent: Value = serde_json::from_slice(&body).unwrap_or_default();
            let (api_version, kind) = match head.uri.path().rsplit('/').next().unwrap_or_default() {
                "extension-apiserver-authentication" => ("v1", "ConfigMap"),
                "subjectaccessreviews" => ("authorization.k8s.io/v1", "SubjectAccessReview"),
                "tokenreviews" => ("authentication.k8s.io/v1", "TokenReview"),
                _ => ("v1", "Pod"),
            };
            let mut spec = sent["spec"].take();
            match kind {
                "SubjectAccessReview" => shared.seen().reviews.push(spec.clone()),
                "Pod" => {
                    let init_container = json!({ "name": CONTAINER, "args": shared.seen().args });
                    spec = json!({ "containers": [{ "name": "main" }], "initContainers": [init_container] });
                }
                _ => {}
            }
            let user = json!({
                "username": "system:serviceaccount:snacks-development:default",
                "extra": {
                    "authentication.kubernetes.io/pod-name": ["a0"],
                    "authentication.kubernetes.io/pod-uid": ["uid"],
                },
            });
            let known = spec["token"] == TOKEN;
            let status = json!({ "allowed": true, "authenticated": known, "user": user, "audiences": [AUDIENCE] });
            // Clients ignore members that the kind does not have.
            let object = json!({
                "apiVersion": api_version,
                "kind": kind,
                "metadata": { "namespace": "snacks-development", "name": "a0", "uid": "uid" },
                "spec": spec,
                "status": status,
                "data": config_map,
            });
            Ok::<_, Infallible>(Response::new(KubeBody::from(object.to_string().into_bytes())))
        }
    };
    Client::new(tower::service_fn(answer), "default")
}
