//! Servers on this machine, and the policy as an admission webhook, as in policy-server: with a new instance for each
//! review.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Json, Router};
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_testing::engine::{Policy, Response};
use flyte_secrets_testing::host::{self, Capabilities};
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use crate::authority::Identity;

/// Serves a router over HTTP on loopback. Returns its URL, and a handle that ends it.
pub async fn http(router: Router) -> Result<(String, AbortHandle)> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((url, tokio::spawn(axum::serve(listener, router).into_future()).abort_handle()))
}

/// Serves a router over HTTPS.
pub async fn https(listener: TcpListener, identity: &Identity, router: Router) -> Result<()> {
    listener.set_nonblocking(true)?;
    let (certificate, key) = (identity.certificate.clone().into(), identity.key.clone().into());
    let tls = RustlsConfig::from_pem(certificate, key).await.context("no certificate to serve with")?;
    tokio::spawn(axum_server::from_tcp_rustls(listener, tls)?.serve(router.into_make_service()));
    Ok(())
}

/// A policy that is served.
#[derive(Clone)]
pub struct Served {
    /// The compiled wasm.
    pub policy: Policy,
    /// Its settings.
    pub settings: Value,
    /// Answers its host calls.
    pub capabilities: Arc<dyn Capabilities>,
    /// The requests reviewed so far.
    pub reviewed: Vec<Value>,
}

/// A served policy, which can be replaced.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Served>>);

impl Shared {
    /// Serves a policy without settings.
    pub fn new(policy: Policy) -> Self {
        let (settings, capabilities, reviewed) = (Value::Null, host::nothing(), Vec::new());
        Self(Arc::new(Mutex::new(Served { policy, settings, capabilities, reviewed })))
    }

    pub fn lock(&self) -> MutexGuard<'_, Served> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the policy's response to a request.
    pub async fn validate(&self, request: Value) -> Result<Response> {
        let Served { policy, settings, capabilities, .. } = self.lock().clone();
        tokio::task::spawn_blocking(move || policy.validate(&request, &settings, &capabilities)).await?
    }
}

/// Answers an AdmissionReview.
pub async fn review(State(shared): State<Shared>, Json(mut review): Json<Value>) -> Result<Json<Value>, StatusCode> {
    let request = review.get_mut("request").map(Value::take).ok_or(StatusCode::UNPROCESSABLE_ENTITY)?;
    shared.lock().reviewed.push(request.clone());
    let response = match shared.validate(request.clone()).await {
        Ok(response) => answer(&request, &response),
        Err(error) => json!({
            "uid": request["uid"],
            "allowed": false,
            "status": { "message": format!("internal server error: {error}"), "code": 500 },
        }),
    };
    Ok(Json(json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })))
}

/// Returns the `AdmissionResponse` of policy-server for a policy's answer.
fn answer(request: &Value, answered: &Response) -> Value {
    let Response(response) = answered;
    let mut answer = json!({
        "uid": request["uid"],
        "allowed": response["accepted"],
        "auditAnnotations": response["audit_annotations"],
        "warnings": response["warnings"],
    });
    let patch = answered.patch(&request["object"]);
    if !patch.is_empty() {
        answer["patchType"] = json!("JSONPatch");
        answer["patch"] = json!(STANDARD.encode(json!(patch).to_string()));
    }
    if response.get("message").is_some() || response.get("code").is_some() {
        answer["status"] = json!({ "message": response["message"], "code": response["code"] });
    }
    answer
}
