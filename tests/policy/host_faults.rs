//! Failures and unexpected responses of the host, and their outcome.
//!
//! `rejections.rs` has statuses, kinds of failures, and objects without a value. The host is trusted: its response is
//! not compared with the request, unless the store itself ties a value to its name.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use flyte_secrets_policy::names::Scope;
use flyte_secrets_policy::names::kubernetes::{image_pull_name, secret_name};
use flyte_secrets_testing::host::Capabilities;
use serde_json::{Value, json};

use crate::codes::not_injected;
use crate::embedded::{NAMES, embedded, injected, location, with_variable};
use crate::rejections::with_host;
use crate::support::{managers, pod, policy, project_name, with};

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
            Self::Gateway => embedded(json!({ "awsConfig": { "region": "eu-west-1" } })),
        }
    }

    /// The object as messages name it.
    fn object(self) -> String {
        match self {
            Self::Secret => format!("Secret flyte/{}", secret_name(&project_name("k"))),
            Self::Gateway => format!("AWSSecret eu-west-1:{}", project_name("k")),
        }
    }

    /// The object with a value in base64.
    fn holding(self, encoded: &str) -> Value {
        match self {
            Self::Secret => json!({ "kind": "Secret", "data": { project_name("k"): encoded } }),
            Self::Gateway => json!({ "kind": "AWSSecret", "binaryValue": encoded }),
        }
    }

    /// The audit annotation of a pod that got the value.
    fn found(self) -> String {
        let location = match self {
            Self::Secret => location(&project_name("k")),
            Self::Gateway => format!("{} (AWSSecret in eu-west-1)", project_name("k")),
        };
        format!("flyte.secrets/s0: Embedded {location}")
    }

    /// What the policy answers to a pod that asks for a variable, where the host answers each read with `answer`.
    fn answers(self, answer: Result<Vec<u8>, String>) -> Result<Value, String> {
        with_host(&pod(&["key:'k'"]), &self.settings(), move |_| answer.clone())
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
            let answer = with(place.holding("dg=="), path, to.clone()).to_string().into_bytes();
            assert_eq!(place.answers(Ok(answer)), Ok(place.gets("v")), "{path}: {to}");
        }
    }
    let another =
        json!({ "data": { project_name("l"): "dg==", "k": "dg==", format!(" {}", project_name("k")): "dg==" } });
    let no_value = format!("has no key {:?}; store the value under that key", project_name("k"));
    assert_eq!(Place::Secret.answers(Ok(another.to_string().into_bytes())), Ok(Place::Secret.bad(&no_value)));
}

/// A failure that comes as an answer has no value in it.
#[test]
fn errors_in_successful_responses() {
    let status = |code: u16, reason: &str| {
        let failure = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "x" });
        with(with(failure, "/code", json!(code)), "/reason", json!(reason))
    };
    let no_value = format!("has no key {:?}; store the value under that key", project_name("k"));
    let answers = [
        status(404, "NotFound"),
        status(403, "Forbidden"),
        status(500, "InternalError"),
        json!({ "error": "timeout" }),
        json!({ "kind": "SecretList", "items": [Place::Secret.holding("dg=="), Place::Gateway.holding("dg==")] }),
    ];
    for answer in answers {
        let text = answer.to_string().into_bytes();
        assert_eq!(Place::Secret.answers(Ok(text.clone())), Ok(Place::Secret.bad(&no_value)), "{answer}");
        let empty = Place::Gateway.bad("holds an empty value; store the secret again");
        assert_eq!(Place::Gateway.answers(Ok(text)), Ok(empty), "{answer}");
    }
}

/// base64 is read as Kubernetes writes it, and in no other way: what one reader takes for a value and another for
/// another one is none.
#[test]
fn invalid_base64() {
    let value = "\u{fbff}~v?"; // in base64 with characters in which alphabets differ
    let plain = STANDARD.encode(value);
    let url = URL_SAFE.encode(value);
    assert_ne!(plain, url);
    for place in BOTH {
        let escaped: String = plain.bytes().map(|c| format!("\\u{c:04x}")).collect();
        for answer in [place.holding(&plain).to_string(), place.holding("@").to_string().replace('@', &escaped)] {
            assert_eq!(place.answers(Ok(answer.clone().into_bytes())), Ok(place.gets(value)), "{answer}");
        }
        let odd = [
            url.as_str(),
            "dmFsdWU\n=",
            "dmFs\ndWU=",
            "dmFsdWU=\n",
            "dmFs\r\ndWU=",
            " dmFsdWU=",
            "dmFs dWU=",
            "dmFsdWU",
            "dmFsdWU==",
            "dmFsdWV=",
            "dg",
            "dg=",
            "dh==",
            "dg===",
            "dg==dg==",
            "=",
            "====",
            "d===",
            "dmFsdWU=\0",
            "dmFsdWUé",
            "data:text/plain;base64,dg==",
        ];
        for encoded in odd {
            let answer = place.holding(encoded).to_string().into_bytes();
            let bad = place.bad("holds a value that is not valid base64; store the secret again");
            assert_eq!(place.answers(Ok(answer)), Ok(bad), "{encoded:?}");
        }
    }
}

/// Other members are passed over; what is not one object of JSON is no answer.
#[test]
fn ambiguous_json() {
    let name = project_name("k");
    let data = |data: &str| data.replace("NAME", &name);
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
        let wanted = if is_read { place.gets("v") } else { place.not_json() };
        assert_eq!(place.answers(Ok(answer.clone().into_bytes())), Ok(wanted), "{answer}");
    }
}

/// Each truncation of an answer is seen as one.
#[test]
fn truncated_responses() {
    for place in BOTH {
        let whole = with(place.holding("dg=="), "/metadata", json!({ "labels": { "a": ["b", 1.5e3, true, null] } }));
        let whole = whole.to_string().into_bytes();
        assert_eq!(place.answers(Ok(whole.clone())), Ok(place.gets("v")));
        for end in 0..whole.len() {
            let cut = whole.get(..end).unwrap_or_default().to_vec();
            assert_eq!(place.answers(Ok(cut)), Ok(place.not_json()), "the first {end} bytes");
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
                assert_eq!(place.answers(Ok(answer)), Ok(place.not_json()), "{}", text.escape_ascii());
            }
        }
        let html = b"<html><body>502 Bad Gateway</body></html>".to_vec();
        assert_eq!(place.answers(Ok(html)), Ok(place.not_json()));
        // Much of what is not asked for, and all of it nested, is passed over.
        let deep = ["[".repeat(SIZE / 2), "]".repeat(SIZE / 2)].concat();
        for more in [json!("x".repeat(SIZE)).to_string(), deep] {
            let answer = place.holding("dg==").to_string().replacen('{', &format!("{{\"more\":{more},"), 1);
            assert_eq!(place.answers(Ok(answer.into_bytes())), Ok(place.gets("v")));
        }
    }
}

/// A value is as large as a Secret can be. The limits themselves are in `rejections.rs`.
#[test]
fn values_of_a_mebibyte() {
    const SIZE: usize = 1 << 20;
    for place in BOTH {
        let answer = place.holding(&STANDARD.encode(vec![b'v'; SIZE])).to_string().into_bytes();
        let variable =
            "the value of 1048576 bytes exceeds the limit of 131062 bytes for a variable; request it as a FILE";
        let refused = not_injected(400, "\"k\"", &format!("Embedded: {variable}"));
        assert_eq!(place.answers(Ok(answer.clone())), Ok(refused));
        let asking = pod(&["key:'k' mount_requirement:FILE"]);
        let found = with_host(&asking, &place.settings(), move |_| Ok(answer.clone()));
        let file = "with this file of 1048576 bytes, files of 1398107 bytes in base64 exceed the limit of 131063 \
                    bytes; use fewer or smaller files";
        assert_eq!(found, Ok(not_injected(400, "\"k\"", &format!("Embedded: {file}"))));
    }
}

/// The host's words for "there is no such object" count for this object alone; all else ends the search.
#[test]
fn messages_of_missing_objects() {
    let unavailable = "the server is unavailable; retry later";
    for place in BOTH {
        let (version, kind) = match place {
            Place::Secret => ("v1", "Secret"),
            Place::Gateway => ("secret-gateway.flyte.org/v1alpha1", "AWSSecret"),
        };
        let name = place.object().replace("Secret flyte/", "").replace("AWSSecret ", "");
        let shorter = name.get(1..).unwrap_or_default();
        let cut = name.get(..name.len() - 1).unwrap_or_default();
        let others = [
            format!("Cannot find {version}/{kind} named '{name}x'"),
            format!("Cannot find {version}/{kind} named '{cut}'"),
            format!("Cannot find {version}/{kind} named '{shorter}'"),
            format!("Cannot find {version}/{kind} named 'x{name}'"),
            format!("Cannot find {version}/{kind} named '{}'", name.to_uppercase()),
            format!("Cannot find {version}/{kind} named \"{name}\""),
            format!("Cannot find {version}/{kind} named {name}"),
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
            assert_eq!(place.answers(Err(text.clone())), Ok(place.unread(unavailable)), "{text:.200}");
        }
    }
    // With what hosts put around it, it is found: a context before, a backtrace behind.
    let found = with_host(&pod(&["key:'k'"]), &json!({}), |asked| match asked.kind.as_str() {
        "Namespace" => Ok(b"{}".to_vec()),
        _ => {
            Err(format!("Host error: error calling host: {}\n\nStack backtrace:\n   0: code: 403\n", asked.not_found()))
        }
    });
    let looked_up = NAMES.map(location).join(", ");
    let reason = format!("Embedded: not found; looked up {looked_up}; store it under one of these names");
    assert_eq!(found, Ok(not_injected(400, "\"k\"", &reason)));
}

/// A failure ends the search wherever it happens, and no other manager is asked: a broader scope's secret, or another
/// manager's, is not what was asked for.
#[test]
fn failures_after_the_first_read() {
    let broader = NAMES[1];
    let failing = secret_name(broader);
    for chain in [&["Embedded"][..], &["Embedded", "K8s"]] {
        let failing = failing.clone();
        let found =
            with_host(&pod(&["key:'k' group:'db'"]), &managers(chain), move |asked| match asked.name == failing {
                true => Err("ApiError: etcdserver: leader changed (ErrorResponse { code: 500 })".to_owned()),
                false if asked.name == secret_name(&project_name("k")) => Err(asked.not_found()),
                false => Ok(json!({ "data": { NAMES[4]: "dg==" } }).to_string().into_bytes()),
            });
        let reason = format!(
            "Embedded: Secret flyte/{} could not be read: the server is unavailable; retry later",
            secret_name(broader)
        );
        assert_eq!(found, Ok(not_injected(503, "\"db/k\"", &reason)), "{chain:?}");
    }
}

/// Of an image-pull twin only that it is there is asked.
#[test]
fn image_pull_secret_exists_with_any_content() {
    let twin = image_pull_name(Scope { organization: "acme", domain: "development", project: "flytesnacks" }, "k");
    let settings = embedded(json!({ "imagePullSecrets": { "enabled": true } }));
    let wanted = with(with_variable(pod(&["key:'k'"]), "v"), "/spec/imagePullSecrets", json!([{ "name": twin }]));
    for answer in ["", "null", "\u{0}", "{\"kind\":\"Status\",\"code\":404}", "{\"data\":{}}"] {
        let found = with_host(&pod(&["key:'k'"]), &settings, move |asked| match asked.name.starts_with("img-pull-") {
            true => Ok(answer.into()),
            false => Ok(Place::Secret.holding("dg==").to_string().into_bytes()),
        });
        assert_eq!(found, Ok(injected(&Place::Secret.found(), wanted.clone())), "{answer:?}");
    }
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

/// kube's client answers "not found" with no object, for which the host has words of its own; a status that it passes
/// on is another failure, whatever its message holds.
#[test]
fn messages_within_other_messages() {
    let unavailable = "the server is unavailable; retry later";
    let name = secret_name(&project_name("k"));
    let words = format!("Cannot find v1/Secret named '{name}' inside of namespace");
    let texts = [
        format!("ApiError: proxy says: {words} 'Some(\"flyte\")': (ErrorResponse {{ code: 500 }})"),
        format!("{words} 'Some(\"elsewhere\")'"),
    ];
    for text in texts {
        assert_eq!(Place::Secret.answers(Err(text.clone())), Ok(Place::Secret.unread(unavailable)), "{text}");
    }
}

/// A key that is called like a word of a failure makes no failure of that kind.
#[test]
fn names_do_not_affect_the_kind_of_failure() {
    let settings = Place::Gateway.settings();
    let found = with_host(&pod(&["key:'deadline'"]), &settings, |asked| {
        Err(format!("ApiError: awssecrets \"{}\": internal error (ErrorResponse {{ code: 500 }})", asked.name))
    });
    let reason = format!(
        "Embedded: AWSSecret eu-west-1:{} could not be read: the server is unavailable; retry later",
        project_name("deadline")
    );
    assert_eq!(found, Ok(not_injected(503, "\"deadline\"", &reason)));
}
