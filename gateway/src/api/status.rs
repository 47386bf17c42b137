//! Failures as objects of the kind `Status`, with reason, code and details.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flyte_secrets_policy::reason_code::ReasonCode;
use flyte_secrets_policy::{env_file, tenancy};
use serde::Serialize;

use super::GROUP;
use crate::access::front_proxy::Unknown;
use crate::access::pods::NotIdentified;
use crate::access::review::{Action, Question, Refusal};
use crate::names::{BadName, Kind, NotServed};
use crate::provider::Failure;
use crate::reader::Failed;
use crate::store::NotFound;

/// Default of `Retry-After`.
const SHORT: Duration = Duration::from_secs(1);

/// Maximum of `Retry-After`.
const LONG: Duration = Duration::from_secs(60);

/// A failure.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind", rename = "Status")]
pub(super) struct Status {
    api_version: &'static str,
    metadata: Empty,
    status: &'static str,
    message: String,
    /// Its reason.
    pub(super) reason: &'static str,
    #[serde(skip_serializing_if = "Details::is_empty")]
    details: Details,
    /// The HTTP status.
    pub(super) code: u16,
}

#[derive(Debug, Serialize)]
struct Empty {}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'static str>,
    /// The resource, as in apimachinery.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
}

impl Details {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Status {
    fn new(code: StatusCode, reason: impl Into<&'static str>, message: impl ToString) -> Self {
        Self {
            api_version: "v1",
            metadata: Empty {},
            status: "Failure",
            message: message.to_string(),
            reason: reason.into(),
            details: Details::default(),
            code: code.as_u16(),
        }
    }

    fn of(mut self, kind: Kind, name: Option<&str>) -> Self {
        self.details.name = name.map(str::to_owned);
        self.details.group = Some(GROUP);
        self.details.kind = Some(kind.plural());
        self
    }

    fn retry_after(mut self, pause: Duration) -> Self {
        // Whole seconds, rounded up.
        let pause = pause.min(LONG);
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        self.details.retry_after_seconds = Some(seconds.max(1));
        self
    }

    pub(super) fn not_identified(why: &NotIdentified) -> Self {
        let unavailable =
            || Self::new(StatusCode::SERVICE_UNAVAILABLE, ReasonCode::ProviderUnavailable, why).retry_after(SHORT);
        match why {
            NotIdentified::NoToken | NotIdentified::Token | NotIdentified::NotOfAPod | NotIdentified::NoPod => {
                Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", why)
            }
            NotIdentified::Ended => Self::new(StatusCode::FORBIDDEN, "Forbidden", why),
            NotIdentified::NoGrant(_) => Self::new(StatusCode::FORBIDDEN, ReasonCode::GrantMismatch, why),
            NotIdentified::Unavailable(_) => unavailable(),
        }
    }

    pub(super) fn bad_value(kind: Kind, name: &str, why: &NotFound) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", why).of(kind, Some(name))
    }

    pub(super) fn tenancy(why: &tenancy::Error) -> Self {
        Self::new(StatusCode::FORBIDDEN, ReasonCode::TenantMismatch, why)
    }

    /// Returns the failure of a secret that a pod was granted, by its key.
    pub(super) fn not_found(key: &str, why: &NotFound) -> Self {
        let mut status = match why {
            NotFound::Nowhere(_) => Self::new(StatusCode::NOT_FOUND, ReasonCode::SecretNotFound, why),
            NotFound::Name(_) | NotFound::NotServed(_) => {
                Self::new(StatusCode::FORBIDDEN, ReasonCode::AccessDenied, why)
            }
            NotFound::Value(..) | NotFound::Property(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, ReasonCode::InvalidSecretValue, why)
            }
            NotFound::Failed(name, failed) => {
                Self { reason: reason_code(failed), ..Self::failed(name.kind, &name.to_string(), failed) }
            }
        };
        if !matches!(why, NotFound::Property(_)) {
            status.message = format!("secret {key:?}: {}", status.message);
        }
        status
    }

    /// Returns one failure for several. Temporary ones take precedence, because the next attempt can find the others.
    /// All missing secrets are listed.
    pub(super) fn together(mut failures: Vec<Self>) -> Option<Self> {
        failures.sort_by_key(|status| match status.code {
            429 | 500.. => 0,
            404 => 2,
            _ => 1,
        });
        let code = failures.first()?.code;
        let mut failures = failures.into_iter().filter(|status| status.code == code);
        let mut first = failures.next()?;
        for other in failures {
            first.message = [first.message, other.message].join("; ");
        }
        Some(first)
    }

    pub(super) fn no_variable(key: &str, why: env_file::Error) -> Self {
        let message = format!("secret {key:?} cannot be a variable: {why}");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, ReasonCode::InvalidSecretValue, message)
    }

    pub(super) fn too_many_pulls() -> Self {
        let message = "too many concurrent pulls in this namespace; retry later";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).retry_after(SHORT)
    }

    pub(super) fn too_much(message: String) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ReasonCode::LimitExceeded, message)
    }

    pub(super) fn broken() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", Failed::Broken)
    }

    pub(super) fn unauthorized(unknown: Unknown) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", unknown)
    }

    pub(super) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    pub(super) fn bad_path() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", "invalid path: expected UTF-8")
    }

    /// Returns `NewMethodNotSupported` of apimachinery.
    pub(super) fn not_supported(kind: Kind, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind \"{}.{GROUP}\"", kind.plural());
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message).of(kind, None)
    }

    pub(super) fn too_long_a_head(kind: Kind, name: &str, longest: usize) -> Self {
        let message = format!("request headers exceed the limit of {longest} bytes; the user has too many groups");
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "RequestHeaderFieldsTooLarge", message)
            .of(kind, Some(name))
    }

    pub(super) fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    pub(super) fn bad_name(kind: Kind, bad: &BadName) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", bad).of(kind, None)
    }

    pub(super) fn not_served(kind: Kind, name: &str, why: &NotServed) -> Self {
        forbidden(kind, name, why)
    }

    pub(super) fn refused(Question { user, action }: &Question, refusal: &Refusal) -> Self {
        let what = match action {
            Action::Read(kind, _) => format!("get resource \"{}\" in API group \"{GROUP}\"", kind.plural()),
            Action::See(path) => format!("get path {path:?}"),
        };
        let status = match refusal {
            Refusal::Denied { .. } => {
                let message = format!("User {:?} cannot {what} at the cluster scope: {refusal}", user.name);
                Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
            }
            Refusal::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", refusal).retry_after(SHORT)
            }
        };
        match action {
            Action::Read(kind, name) => status.of(*kind, Some(name)),
            Action::See(_) => status,
        }
    }

    pub(super) fn failed(kind: Kind, name: &str, failed: &Failed) -> Self {
        let new = |code, reason| Self::new(code, reason, failed).of(kind, Some(name));
        let unavailable = || new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable");
        match failed {
            Failed::Provider(Failure::NotFound) => {
                // The message of `NewNotFound` of apimachinery.
                let message = format!("{}.{GROUP} {name:?} not found", kind.plural());
                Self::new(StatusCode::NOT_FOUND, "NotFound", message).of(kind, Some(name))
            }
            Failed::Provider(Failure::Forbidden(_)) | Failed::Unserved => forbidden(kind, name, failed),
            Failed::Provider(Failure::Throttled(pause)) => {
                new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests").retry_after(pause.unwrap_or(SHORT))
            }
            Failed::Busy => new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests").retry_after(SHORT),
            Failed::Provider(Failure::Conflict(_)) => unavailable().retry_after(SHORT),
            Failed::Provider(Failure::Slow) => new(StatusCode::GATEWAY_TIMEOUT, "Timeout"),
            Failed::Provider(Failure::BadName(_)) => new(StatusCode::BAD_REQUEST, "BadRequest"),
            Failed::Provider(Failure::Unreachable(_) | Failure::Garbage(_)) => unavailable(),
            Failed::Down(pause) => unavailable().retry_after(**pause),
            Failed::Broken => new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        }
    }
}

/// Returns the policy's reason code of a read that failed, for pods that pull.
fn reason_code(failed: &Failed) -> &'static str {
    let code = match failed {
        Failed::Provider(Failure::NotFound) => ReasonCode::SecretNotFound,
        Failed::Provider(Failure::Forbidden(_)) | Failed::Unserved => ReasonCode::AccessDenied,
        Failed::Provider(Failure::BadName(_)) => ReasonCode::InvalidSecretRequest,
        Failed::Provider(_) | Failed::Busy | Failed::Down(_) => ReasonCode::ProviderUnavailable,
        Failed::Broken => return "InternalError",
    };
    code.into()
}

/// Returns `NewForbidden` of apimachinery.
fn forbidden(kind: Kind, name: &str, why: &dyn std::fmt::Display) -> Status {
    let message = format!("{}.{GROUP} {name:?} is forbidden: {why}", kind.plural());
    Status::new(StatusCode::FORBIDDEN, "Forbidden", message).of(kind, Some(name))
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.details.retry_after_seconds;
        let mut response = (code, Json(self)).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
