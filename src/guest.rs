//! The policy as Kubewarden runs it: the functions that the host calls, and the host capability that it offers.

use kubewarden_policy_sdk::wapc_guest::{self, register_function, CallResult};

use crate::json::Writer;
use crate::store::{Cluster, GetResource};
use crate::texts::Texts;
use crate::{admission, settings};

/// Called by the host when it has made an instance.
#[no_mangle]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings);
    register_function("protocol_version", protocol_version);
}

/// The SDK's own answer, without the serializer that it would bring along.
fn protocol_version(_: &[u8]) -> CallResult {
    Ok(br#""v1""#.to_vec())
}

fn validate(payload: &[u8]) -> CallResult {
    Ok(admission::validate(payload, &Texts::default(), &Host).into_json())
}

fn validate_settings(payload: &[u8]) -> CallResult {
    let (valid, message) = match settings::validate(payload, &Texts::default()) {
        Ok((_, warnings)) => (true, warnings.join("\n")),
        Err(wrong) => (false, wrong.to_string()),
    };
    if valid && !message.is_empty() {
        log_warning(&message);
    }
    // Kubewarden's `SettingsValidationResponse`.
    let mut json = Writer::default();
    json.object().key("valid").boolean(valid);
    if !message.is_empty() {
        json.member("message", &message);
    }
    json.end_object();
    Ok(json.into_bytes())
}

/// A line in the host's log. That the host does not take it is no reason to fail.
fn log_warning(message: &str) {
    let mut event = Writer::default();
    event.object().member("level", "warning").member("message", message).end_object();
    let _ = wapc_guest::host_call("kubewarden", "tracing", "log", event.bytes());
}

/// The cluster behind the host capability `kubernetes/get_resource`.
struct Host;

impl Cluster for Host {
    fn get_resource(&self, request: &GetResource) -> Result<Vec<u8>, String> {
        wapc_guest::host_call("kubewarden", "kubernetes", "get_resource", &request.to_json())
            .map_err(|wrong| wrong.to_string())
    }
}
