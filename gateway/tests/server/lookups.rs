//! Lookups: whether a secret is there and can be a variable, and nothing else of it.

use flyte_secrets_policy::names::kubernetes::secret_name;

use super::*;
use crate::kit::cluster::{Verdict, secret};

fn lookup(name: &str) -> String {
    path("secretlookups", name)
}

fn object(name: &str, fields: Value) -> Value {
    let mut object = json!({
        "apiVersion": "secret-gateway.flyte.org/v1alpha1", "kind": "SecretLookup", "metadata": { "name": name },
    });
    object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    object
}

#[tokio::test]
async fn lookup_reports_existence() {
    let kit = Kit::start("reads: { retries: 0, breaker: { failures: 100 } }").await;
    let no_variable = |problem| json!({ "variable": false, "problem": problem });
    let quote = "the value contains a single quote, which Kubernetes' env files cannot hold; request it as a FILE";
    let table = [
        ("us-east-2:u__org__a", text(CANARY), json!({ "variable": true })),
        ("us-east-2:u__org__b", text("it's"), no_variable(quote)),
        (
            "us-east-2:u__org__c",
            Ok(Secret::Binary(vec![0xff].into())),
            no_variable("the value is not UTF-8 text; request it as a FILE"),
        ),
        // Azure's values are unpacked before they are judged.
        ("flyte.vault.azure.net:1-a", text(r#"{"type":"STRING","value":"it's"}"#), no_variable(quote)),
    ];
    for (name, value, fields) in table {
        kit.memory.answer(value);
        kit.get(&lookup(name)).await.is(&object(name, fields));
    }
    kit.memory.fail(Failure::NotFound);
    let name = "us-east-2:u__org__d";
    let message = "secretlookups.secret-gateway.flyte.org \"us-east-2:u__org__d\" not found";
    kit.get(&lookup(name)).await.is_failure(404, "NotFound", message, &of("secretlookups", name));
    kit.memory.fail(Failure::Unreachable("down".to_owned()));
    assert_eq!(kit.get(&lookup("us-east-2:u__org__e")).await.status, 503);
}

#[tokio::test]
async fn lookup_finds_kubernetes_secrets() {
    // A project of GCP has the namespace's name.
    let kit = Kit::start("pods: { listen: '127.0.0.1:0', settings: {} }").await;
    assert_eq!(kit.get(&lookup("flyte:u__org__acme__domain____project____key__a.b")).await.status, 404);
    kit.cluster.object("secrets", secret(&secret_name("u__org__o"), &json!({ "u__org__o": "eA==" })));
    let wanted = object("flyte:u__org__o", json!({ "variable": true }));
    kit.get(&lookup("flyte:u__org__o")).await.is(&wanted);
}

#[tokio::test]
async fn lookup_of_ready_always_succeeds() {
    let kit = Kit::start("").await;
    kit.memory.fail(Failure::Unreachable("down".to_owned()));
    kit.get(&lookup("ready")).await.is(&object("ready", json!({})));
    let reviewed = json!({
        "group": "secret-gateway.flyte.org", "version": "v1alpha1", "resource": "secretlookups", "name": "ready",
        "verb": "get",
    });
    assert_eq!(kit.cluster.reviews().last().unwrap()["resourceAttributes"], reviewed);
    assert_eq!(kit.memory.calls(), 0);
    // For lookups alone, and for those who may look up.
    assert_eq!(kit.get(&path("awssecrets", "ready")).await.status, 400);
    kit.cluster.judge(|_| Verdict::Deny(""));
    assert_eq!(kit.client_of("eve").await.get(&lookup("ready")).await.status, 403);
}

#[tokio::test]
async fn lookup_is_limited_to_served_names() {
    let kit = Kit::start("").await;
    let table = [
        ("us-east-2:other", "name matches no served prefix; add one to prefixes of the gateway"),
        (
            "us-west-1:u__org__o",
            "region or project or vault or namespace \"us-west-1\" is not served; add it to providers of the gateway",
        ),
    ];
    for (name, why) in table {
        let message = format!("secretlookups.secret-gateway.flyte.org {name:?} is forbidden: {why}");
        kit.get(&lookup(name)).await.is_failure(403, "Forbidden", &message, &of("secretlookups", name));
    }
    assert_eq!(kit.get(&lookup("no-colon")).await.status, 400);
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
        let answer = client.with("accept", accept).get(&lookup("us-east-2:u__org__o")).await;
        assert_eq!(answer.status, 200, "{accept}");
        assert!(!answer.text().contains("c4n4ry"), "{accept}");
    }
    let line = &kit.audit().await[0];
    let fields = (&line["kind"], &line["place"], &line["outcome"]);
    assert_eq!(fields, (&json!("SecretLookup"), &json!("us-east-2"), &json!("ok")));
}
