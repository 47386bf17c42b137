//! Responses of reads.

use super::*;

const KUBECTL: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,\
                       application/json";

#[tokio::test]
async fn objects_hold_the_stored_value() {
    let kit = Kit::start("").await;
    kit.memory.behave(|name, _| match name.ends_with("bytes") {
        true => Ok(Secret::Binary(vec![0, 159, 146, 150].into())),
        false => text(CANARY),
    });
    let table = [
        ("awssecrets", "AWSSecret", "us-east-2:u__org__text", "stringValue", CANARY),
        ("awssecrets", "AWSSecret", "eu-west-1:u__org__bytes", "binaryValue", "AJ+Slg=="),
        ("gcpsecrets", "GCPSecret", "flyte:u__org__bytes", "binaryValue", "AJ+Slg=="),
        ("azuresecrets", "AzureSecret", "flyte.vault.azure.net:1-o---x", "stringValue", CANARY),
    ];
    for (plural, kind, name, field, value) in table {
        let answer = kit.get(&path(plural, name)).await;
        let api_version = "secret-gateway.flyte.org/v1alpha1";
        answer.is(&json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name }, field: value }));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    }
    let asked: Vec<_> = kit.memory.asked().iter().map(|(place, name)| format!("{place}:{name}")).collect();
    assert_eq!(asked, table.map(|(_, _, name, ..)| name));
}

#[tokio::test]
async fn percent_escapes_in_paths_are_decoded() {
    let kit = Kit::start("").await;
    let answer = kit.get(&path("awssecrets", "us-east-2%3Au__org__a%40b")).await;
    assert_eq!(answer.json()["metadata"]["name"], "us-east-2:u__org__a@b");
    let answer = kit.get(&path("awssecrets", "us-east-2:%ff")).await;
    answer.is_failure(400, "BadRequest", "invalid path: expected UTF-8", &json!({}));
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
            "name": "Name", "type": "string", "format": "name", "priority": 0,
            "description": "Name of the secret, behind its region, project or vault",
        }],
        "rows": [{ "cells": [name], "object": metadata }],
    });
    for query in ["", "?includeObject=Object"] {
        client.with("accept", KUBECTL).get(&format!("{}{query}", aws("key"))).await.is(&table);
    }
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    client.with("accept", accept).get(&aws("key")).await.is(&metadata);

    kit.memory.fail(Failure::NotFound);
    assert_eq!(client.with("accept", KUBECTL).get(&aws("other")).await.status, 404);
}

#[tokio::test]
async fn only_json_is_served() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let answer = client.with("accept", "application/vnd.kubernetes.protobuf").get(&aws("key")).await;
    let message = "only the following media types are accepted: application/json";
    answer.is_failure(406, "NotAcceptable", message, &json!({}));
    assert_eq!(kit.memory.calls(), 0);
    let both = "application/vnd.kubernetes.protobuf,application/json";
    assert_eq!(client.with("accept", both).get(&aws("key")).await.status, 200);
}

#[tokio::test]
async fn verbs_other_than_get_return_405() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let object = path("gcpsecrets", "flyte:u__org__key");
    let collection = format!("/apis/{GROUP}/v1alpha1/gcpsecrets");
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
        let answer = client.send(method, &path, "").await.unwrap();
        let message = format!("{verb} is not supported on resources of kind \"gcpsecrets.secret-gateway.flyte.org\"");
        answer.is_failure(405, "MethodNotAllowed", &message, &json!({ "group": GROUP, "kind": "gcpsecrets" }));
    }
    assert_eq!(client.send(Method::HEAD, &aws("key"), "").await.unwrap().status, 405);
    assert_eq!(client.post("/apis").await.status, 405);
    assert_eq!((kit.memory.calls(), kit.cluster.reviews()), (0, Vec::<Value>::new()));
}

#[tokio::test]
async fn unknown_paths_return_404() {
    let kit = Kit::start("").await;
    let paths = [
        "/nowhere",
        "/api",
        "/apis/apps",
        "/apis/secret-gateway.flyte.org/v1",
        "/apis/secret-gateway.flyte.org/v1alpha1/secrets",
        "/apis/secret-gateway.flyte.org/v1alpha1/secrets/x",
        "/apis/secret-gateway.flyte.org/v1alpha1/awssecrets/x/status",
        "/apis/secret-gateway.flyte.org/v1alpha1/namespaces/flyte/awssecrets/x",
        "/openapi/v3/apis/apps/v1",
    ];
    for path in paths {
        let message = "the server could not find the requested resource";
        kit.get(path).await.is_failure(404, "NotFound", message, &json!({}));
    }
}

#[tokio::test]
async fn invalid_names_return_400() {
    let kit = Kit::start("").await;
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
        let answer = kit.get(&path("awssecrets", &name)).await;
        answer.is_failure(400, "BadRequest", message, &json!({ "group": GROUP, "kind": "awssecrets" }));
    }
    assert_eq!((kit.memory.calls(), kit.cluster.reviews()), (0, Vec::<Value>::new()));
    assert_eq!(kit.get(&aws(&"a".repeat(504))).await.status, 200, "the longest name");
}

#[tokio::test]
async fn names_that_are_not_served_return_403() {
    let kit = Kit::start("prefixes: { gcp: [] }").await;
    let not_served = |what: &str, list: &str| format!("{what} is not served; add it to {list} of the gateway");
    let prefix = "name matches no served prefix; add one to prefixes of the gateway";
    let table = [
        ("awssecrets", "ap-south-1:u__org__key", &*not_served("region \"ap-south-1\"", "providers.aws.regions")),
        (
            "azuresecrets",
            "evil.example.com:1-o---x",
            &not_served("vault \"evil.example.com\"", "providers.azure.vaults"),
        ),
        ("awssecrets", "us-east-2:database-root-password", prefix),
        ("azuresecrets", "flyte.vault.azure.net:u--org--key", prefix),
    ];
    for (plural, name, why) in table {
        let message = format!("{plural}.secret-gateway.flyte.org \"{name}\" is forbidden: {why}");
        kit.get(&path(plural, name)).await.is_failure(403, "Forbidden", &message, &of(plural, name));
    }
    assert_eq!(kit.memory.calls(), 0);
    assert_eq!(kit.get(&path("gcpsecrets", "flyte:whatever")).await.status, 200, "without prefixes");
}
