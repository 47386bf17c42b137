//! Kinds of failures by the host's error text. The text itself is not passed on, because it can contain a stack trace.
//!
//! Sources: `callback_handler/kubernetes` and `runtimes/callback.rs` of Kubewarden's policy-evaluator, and the texts
//! of kube's errors.

use super::{GetResource, gateway};

/// A failure of the cluster or of the connection to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HostError {
    /// The API server does not know the kind.
    #[error(
        "the API server does not serve this kind; ask the operator to install the secret gateway and its APIService"
    )]
    UnknownKind,
    /// RBAC denies the read.
    #[error("forbidden for the policy server's service account; ask the operator to grant the verb get on it")]
    Forbidden,
    /// Status 403 of the secret gateway, which denies the name and not the caller.
    #[error("forbidden for the secret gateway; ask the operator to check its log, configuration and cloud identity")]
    GatewayForbidden,
    /// Status 400 of the secret gateway: its provider does not allow the name.
    #[error("the provider does not allow such a name; choose another key")]
    BadName,
    /// Kubewarden denies the read: host capabilities, or the list of context-aware resources.
    #[error(
        "the policy has no access to this resource; ask the operator to allow the host capability \
         kubernetes/get_resource and to list the resource in contextAwareResources"
    )]
    NotGranted,
    /// Status 429.
    #[error("too many requests; retry later")]
    Throttled,
    /// A timeout, or status 504.
    #[error("timed out; retry later")]
    Timeout,
    /// Status 400 or 422.
    #[error("the server rejected the request; ask the operator to check its log")]
    Refused,
    /// All other failures.
    #[error("the server is unavailable; retry later")]
    Unavailable,
}

/// Returns the host's message for an object that does not exist.
pub fn missing(request: &GetResource) -> String {
    let GetResource { api_version, kind, name, namespace, .. } = request;
    format!("Cannot find {api_version}/{kind} named '{name}' inside of namespace '{namespace:?}'")
}

impl HostError {
    /// Returns the kind of failure of the host's message for a request, or none if the object does not exist.
    pub fn classify(text: &str, request: &GetResource) -> Option<Self> {
        let GetResource { api_version, kind, .. } = request;
        let holds = |part: &str| text.contains(part);
        let is_gateway = *api_version == gateway::API_VERSION;
        // The whole sentence with this object's namespace, and not within a message of the API server about another
        // object.
        if holds(&missing(request)) && !holds("(ErrorResponse") {
            return None;
        }
        if holds("Policy has not been granted access to") || holds("has not been granted access") {
            return Some(Self::NotGranted);
        }
        if holds(&format!("Cannot find resource {api_version}/{kind}")) {
            return Some(Self::UnknownKind);
        }
        Some(match [403, 401, 429, 504, 400, 422].into_iter().find(|code| holds(&format!("code: {code}"))) {
            // RBAC names the verb and the resource.
            Some(403) if is_gateway && !holds("cannot get resource") => Self::GatewayForbidden,
            Some(401 | 403) => Self::Forbidden,
            Some(429) => Self::Throttled,
            Some(504) => Self::Timeout,
            _ if holds("timed out") || holds("deadline has") || holds("deadline exceeded") => Self::Timeout,
            Some(400) if is_gateway => Self::BadName,
            Some(_) => Self::Refused,
            None => Self::Unavailable,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_for_this_object_means_not_found() {
        let request =
            GetResource { api_version: "v1", kind: "Secret", name: "abc", namespace: Some("flyte"), field_masks: &[] };
        let table = [
            ("Host error: Cannot find v1/Secret named 'abc' inside of namespace 'Some(\"flyte\")'", None),
            (
                "x: Cannot find v1/Secret named 'abc' inside of namespace 'Some(\"flyte\")'\n\nStack backtrace:\n 0: \
                 std",
                None,
            ),
            ("Cannot find v1/Secret named 'abcd' inside of namespace", Some(HostError::Unavailable)),
            ("Cannot find resource v1/Secret", Some(HostError::UnknownKind)),
            (
                "Policy has not been granted access to the 'kubernetes/get_resource' host capability.",
                Some(HostError::NotGranted),
            ),
            ("Policy has not been granted access to Kubernetes v1/Secret resources.", Some(HostError::NotGranted)),
            ("ApiError: secrets \"abc\" is forbidden: (ErrorResponse { code: 403 })", Some(HostError::Forbidden)),
            ("ApiError: too many requests (ErrorResponse { code: 429 })", Some(HostError::Throttled)),
            ("ApiError: (ErrorResponse { code: 504 })", Some(HostError::Timeout)),
            ("ApiError: (ErrorResponse { code: 400 })", Some(HostError::Refused)),
            ("ServiceError: client error (Connect)", Some(HostError::Unavailable)),
            ("", Some(HostError::Unavailable)),
        ];
        for (text, kind) in table {
            assert_eq!(HostError::classify(text, &request), kind, "{text}");
        }
    }

    #[test]
    fn the_gateway_has_refusals_of_its_own() {
        let request = GetResource {
            api_version: gateway::API_VERSION,
            kind: "AWSSecret",
            name: "eu-west-1:k",
            namespace: None,
            field_masks: &[],
        };
        let table = [
            (
                "ApiError: awssecrets.secret-gateway.flyte.org \"eu-west-1:k\" is forbidden: User \"p\" cannot get \
                 resource \"awssecrets\" (ErrorResponse { code: 403 })",
                Some(HostError::Forbidden),
            ),
            (
                "ApiError: awssecrets.secret-gateway.flyte.org \"eu-west-1:k\" is forbidden: the provider does not let \
                 the gateway read this secret (ErrorResponse { code: 403 })",
                Some(HostError::GatewayForbidden),
            ),
            ("ApiError: names have letters (ErrorResponse { code: 400 })", Some(HostError::BadName)),
        ];
        for (text, kind) in table {
            assert_eq!(HostError::classify(text, &request), kind, "{text}");
        }
    }
}
