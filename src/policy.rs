//! Entry points for Kubewarden: the waPC functions that the host calls, and the host capability.

use std::collections::{BTreeSet, HashMap};

use kubewarden_policy_sdk::host_capabilities::kubernetes::GetResourceRequest;
use kubewarden_policy_sdk::protocol_version_guest;
use kubewarden_policy_sdk::response::ValidationResponse;
use kubewarden_policy_sdk::settings::SettingsValidationResponse;
use kubewarden_policy_sdk::wapc_guest::{CallResult, host_call, register_function};
use serde::Serialize;
use serde_json::json;

use crate::admission;
use crate::pod::MutatedPod;
use crate::reason_code::ReasonCode;
use crate::settings;
use crate::store::{Cluster, GetResource};
use crate::verdict::Verdict;

/// Registers the functions; the host calls it after it has created an instance.
#[allow(unsafe_code, reason = "the host finds the function by its name")]
#[unsafe(no_mangle)]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings);
    register_function("protocol_version", protocol_version_guest);
}

fn validate(payload: &[u8]) -> CallResult {
    Ok(respond(admission::validate(payload, &Host))?)
}

/// Returns a verdict as the SDK's `ValidationResponse`, in JSON.
///
/// # Errors
/// None for verdicts.
pub fn respond(verdict: Verdict) -> serde_json::Result<Vec<u8>> {
    match verdict {
        Verdict::Accept { warnings } if warnings.is_empty() => Ok(ACCEPTED.to_vec()),
        Verdict::Accept { warnings } => {
            serde_json::to_vec(&ValidationResponse { warnings: Some(warnings), ..accepted() })
        }
        Verdict::Reject(rejection) => serde_json::to_vec(&ValidationResponse {
            accepted: false,
            code: Some(rejection.code().http_status()),
            message: Some(rejection.to_string()),
            ..accepted()
        }),
        Verdict::Mutate { pod, audit, warnings } => {
            let audit_annotations = HashMap::from([("secrets", audit)]);
            serde_json::to_vec(&MutationResponse { accepted: true, mutated_object: pod, audit_annotations, warnings })
        }
    }
}

/// Answer for pods without secret requests, which are most: that of the SDK's `accept_request`.
const ACCEPTED: &[u8] = br#"{"accepted":true}"#;

fn accepted() -> ValidationResponse {
    ValidationResponse {
        accepted: true,
        message: None,
        code: None,
        mutated_object: None,
        audit_annotations: None,
        warnings: None,
    }
}

/// The SDK's `ValidationResponse` with the pod as text. Parsing it into a `Value` would take longer than everything
/// else.
#[derive(Serialize)]
struct MutationResponse {
    accepted: bool,
    mutated_object: MutatedPod,
    audit_annotations: HashMap<&'static str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

fn validate_settings(payload: &[u8]) -> CallResult {
    let (valid, message) = match settings::validate(payload) {
        Ok((_, warnings)) => (true, warnings.join("\n")),
        Err(error) => (false, format!("{}: {error}", ReasonCode::InvalidSettings)),
    };
    if valid && !message.is_empty() {
        // Failing to log is not an error.
        let event = json!({ "level": "warning", "message": message });
        let _ = host_call("kubewarden", "tracing", "log", event.to_string().as_bytes());
    }
    let message = (!message.is_empty()).then_some(message);
    Ok(serde_json::to_vec(&SettingsValidationResponse { valid, message })?)
}

/// The cluster behind the host capability `kubernetes/get_resource`.
struct Host;

impl Cluster for Host {
    fn get_resource(&self, request: &GetResource) -> Result<Vec<u8>, String> {
        let field_masks: BTreeSet<String> = request.field_masks.iter().map(ToString::to_string).collect();
        let request = GetResourceRequest {
            api_version: request.api_version.to_owned(),
            kind: request.kind.to_owned(),
            name: request.name.to_owned(),
            namespace: request.namespace.map(str::to_owned),
            // policy-server has one lock for all calls that use its cache.
            disable_cache: true,
            field_masks: Some(field_masks),
        };
        let request = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
        host_call("kubewarden", "kubernetes", "get_resource", &request).map_err(|error| error.to_string())
    }
}
