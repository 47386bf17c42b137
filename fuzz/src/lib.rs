//! What the fuzz targets share: stores made of data, answers held to what the host expects, and texts written anew.
//!
//! Knows the public functions of the core and of the gateway; knows nothing of libFuzzer.

#[cfg(feature = "gateway")]
pub mod gateway;

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::secret_request::SecretRequest;
use flyte_secrets_policy::store::{Cluster, GetResource};
use flyte_secrets_policy::{admission, policy};
use serde_json::{Value, json};

/// Stands in values and in the host's error texts, and so nowhere that a user or a log can see.
///
/// Of a length that base64 encodes without a rest, so that what is encoded behind it changes nothing.
pub const CANARY: &str = "c4n4ry-5ecre7-x";

/// What a cluster answers: the object as JSON, or the host's words.
pub type Answer = Result<Vec<u8>, String>;

/// Answers by kind, namespace and name; what is not here does not exist. Of names in the gateway only what follows the
/// region, the project or the vault counts.
#[derive(Debug, Default)]
pub struct Objects(BTreeMap<[String; 3], Answer>);

impl Objects {
    /// Puts an object there.
    pub fn insert(&mut self, kind: &str, namespace: Option<&str>, name: &str, answer: Answer) {
        let place = [kind, namespace.unwrap_or_default(), name].map(str::to_owned);
        self.0.insert(place, answer);
    }

    /// The stores of a golden case (`tests/golden/README.md`): `K8s` holds namespaces with Secrets, `AWS`, `GCP` and
    /// `Azure` hold objects, whose member `error` stands for a failure.
    pub fn of_case(stores: &Value) -> Self {
        let mut objects = Self::default();
        let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
        for (namespace, secrets) in members(&stores["K8s"]) {
            for (name, data) in members(&secrets) {
                let answer = Ok(json!({ "data": data }).to_string().into_bytes());
                objects.insert("Secret", Some(&namespace), &name, answer);
            }
        }
        for store in ["AWS", "GCP", "Azure"] {
            for (name, object) in members(&stores[store]) {
                let answer = match object["error"].as_str() {
                    Some(error) => Err(format!("{error} (ErrorResponse {{ code: 503 }})")),
                    None => Ok(object.to_string().into_bytes()),
                };
                objects.insert(&format!("{store}Secret"), None, &name, answer);
            }
        }
        objects
    }
}

impl Cluster for Objects {
    fn get_resource(&self, request: &GetResource) -> Answer {
        let GetResource { kind, name, namespace, .. } = request;
        if is_guard(request) {
            return Ok(b"{}".to_vec());
        }
        let (_, name) = name.split_once(':').unwrap_or(("", name));
        let place = [kind, namespace.unwrap_or_default(), name].map(str::to_owned);
        self.0.get(&place).cloned().unwrap_or_else(|| Err(not_found(request)))
    }
}

/// Whether a request is for what shows that a store is there.
pub fn is_guard(request: &GetResource) -> bool {
    ["Namespace", "SecretLookup"].contains(&request.kind)
}

/// The host's words for an object that does not exist.
pub fn not_found(request: &GetResource) -> String {
    let GetResource { api_version, kind, name, namespace, .. } = request;
    format!("Cannot find {api_version}/{kind} named '{name}' inside of namespace '{namespace:?}'")
}

/// What the policy answers, without a look at it.
pub fn validate(payload: &[u8], cluster: &dyn Cluster) -> Vec<u8> {
    policy::respond(admission::validate(payload, cluster)).expect("an answer is JSON")
}

/// What the policy answers to a payload that is JSON: it must be what Kubewarden reads, the same each time, and hold
/// the canary in the pod alone. A changed pod must come out of a second pass as it went in.
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

/// Reads an answer, and holds it to the format.
pub fn read(bytes: &[u8]) -> Value {
    let mut answer: Value = serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("the answer is not JSON: {error}: {}", bytes.escape_ascii()));
    answer.as_object_mut().into_iter().for_each(|members| members.retain(|_, value| !value.is_null()));
    let members: Vec<&str> = answer.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    let said = match members.as_slice() {
        ["accepted"] => vec![],
        ["accepted", "warnings"] => vec![&answer["warnings"]],
        ["accepted", "mutated_object", "audit_annotations"] => vec![&answer["audit_annotations"]],
        ["accepted", "mutated_object", "audit_annotations", "warnings"] => {
            vec![&answer["audit_annotations"], &answer["warnings"]]
        }
        ["accepted", "message", "code"] => {
            assert!(matches!(answer["code"].as_u64(), Some(400 | 403 | 503)), "{answer}");
            assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
            vec![&answer["message"]]
        }
        _ => panic!("no answer of the policy has these members: {answer}"),
    };
    assert_eq!(answer["accepted"], json!(!members.contains(&"code")), "{answer}");
    for text in said {
        let text = text.to_string();
        assert!(
            !text.contains(CANARY) && !text.contains(&STANDARD.encode(CANARY)),
            "a value or an error shows: {text}"
        );
    }
    answer
}

/// The payload of `validate` for the creation of a pod in a namespace.
pub fn creation(pod: Value, namespace: &str, settings: Value) -> Value {
    json!({
        "request": {
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "operation": "CREATE",
            "namespace": namespace,
            "object": pod,
        },
        "settings": settings,
    })
}

/// A request in the text format, as protobuf's own printer writes it: printable ASCII as it is, all else in octal.
pub fn print(request: &SecretRequest) -> String {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    let mut text = String::new();
    for (field, value) in [("group", group), ("group_version", group_version), ("key", key), ("env_var", env_var)] {
        if value.is_empty() {
            continue;
        }
        write!(text, "{field}: \"").expect("strings take all");
        for byte in value.bytes() {
            match byte {
                b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
                b' '..=b'~' => text.push(char::from(byte)),
                _ => write!(text, "\\{byte:03o}").expect("strings take all"),
            }
        }
        text.push_str("\"\n");
    }
    match mount_requirement.number() {
        0 => {}
        1 => text.push_str("mount_requirement: ENV_VAR\n"),
        2 => text.push_str("mount_requirement: FILE\n"),
        other => writeln!(text, "mount_requirement: {other}").expect("strings take all"),
    }
    text
}

/// The same JSON in other words: white space between all tokens, and each character of a string as an escape.
pub fn respell(json: &str) -> String {
    let mut text = String::with_capacity(6 * json.len());
    let (mut open, mut escaped) = (false, false);
    for character in json.chars() {
        match character {
            '"' if !escaped => {
                open = !open;
                text.push('"');
            }
            // What follows a backslash belongs to an escape that is there already, up to the digits of `\u`.
            '\\' if open && !escaped => {
                escaped = true;
                text.push('\\');
                continue;
            }
            _ if escaped => text.push(character),
            '0'..='9' | 'a'..='f' | 'A'..='F' if open => text.push(character),
            _ if open => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(text, "\\u{unit:04x}").expect("strings take all");
                }
            }
            '{' | '}' | '[' | ']' | ':' | ',' => text.extend(['\n', '\t', character, '\r', ' ']),
            _ => text.push(character),
        }
        escaped = false;
    }
    text
}
