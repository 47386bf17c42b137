//! Whether the server lives, and whether it wants requests: for anybody, as API servers have it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Whether more requests are wanted.
#[derive(Debug, Default)]
pub struct Health {
    stopping: AtomicBool,
}

impl Health {
    /// From now on, no.
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

/// `/livez` is fine as long as it is answered: what a restart cannot mend must not cause one. That is also why no
/// provider makes `/readyz` fail; all replicas would go at once.
pub(super) fn router<S: Clone + Send + Sync + 'static>(health: Arc<Health>) -> Router<S> {
    let readyz = move || async move { health.readiness() };
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
}
