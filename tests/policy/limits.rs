//! Input that is too long, too many, too deep, or barely JSON: each is answered within the two seconds after which
//! policy-server stops a policy, with memory in proportion to input and output.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use flyte_secrets_testing::engine::creation;
use flyte_secrets_testing::host::{Capabilities, nothing};
use flyte_secrets_testing::meter::Meter;
use serde_json::{Map, Value, json};

use crate::codes::{not_injected, rejected};
use crate::support::{annotation, asking, managers, numbered_store, pod, policy, project_name, with};

const MIB: usize = 1 << 20;

/// When policy-server stops a policy; the engine of the tests does so too.
const DEADLINE: Duration = Duration::from_secs(2);

/// What a pod asks for where it matters little.
const REQUEST: &str = "group:'g' key:'k' mount_requirement:ENV_VAR";

/// What the policy says.
#[derive(Debug)]
enum Answer {
    /// The whole answer, without a pod.
    Whole(Value),
    /// The text stands in the pod that comes out.
    Mutated(String),
    /// Rejected with 400, and where it is not what the API server sends.
    Malformed,
}

impl Answer {
    /// Whether this is what the policy said. Deep JSON and lone surrogates are let through where nobody looks, but not
    /// through serde_json: of an answer with a pod only the start is read.
    fn is(&self, answer: &[u8]) -> bool {
        let text = String::from_utf8_lossy(answer);
        if let Self::Mutated(part) = self {
            return text.starts_with(r#"{"accepted":true,"mutated_object":"#) && text.contains(part);
        }
        let mut members: Map<String, Value> = serde_json::from_slice(answer).unwrap_or_default();
        members.retain(|_, value| !value.is_null());
        match self {
            Self::Whole(expected) => Value::Object(members) == *expected,
            _ => members["code"] == 400 && members["message"].to_string().contains(": unexpected value "),
        }
    }
}

fn accepted() -> Answer {
    Answer::Whole(json!({ "accepted": true }))
}

fn warned(warning: &str) -> Answer {
    Answer::Whole(json!({ "accepted": true, "warnings": [warning] }))
}

fn refused(words: &str) -> Answer {
    Answer::Whole(rejected(400, words))
}

fn not_a_request(problem: &str) -> Answer {
    refused(&format!("annotation flyte.secrets/s0 is not a valid secret request: {problem}; use flytekit to encode it"))
}

fn too_many_annotations(bytes: usize) -> Answer {
    refused(&format!(
        "secrets cannot be injected: annotations of {bytes} bytes exceed the limit of 262144 bytes; shorten them, or \
         request fewer secrets"
    ))
}

/// What a request, or a pod itself, takes too much of.
fn too_large(what: &str, bytes: usize) -> Answer {
    refused(&format!(
        "{what} cannot be injected: pod of at least {bytes} bytes exceeds the limit of 1572864 bytes in etcd; make it \
         smaller, or request fewer or smaller secrets"
    ))
}

/// A payload whose settings limit nothing that they need not: Kubernetes' own limits are looked at here.
fn payload(pod: &Value, settings: &Value) -> String {
    let mut settings = settings.clone();
    if let Some(settings) = settings.as_object_mut() {
        let limits = json!({ "embeddedRequests": 10_000, "initContainers": 1000, "reads": 100_000 });
        settings.entry("limits").or_insert(limits);
    }
    json!({ "request": creation(pod), "settings": settings }).to_string()
}

fn k8s(pod: &Value) -> String {
    payload(pod, &managers(&["K8s"]))
}

/// A payload in which `json` stands at `path` of a pod that asks for a secret, however little it is JSON.
fn written(path: &str, json: &str) -> String {
    k8s(&with(pod(&[REQUEST]), path, json!("here"))).replace("\"here\"", json)
}

fn meter() -> &'static Meter {
    static METER: OnceLock<Meter> = OnceLock::new();
    METER.get_or_init(|| Meter::built().expect("the policy"))
}

/// Checks what the policy says to each payload, within its time and memory.
fn assert_answers(host: &Arc<dyn Capabilities>, rows: Vec<(String, Answer)>) {
    for (payload, expected) in rows {
        let start = Instant::now();
        let answer = policy().call("validate", payload.as_bytes(), host);
        let took = start.elapsed();
        let what: String = payload.chars().take(999).collect();
        let answer = answer.unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
        let said: String = String::from_utf8_lossy(&answer).chars().take(999).collect();
        assert!(expected.is(&answer), "{what}: {said}");
        assert!(took < DEADLINE, "{what}: {took:?}");
        // The stack that Rust asks for, what the policy is, and what the host answers; the rest must come from
        // somewhere.
        let memory = meter().call("validate", payload.as_bytes(), host).map(|cost| cost.memory).expect("an answer");
        let size = payload.len() + answer.len();
        assert!(memory as usize <= 6 * MIB + 6 * size, "{what}: {memory} bytes of memory for {size} in and out");
    }
}

#[test]
fn payloads_of_three_mebibytes() {
    let long = "x".repeat(3 * MIB);
    let escaped = "\n\"".repeat(3 * MIB / 4);
    let half = "x".repeat(3 * MIB / 2 - 200);
    let unlabelled = with(pod(&[]), "/metadata/labels", json!({}));
    let argument = |pod, text: &str| with(pod, "/spec/containers/0/args", json!([text]));
    let numbers: Value = (0..400_000).collect();
    assert_answers(
        &nothing(),
        vec![
            (k8s(&argument(pod(&[]), &long)), accepted()),
            (k8s(&argument(unlabelled, &escaped)), accepted()),
            (k8s(&argument(pod(&[REQUEST]), &long)), too_large("secrets", 3_145_872)),
            (k8s(&argument(pod(&[REQUEST]), &escaped)), too_large("secrets", 1_573_008)),
            (k8s(&argument(pod(&[REQUEST]), &half)), Answer::Mutated(half)),
            (k8s(&with(pod(&[REQUEST]), "/spec/x", numbers.clone())), Answer::Mutated(numbers.to_string())),
            ("\0".repeat(3 * MIB), accepted()),
        ],
    );
}

/// What no host hands over, as it writes its own JSON: it is rejected, or passes unchanged where nobody looks.
#[test]
fn odd_json_is_rejected_or_passes_unchanged() {
    let lists = "[".repeat(10_000) + &"]".repeat(10_000);
    let objects = "{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000);
    let (digits, lone) = ("9".repeat(400), "\"\\ud800\"");
    let unlabelled = "pod has secret requests but gets no secrets: missing label inject-flyte-secrets: \"true\"";
    let whole = k8s(&pod(&[REQUEST]));
    let with_value = |json: &str| written("/spec/containers/0/env", &format!("[{{\"name\":\"A\",\"value\":{json}}}]"));
    let before = |text: &str, more: &str| whole.replacen(text, &format!("{more}{text}"), 1);
    let request = |json: &str| whole.replacen(&format!("\"{}\"", annotation(REQUEST)), json, 1);
    assert_answers(
        &nothing(),
        vec![
            (written("/spec/x", &lists), Answer::Mutated(lists.clone())),
            (written("/spec/containers/0/x", &objects), Answer::Mutated(objects.clone())),
            (with_value(&objects), Answer::Mutated(objects)),
            (written("/metadata/labels/x", &lists), Answer::Mutated(lists.clone())),
            (written("/spec/containers", &lists), Answer::Malformed),
            (written("/spec/containers/0/env", &lists), Answer::Malformed),
            (format!("{{\"flyte.secrets/s0\":{}", "[".repeat(MIB)), Answer::Malformed),
            (written("/spec/activeDeadlineSeconds", &digits), Answer::Mutated(digits.clone())),
            (with_value(&digits), Answer::Mutated(digits.clone())),
            (written("/metadata/labels/inject-flyte-secrets", &digits), Answer::Malformed),
            (written("/spec/x", "[-0,-0.0,1E+2]"), Answer::Mutated("[-0,-0.0,1E+2]".to_owned())),
            (written("/spec/x", lone), Answer::Mutated(lone.to_owned())),
            (written("/metadata/annotations/x", lone), Answer::Mutated(lone.to_owned())),
            (written("/metadata/labels/inject-flyte-secrets", lone), Answer::Malformed),
            (request(lone), Answer::Malformed),
            (written("/spec/containers/0/env", &format!("[{{\"name\":{lone}}}]")), Answer::Malformed),
            (written("/spec/x", "\"\\u0000\""), Answer::Mutated("\\u0000".to_owned())),
            (written("/spec/x", "\"\0\""), Answer::Malformed),
            (whole.replacen("\"spec\":", "\0\"spec\":", 1), Answer::Malformed),
            (written("/metadata/labels/inject-flyte-secrets", "\"true\\u0000\""), warned(unlabelled)),
            (before("\"object\":", "\"object\":{},"), Answer::Malformed),
            (before("\"settings\":", "\"settings\":{\"x\":1},"), Answer::Malformed),
            (before("\"spec\":", "\"spec\":{\"containers\":[{}]},"), Answer::Mutated(String::new())),
            (before("\"inject-", "\"inject-flyte-secrets\":\"false\","), Answer::Mutated(String::new())),
            // The last of several counts.
            (before("\"organization\"", "\"inject-flyte-secrets\":\"false\","), warned(unlabelled)),
        ],
    );
}

#[test]
fn long_strings() {
    let (long, short) = ("9".repeat(MIB), "9".repeat(4097));
    let shown = "9".repeat(256);
    let asks = |request: &str, names: &[&str]| payload(&pod(&[&request.replace('@', &short)]), &managers(names));
    let bad_label = format!(
        "Embedded: label project={shown:?} must be a valid label value without \"__\", the separator in secret names"
    );
    let labelled = with(pod(&["key:'k'"]), "/metadata/labels/project", json!(long));
    let numbered = k8s(&pod(&[REQUEST])).replace("flyte.secrets/s0", &format!("flyte.secrets/s{long}"));
    let ignored =
        |text: &str| k8s(&with(pod(&[]), "/metadata/annotations", json!({ format!("flyte.secrets/s-{text}"): "" })));
    let over = |bytes: usize, secret: &str, field: &str| {
        let reason = format!("{field} of {bytes} bytes exceeds the limit of 4096 bytes; shorten it");
        Answer::Whole(not_injected(400, secret, &reason))
    };
    let too_long = |secret: &str, field: &str| over(4097, secret, field);
    let unknown = format!("{}:'x'", "f".repeat(1000));
    let escapes = format!("key:'{}'", "\\x01".repeat(35_000));
    let requirement = format!("key:'k' mount_requirement:{}", "9".repeat(400));
    assert_answers(
        &nothing(),
        vec![
            (
                k8s(&pod(&[&format!("key:'{long}'")])),
                too_many_annotations(16 + annotation(&format!("key:'{long}'")).len()),
            ),
            (asks("key:'@'", &["K8s"]), too_long(&format!("{shown:?}"), "key")),
            (
                asks("group:'g' group_version:'@'", &["GCP"]),
                too_long(&format!("\"g\" version {shown:?}"), "group_version"),
            ),
            (asks("group:'g' key:'k' mount_requirement:ENV_VAR env_var:'@'", &["K8s"]), too_long("\"g/k\"", "env_var")),
            (asks("group:'@' key:'k'", &["Vault"]), too_long(&format!("\"{shown}/k\""), "group")),
            (
                k8s(&pod(&[&unknown])),
                not_a_request(&format!(
                    "unknown field {:?}; expected group, group_version, key, mount_requirement or env_var",
                    "f".repeat(256)
                )),
            ),
            (payload(&labelled, &json!({})), Answer::Whole(not_injected(400, "\"k\"", &bad_label))),
            (numbered, too_many_annotations(MIB + 15 + annotation(REQUEST).len())),
            (ignored(&long), too_many_annotations(MIB + 16)),
            (
                ignored(&"9".repeat(100_000)),
                warned(&format!(
                    "ignored annotation \"flyte.secrets/s-{}\": expected flyte.secrets/s<number>",
                    "9".repeat(240)
                )),
            ),
            (
                k8s(&pod(&[&requirement])),
                not_a_request(&format!("invalid mount_requirement {shown:?}: expected ANY, ENV_VAR, FILE or a number")),
            ),
            (k8s(&pod(&[&escapes])), over(35_000, &format!("\"{}\"", "\\u{1}".repeat(256)), "key")),
            (
                payload(&pod(&[REQUEST]), &json!({ long.clone(): 1 })),
                Answer::Whole(rejected(
                    503,
                    &format!("unknown field `{long}`; ask the operator to correct the policy settings"),
                )),
            ),
            (k8s(&with(pod(&[REQUEST]), "/spec/containers/0/name", json!(long))), Answer::Mutated(long)),
        ],
    );
}

#[test]
fn pods_beyond_limits_of_kubernetes_are_rejected() {
    let variables = asking(1000, "group:'g@' key:'k@' mount_requirement:ENV_VAR");
    let thousand: Value = (0..1000).map(|at| json!({ "name": format!("c{at}"), "image": "train:1" })).collect();
    let listed = |count: usize| -> Vec<String> {
        let mut keys: Vec<String> = (0..count).map(|number| format!("\"flyte.secrets/s{number}\":\"\"")).collect();
        // As the API server writes maps.
        keys.sort();
        keys
    };
    let many = |list: Vec<String>| written("/metadata/annotations", &format!("{{{}}}", list.join(",")));
    let long = format!("{REQUEST} env_var:'{}'", "V".repeat(4000));
    let million = written("/spec/containers", &format!("[{}{{}}]", "{},".repeat(MIB - 1)));
    let nth = |key: &str, number: usize| format!("secret {key:?} (annotation flyte.secrets/s{number})");
    assert_answers(
        &nothing(),
        vec![
            (many(listed(110_000)), too_many_annotations(2_198_890)),
            (many(listed(110_000).into_iter().rev().collect()), too_many_annotations(2_198_890)),
            (
                payload(&asking(1000, "group:'g@' key:'k@'"), &managers(&["Vault"])),
                refused(
                    "secret \"g695/k695\" (annotation flyte.secrets/s695) cannot be injected: annotations of 262282 bytes \
                 exceed the limit of 262144 bytes; shorten them, or request fewer secrets",
                ),
            ),
            (k8s(&with(variables, "/spec/containers", thousand.clone())), too_large(&nth("g43/k43", 43), 1_581_000)),
            (k8s(&with(pod(&[&long]), "/spec/containers", thousand.clone())), too_large(&nth("g/k", 0), 4_083_000)),
            (million, Answer::Malformed),
        ],
    );
    let host: Arc<dyn Capabilities> = numbered_store(100, &project_name("k@"), &[b'v'; 131_000]);
    let everywhere = with(asking(10, "key:'k@'"), "/spec/containers", thousand);
    assert_answers(
        &host,
        vec![
            (payload(&asking(100, "key:'k@'"), &json!({})), too_large(&nth("k12", 12), 1_703_235)),
            (payload(&everywhere, &json!({})), too_large(&nth("k0", 0), 131_052_000)),
        ],
    );
}
