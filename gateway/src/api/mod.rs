//! The API of an aggregated API server: paths, access and responses.
//!
//! Knows no provider, only the reader.

mod accept;
mod discovery;
mod health;
mod openapi;
mod pull;
mod resource;
mod status;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use percent_encoding::percent_decode_str;

use crate::access::front_proxy::{FrontProxy, Peer, User};
use crate::access::review::{Action, Question, Reviewer};
use crate::audit;
use crate::metrics::{self, ByReason, Metrics};
use crate::names::Served;
use crate::reader::Reader;
pub use health::Health;
pub use pull::{Pulls, Turns, router as pulls_router};
use status::Status;

/// API group.
pub const GROUP: &str = "secret-gateway.flyte.org";
/// API version.
pub const VERSION: &str = "v1alpha1";
/// Group and version, as in the field `apiVersion`.
pub const API_VERSION: &str = "secret-gateway.flyte.org/v1alpha1";

/// Outcome of requests that the caller canceled, with the status code of nginx.
const GONE: (&str, u16) = ("Canceled", 499);

/// The state of the API.
pub struct Gateway {
    /// Authenticates callers.
    pub front_proxy: FrontProxy,
    /// Authorizes callers.
    pub reviewer: Reviewer,
    /// Names that are served.
    pub served: Served,
    /// Reads values.
    pub reader: Reader,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Audit log of reads.
    pub audit: Arc<audit::Log>,
    /// Whether the server accepts requests.
    pub health: Arc<Health>,
}

/// Returns the API. Requests must have their connection's [`Peer`] as an extension.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let known = Router::new()
        .route("/", get(discovery::paths))
        .route("/apis", get(discovery::groups))
        .route("/apis/{group}", get(discovery::group))
        .route("/apis/{group}/{version}", get(discovery::resources))
        .route("/openapi/v2", get(openapi::v2))
        .route("/openapi/v3", get(openapi::v3))
        .route("/openapi/v3/apis/{group}", get(openapi::v3_group))
        .route("/openapi/v3/apis/{group}/{version}", get(openapi::v3_version))
        .route("/version", get(discovery::version))
        .route("/metrics", get(reviewed_metrics))
        .layer(middleware::from_fn_with_state(Arc::clone(&gateway), known_callers));
    // Reads authenticate the caller themselves, because rejected ones are audited, too.
    Router::new()
        .route("/apis/secret-gateway.flyte.org/v1alpha1/{resource}", any(resource::collection))
        .route("/apis/secret-gateway.flyte.org/v1alpha1/{resource}/{name}", any(resource::object))
        .merge(known)
        .merge(health::router(Arc::clone(&gateway.health)))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(readable_paths))
        .with_state(gateway)
}

/// Returns metrics and health only, for a listener inside the cluster.
pub fn metrics_router(metrics: Arc<Metrics>, health: Arc<Health>) -> Router {
    Router::new()
        .route("/metrics", get(move || async move { encoded(&metrics) }))
        .merge(health::router(health))
        .fallback(|| async { Status::no_such_path() })
}

impl Gateway {
    /// Returns the user that the front proxy names in a request.
    fn authenticate(&self, request: &Parts) -> Result<User, Box<Status>> {
        let nobody = Peer::default();
        let peer = request.extensions.get::<Arc<Peer>>().map_or(&nobody, Arc::as_ref);
        self.front_proxy.authenticate(peer, &request.headers).map_err(|unknown| {
            self.metrics.unauthenticated.get_or_create(&ByReason { reason: unknown.word() }).inc();
            Box::new(Status::unauthorized(unknown))
        })
    }
}

async fn known_callers(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match gateway.authenticate(&parts) {
        Ok(user) => {
            parts.extensions.insert(user);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(status) => status.into_response(),
    }
}

/// Rejects paths that are not UTF-8.
async fn readable_paths(request: Request, next: Next) -> Response {
    match percent_decode_str(request.uri().path()).decode_utf8() {
        Ok(_) => next.run(request).await,
        Err(_) => Status::bad_path().into_response(),
    }
}

/// Serves metrics to users that may `get` the path `/metrics`, as API servers do.
async fn reviewed_metrics(State(gateway): State<Arc<Gateway>>, Extension(user): Extension<User>) -> Response {
    let question = Question { user, action: Action::See("/metrics") };
    match gateway.reviewer.review(&question).await {
        Ok(()) => encoded(&gateway.metrics),
        Err(refusal) => Status::refused(&question, &refusal).into_response(),
    }
}

fn encoded(metrics: &Metrics) -> Response {
    match metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn not_found(State(gateway): State<Arc<Gateway>>, request: Parts) -> Status {
    gateway.authenticate(&request).map_or_else(|status| *status, |_| Status::no_such_path())
}

async fn method_not_allowed(State(gateway): State<Arc<Gateway>>, request: Parts) -> Status {
    gateway.authenticate(&request).map_or_else(|status| *status, |_| Status::method_not_allowed())
}
