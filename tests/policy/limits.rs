//! Input that is too long, too many, too deep, or barely JSON: each is answered within the two seconds after which
//! policy-server stops a policy, with memory in proportion to input and output.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use flyte_secrets_testing::engine::{built, creation};
use flyte_secrets_testing::host::{Capabilities, nothing};
use flyte_secrets_testing::meter::Meter;
use serde_json::{Value, json};

use crate::codes::message;
use crate::support::{annotation, kubernetes_store, managers, pod, policy, project_name, with};

const MIB: usize = 1 << 20;

/// When policy-server stops a policy; the engine of the tests does so too.
const DEADLINE: Duration = Duration::from_secs(2);

/// What a pod asks for where it matters little.
const REQUEST: &str = "group:'g' key:'k' mount_requirement:ENV_VAR";

/// What the policy says.
#[derive(Debug, PartialEq)]
enum Answer {
    Accepted,
    Warned(String),
    /// The text stands in the pod that comes out.
    Mutated(String),
    Refused(u64, String),
    /// Refused with 400, and where it is not what the API server sends.
    Malformed,
}

/// A payload, who answers its policy, and what that says.
struct Row {
    what: &'static str,
    payload: Vec<u8>,
    host: Arc<dyn Capabilities>,
    answer: Answer,
}

fn row(what: &'static str, payload: impl Into<Vec<u8>>, answer: Answer) -> Row {
    Row { what, payload: payload.into(), host: nothing(), answer }
}

fn mutated() -> Answer {
    Answer::Mutated(String::new())
}

fn refused(words: &str) -> Answer {
    Answer::Refused(400, message(400, words))
}

/// A refusal of the request of a pod: the secret, as it is named, and what the managers say.
fn not_injected(secret: &str, reasons: &str) -> Answer {
    refused(&format!("secret {secret} (annotation flyte.secrets/s0) cannot be injected: {reasons}"))
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

/// A pod with so many requests.
fn asking(count: usize, request: impl Fn(usize) -> String) -> Value {
    let requests: Vec<String> = (0..count).map(request).collect();
    pod(&requests.iter().map(String::as_str).collect::<Vec<&str>>())
}

/// So many containers, with these names.
fn containers(count: usize, name: impl Fn(usize) -> String) -> Value {
    (0..count).map(|number| json!({ "name": name(number), "image": "train:1" })).collect()
}

/// A store that holds so many keys, `k0` and on, each with this value.
fn store(count: usize, value: &[u8]) -> Arc<dyn Capabilities> {
    let names: Vec<String> = (0..count).map(|number| project_name(&format!("k{number}"))).collect();
    kubernetes_store(&names.iter().map(|name| (name.as_str(), value)).collect::<Vec<_>>())
}

/// Deep JSON and lone surrogates are let through where nobody looks, but not through serde_json: only the start of an
/// answer is read.
fn read(answer: &[u8], expected: &Answer) -> Answer {
    let text = String::from_utf8_lossy(answer);
    if text.starts_with(r#"{"accepted":true,"mutated_object":"#) {
        return match expected {
            Answer::Mutated(part) if text.contains(part.as_str()) => Answer::Mutated(part.clone()),
            _ => mutated(),
        };
    }
    let answer: Value = serde_json::from_slice(answer).expect("an answer without a pod is shallow JSON");
    match (answer["code"].as_u64(), answer["message"].as_str(), answer["warnings"][0].as_str()) {
        (Some(400), Some(message), None) if message.contains(": unexpected value ") => Answer::Malformed,
        (Some(code), Some(message), None) => Answer::Refused(code, message.to_owned()),
        (None, None, Some(warning)) => Answer::Warned(warning.to_owned()),
        (None, None, None) if answer == json!({ "accepted": true }) => Answer::Accepted,
        _ => panic!("no answer of the policy: {answer}"),
    }
}

fn meter() -> &'static Meter {
    static METER: OnceLock<Meter> = OnceLock::new();
    METER.get_or_init(|| Meter::load(&built().expect("the policy")).expect("the policy"))
}

fn assert_rows(rows: Vec<Row>) {
    let policy = policy();
    for Row { what, payload, host, answer: expected } in rows {
        let start = Instant::now();
        let answer = policy.call("validate", &payload, &host).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
        let took = start.elapsed();
        let memory = meter().call("validate", &payload, &host).map(|cost| cost.memory).expect("it answered before");
        let size = payload.len() + answer.len();
        println!("{what}: {took:?}, {memory} bytes of memory, {} in, {} out", payload.len(), answer.len());
        let found = read(&answer, &expected);
        assert!(
            found == expected,
            "{what}: {}",
            String::from_utf8_lossy(&answer).chars().take(999).collect::<String>()
        );
        assert!(took < DEADLINE, "{what}: {took:?}");
        // The stack that Rust asks for, what the policy is, and what the host answers; the rest must come from
        // somewhere.
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
    assert_rows(vec![
        row("one string, and nothing for us", k8s(&argument(pod(&[]), &long)), Answer::Accepted),
        row("one string of escapes, and nothing for us", k8s(&argument(unlabelled, &escaped)), Answer::Accepted),
        row("one string", k8s(&argument(pod(&[REQUEST]), &long)), too_large("secrets", 3_145_872)),
        row("one string of escapes", k8s(&argument(pod(&[REQUEST]), &escaped)), too_large("secrets", 1_573_008)),
        row("half of it", k8s(&argument(pod(&[REQUEST]), &half)), Answer::Mutated(half)),
        row(
            "many numbers",
            k8s(&with(pod(&[REQUEST]), "/spec/x", numbers.clone())),
            Answer::Mutated(numbers.to_string()),
        ),
        row("nothing but NULs", vec![0; 3 * MIB], Answer::Accepted),
    ]);
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
    assert_rows(vec![
        row("deep lists", written("/spec/x", &lists), Answer::Mutated(lists.clone())),
        row("deep objects", written("/spec/containers/0/x", &objects), Answer::Mutated(objects.clone())),
        row("a deep value of a variable", with_value(&objects), Answer::Mutated(objects)),
        row("a deep label", written("/metadata/labels/x", &lists), Answer::Mutated(lists.clone())),
        row("deep containers", written("/spec/containers", &lists), Answer::Malformed),
        row("deep variables", written("/spec/containers/0/env", &lists), Answer::Malformed),
        row("never closed", format!("{{\"flyte.secrets/s0\":{}", "[".repeat(MIB)), Answer::Malformed),
        row("a long number", written("/spec/activeDeadlineSeconds", &digits), Answer::Mutated(digits.clone())),
        row("a long value of a variable", with_value(&digits), Answer::Mutated(digits.clone())),
        row("a number as label", written("/metadata/labels/inject-flyte-secrets", &digits), Answer::Malformed),
        row("negative zero", written("/spec/x", "[-0,-0.0,1E+2]"), Answer::Mutated("[-0,-0.0,1E+2]".to_owned())),
        row("half a character", written("/spec/x", lone), Answer::Mutated(lone.to_owned())),
        row(
            "half a character in an annotation",
            written("/metadata/annotations/x", lone),
            Answer::Mutated(lone.to_owned()),
        ),
        row("half a character in the label", written("/metadata/labels/inject-flyte-secrets", lone), Answer::Malformed),
        row("half a character in a request", request(lone), Answer::Malformed),
        row(
            "half a character in a variable's name",
            written("/spec/containers/0/env", &format!("[{{\"name\":{lone}}}]")),
            Answer::Malformed,
        ),
        row("an escaped NUL", written("/spec/x", "\"\\u0000\""), Answer::Mutated("\\u0000".to_owned())),
        row("a NUL in a string", written("/spec/x", "\"\0\""), Answer::Malformed),
        row("a NUL between members", whole.replacen("\"spec\":", "\0\"spec\":", 1), Answer::Malformed),
        row("a NUL in a request", request("\"\\u0000\""), not_a_request("invalid base32 character at position 0")),
        row(
            "a NUL in the label",
            written("/metadata/labels/inject-flyte-secrets", "\"true\\u0000\""),
            Answer::Warned(unlabelled.to_owned()),
        ),
        row("two pods", before("\"object\":", "\"object\":{},"), Answer::Malformed),
        row("two settings", before("\"settings\":", "\"settings\":{\"x\":1},"), Answer::Malformed),
        row("two specs", before("\"spec\":", "\"spec\":{\"containers\":[{}]},"), mutated()),
        row("two labels", before("\"inject-", "\"inject-flyte-secrets\":\"false\","), mutated()),
        row(
            "two labels, the other way",
            before("\"organization\"", "\"inject-flyte-secrets\":\"false\","),
            Answer::Warned(unlabelled.to_owned()),
        ),
    ]);
}

#[test]
fn long_strings() {
    let (long, short) = ("9".repeat(MIB), "9".repeat(4097));
    let shown = "9".repeat(256);
    let asks = |request: &str, names: &[&str]| payload(&pod(&[&request.replace('@', &short)]), &managers(names));
    let labelled = with(pod(&["key:'k'"]), "/metadata/labels/project", json!(long));
    let numbered = k8s(&pod(&[REQUEST])).replace("flyte.secrets/s0", &format!("flyte.secrets/s{long}"));
    let ignored =
        |text: &str| k8s(&with(pod(&[]), "/metadata/annotations", json!({ format!("flyte.secrets/s-{text}"): "" })));
    let over = |bytes: usize, secret: &str, field: &str| {
        not_injected(secret, &format!("{field} of {bytes} bytes exceeds the limit of 4096 bytes; shorten it"))
    };
    let too_long = |secret: &str, field: &str| over(4097, secret, field);
    let unknown = format!("{}:'x'", "f".repeat(1000));
    let escapes = format!("key:'{}'", "\\x01".repeat(35_000));
    let requirement = format!("key:'k' mount_requirement:{}", "9".repeat(400));
    assert_rows(vec![
        row(
            "a key of a mebibyte",
            k8s(&pod(&[&format!("key:'{long}'")])),
            too_many_annotations(16 + annotation(&format!("key:'{long}'")).len()),
        ),
        row("a Secret's key", asks("key:'@'", &["K8s"]), too_long(&format!("{shown:?}"), "key")),
        row(
            "a version in GCP",
            asks("group:'g' group_version:'@'", &["GCP"]),
            too_long(&format!("\"g\" version {shown:?}"), "group_version"),
        ),
        row(
            "a variable's name",
            asks("group:'g' key:'k' mount_requirement:ENV_VAR env_var:'@'", &["K8s"]),
            too_long("\"g/k\"", "env_var"),
        ),
        row("a path in Vault", asks("group:'@' key:'k'", &["Vault"]), too_long(&format!("\"{shown}/k\""), "group")),
        row(
            "a field that is none",
            k8s(&pod(&[&unknown])),
            not_a_request(&format!(
                "unknown field {:?}; expected group, group_version, key, mount_requirement or env_var",
                "f".repeat(256)
            )),
        ),
        row(
            "a label",
            payload(&labelled, &json!({})),
            not_injected(
                "\"k\"",
                &format!(
                    "Embedded: label project={shown:?} must be a valid label value without \"__\", the separator in \
                     secret names"
                ),
            ),
        ),
        row("a request's number", numbered, too_many_annotations(MIB + 15 + annotation(REQUEST).len())),
        row("an annotation of a mebibyte that looks like one", ignored(&long), too_many_annotations(MIB + 16)),
        row(
            "an annotation that looks like one",
            ignored(&"9".repeat(100_000)),
            Answer::Warned(format!(
                "ignored annotation \"flyte.secrets/s-{}\": expected flyte.secrets/s<number>",
                "9".repeat(240)
            )),
        ),
        row(
            "a mount_requirement",
            k8s(&pod(&[&requirement])),
            not_a_request(&format!("invalid mount_requirement {shown:?}: expected ANY, ENV_VAR, FILE or a number")),
        ),
        row(
            "escapes of the text format",
            k8s(&pod(&[&escapes])),
            over(35_000, &format!("\"{}\"", "\\u{1}".repeat(256)), "key"),
        ),
        row(
            "a setting's name",
            payload(&pod(&[REQUEST]), &json!({ long.clone(): 1 })),
            Answer::Refused(
                503,
                message(503, &format!("unknown field `{long}`; ask the operator to correct the policy settings")),
            ),
        ),
        row(
            "a container's name",
            k8s(&with(pod(&[REQUEST]), "/spec/containers/0/name", json!(long))),
            Answer::Mutated(long),
        ),
    ]);
}

#[test]
fn pods_beyond_limits_of_kubernetes_are_rejected() {
    let variable = |number: usize| format!("group:'g{number}' key:'k{number}' mount_requirement:ENV_VAR");
    let thousand = containers(1000, |number| format!("c{number}"));
    let listed = |count: usize| -> Vec<String> {
        let mut keys: Vec<String> = (0..count).map(|number| format!("\"flyte.secrets/s{number}\":\"\"")).collect();
        // As the API server writes maps.
        keys.sort();
        keys
    };
    let many = |list: Vec<String>| written("/metadata/annotations", &format!("{{{}}}", list.join(",")));
    let embedded = |count| asking(count, |number| format!("key:'k{number}'"));
    let long = format!("{REQUEST} env_var:'{}'", "V".repeat(4000));
    let hosted = |mut row: Row, count: usize| {
        row.host = store(count, &[b'v'; 131_000]);
        row
    };
    let million = written("/spec/containers", &format!("[{}{{}}]", "{},".repeat(MIB - 1)));
    let nth = |key: &str, number: usize| format!("secret {key:?} (annotation flyte.secrets/s{number})");
    assert_rows(vec![
        row("annotations of 3 MiB", many(listed(110_000)), too_many_annotations(2_198_890)),
        row(
            "annotations of 3 MiB, the last first",
            many(listed(110_000).into_iter().rev().collect()),
            too_many_annotations(2_198_890),
        ),
        row(
            "files of Vault",
            payload(&asking(1000, |number| format!("group:'g{number}' key:'k{number}'")), &managers(&["Vault"])),
            refused(
                "secret \"g695/k695\" (annotation flyte.secrets/s695) cannot be injected: annotations of 262282 bytes \
                 exceed the limit of 262144 bytes; shorten them, or request fewer secrets",
            ),
        ),
        row(
            "variables in all containers",
            k8s(&with(asking(1000, variable), "/spec/containers", thousand.clone())),
            too_large(&nth("g43/k43", 43), 1_581_000),
        ),
        row(
            "a long name in all containers",
            k8s(&with(pod(&[&long]), "/spec/containers", thousand.clone())),
            too_large(&nth("g/k", 0), 4_083_000),
        ),
        row("a million containers", million.as_str(), Answer::Malformed),
        hosted(row("values of 13 MB", payload(&embedded(100), &json!({})), too_large(&nth("k12", 12), 1_703_235)), 100),
        hosted(
            row(
                "values in all containers",
                payload(&with(embedded(10), "/spec/containers", thousand), &json!({})),
                too_large(&nth("k0", 0), 131_052_000),
            ),
            10,
        ),
    ]);
}
