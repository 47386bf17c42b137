//! Health checks, without authentication, as in API servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Whether the server accepts requests.
#[derive(Debug, Default)]
pub struct Health {
    stopping: AtomicBool,
}

impl Health {
    /// Fails `/readyz` from now on.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn readiness(&self) -> Response {
        if self.stopping.load(Ordering::Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "[-]shutdown failed: the server is stopping\n").into_response()
        } else {
            "ok".into_response()
        }
    }
}

/// Returns the routes of `/livez`, `/readyz` and `/healthz`. `/livez` always succeeds, because a restart repairs
/// nothing. An unavailable provider does not fail `/readyz`, because all replicas would fail at once.
pub(super) fn router<S: Clone + Send + Sync + 'static>(health: Arc<Health>) -> Router<S> {
    let readyz = move || async move { health.readiness() };
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
}
