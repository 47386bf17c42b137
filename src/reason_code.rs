//! Reason codes of rejections, which operators and scripts match.

/// A stable reason code, with which the message of a rejection starts. The greatest one of several counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, strum::Display, strum::IntoStaticStr)]
pub enum ReasonCode {
    /// The payload is not an admission request.
    InvalidAdmissionRequest,
    /// A field of the pod has a type or a value that cannot be used.
    InvalidPod,
    /// Something in the pod conflicts with the additions.
    Conflict,
    /// Two secret requests conflict.
    ConflictingRequests,
    /// The manager does not support what is requested.
    UnsupportedRequest,
    /// A secret request cannot be decoded, or has a missing or invalid field.
    InvalidSecretRequest,
    /// The environment variable is reserved, denied or cannot be derived from the key.
    VariableNotAllowed,
    /// A limit of Kubernetes, Linux or the settings is exceeded.
    LimitExceeded,
    /// A label that secret names consist of is missing or invalid.
    InvalidLabel,
    /// The secret does not exist under any of its names.
    SecretNotFound,
    /// The stored value cannot be delivered as requested.
    InvalidSecretValue,
    /// The pod's namespace, service account, creator or organization must not have the secret.
    TenantMismatch,
    /// The pod grants itself secrets.
    GrantMismatch,
    /// The policy or the secret gateway lacks a permission.
    AccessDenied,
    /// The policy's settings are invalid.
    InvalidSettings,
    /// The API server, the secret gateway or its provider is unavailable or fails.
    ProviderUnavailable,
}

impl ReasonCode {
    /// Returns the HTTP status: 400 for what the pod's author must change, 403 for what they must not have, 503 for
    /// what may pass on a retry or needs the operator.
    pub fn http_status(self) -> u16 {
        match self {
            Self::TenantMismatch | Self::GrantMismatch => 403,
            Self::AccessDenied | Self::InvalidSettings | Self::ProviderUnavailable => 503,
            _ => 400,
        }
    }
}
