//! Fetched values are in the pod, and nowhere else.
//!
//! The value is [`CANARY`]. All output of the policy is searched for it, in each form; `make test` searches the output
//! of tests.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::managers::{self, Context, Outcome};
use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_policy::pod::{Limits, Merged, Plan, Pod, variable};
use flyte_secrets_policy::secret_request::{self as requests, ANNOTATION_PREFIX};
use flyte_secrets_policy::store::{Cluster, GetResource, Reader, Store};
use flyte_secrets_policy::verdict::Verdict;
use flyte_secrets_policy::{admission, review, settings};
use flyte_secrets_testing::engine::creation;
use flyte_secrets_testing::host::{Capabilities, Request};
use flyte_secrets_testing::pods::CANARY;
use serde_json::{Value, json};

use crate::support::{
    NAMES, SCOPE, aws, azure, embedded, image_pull_secrets, managers as chain, namespace_of_labels, pod, policy,
    project_name, twin, with,
};

/// Forms of the canary in a text: plain, base64 at each of three alignments, hex, and `Debug` of bytes.
fn forms() -> Vec<String> {
    let shifted = |shift: usize| {
        let encoded = STANDARD.encode(["x".repeat(shift).as_bytes(), CANARY.as_bytes()].concat());
        // What is left of the first and the last group may be of other bytes.
        encoded.get(4..encoded.len() - 4).unwrap_or_default().to_owned()
    };
    let hex = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let bytes = format!("{:?}", CANARY.as_bytes()).trim_matches(['[', ']']).to_owned();
    [CANARY.to_owned(), hex, bytes].into_iter().chain((0..3).map(shifted)).collect()
}

/// Returns the forms of the canary in a text.
fn tells(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    forms().into_iter().filter(|form| text.contains(form) || lower.contains(form)).collect()
}

/// Each place of a value, as a JSON pointer, with what stands there.
fn all_places<'v>(value: &'v Value, at: &str) -> Vec<(String, &'v Value)> {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    let below: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, it)| (format!("{at}/{}", escaped(key)), it)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(key, it)| (format!("{at}/{key}"), it)).collect(),
        _ => Vec::new(),
    };
    std::iter::once((at.to_owned(), value)).chain(below.iter().flat_map(|(at, it)| all_places(it, at))).collect()
}

/// Returns JSON pointers to the canary in a value.
fn places(value: &Value) -> Vec<String> {
    let tells = |(_, it): &(String, &Value)| !it.is_object() && !it.is_array() && !tells(&it.to_string()).is_empty();
    all_places(value, "").into_iter().filter(tells).map(|(at, _)| at).collect()
}

/// How a host answers a read.
type Answers = Arc<dyn Fn(&Request) -> Result<Vec<u8>, String> + Send + Sync>;

/// A host that remembers what it is asked.
struct Host {
    answers: Answers,
    calls: Mutex<Vec<String>>,
}

impl Host {
    fn new(answers: &Answers) -> Arc<Self> {
        Arc::new(Self { answers: Arc::clone(answers), calls: Mutex::default() })
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().map(|calls| calls.clone()).unwrap_or_default()
    }
}

impl Capabilities for Host {
    fn call(&self, namespace: &str, operation: &str, payload: &[u8]) -> Result<Vec<u8>, String> {
        let call = format!("{namespace}/{operation} {}", String::from_utf8_lossy(payload));
        self.calls.lock().map_err(|wrong| wrong.to_string())?.push(call);
        match serde_json::from_slice(payload) {
            Ok(request) => (self.answers)(&request),
            Err(_) => Ok(Vec::new()),
        }
    }
}

impl Cluster for Host {
    fn get_resource(&self, request: &GetResource) -> Result<Vec<u8>, String> {
        let GetResource { api_version, kind, name, namespace, field_masks } = request;
        let request = json!({
            "api_version": api_version, "kind": kind, "name": name, "namespace": namespace, "field_masks": field_masks,
        });
        self.call("kubernetes", "get_resource", request.to_string().as_bytes())
    }
}

/// A way in which the canary is fetched, and what becomes of it.
struct Way {
    what: &'static str,
    pod: Value,
    settings: Value,
    answers: Answers,
    /// Where the pod that comes out has it; `None` if no pod does.
    outcome: Option<Vec<&'static str>>,
}

/// A host that has the answer for a name, in its parts, and knows no other name.
fn has<const N: usize>(objects: [(String, String); N]) -> Answers {
    Arc::new(move |asked: &Request| {
        let found = objects.iter().find(|(name, _)| *name == asked.name);
        found.map(|(_, answer)| answer.clone().into_bytes()).ok_or_else(|| asked.not_found())
    })
}

/// A host that answers each read alike.
fn always(answer: Result<String, String>) -> Answers {
    Arc::new(move |_: &Request| answer.clone().map(String::into_bytes))
}

/// A host that answers each read with this JSON.
fn always_json(answer: Value) -> Answers {
    always(Ok(answer.to_string()))
}

/// A Secret that holds a value under a key.
fn secret(key: &str, value: &[u8]) -> (String, String) {
    let name = project_name(key);
    (secret_name(&name), json!({ "data": { &name: STANDARD.encode(value) } }).to_string())
}

const VARIABLE: &str = "/spec/containers/0/env/0/value";
const FILE: &str = "/spec/initContainers/0/env/0/value";

fn ways() -> Vec<Way> {
    let plain = json!({});
    let aws = aws();
    let gcp = embedded(json!({ "gcpConfig": { "project": "acme-prod" } }));
    let several = with(aws.clone(), "/embeddedSecretManagerConfig/gcpConfig/project", json!("acme-prod"));
    let azure = azure();
    let pulling = image_pull_secrets();
    let locked = namespace_of_labels();
    let both = chain(&["Embedded", "K8s"]);
    let canary = CANARY.as_bytes();
    let encoded = STANDARD.encode(CANARY);
    let k = || has([secret("k", canary)]);
    let binary = || has([secret("k", &[canary, b"\xff"].concat())]);
    let large = || has([secret("k", CANARY.repeat(9000).as_bytes())]);
    let packed = |packed: Value| always_json(json!({ "stringValue": packed.to_string() }));
    let (variable, file) = ("key:'k'", "key:'k' mount_requirement:FILE");
    let (named, reference) = ("key:'k' env_var:'A'", "key:'l' group:'g' env_var:'A' mount_requirement:ENV_VAR");
    let vault = chain(&["Embedded", "Vault"]);
    let k_and_l = has([secret("k", canary), secret("l", &[canary, b"2"].concat())]);
    let k_alone: Answers = {
        let k = k();
        Arc::new(move |asked: &Request| k(asked).map_err(|_| format!("code: 500 {CANARY}")))
    };
    let here: Answers = {
        let (k, twin) = (k(), twin("k"));
        Arc::new(move |asked: &Request| if asked.name == twin { Ok(CANARY.into()) } else { k(asked) })
    };
    let there: Answers = {
        let here = Arc::clone(&here);
        Arc::new(move |asked: &Request| match asked.namespace.as_deref() {
            Some("flytesnacks-development") => Err(asked.not_found()),
            _ => here(asked),
        })
    };
    let mounted = |path: &str| {
        with(pod(&[file]), "/spec/containers/0/volumeMounts", json!([{ "name": "data", "mountPath": path }]))
    };
    let volume = json!([{ "name": "embedded-secret-vol", "hostPath": { "path": "/" } }]);
    let way = |what, requests: &[&str], settings: &Value, answers, places: &[&'static str]| Way {
        what,
        pod: pod(requests),
        settings: settings.clone(),
        answers,
        outcome: Some(places.to_vec()),
    };
    let refused = |what, asking: &Value, settings: &Value, answers| Way {
        what,
        pod: asking.clone(),
        settings: settings.clone(),
        answers,
        outcome: None,
    };
    let (asks, asks_file) = (&pod(&[variable]), &pod(&[file]));
    vec![
        way("a variable", &[variable], &plain, k(), &[VARIABLE]),
        way("a variable of its own name", &[named], &plain, k(), &[VARIABLE]),
        way("a file", &[file], &plain, k(), &[FILE]),
        way("both", &[variable, file], &plain, k(), &["/spec/containers/0/env/2/value", FILE]),
        way("with tenancy", &[variable], &locked, k(), &[VARIABLE]),
        way("AWS, text", &[variable], &aws, always_json(json!({ "stringValue": CANARY })), &[VARIABLE]),
        way("AWS, binary", &[file], &aws, always_json(json!({ "binaryValue": encoded })), &[FILE]),
        way("GCP", &[variable], &gcp, always_json(json!({ "binaryValue": encoded })), &[VARIABLE]),
        way("Azure, text", &[variable], &azure, packed(json!({ "type": "STRING", "value": CANARY })), &[VARIABLE]),
        way("Azure, binary", &[file], &azure, packed(json!({ "type": 1, "value": encoded })), &[FILE]),
        way("a twin that is here", &[variable], &pulling, here, &[VARIABLE]),
        way("a twin that is to be copied", &[variable], &pulling, there, &[VARIABLE]),
        // Embedded has the value, cannot use it, and another manager serves.
        way("no text, then K8s", &["group:'db' key:'k' mount_requirement:ENV_VAR"], &both, binary(), &[]),
        way("too large, then K8s", &["group:'db' key:'k' mount_requirement:FILE"], &both, large(), &[]),
        // What was fetched for one request, when another fails.
        refused("a second that is nowhere", &pod(&[variable, "key:'l'"]), &plain, k()),
        refused("a second that cannot be read", &pod(&[variable, "key:'l'"]), &plain, k_alone),
        refused("two values for one variable", &pod(&[named, "key:'l' env_var:'A'"]), &plain, k_and_l),
        refused("a reference for the same variable", &pod(&[named, reference]), &both, k()),
        refused("a file in a volume of Vault's", &pod(&[file, "group:'kv' key:'l'"]), &vault, k()),
        refused("no text", asks, &plain, binary()),
        refused("NUL in it", asks, &plain, has([secret("k", &[canary, b"\0"].concat())])),
        refused("too large for a variable", asks, &plain, large()),
        refused("too large for a file", asks_file, &plain, large()),
        refused("a mount in the way", &mounted("/etc/flyte/secrets"), &plain, k()),
        refused("a volume in the way", &with(asks_file.clone(), "/spec/volumes", volume), &plain, k()),
        refused("a pod that is none", &with(asks.clone(), "/spec/containers/0/env", json!("A=b")), &plain, k()),
        refused("another's namespace", &with(asks.clone(), "/metadata/labels/project", json!("other")), &locked, k()),
        refused("several providers", asks, &several, k()),
        refused("settings that are wrong", asks, &json!({ "unknown": 1 }), k()),
        // Answers and errors that hold the value where none is looked for.
        refused("under another key", asks, &plain, always_json(json!({ "data": { "other": encoded } }))),
        refused("not in base64", asks, &plain, always_json(json!({ "data": { NAMES[0]: CANARY } }))),
        refused("no Secret", asks, &plain, always_json(json!([CANARY, encoded]))),
        refused("no JSON", asks, &plain, always(Ok(CANARY.to_owned()))),
        refused("cut short", asks, &plain, always(Ok(format!("{{\"data\":{{\"{}\":\"{encoded}", NAMES[0])))),
        refused("of another type", asks, &aws, always_json(json!({ "stringValue": { "value": CANARY } }))),
        refused("binary that is none", asks, &aws, always_json(json!({ "binaryValue": CANARY }))),
        refused("not packed", asks, &azure, always_json(json!({ "stringValue": CANARY }))),
        refused("packed as what is not known", asks, &azure, packed(json!({ "type": CANARY, "value": CANARY }))),
        refused("packed binary that is none", asks, &azure, packed(json!({ "type": "BINARY", "value": CANARY }))),
        refused("more behind it", asks, &azure, packed(json!([{ "type": 0, "value": CANARY }]))),
        refused(
            "in an error",
            asks,
            &plain,
            always(Err(format!("{CANARY} {encoded} (ErrorResponse {{ code: 500 }})"))),
        ),
        refused("in a trace", asks, &aws, always(Err(format!("{CANARY}\n\nStack backtrace:\n   0: {encoded}")))),
    ]
}

/// All that leaves the policy: its answers, the calls of its host, and lines in the log, which are calls too.
#[test]
fn a_value_is_in_the_pod_and_nowhere_else() {
    let mut silent = Vec::new();
    for Way { what, pod, settings, answers, outcome } in ways() {
        let host = Host::new(&answers);
        let capabilities: Arc<dyn Capabilities> = Arc::clone(&host) as Arc<dyn Capabilities>;
        let valid = policy().validate_settings(&settings, &capabilities).expect("the policy answers");
        let before = host.calls().len();
        let mut answer = policy().create_pod(&pod, &settings, &capabilities).expect("the policy answers").0;
        let mutated = answer.as_object_mut().and_then(|members| members.shift_remove("mutated_object"));
        let found = mutated.as_ref().map(places);
        let expected = outcome.map(|places| places.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(found, expected, "{what}: where the pod has it");
        assert_eq!(tells(&format!("{answer} {valid:?}")), Vec::<String>::new(), "{what}: the answer tells");
        assert_eq!(tells(&host.calls().join("\n")), Vec::<String>::new(), "{what}: a call of the host tells");
        silent.extend((host.calls().len() == before).then_some(what));
        let Some(mutated) = mutated else { continue };
        // A second pass has it in the pod that comes in.
        let mut again = policy().create_pod(&mutated, &settings, &capabilities).expect("the policy answers").0;
        again.as_object_mut().map(|members| members.shift_remove("mutated_object"));
        assert_eq!(tells(&again.to_string()), Vec::<String>::new(), "{what}: the second answer tells");
        assert_eq!(tells(&host.calls().join("\n")), Vec::<String>::new(), "{what}: a second call of the host tells");
    }
    // The host hears calls: the other ways are not silent because nobody listens.
    assert_eq!(silent, ["a pod that is none", "another's namespace", "several providers", "settings that are wrong"]);
}

/// What would be seen if there were something to see.
#[test]
fn every_form_of_a_value_is_detected() {
    let shifted = |shift: usize| STANDARD.encode(["k".repeat(shift).as_bytes(), CANARY.as_bytes(), b"\n"].concat());
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02X}")).collect();
    let bytes = format!("{:?}", [b"a", CANARY.as_bytes(), b"b"].concat());
    let texts = [format!("a{CANARY}b"), hex, bytes, shifted(0), shifted(1), shifted(2), shifted(3), shifted(31)];
    assert_eq!(texts.each_ref().map(|text| tells(text).len()), [1; 8]);
    assert_eq!(tells("canary"), Vec::<String>::new());
    let value = json!({ "a": [{ "b": CANARY }, 1], "c": { "d": STANDARD.encode(CANARY) }, "e": "canary" });
    assert_eq!(places(&value), ["/a/0/b", "/c/d"]);
}

/// What the core's types show of a value that they hold, in the way in which panics and logs would show them.
#[test]
fn debug_output_of_values_is_empty() {
    let mut shown: Vec<(String, String)> = Vec::new();
    for Way { what, pod, settings: of_way, answers, .. } in ways() {
        let host = Host::new(&answers);
        let payload = json!({ "request": creation(&pod), "settings": of_way }).to_string();
        let verdict = admission::validate(payload.as_bytes(), &*host);
        shown.push((format!("{what}: verdict"), format!("{verdict:?}")));
        if let Verdict::Reject(rejection) = &verdict {
            shown.push((format!("{what}: rejection"), format!("{rejection:?} {rejection:#?} {rejection}")));
        }
        let Ok(Some(read)) = review::read(payload.as_bytes()) else { continue };
        let annotations = read.pod.annotations(ANNOTATION_PREFIX).expect("annotations");
        let Ok(settings) = settings::parse(read.settings) else { continue };
        let pairs = annotations.iter().map(|(key, value)| (*key, &**value));
        let asked = requests::read(pairs, settings.unknown_fields).expect("requests");
        let limits = Limits::new(&read.pod, 0).expect("a small pod");
        let reader = Reader::new(&*host, 9);
        let context = Context {
            pod: &read.pod,
            limits: &limits,
            namespace: &read.namespace,
            creator: &read.creator,
            settings: &settings,
            files_by_value: false,
            reader: &reader,
        };
        let mut outcome = Outcome::default();
        let result = managers::inject(&mut outcome, &asked.requests, context);
        shown.push((format!("{what}: plan or refusal"), format!("{outcome:?} {outcome:#?} {result:?} {result:#?}")));
        let Ok(store) = Store::open(&settings.embedded_secret_manager_config) else { continue };
        let name = store.names(SCOPE, "k").expect("a name").remove(0);
        let value = store.fetch(&reader, &name);
        shown.push((format!("{what}: value"), format!("{value:?} {value:#?}")));
    }
    let plan = Plan { variables: vec![variable("A", CANARY)], ..Plan::default() };
    shown.push(("plan".to_owned(), format!("{plan:?} {plan:#?}")));
    let mut merged = Merged::default();
    let pod = Pod::default();
    merged.add(0, plan, &Limits::new(&pod, 0).expect("a small pod")).expect("one plan alone");
    shown.push(("merged".to_owned(), format!("{merged:?} {merged:#?}")));
    for (what, text) in &shown {
        assert_eq!(tells(text), Vec::<String>::new(), "{what}");
    }
    assert!(shown.iter().any(|(_, text)| text.contains("SecretValue(…)")), "values have been fetched");
    assert!(shown.iter().any(|(_, text)| text.contains("Merged(2 variables")), "values have been planned");
}

/// A value of the wrong type for each that a field may have: serde would quote all of these.
fn of_other_types(value: &Value) -> Vec<Value> {
    let canaries = [json!(CANARY), json!([CANARY]), json!({ CANARY: CANARY })];
    let same_type = |canary: &Value| std::mem::discriminant(canary) == std::mem::discriminant(value);
    canaries.into_iter().filter(|canary| !same_type(canary)).collect()
}

/// The message about a value of the wrong type, in any field of a pod or of a host's response, names the field and not
/// the value.
#[test]
fn a_canary_of_the_wrong_type_is_not_quoted() {
    let asking = ["key:'k' mount_requirement:FILE", "group:'g' key:'k' env_var:'A'"];
    let whole = json!({
        "initContainers": [{
            "name": "init-embedded-secret",
            "command": ["sh"],
            "env": [{ "name": "SECRETS", "value": "x" }],
            "volumeMounts": [{ "name": "embedded-secret-vol", "mountPath": "/etc/flyte/secrets" }],
        }],
        "containers": [{
            "name": "main",
            "env": [{ "name": "A", "value": "x" }],
            "volumeDevices": [{ "name": "d", "devicePath": "/dev/x" }],
            "volumeMounts": [{ "name": "embedded-secret-vol", "mountPath": "/etc/flyte/secrets" }],
        }],
        "volumes": [
            { "name": "embedded-secret-vol", "emptyDir": { "medium": "Memory", "sizeLimit": "64Mi" } },
            { "name": "m4pq", "secret": { "secretName": "g", "items": [{ "key": "k", "path": "k" }] } },
        ],
        "imagePullSecrets": [{ "name": "a" }],
        "serviceAccountName": "default",
    });
    let whole = with(pod(&asking), "/spec", whole);
    let settings = json!({
        "secretManagerTypes": ["Embedded", "K8s", "Vault"],
        "embeddedSecretManagerConfig": { "imagePullSecrets": { "enabled": true } },
        "tenancy": { "serviceAccounts": ["default"] },
    });
    let answers = always_json(json!({ "data": { NAMES[0]: "dg==" } }));
    let mut tried = 0;
    let mut check = |pod: &Value, settings: &Value, answers: &Answers, what: &str| {
        let capabilities: Arc<dyn Capabilities> = Host::new(answers);
        let answer = policy().create_pod(pod, settings, &capabilities).expect("the policy answers");
        let said = json!([answer.message(), answer.warnings(), answer.0["audit_annotations"]]).to_string();
        assert_eq!(tells(&said), Vec::<String>::new(), "{what}: {said}");
        tried += 1;
    };
    for (path, value) in all_places(&whole, "") {
        for canary in of_other_types(value) {
            let mut other = whole.clone();
            *other.pointer_mut(&path).expect("a place") = canary;
            check(&other, &settings, &answers, &path);
        }
    }
    let kubernetes = json!({ "apiVersion": "v1", "metadata": { "name": "x" }, "data": { NAMES[0]: "dg==" } });
    let gateway = json!({ "metadata": {}, "stringValue": "v", "binaryValue": "dg==" });
    let packed = json!({ "stringValue": json!({ "type": "STRING", "value": "v" }).to_string() });
    for (answer, settings) in [(kubernetes, json!({})), (gateway, aws()), (packed, azure())] {
        for (path, value) in all_places(&answer, "") {
            for canary in of_other_types(value).into_iter().chain([json!(CANARY)]) {
                let mut other = answer.clone();
                *other.pointer_mut(&path).expect("a place") = canary;
                check(&pod(&["key:'k'"]), &settings, &always_json(other), &path);
            }
        }
    }
    assert!(tried > 150, "{tried} canaries");
}

/// Positive control of the search in `make test`.
#[test]
#[ignore = "prints the canary, so that `make test` sees that it would be seen"]
fn the_canary_is_printed() {
    println!("{CANARY}");
}
