//! Lookups: whether a secret is there and can be a variable, and nothing else of it.

use std::time::Duration;

use flyte_secrets_policy::names::kubernetes::secret_name;
use secret_gateway::provider::{Failure, Value as Secret};
use serde_json::{Value, json};

use crate::kit::Kit;
use crate::kit::cluster::Verdict;
use crate::kit::memory::{CANARY, text};
use crate::status;

fn path(name: &str) -> String {
    format!("/apis/secret-gateway.flyte.org/v1alpha1/secretlookups/{name}")
}

fn object(name: &str, fields: Value) -> Value {
    let mut object = json!({
        "apiVersion": "secret-gateway.flyte.org/v1alpha1",
        "kind": "SecretLookup",
        "metadata": { "name": name },
    });
    object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    object
}

fn failed(name: &str, code: u16, reason: &str, message: &str) -> Value {
    let mut status = status(code, reason, message);
    status["details"] = json!({ "name": name, "group": "secret-gateway.flyte.org", "kind": "secretlookups" });
    status
}

#[tokio::test]
async fn lookup_reports_existence() {
    let kit = Kit::start("reads: { retries: 0, breaker: { failures: 100 } }").await;
    let client = kit.client().await;
    let table = [
        ("a", Ok(text(CANARY)), json!({ "variable": true })),
        (
            "b",
            Ok(text("it's")),
            json!({
                "variable": false,
                "problem": "the value contains a single quote, which Kubernetes' env files cannot hold; request it as a FILE",
            }),
        ),
        (
            "c",
            Ok(Secret::Binary(vec![0xff].into())),
            json!({ "variable": false, "problem": "the value is not UTF-8 text; request it as a FILE" }),
        ),
    ];
    for (name, value, fields) in table {
        kit.memory.answer(Duration::ZERO, value);
        let name = format!("us-east-2:u__org__{name}");
        let answer = client.get(&path(&name)).await;
        assert_eq!((answer.status, answer.json()), (200, object(&name, fields)));
    }
    // Azure's values are unpacked before they are judged.
    let azure = "flyte.vault.azure.net:1-a";
    kit.memory.answer(Duration::ZERO, Ok(text(r#"{"type":"STRING","value":"it's"}"#)));
    assert_eq!(client.get(&path(azure)).await.json()["variable"], json!(false));
    kit.memory.fail(Failure::NotFound);
    let name = "us-east-2:u__org__d";
    let message = "secretlookups.secret-gateway.flyte.org \"us-east-2:u__org__d\" not found";
    let missing = failed(name, 404, "NotFound", message);
    let answer = client.get(&path(name)).await;
    assert_eq!((answer.status, answer.json()), (404, missing));
    kit.memory.fail(Failure::Unreachable("down".to_owned()));
    assert_eq!(client.get(&path("us-east-2:u__org__e")).await.status, 503);
}

#[tokio::test]
async fn lookup_finds_kubernetes_secrets() {
    // A project of GCP has the namespace's name.
    let kit = Kit::start("pods: { listen: '127.0.0.1:0', settings: {} }").await;
    let client = kit.client().await;
    let name = "u__org__acme__domain____project____key__a.b";
    let there = format!("flyte:{name}");
    assert_eq!(client.get(&path(&there)).await.status, 404);
    kit.cluster.object(
        "secrets",
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "namespace": "flyte", "name": secret_name("u__org__o") },
            "data": { "u__org__o": "eA==" },
        }),
    );
    let answer = client.get(&path("flyte:u__org__o")).await;
    assert_eq!(answer.json(), object("flyte:u__org__o", json!({ "variable": true })));
}

#[tokio::test]
async fn lookup_of_ready_always_succeeds() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    kit.memory.fail(Failure::Unreachable("down".to_owned()));
    let answer = client.get(&path("ready")).await;
    assert_eq!((answer.status, answer.json()), (200, object("ready", json!({}))));
    let reviewed = json!({
        "group": "secret-gateway.flyte.org",
        "version": "v1alpha1",
        "resource": "secretlookups",
        "name": "ready",
        "verb": "get",
    });
    assert_eq!(kit.cluster.reviews().last().unwrap()["resourceAttributes"], reviewed);
    assert_eq!(kit.memory.calls(), 0);
    // For lookups alone.
    assert_eq!(client.get("/apis/secret-gateway.flyte.org/v1alpha1/awssecrets/ready").await.status, 400);
    let kit = Kit::start("").await;
    kit.cluster.judge(|_| Verdict::Deny(""));
    assert_eq!(kit.client().await.get(&path("ready")).await.status, 403);
}

#[tokio::test]
async fn lookup_is_limited_to_served_names() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let (prefix, place) = ("us-east-2:other", "us-west-1:u__org__o");
    let forbidden = |name: &str, why: &str| {
        let message = format!("secretlookups.secret-gateway.flyte.org {name:?} is forbidden: {why}");
        failed(name, 403, "Forbidden", &message)
    };
    let why = "name matches no served prefix; add one to prefixes of the gateway";
    assert_eq!(client.get(&path(prefix)).await.json(), forbidden(prefix, why));
    let why = "region or project or vault or namespace \"us-west-1\" is not served; add it to providers of the gateway";
    assert_eq!(client.get(&path(place)).await.json(), forbidden(place, why));
    assert_eq!(client.get(&path("no-colon")).await.status, 400);
    assert_eq!(kit.memory.calls(), 0);
}

#[tokio::test]
async fn lookup_never_returns_the_value() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    for accept in [
        "application/json",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    ] {
        let answer = client.with("accept", accept).get(&path("us-east-2:u__org__o")).await;
        assert_eq!(answer.status, 200, "{accept}");
        assert!(!answer.text().contains("c4n4ry"), "{accept}");
    }
    let line = &kit.audit().await[0];
    assert_eq!(
        (&line["kind"], &line["place"], &line["outcome"]),
        (&json!("SecretLookup"), &json!("us-east-2"), &json!("ok"))
    );
}
