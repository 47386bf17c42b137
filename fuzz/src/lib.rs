//! Shared code of the fuzz targets: stores, checks of answers, and other spellings of texts.
//!
//! Uses public functions of the core and the gateway. Does not know libFuzzer.

#[cfg(feature = "gateway")]
pub mod gateway;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::secret_request::SecretRequest;
use flyte_secrets_policy::store::{Cluster, GetResource};
use flyte_secrets_policy::{admission, policy};
use serde_json::{Value, json};

/// Part of values and of the host's error texts, which neither users nor logs may see.
///
/// Its length is a multiple of three, so that its base64 does not depend on what follows.
pub const CANARY: &str = "c4n4ry-5ecre7-x";

/// The stores of a golden case (`tests/golden/README.md`): `K8s` maps namespaces to Secrets; `AWS`, `GCP` and `Azure`
/// have objects, whose member `error` is a failure. Names of the gateway are without region, project or vault.
#[derive(Debug, Default)]
pub struct Stores(pub Value);

impl Cluster for Stores {
    fn get_resource(&self, request: &GetResource) -> Result<Vec<u8>, String> {
        let GetResource { api_version, kind, name, namespace, .. } = request;
        let object = match (*kind, namespace) {
            // Shows that the store exists.
            ("Namespace" | "SecretLookup", _) => Some(json!({})),
            ("Secret", Some(namespace)) => self.0["K8s"][namespace].get(name).map(|data| json!({ "data": data })),
            _ => {
                let (_, stored) = name.split_once(':').unwrap_or(("", name));
                self.0[kind.trim_end_matches("Secret")].get(stored).cloned()
            }
        };
        let Some(object) = object else {
            return Err(format!("Cannot find {api_version}/{kind} named '{name}' inside of namespace '{namespace:?}'"));
        };
        match object["error"].as_str() {
            Some(error) => Err(format!("{error} (ErrorResponse {{ code: 503 }})")),
            None => Ok(object.to_string().into_bytes()),
        }
    }
}

/// Returns the policy's answer, unchecked.
pub fn validate(payload: &[u8], cluster: &dyn Cluster) -> Vec<u8> {
    policy::respond(admission::validate(payload, cluster)).expect("an answer is JSON")
}

/// Returns the policy's answer to a payload in JSON. It must be in Kubewarden's format, the same each time, and have
/// the canary in the pod only. A second evaluation must not change a mutated pod.
pub fn check(payload: &Value, cluster: &dyn Cluster) -> Value {
    let text = payload.to_string();
    let bytes = validate(text.as_bytes(), cluster);
    assert!(bytes == validate(text.as_bytes(), cluster), "the same payload has two answers");
    let answer = read(&bytes);
    if let Some(pod) = answer.get("mutated_object") {
        let mut again = payload.clone();
        again["request"]["object"] = pod.clone();
        let second = read(&validate(again.to_string().as_bytes(), cluster));
        assert_eq!(second.get("mutated_object"), Some(pod), "a second pass changes the pod: {second}");
    }
    answer
}

/// Parses an answer, and checks its format.
pub fn read(bytes: &[u8]) -> Value {
    let mut answer: Value = serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("the answer is not JSON: {error}: {}", bytes.escape_ascii()));
    answer.as_object_mut().into_iter().for_each(|members| members.retain(|_, value| !value.is_null()));
    let members: Vec<&str> = answer.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    let accepted = match members.as_slice() {
        ["accepted"]
        | ["accepted", "warnings"]
        | ["accepted", "mutated_object", "audit_annotations"]
        | ["accepted", "mutated_object", "audit_annotations", "warnings"] => true,
        ["accepted", "message", "code"] => {
            assert!(matches!(answer["code"].as_u64(), Some(400 | 403 | 503)), "{answer}");
            assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
            false
        }
        _ => panic!("no answer of the policy has these members: {answer}"),
    };
    assert_eq!(answer["accepted"], json!(accepted), "{answer}");
    for member in ["audit_annotations", "warnings", "message"] {
        let text = answer[member].to_string();
        let canaries = [CANARY.to_owned(), STANDARD.encode(CANARY)];
        assert!(!canaries.iter().any(|canary| text.contains(canary)), "a value or an error shows: {text}");
    }
    answer
}

/// Returns the payload of `validate` for the creation of a pod in a namespace.
pub fn creation(pod: Value, namespace: &str, settings: Value) -> Value {
    let kind = json!({ "group": "", "version": "v1", "kind": "Pod" });
    let request = json!({ "kind": kind, "operation": "CREATE", "namespace": namespace, "object": pod });
    json!({ "request": request, "settings": settings })
}

/// Returns a request in the text format, with escapes in hex.
pub fn print(request: &SecretRequest) -> String {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    let texts = [("group", group), ("group_version", group_version), ("key", key), ("env_var", env_var)];
    let texts = texts.into_iter().filter(|(_, value)| !value.is_empty());
    let texts = texts.map(|(field, value)| format!("{field}: \"{}\"\n", value.as_bytes().escape_ascii()));
    format!("{}mount_requirement: {mount_requirement}\n", texts.collect::<String>())
}

/// Returns the same JSON in another spelling: white space between all tokens, and an escape for each character of a
/// string, except hex digits and what follows a backslash, which can be parts of an escape.
pub fn respell(json: &str) -> String {
    let mut text = String::with_capacity(6 * json.len());
    let (mut open, mut escaped) = (false, false);
    for character in json.chars() {
        match character {
            '"' if !escaped => {
                open = !open;
                text.push('"');
            }
            _ if open && !escaped && character != '\\' && !character.is_ascii_hexdigit() => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    text += &format!("\\u{unit:04x}");
                }
            }
            '{' | '}' | '[' | ']' | ':' | ',' if !open => text.extend(['\n', '\t', character, '\r', ' ']),
            _ => text.push(character),
        }
        escaped = open && !escaped && character == '\\';
    }
    text
}

/// Splits at the first empty line.
pub fn cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.windows(2).position(|window| window == b"\n\n") {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, b""),
    }
}
