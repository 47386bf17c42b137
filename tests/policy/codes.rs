//! Rejections as they are expected: messages, their reason codes, and HTTP status.

use flyte_secrets_policy::secret_request::text_format;
use flyte_secrets_testing::host::Store;
use serde_json::{Value, json};

use crate::support::{create_with, managers, pod};

// Why a manager rejects a secret request; `{}` is the value of the field, see `assert_rejects`.
pub const VARIABLE: &str = "env_var {} is not a valid variable name; it must be ASCII without '='";
pub const KEY: &str = "key {} is not a valid Secret key; expected up to 253 of a-z, A-Z, 0-9, '-', '_' and '.'";
pub const GROUP: &str = "group {} is not a valid Secret name; expected up to 253 of a-z, 0-9, '-' and '.'";
pub const VAULT_PATH: &str =
    "group/key {} is not a valid Vault path; it must not contain empty parts, '.', '..' or control characters";
pub const ARN: &str = "group/key {} is not a valid path of ARN and key; it must be ASCII without empty parts, '.', '..' \
                       or control characters";
pub const GCP_SECRET: &str =
    "group {} is not a valid GCP secret; expected projects/PROJECT/secrets/NAME, or NAME of a-z, A-Z, 0-9, '_', '-'";
pub const GCP_VERSION: &str = "group_version {} is not a valid GCP version; expected a number, latest or an alias";
pub const VAULT_URI: &str =
    "group {} is not a valid Key Vault secret URI; expected https://VAULT.vault.azure.net/secrets/NAME";
pub const AZURE_VERSION: &str = "group_version {} is not a valid Key Vault version; expected letters and digits";
pub const FILE_NAME: &str =
    "key {} is not a valid file name; expected up to 255 of a-z, A-Z, 0-9, '-', '_' and '.', and not '.' or '..'";

/// From the least to the worst; each with words of the messages that have it, between bars.
const CODES: [(&str, u16, &str); 16] = [
    ("InvalidAdmissionRequest", 400, "unexpected value at line"),
    ("InvalidPod", 400, "unexpected value in `|unknown container"),
    ("Conflict", 400, "conflicts with the secrets volume|conflicts with the mount of secrets|conflicts with read-only"),
    ("ConflictingRequests", 400, " conflict: "),
    (
        "UnsupportedRequest",
        400,
        "unsupported mount_requirement|supported on Windows|cannot reference|disables the Vault agent",
    ),
    (
        "InvalidSecretRequest",
        400,
        "is not a valid |is not a file's|is not a key w|is not a secret's|missing required field|\
         is not the version in the URI|does not allow such a name",
    ),
    ("VariableNotAllowed", 400, "maps to the invalid variable name|is a reserved variable|is not allowed, it changes"),
    ("LimitExceeded", 400, "exceeds the limit|exceed the limit"),
    ("InvalidLabel", 400, "missing required label|must be a valid label value"),
    ("SecretNotFound", 400, "not found; looked up|has no key"),
    ("InvalidSecretValue", 400, " holds |is not UTF-8 text|cannot be an environment variable|store a JSON object"),
    ("TenantMismatch", 403, "does not match the pod's labels|contains the template's separator|is not in tenancy."),
    ("GrantMismatch", 403, "is not what the policy grants"),
    ("AccessDenied", 503, "forbidden for the|has no access to this resource"),
    ("InvalidSettings", 503, "invalid settings: |ask the operator to correct"),
    (
        "ProviderUnavailable",
        503,
        "too many requests|timed out|is unavailable|server rejected|does not serve|cannot be looked up",
    ),
];

/// Returns a message as the policy writes it: behind its reason code. `status` is the HTTP status.
#[track_caller]
fn message(status: u16, words: &str) -> String {
    let code = CODES.iter().rev().find(|(.., known)| known.split('|').any(|known| words.contains(known)));
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

/// Returns the answer to a pod whose key Embedded does not find in these places.
#[track_caller]
pub fn not_found(key: &str, looked_up: &[String]) -> Value {
    let looked_up = looked_up.join(", ");
    let reason = format!("Embedded: not found; looked up {looked_up}; store it under one of these names");
    not_injected(400, &format!("{key:?}"), &reason)
}

/// Checks that a manager rejects a request, and reads nothing before. In the reason, `{}` is the value of the field that
/// is its first word.
#[track_caller]
pub fn assert_rejects(manager: &str, request: &str, reason: &str) {
    let asked = text_format::parse(request.as_bytes()).expect("a secret request");
    let path = [&asked.group, &asked.key].map(String::as_str).into_iter().filter(|part| !part.is_empty());
    let path = path.collect::<Vec<_>>().join("/");
    let value = match reason.split_once(' ').unwrap_or_default().0 {
        "group" => &asked.group,
        "group_version" => &asked.group_version,
        "key" => &asked.key,
        "env_var" => &asked.env_var,
        _ => &path,
    };
    let mut secret = if path.is_empty() { "without group and key".to_owned() } else { format!("{path:?}") };
    if !asked.group_version.is_empty() {
        secret.push_str(&format!(" version {:?}", asked.group_version));
    }
    let reason = reason.replacen("{}", &format!("{value:?}"), 1);
    let store = Store::new(json!({}));
    let answer = create_with(&pod(&[request]), &managers(&[manager]), &store);
    assert_eq!(answer.0, not_injected(400, &secret, &format!("{manager}: {reason}")), "{manager}: {request}");
    assert_eq!(store.asked(), [], "{manager}: {request}");
}
