//! Decoder of the payload of Kubewarden's `validate`.
//!
//! Knows admission requests, and no managers.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::pod::{OBJECT_LIMIT, Pod};
use crate::secret_request::REQUEST_DOMAIN;

/// The label that Flyte sets on pods with secret requests, which its webhook requires.
pub const LABEL: (&str, &str) = ("inject-flyte-secrets", "true");

/// The creation of a pod that can have secret requests.
pub struct Review<'a> {
    /// The pod.
    pub pod: Pod<'a>,
    /// The namespace in which it is created.
    pub namespace: String,
    /// The user who creates it (`userInfo.username`).
    pub creator: String,
    /// The length of all its strings if the payload exceeds the limit of etcd, otherwise 0.
    pub string_bytes: usize,
    /// The policy's settings, as JSON.
    pub settings: &'a str,
}

/// The payload is not an admission request, or its object is not a pod. The message of serde is not shown, because it
/// quotes the input.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unexpected value at line {0}, column {1}")]
pub struct Malformed(usize, usize);

/// Decodes the payload of `validate`; `None` if it does not concern the policy.
///
/// # Errors
/// The payload is not an admission request, or its object is not a pod.
pub fn read(payload: &[u8]) -> Result<Option<Review<'_>>, Malformed> {
    if !may_hold_secrets(payload) {
        return Ok(None);
    }
    // Checked once, and not for each string.
    let text = str::from_utf8(payload).map_err(|error| Malformed(1, error.valid_up_to()))?;
    let Payload { request, settings } = match serde_json::from_str::<Payload<Pod>>(text) {
        Ok(payload) => payload,
        // Other objects can have any fields.
        Err(_) if parse::<IgnoredAny>(text).is_some_and(|request| !request.creates_pod()) => return Ok(None),
        Err(error) => return Err(Malformed(error.line(), error.column())),
    };
    let is_creation = request.creates_pod();
    let Some(pod) = request.object.filter(|_| is_creation) else { return Ok(None) };
    let whole =
        if payload.len() > OBJECT_LIMIT { parse::<Value>(text).and_then(|request| request.object) } else { None };
    Ok(Some(Review {
        pod,
        namespace: request.namespace.unwrap_or_default(),
        creator: request.user_info.and_then(|user| user.username).unwrap_or_default(),
        string_bytes: whole.as_ref().map_or(0, string_bytes),
        settings: settings.map_or("null", RawValue::get),
    }))
}

/// Whether a secret request, a grant, or a token for the gateway may be in the payload. JSON can write any character as
/// `\u`, which the host does not; where there is such an escape, one may. One pass: the slash of a request's annotation
/// and the backslash are both rare. Another one, for a token, only where the settings name the gateway that takes it.
fn may_hold_secrets(payload: &[u8]) -> bool {
    let mut pulls = false;
    let found = memchr::memchr2_iter(b'/', b'\\', payload).any(|at| match payload.split_at_checked(at) {
        Some((before, [b'/', b's', ..])) => before.ends_with(REQUEST_DOMAIN.as_bytes()),
        Some((before, [b'/', b'/', ..])) => {
            pulls |= is_address_of(before, b"\"gateway\"", b":");
            is_address_of(before, b"\"--gateway\"", b",")
        }
        Some((_, [b'\\', b'u', ..])) => true,
        _ => false,
    });
    // Text that is none is rejected when it is read.
    found || pulls && str::from_utf8(payload).map_or(true, |text| text.contains("\"audience\""))
}

/// Whether the text before the `//` of an address makes it the value of a key, or the argument after an option.
fn is_address_of(before: &[u8], name: &[u8], separator: &[u8]) -> bool {
    let name_before = before.strip_suffix(b"\"https:").map(<[u8]>::trim_ascii_end);
    let name_before = name_before.and_then(|before| before.strip_suffix(separator)).map(<[u8]>::trim_ascii_end);
    name_before.is_some_and(|before| before.ends_with(name))
}

/// Returns the request, with another type of object.
fn parse<'a, Object: Deserialize<'a>>(payload: &'a str) -> Option<AdmissionRequest<Object>> {
    serde_json::from_str::<Payload<Object>>(payload).ok().map(|payload| payload.request)
}

/// Returns the total length of the strings in a value, without names of members.
fn string_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(string_bytes).sum(),
        Value::Object(members) => members.values().map(string_bytes).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// The SDK's `ValidationRequest`, borrowed, with any type of object.
#[derive(Deserialize)]
struct Payload<'a, Object> {
    #[serde(borrow)]
    settings: Option<&'a RawValue>,
    request: AdmissionRequest<Object>,
}

/// The fields of the SDK's `KubernetesAdmissionRequest` that are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionRequest<Object> {
    kind: Option<GroupVersionKind>,
    operation: Option<String>,
    #[serde(alias = "sub_resource")]
    sub_resource: Option<String>,
    namespace: Option<String>,
    #[serde(alias = "user_info")]
    user_info: Option<UserInfo>,
    object: Option<Object>,
}

#[derive(Deserialize)]
struct UserInfo {
    username: Option<String>,
}

#[derive(Deserialize)]
struct GroupVersionKind {
    group: Option<String>,
    version: Option<String>,
    kind: Option<String>,
}

impl<Object> AdmissionRequest<Object> {
    fn creates_pod(&self) -> bool {
        let is = |text: &Option<String>, expected: &str| text.as_deref().unwrap_or_default() == expected;
        let is_pod = |it: &GroupVersionKind| is(&it.group, "") && is(&it.version, "v1") && is(&it.kind, "Pod");
        self.kind.as_ref().is_some_and(is_pod) && is(&self.operation, "CREATE") && is(&self.sub_resource, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_hide_nothing() {
        let table = [
            ("{\"flyte.secrets/s0\"}", true),
            ("flyte.secrets/", false),
            ("/s", false),
            ("//flyte.secrets/flyte.secrets/s", true),
            ("{\"\\u0066lyte.secrets/s0\"}", true),
            ("\"\\\\a\\n/s\"", false),
            ("[\"pull\", \"--gateway\" ,\n\"https://gateway\"]", true),
            ("[\"--gateways\",\"https://gateway\"]", false),
            ("{\"audience\":\"a\",\"gateway\": \"https://gateway\"}", true),
            ("{\"audience\":\"a\",\"gateways\":\"https://gateway\"}", false),
            ("{\"gateway\":\"https://gateway\"}", false),
        ];
        for (text, held) in table {
            assert_eq!(may_hold_secrets(text.as_bytes()), held, "{text}");
        }
    }
}
