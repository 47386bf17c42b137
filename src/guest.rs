//! The policy as Kubewarden runs it: the functions that the host calls, and the host capability that it offers.

use kubewarden_policy_sdk::settings::SettingsValidationResponse;
use kubewarden_policy_sdk::wapc_guest::{self, CallResult};
use kubewarden_policy_sdk::{protocol_version_guest, wapc_guest::register_function};
use serde::Serialize;

use crate::store::{Cluster, GetResource};
use crate::{admission, settings};

/// Called by the host when it has made an instance.
#[no_mangle]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings);
    register_function("protocol_version", protocol_version_guest);
}

fn validate(payload: &[u8]) -> CallResult {
    Ok(admission::validate(payload, &Host).into_json())
}

fn validate_settings(payload: &[u8]) -> CallResult {
    let (valid, message) = match settings::validate(payload) {
        Ok((_, warnings)) => (true, (!warnings.is_empty()).then(|| warnings.join("\n"))),
        Err(wrong) => (false, Some(wrong.to_string())),
    };
    if let (true, Some(warning)) = (valid, &message) {
        log_warning(warning);
    }
    Ok(serde_json::to_vec(&SettingsValidationResponse { valid, message })?)
}

/// A line in the host's log. That the host does not take it is no reason to fail.
fn log_warning(message: &str) {
    let event = serde_json::to_vec(&LogEvent { level: "warning", message }).unwrap_or_default();
    let _ = wapc_guest::host_call("kubewarden", "tracing", "log", &event);
}

#[derive(Serialize)]
struct LogEvent<'a> {
    level: &'a str,
    message: &'a str,
}

/// The cluster behind the host capability `kubernetes/get_resource`.
struct Host;

impl Cluster for Host {
    fn get_resource(&self, request: &GetResource) -> Result<Vec<u8>, String> {
        let request = serde_json::to_vec(request).map_err(|wrong| wrong.to_string())?;
        wapc_guest::host_call("kubewarden", "kubernetes", "get_resource", &request).map_err(|wrong| wrong.to_string())
    }
}
