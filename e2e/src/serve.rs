//! The policy as an admission webhook over HTTPS, with a new instance for each review, as in policy-server.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_testing::engine::{Policy, Response};
use flyte_secrets_testing::host::Capabilities;
use serde_json::{Value, json};

/// A policy that is served.
#[derive(Clone)]
pub struct Served {
    /// The compiled wasm.
    pub policy: Policy,
    /// Its settings.
    pub settings: Value,
    /// Answers its host calls.
    pub capabilities: Arc<dyn Capabilities>,
}

/// A policy server with one policy, until it is dropped.
pub struct PolicyServer {
    state: Arc<Shared>,
    handle: Handle<std::net::SocketAddr>,
}

struct Shared {
    served: Mutex<Served>,
    reviews: Mutex<Vec<Value>>,
}

impl Drop for PolicyServer {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

impl PolicyServer {
    /// Serves reviews at `/validate/<name>` with a certificate and its key in PEM.
    pub async fn start(
        listener: TcpListener,
        name: &str,
        (certificate, key): (&str, &str),
        served: Served,
    ) -> Result<Self> {
        let state = Arc::new(Shared { served: Mutex::new(served), reviews: Mutex::default() });
        let router = Router::new().route(&format!("/validate/{name}"), post(review)).with_state(Arc::clone(&state));
        let handle = https(listener, (certificate, key), router).await?;
        Ok(Self { state, handle })
    }

    /// Serves another policy from the next review on, as a restarted policy-server does.
    pub fn serve(&self, served: Served) {
        if let Ok(mut now) = self.state.served.lock() {
            *now = served;
        }
    }

    /// Returns the requests reviewed since the last call.
    pub fn reviewed(&self) -> Vec<Value> {
        self.state.reviews.lock().map(|mut reviews| std::mem::take(&mut *reviews)).unwrap_or_default()
    }
}

/// Serves a router over HTTPS until the handle shuts it down.
pub async fn https(
    listener: TcpListener,
    (certificate, key): (&str, &str),
    router: Router,
) -> Result<Handle<std::net::SocketAddr>> {
    listener.set_nonblocking(true)?;
    let tls = RustlsConfig::from_pem(certificate.into(), key.into()).await.context("no certificate to serve with")?;
    let handle = Handle::new();
    let server = axum_server::from_tcp_rustls(listener, tls)?.handle(handle.clone());
    tokio::spawn(server.serve(router.into_make_service()));
    Ok(handle)
}

async fn review(State(shared): State<Arc<Shared>>, Json(review): Json<Value>) -> Result<Json<Value>, StatusCode> {
    let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
    let request = review.get("request").cloned().ok_or(StatusCode::UNPROCESSABLE_ENTITY)?;
    let served = shared.served.lock().map(|served| served.clone()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    if let Ok(mut reviews) = shared.reviews.lock() {
        reviews.push(request.clone());
    }
    let answer = tokio::task::spawn_blocking(move || {
        let Served { policy, settings, capabilities } = served;
        match policy.validate(&request, &settings, &capabilities) {
            Ok(response) => answer(&request, &response),
            Err(error) => json!({
                "uid": request["uid"],
                "allowed": false,
                "status": { "message": format!("internal server error: {error}"), "code": 500 },
            }),
        }
    });
    let response = answer.await.map_err(failed)?;
    Ok(Json(json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })))
}

/// Returns the `AdmissionResponse` of policy-server for a policy's answer.
fn answer(request: &Value, Response(response): &Response) -> Value {
    let mut answer = json!({
        "uid": request["uid"],
        "allowed": response["accepted"],
        "auditAnnotations": response["audit_annotations"],
        "warnings": response["warnings"],
    });
    let patch = response.get("mutated_object").map(|mutated| json_patch::diff(&request["object"], mutated));
    if let Some(patch) = patch.filter(|patch| !patch.0.is_empty()) {
        answer["patchType"] = json!("JSONPatch");
        answer["patch"] = json!(STANDARD.encode(json!(patch).to_string()));
    }
    if response.get("message").is_some() || response.get("code").is_some() {
        answer["status"] = json!({ "message": response["message"], "code": response["code"] });
    }
    answer
}
