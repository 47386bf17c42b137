//! Reason codes of messages, and their HTTP status.

use serde_json::{Value, json};

/// From the least to the worst; each with words of the messages that have it.
const CODES: [(&str, u16, &[&str]); 16] = [
    ("InvalidAdmissionRequest", 400, &["unexpected value at line"]),
    ("InvalidPod", 400, &["unexpected value in `", "unknown container"]),
    (
        "Conflict",
        400,
        &["conflicts with the secrets volume", "conflicts with the mount of secrets", "conflicts with read-only"],
    ),
    ("ConflictingRequests", 400, &[" conflict: "]),
    (
        "UnsupportedRequest",
        400,
        &["unsupported mount_requirement", "supported on Windows", "cannot reference", "disables the Vault agent"],
    ),
    (
        "InvalidSecretRequest",
        400,
        &[
            "is not a valid ",
            "is not a file's",
            "is not a key w",
            "is not a secret's",
            "missing required field",
            "is not the version in the URI",
            "does not allow such a name",
        ],
    ),
    (
        "VariableNotAllowed",
        400,
        &["maps to the invalid variable name", "is a reserved variable", "is not allowed, it changes"],
    ),
    ("LimitExceeded", 400, &["exceeds the limit", "exceed the limit"]),
    ("InvalidLabel", 400, &["missing required label", "must be a valid label value"]),
    ("SecretNotFound", 400, &["not found; looked up", "has no key"]),
    (
        "InvalidSecretValue",
        400,
        &[" holds ", "is not UTF-8 text", "cannot be an environment variable", "store a JSON object"],
    ),
    (
        "TenantMismatch",
        403,
        &["does not match the pod's labels", "contains the template's separator", "is not in tenancy."],
    ),
    ("GrantMismatch", 403, &["is not what the policy grants"]),
    ("AccessDenied", 503, &["forbidden for the", "has no access to this resource"]),
    ("InvalidSettings", 503, &["invalid settings: ", "ask the operator to correct"]),
    (
        "ProviderUnavailable",
        503,
        &[
            "too many requests",
            "timed out",
            "is unavailable",
            "server rejected",
            "does not serve",
            "cannot be looked up",
        ],
    ),
];

/// Returns a message as the policy writes it: behind its reason code. `status` is the HTTP status.
#[track_caller]
pub fn message(status: u16, words: &str) -> String {
    let code = CODES.iter().rev().find(|(.., known)| known.iter().any(|known| words.contains(known)));
    let (code, of_the_code, _) = code.unwrap_or_else(|| panic!("no reason code for {words:?}"));
    assert_eq!(*of_the_code, status, "{words}");
    format!("{code}: {words}")
}

/// Returns the whole answer to a pod that is rejected.
#[track_caller]
pub fn rejected(status: u16, words: &str) -> Value {
    json!({ "accepted": false, "code": status, "message": message(status, words) })
}

/// Returns the answer to a pod whose first secret request is not injected: how it is named, and a line for each
/// manager.
#[track_caller]
pub fn not_injected(status: u16, secret: &str, reasons: &str) -> Value {
    let reasons = match reasons.contains('\n') {
        true => format!("[{}]", reasons.replace('\n', ", ")),
        false => reasons.to_owned(),
    };
    rejected(status, &format!("secret {secret} (annotation flyte.secrets/s0) cannot be injected: {reasons}"))
}
