//! Responses of reads.

use std::time::Duration;

use axum::http::Method;
use secret_gateway::provider::{Failure, Value as Secret};
use serde_json::{Value, json};

use crate::kit::memory::{CANARY, text};
use crate::kit::{Kit, USER};
use crate::{aws, status, status_of};

const API: &str = "/apis/secret-gateway.flyte.org/v1alpha1";
const KUBECTL: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,\
                       application/json";

#[tokio::test]
async fn objects_hold_the_stored_value() {
    let kit = Kit::start("").await;
    kit.memory.behave(|name, _| {
        let bytes = || Secret::Binary(vec![0, 159, 146, 150].into());
        (Duration::ZERO, Ok(if name.ends_with("bytes") { bytes() } else { text(CANARY) }))
    });
    let client = kit.client().await;
    let table = [
        ("awssecrets", "AWSSecret", "us-east-2:u__org__text", "stringValue", CANARY),
        ("awssecrets", "AWSSecret", "eu-west-1:u__org__bytes", "binaryValue", "AJ+Slg=="),
        ("gcpsecrets", "GCPSecret", "flyte:u__org__bytes", "binaryValue", "AJ+Slg=="),
        ("azuresecrets", "AzureSecret", "flyte.vault.azure.net:1-o---x", "stringValue", CANARY),
    ];
    for (plural, kind, name, field, value) in table {
        let answer = client.get(&format!("{API}/{plural}/{name}")).await;
        let wanted = json!({
            "apiVersion": "secret-gateway.flyte.org/v1alpha1",
            "kind": kind,
            "metadata": { "name": name },
            field: value,
        });
        assert_eq!((answer.status, answer.json()), (200, wanted));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    }
    let asked = |place: &str, name: &str| (place.to_owned(), name.to_owned());
    assert_eq!(
        kit.memory.asked(),
        [
            asked("us-east-2", "u__org__text"),
            asked("eu-west-1", "u__org__bytes"),
            asked("flyte", "u__org__bytes"),
            asked("flyte.vault.azure.net", "1-o---x"),
        ]
    );
}

#[tokio::test]
async fn percent_escapes_in_paths_are_decoded() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let answer = client.get(&format!("{API}/awssecrets/us-east-2%3Au__org__a%40b")).await;
    assert_eq!(answer.json()["metadata"]["name"], "us-east-2:u__org__a@b");
    let answer = client.get(&format!("{API}/awssecrets/us-east-2:%ff")).await;
    assert_eq!(answer.json(), status(400, "BadRequest", "invalid path: expected UTF-8"));
}

#[tokio::test]
async fn table_shows_only_the_name() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let name = "us-east-2:u__org__key";
    let metadata =
        json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": { "name": name } });
    let table = json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": [{
            "name": "Name",
            "type": "string",
            "format": "name",
            "description": "Name of the secret, behind its region, project or vault",
            "priority": 0,
        }],
        "rows": [{ "cells": [name], "object": metadata }],
    });
    for query in ["", "?includeObject=Object"] {
        let answer = client.with("accept", KUBECTL).get(&format!("{}{query}", aws("key"))).await;
        assert_eq!((answer.status, answer.json()), (200, table.clone()));
    }
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    assert_eq!(client.with("accept", accept).get(&aws("key")).await.json(), metadata);

    kit.memory.fail(Failure::NotFound);
    assert_eq!(client.with("accept", KUBECTL).get(&aws("other")).await.status, 404);
}

#[tokio::test]
async fn only_json_is_served() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let answer = client.with("accept", "application/vnd.kubernetes.protobuf").get(&aws("key")).await;
    let message = "only the following media types are accepted: application/json";
    assert_eq!(answer.json(), status(406, "NotAcceptable", message));
    assert_eq!(kit.memory.calls(), 0);
    let both = "application/vnd.kubernetes.protobuf,application/json";
    assert_eq!(client.with("accept", both).get(&aws("key")).await.status, 200);
}

#[tokio::test]
async fn verbs_other_than_get_return_405() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let (collection, object) = (format!("{API}/gcpsecrets"), format!("{API}/gcpsecrets/flyte:u__org__key"));
    let table = [
        (Method::GET, collection.clone(), "list"),
        (Method::GET, format!("{collection}?watch=true"), "watch"),
        (Method::GET, format!("{collection}?limit=500&watch=1"), "watch"),
        (Method::GET, format!("{collection}?watch=false"), "list"),
        (Method::GET, format!("{object}?watch"), "watch"),
        (Method::GET, format!("{object}?watch=T"), "watch"),
        (Method::POST, collection.clone(), "create"),
        (Method::DELETE, collection, "deletecollection"),
        (Method::POST, object.clone(), "create"),
        (Method::PUT, object.clone(), "update"),
        (Method::PATCH, object.clone(), "patch"),
        (Method::DELETE, object, "delete"),
    ];
    for (method, path, verb) in table {
        let answer = client.send(method, &path).await.unwrap();
        let message = format!("{verb} is not supported on resources of kind \"gcpsecrets.secret-gateway.flyte.org\"");
        let mut wanted = status(405, "MethodNotAllowed", &message);
        wanted["details"] = json!({ "group": "secret-gateway.flyte.org", "kind": "gcpsecrets" });
        assert_eq!((answer.status, answer.json()), (405, wanted));
    }
    assert_eq!(client.send(Method::HEAD, &aws("key")).await.unwrap().status, 405);
    assert_eq!(client.send(Method::POST, "/apis").await.unwrap().status, 405);
    assert_eq!((kit.memory.calls(), kit.cluster.reviews()), (0, Vec::<Value>::new()));
}

#[tokio::test]
async fn unknown_paths_return_404() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let wanted = status(404, "NotFound", "the server could not find the requested resource");
    let paths = [
        "/nowhere".to_owned(),
        "/api".to_owned(),
        "/apis/apps".to_owned(),
        "/apis/secret-gateway.flyte.org/v1".to_owned(),
        format!("{API}/secrets"),
        format!("{API}/secrets/x"),
        format!("{API}/awssecrets/x/status"),
        format!("{API}/namespaces/flyte/awssecrets/x"),
        "/openapi/v3/apis/apps/v1".to_owned(),
    ];
    for path in paths {
        assert_eq!(client.get(&path).await.json(), wanted, "{path}");
    }
}

#[tokio::test]
async fn invalid_names_return_400() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let no_colon = "invalid name of AWSSecret: expected `<region>:<secret name>`";
    let place = "invalid region before the colon";
    let secret = "invalid secret name: expected 1 to 512 letters, digits and _+=.@-";
    let table = [
        ("key".to_owned(), no_colon),
        (":key".to_owned(), place),
        ("us%20east:key".to_owned(), place),
        ("us-east-2:".to_owned(), secret),
        ("us-east-2:a%2Fb".to_owned(), secret),
        ("us-east-2:%C3%A9".to_owned(), secret),
        ("us-east-2:a%0Ab".to_owned(), secret),
        (format!("us-east-2:u__org__{}", "a".repeat(505)), secret),
        (format!("us-east-2:u__org__{}", "a".repeat(10_000)), secret),
        ("a".repeat(10_000), no_colon),
    ];
    for (name, message) in table {
        let answer = client.get(&format!("{API}/awssecrets/{name}")).await;
        let mut wanted = status(400, "BadRequest", message);
        wanted["details"] = json!({ "group": "secret-gateway.flyte.org", "kind": "awssecrets" });
        assert_eq!((answer.status, answer.json()), (400, wanted), "{name}");
    }
    assert_eq!((kit.memory.calls(), kit.cluster.reviews()), (0, Vec::<Value>::new()));
    let longest = format!("{API}/awssecrets/us-east-2:u__org__{}", "a".repeat(504));
    assert_eq!(client.get(&longest).await.status, 200);
}

#[tokio::test]
async fn names_that_are_not_served_return_403() {
    let kit = Kit::start("prefixes: { gcp: [] }").await;
    let client = kit.client().await;
    let table = [
        (
            "awssecrets",
            "ap-south-1:u__org__key",
            "region \"ap-south-1\" is not served; add it to providers.aws.regions of the gateway",
        ),
        (
            "azuresecrets",
            "evil.example.com:1-o---x",
            "vault \"evil.example.com\" is not served; add it to providers.azure.vaults of the gateway",
        ),
        (
            "awssecrets",
            "us-east-2:database-root-password",
            "name matches no served prefix; add one to prefixes of the gateway",
        ),
        (
            "azuresecrets",
            "flyte.vault.azure.net:u--org--key",
            "name matches no served prefix; add one to prefixes of the gateway",
        ),
    ];
    for (plural, name, why) in table {
        let answer = client.get(&format!("{API}/{plural}/{name}")).await;
        let message = format!("{plural}.secret-gateway.flyte.org \"{name}\" is forbidden: {why}");
        let mut wanted = status(403, "Forbidden", &message);
        wanted["details"] = json!({ "name": name, "group": "secret-gateway.flyte.org", "kind": plural });
        assert_eq!((answer.status, answer.json()), (403, wanted));
    }
    assert_eq!(kit.memory.calls(), 0);
    assert_eq!(client.get(&format!("{API}/gcpsecrets/flyte:whatever")).await.status, 200, "without prefixes");
}

#[tokio::test]
async fn access_is_reviewed_before_served_names_are_checked() {
    let kit = Kit::start("").await;
    kit.cluster.judge(|_| crate::kit::cluster::Verdict::Deny(""));
    let client = kit.client().await;
    let message = format!(
        "User \"{USER}\" cannot get resource \"awssecrets\" in API group \"secret-gateway.flyte.org\" at the cluster \
         scope: denied by the cluster (reason: \"\")"
    );
    assert_eq!(client.get(&aws("key")).await.json(), status_of("key", 403, "Forbidden", &message));
    let elsewhere = client.get(&format!("{API}/awssecrets/ap-south-1:u__org__key")).await.json();
    assert_eq!(elsewhere["message"], message.as_str());
}
