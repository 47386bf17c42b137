//! Failures and unexpected responses of the host, and their outcome.
//!
//! The host is trusted: its response is not compared with the request, unless the store itself ties a value to its
//! name.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_testing::host::{Capabilities, Store};
use serde_json::{Value, json};

use crate::codes::{not_found, not_injected};
use crate::support::{
    AZURE_NAME, NAMES, aws, azure, create_on, create_with, image_pull_secrets, injected, location, managers, pod,
    policy, project_name, twin, with, with_variable,
};

const UNAVAILABLE: &str = "the server is unavailable; retry later";

/// Where a value is asked for.
#[derive(Clone, Copy)]
enum Place {
    /// In a Secret.
    Secret,
    /// In an object of the secret gateway.
    Gateway,
}

impl Place {
    fn settings(self) -> Value {
        match self {
            Self::Secret => json!({}),
            Self::Gateway => aws(),
        }
    }

    /// The object as messages name it.
    fn object(self) -> String {
        match self {
            Self::Secret => format!("Secret flyte/{}", secret_name(NAMES[0])),
            Self::Gateway => format!("AWSSecret eu-west-1:{}", NAMES[0]),
        }
    }

    /// The object with a value in base64.
    fn holding(self, encoded: &str) -> Value {
        match self {
            Self::Secret => json!({ "kind": "Secret", "data": { NAMES[0]: encoded } }),
            Self::Gateway => json!({ "kind": "AWSSecret", "binaryValue": encoded }),
        }
    }

    /// The audit annotation of a pod that got the value.
    fn found(self) -> String {
        let location = match self {
            Self::Secret => location(NAMES[0]),
            Self::Gateway => format!("{} (AWSSecret in eu-west-1)", NAMES[0]),
        };
        format!("flyte.secrets/s0: Embedded {location}")
    }

    /// What the policy answers to a pod that asks for a variable, where the host answers each read with `answer`.
    fn answers(self, answer: Result<Vec<u8>, String>) -> Value {
        create_on(&pod(&["key:'k'"]), &self.settings(), move |_| answer.clone())
    }

    /// What the policy answers where the host answers each read with this JSON.
    fn answers_json(self, answer: &Value) -> Value {
        self.answers(Ok(answer.to_string().into_bytes()))
    }

    /// The answer to a pod that gets `value`.
    fn gets(self, value: &str) -> Value {
        injected(&self.found(), with_variable(pod(&["key:'k'"]), value))
    }

    /// The answer to a pod whose value cannot be used: the author's affair, and another manager may serve.
    fn bad(self, problem: &str) -> Value {
        not_injected(400, "\"k\"", &format!("Embedded: {} {problem}", self.object()))
    }

    /// The answer to a pod whose value could not be read: a retry may serve, and no other manager does.
    fn unread(self, problem: &str) -> Value {
        not_injected(503, "\"k\"", &format!("Embedded: {} could not be read: {problem}", self.object()))
    }

    /// What is said of something that is not the object's JSON.
    fn not_json(self) -> Value {
        self.bad(match self {
            Self::Secret => "holds no `data` of strings; store the secret again",
            Self::Gateway => "holds no value; store the secret again",
        })
    }

    /// What is said of an object without the value.
    fn empty(self) -> Value {
        match self {
            Self::Secret => self.bad(&format!("has no key {:?}; store the value under that key", NAMES[0])),
            Self::Gateway => self.bad("holds an empty value; store the secret again"),
        }
    }
}

const BOTH: [Place; 2] = [Place::Secret, Place::Gateway];

/// What an object says of itself does not count. In a Secret a value stands under its whole name, so that another
/// Secret's value is no value; an object of the gateway is taken by the host's word.
#[test]
fn objects_of_another_kind_or_name() {
    let edits = [
        ("/apiVersion", json!("v2")),
        ("/kind", json!("ConfigMap")),
        ("/kind", json!(7)),
        ("/metadata", json!(null)),
        ("/metadata", json!({ "name": "another", "namespace": "kube-system" })),
        ("/metadata", json!([[["x"]]])),
        ("/type", json!("kubernetes.io/tls")),
        ("/status", json!("Failure")),
        ("/immutable", json!(true)),
        ("/stringData", json!({ project_name("k"): "other" })),
    ];
    for place in BOTH {
        for (path, to) in &edits {
            let answer = with(place.holding("dg=="), path, to.clone());
            assert_eq!(place.answers_json(&answer), place.gets("v"), "{path}: {to}");
        }
    }
    let another = json!({ "data": { project_name("l"): "dg==", "k": "dg==", format!(" {}", NAMES[0]): "dg==" } });
    assert_eq!(Place::Secret.answers_json(&another), Place::Secret.empty());
}

/// A failure that comes as an answer has no value in it.
#[test]
fn objects_without_a_value() {
    let status =
        |code: u16, reason: &str| json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason });
    let answers = [
        status(404, "NotFound"),
        status(403, "Forbidden"),
        status(500, "InternalError"),
        json!({ "error": "timeout" }),
        json!({ "kind": "SecretList", "items": [Place::Secret.holding("dg=="), Place::Gateway.holding("dg==")] }),
        json!({}),
    ];
    for place in BOTH {
        for answer in &answers {
            assert_eq!(place.answers_json(answer), place.empty(), "{answer}");
        }
        for answer in [json!([]), json!(null), json!("v")] {
            assert_eq!(place.answers_json(&answer), place.not_json(), "{answer}");
        }
        assert_eq!(place.answers(Ok(b"\xff".to_vec())), place.not_json());
    }
    let empty = Place::Secret.bad("holds an empty value; store the secret again");
    let table = [
        (json!({}), Place::Secret.empty()),
        (json!(null), Place::Secret.empty()),
        (json!({ NAMES[0]: null }), Place::Secret.empty()),
        (json!({ NAMES[0]: "" }), empty),
        (json!({ NAMES[0]: 1 }), Place::Secret.not_json()),
        (json!(["dg=="]), Place::Secret.not_json()),
    ];
    for (data, answer) in table {
        assert_eq!(Place::Secret.answers_json(&json!({ "data": data })), answer, "{data}");
    }
    let table = [
        (json!({ "stringValue": "" }), Place::Gateway.empty()),
        (json!({ "stringValue": null, "binaryValue": "" }), Place::Gateway.empty()),
        (json!({ "stringValue": 1 }), Place::Gateway.not_json()),
        (json!({ "stringValue": { "a": 1 } }), Place::Gateway.not_json()),
        (json!({ "binaryValue": ["dg=="] }), Place::Gateway.not_json()),
    ];
    for (object, answer) in table {
        assert_eq!(Place::Gateway.answers_json(&object), answer, "{object}");
    }
}

/// In Key Vault, a value is in Flyte's JSON.
#[test]
fn azure_values_without_a_value() {
    let not_flytes = "a value that is not Flyte's {\"type\", \"value\"} JSON";
    let no_type = "a value of a type other than STRING and BINARY";
    let table = [
        ("v", not_flytes),
        ("[]", not_flytes),
        (r#"{"type":"STRING","value":1}"#, not_flytes),
        (r#"{"type":"STRING","value":"v"} x"#, not_flytes),
        (r#"{"type":"TEXT","value":"v"}"#, no_type),
        (r#"{"type":2,"value":"v"}"#, no_type),
        (r#"{"type":"BINARY","value":"%"}"#, "a value that is not valid base64"),
        (r#"{"type":"STRING","value":""}"#, "an empty value"),
        ("{}", "an empty value"),
    ];
    for (packed, problem) in table {
        let answer = json!({ "stringValue": packed }).to_string().into_bytes();
        let found = create_on(&pod(&["key:'k'"]), &azure(), move |_| Ok(answer.clone()));
        let reason =
            format!("Embedded: AzureSecret name.vault.azure.net:{AZURE_NAME} holds {problem}; store the secret again");
        assert_eq!(found, not_injected(400, "\"k\"", &reason), "{packed}");
    }
}

/// base64 is read as Kubernetes writes it, and in no other way: what one reader takes for a value and another for
/// another one is none.
#[test]
fn invalid_base64() {
    let value = "\u{fbff}~v?"; // in base64 with characters in which alphabets differ
    let (plain, url) = (STANDARD.encode(value), URL_SAFE.encode(value));
    assert_ne!(plain, url);
    let with_breaks =
        ["dmFsdWU\n=", "dmFs\ndWU=", "dmFsdWU=\n", "dmFs\r\ndWU=", " dmFsdWU=", "dmFs dWU=", "dmFsdWU=\0"];
    let odd =
        "dmFsdWU dmFsdWU== dmFsdWV= dg dg= dh== dg=== dg==dg== = ==== d=== % dmFsdWUé data:text/plain;base64,dg==";
    for place in BOTH {
        let escaped: String = plain.bytes().map(|c| format!("\\u{c:04x}")).collect();
        for answer in [place.holding(&plain).to_string(), place.holding("@").to_string().replace('@', &escaped)] {
            assert_eq!(place.answers(Ok(answer.clone().into_bytes())), place.gets(value), "{answer}");
        }
        for encoded in odd.split(' ').chain(with_breaks).chain([url.as_str()]) {
            let bad = place.bad("holds a value that is not valid base64; store the secret again");
            assert_eq!(place.answers_json(&place.holding(encoded)), bad, "{encoded:?}");
        }
    }
}

/// Other members are passed over; what is not one object of JSON is no answer.
#[test]
fn ambiguous_json() {
    let data = |data: &str| data.replace("NAME", NAMES[0]);
    let table = [
        (Place::Secret, data(r#"{"data":{"NAME":"eA==","NAME":"dg=="}}"#), true),
        (Place::Secret, data(r#"{"Data":{"NAME":"eA=="},"data":{"NAME":"dg=="},"DATA":{"NAME":"eA=="}}"#), true),
        (Place::Secret, data(r#"{"data":{"NAME":"eA=="},"data":{"NAME":"dg=="}}"#), false),
        (Place::Secret, data(r#" {"data" : {"other":[{"NAME":"eA=="}], "NAME" : "dg==" } } trailing "data" {"#), false),
        (Place::Gateway, r#"{"stringvalue":"x","StringValue":"x","stringValue":"v"}"#.to_owned(), true),
        (Place::Gateway, r#"{"spec":{"stringValue":"x"},"stringValue":"v"}"#.to_owned(), true),
        (Place::Gateway, r#"{"stringValue":"x","stringValue":"v"}"#.to_owned(), false),
        (Place::Gateway, r#"{"stringValue":"v"} {"stringValue":"x"}"#.to_owned(), false),
        // Half a character is none.
        (Place::Gateway, r#"{"stringValue":"\ud800"}"#.to_owned(), false),
    ];
    for (place, answer, is_read) in table {
        let expected = if is_read { place.gets("v") } else { place.not_json() };
        assert_eq!(place.answers(Ok(answer.clone().into_bytes())), expected, "{answer}");
    }
}

/// Each truncation of an answer is seen as one.
#[test]
fn truncated_responses() {
    for place in BOTH {
        let whole = with(place.holding("dg=="), "/metadata", json!({ "labels": { "a": ["b", 1.5e3, true, null] } }));
        assert_eq!(place.answers_json(&whole), place.gets("v"));
        let whole = whole.to_string().into_bytes();
        for end in 0..whole.len() {
            assert_eq!(place.answers(Ok(whole[..end].to_vec())), place.not_json(), "the first {end} bytes");
        }
    }
}

/// Nothing that is no JSON is taken for a value, however much of it there is; within the host's two seconds, and
/// without more memory than it takes.
#[test]
fn garbage() {
    const SIZE: usize = 10 << 20;
    for place in BOTH {
        let texts: [&[u8]; 9] =
            [b"\0", b"\xff\xfe", b" \n\t", b"a", b"\"", b"[", b"{\"a\":", b"\\u0000", "\u{feff}{}".as_bytes()];
        for text in texts {
            for answer in [text.to_vec(), text.repeat(SIZE / text.len())] {
                assert_eq!(place.answers(Ok(answer)), place.not_json(), "{}", text.escape_ascii());
            }
        }
        let html = b"<html><body>502 Bad Gateway</body></html>".to_vec();
        assert_eq!(place.answers(Ok(html)), place.not_json());
        // Much of what is not asked for, and all of it nested, is passed over.
        let deep = ["[".repeat(SIZE / 2), "]".repeat(SIZE / 2)].concat();
        for more in [json!("x".repeat(SIZE)).to_string(), deep] {
            let answer = place.holding("dg==").to_string().replacen('{', &format!("{{\"more\":{more},"), 1);
            assert_eq!(place.answers(Ok(answer.into_bytes())), place.gets("v"));
        }
    }
}

/// Each kind of failure has its own message, without the host's.
#[test]
fn kinds_of_failure() {
    let forbidden = "forbidden for the policy server's service account; ask the operator to grant the verb get on it";
    let not_granted = "the policy has no access to this resource; ask the operator to allow the host capability \
                       kubernetes/get_resource and to list the resource in contextAwareResources";
    let timeout = "timed out; retry later";
    let refuses = "the server rejected the request; ask the operator to check its log";
    let table = [
        ("ApiError: secrets \"x\" is forbidden: User cannot get (ErrorResponse { code: 403 })", forbidden),
        ("ApiError: Unauthorized (ErrorResponse { code: 401 })", forbidden),
        ("Policy has not been granted access to the 'kubernetes/get_resource' host capability.", not_granted),
        ("Policy has not been granted access to Kubernetes v1/Secret resources.", not_granted),
        ("ApiError: too many requests (ErrorResponse { code: 429 })", "too many requests; retry later"),
        ("ApiError: Timeout (ErrorResponse { code: 504 })", timeout),
        ("HyperError: operation timed out", timeout),
        ("callback: deadline has elapsed", timeout),
        ("ApiError: bad request (ErrorResponse { code: 400 })", refuses),
        ("ApiError: unprocessable (ErrorResponse { code: 422 })", refuses),
        ("ApiError: internal (ErrorResponse { code: 500 })", UNAVAILABLE),
        ("ServiceError: client error (Connect)\n\nStack backtrace:\n   0: std::backtrace_rs::trace", UNAVAILABLE),
        ("", UNAVAILABLE),
    ];
    for (text, problem) in table {
        assert_eq!(Place::Secret.answers(Err(text.to_owned())), Place::Secret.unread(problem), "{text}");
    }
    let no_kind = "Cannot find resource secret-gateway.flyte.org/v1alpha1/AWSSecret".to_owned();
    let not_served =
        "the API server does not serve this kind; ask the operator to install the secret gateway and its APIService";
    assert_eq!(Place::Gateway.answers(Err(no_kind)), Place::Gateway.unread(not_served));
    let bad_name = Err("ApiError: names have no dots (ErrorResponse { code: 400 })".to_owned());
    let not_allowed = "could not be read: the provider does not allow such a name; choose another key";
    assert_eq!(Place::Gateway.answers(bad_name), Place::Gateway.bad(not_allowed));
    let store = Store::new(json!({ "AWS": { NAMES[0]: { "error": "InternalServiceError" } } }));
    let found = create_with(&pod(&["key:'k'"]), &aws(), &store).0;
    // No other scope is asked: what is there might be another secret.
    assert_eq!((found, store.asked().len()), (Place::Gateway.unread(UNAVAILABLE), 1));
}

/// The host's words for "there is no such object" count for this object alone; all else ends the search. A status that
/// the host passes on is another failure, whatever its message holds.
#[test]
fn messages_of_missing_objects() {
    for place in BOTH {
        let (version, kind) = match place {
            Place::Secret => ("v1", "Secret"),
            Place::Gateway => ("secret-gateway.flyte.org/v1alpha1", "AWSSecret"),
        };
        let name = place.object().replace("Secret flyte/", "").replace("AWSSecret ", "");
        let (shorter, cut) = (&name[1..], &name[..name.len() - 1]);
        let words = format!("Cannot find {version}/{kind} named");
        let others = [
            format!("{words} 'other' inside of namespace 'Some(\"flyte\")'"),
            format!("{words} '{name}x'"),
            format!("{words} '{cut}'"),
            format!("{words} '{shorter}'"),
            format!("{words} 'x{name}'"),
            format!("{words} '{}'", name.to_uppercase()),
            format!("{words} \"{name}\""),
            format!("{words} {name}"),
            format!("{words} '{name}' inside of namespace 'Some(\"elsewhere\")'"),
            format!(
                "ApiError: proxy says: {words} '{name}' inside of namespace 'Some(\"flyte\")': (ErrorResponse {{ code: 500 }})"
            ),
            format!("Cannot find {version}/{kind}List named '{name}'"),
            format!("Cannot find v2/{kind} named '{name}'"),
            format!("Cannot find {version}/ConfigMap named '{name}'"),
            format!("cannot find {version}/{kind} named '{name}'"),
            format!("Cannot  find {version}/{kind} named '{name}'"),
            format!("{kind} \"{name}\" not found"),
            "404 page not found".to_owned(),
            format!("Cannot find {version}/{kind} nam"),
            "x".repeat(10 << 20),
            "\u{1b}[2J\n\0".to_owned(),
        ];
        for text in others {
            assert_eq!(place.answers(Err(text.clone())), place.unread(UNAVAILABLE), "{text:.200}");
        }
    }
    // With what hosts put around it, it is found: a context before, a backtrace behind.
    let found = create_on(&pod(&["key:'k'"]), &json!({}), |asked| match asked.kind.as_str() {
        "Namespace" => Ok(b"{}".to_vec()),
        _ => {
            Err(format!("Host error: error calling host: {}\n\nStack backtrace:\n   0: code: 403\n", asked.not_found()))
        }
    });
    assert_eq!(found, not_found("k", &NAMES.map(location)));
}

/// A failure ends the search wherever it happens, and no other manager is asked: a broader scope's secret, or another
/// manager's, is not what was asked for. Reasons of more preferred managers are kept.
#[test]
fn failures_end_the_search() {
    let vault = "Vault: unsupported mount_requirement ENV_VAR; use FILE or ANY\n";
    for (failing, chain, before) in [
        (NAMES[0], &["Embedded", "K8s"][..], ""),
        (NAMES[0], &["Vault", "Embedded", "K8s"], vault),
        (NAMES[1], &["Embedded"], ""),
        (NAMES[1], &["Embedded", "K8s"], ""),
    ] {
        let found =
            create_on(&pod(&["group:'db' key:'k' mount_requirement:ENV_VAR"]), &managers(chain), move |asked| {
                match NAMES.into_iter().find(|name| secret_name(name) == asked.name) {
                    Some(name) if name == failing => {
                        Err("ApiError: etcdserver: leader changed (ErrorResponse { code: 500 })".to_owned())
                    }
                    Some(name) if name == NAMES[0] => Err(asked.not_found()),
                    _ => Ok(json!({ "data": { NAMES[4]: "dg==" } }).to_string().into_bytes()),
                }
            });
        let object = secret_name(failing);
        let reason = format!("{before}Embedded: Secret flyte/{object} could not be read: {UNAVAILABLE}");
        assert_eq!(found, not_injected(503, "\"db/k\"", &reason), "{chain:?}");
    }
}

/// The twin of a secret that was found is asked for too. Only that it is there counts; that this fails is a failure like
/// any other.
#[test]
fn image_pull_secret_exists_with_any_content() {
    let on = |answer: Result<&'static str, &'static str>| {
        create_on(&pod(&["key:'k'"]), &image_pull_secrets(), move |asked| match asked.name.starts_with("img-pull-") {
            true => answer.map(Into::into).map_err(Into::into),
            false => Ok(Place::Secret.holding("dg==").to_string().into_bytes()),
        })
    };
    let added = json!([{ "name": twin("k") }]);
    let expected = with(with_variable(pod(&["key:'k'"]), "v"), "/spec/imagePullSecrets", added);
    for answer in ["", "null", "\u{0}", "{\"kind\":\"Status\",\"code\":404}", "{\"data\":{}}"] {
        assert_eq!(on(Ok(answer)), injected(&Place::Secret.found(), expected.clone()), "{answer:?}");
    }
    let reason = format!(
        "Embedded: Secret flytesnacks-development/{} could not be read: forbidden for the policy server's service \
         account; ask the operator to grant the verb get on it",
        twin("k")
    );
    let forbidden = on(Err("ApiError: forbidden (ErrorResponse { code: 403 })"));
    assert_eq!(forbidden, not_injected(503, "\"k\"", &reason));
}

/// A host that exceeds the policy's time limit stops the policy and rejects the pod.
#[test]
fn slow_host_is_stopped() {
    let slow: Arc<dyn Capabilities> = Arc::new(|_: &str, _: &str, _: &[u8]| {
        // Well beyond: the engine counts the two seconds in ticks, which come late on a busy machine.
        sleep(Duration::from_secs(8));
        Ok(Place::Secret.holding("dg==").to_string().into_bytes())
    });
    let stopped = policy().create_pod(&pod(&["key:'k'"]), &json!({}), &slow).map_err(|wrong| format!("{wrong:#}"));
    let wrong = stopped.map(|answer| answer.0).expect_err("the policy is stopped");
    assert_eq!(wrong, "Guest call failure: guest code interrupted, execution deadline exceeded");
}

/// A key that is called like a word of a failure makes no failure of that kind.
#[test]
fn names_do_not_affect_the_kind_of_failure() {
    let found = create_on(&pod(&["key:'deadline'"]), &aws(), |asked| {
        Err(format!("ApiError: awssecrets \"{}\": internal error (ErrorResponse {{ code: 500 }})", asked.name))
    });
    let name = project_name("deadline");
    let reason = format!("Embedded: AWSSecret eu-west-1:{name} could not be read: {UNAVAILABLE}");
    assert_eq!(found, not_injected(503, "\"deadline\"", &reason));
}
