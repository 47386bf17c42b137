//! What clients and the aggregator are told of the API: whole documents.

use flyte_secrets_policy::settings::Provider;
use serde_json::{Value, json};

use crate::kit::Kit;
use crate::status;

const GROUP: &str = "secret-gateway.flyte.org";

/// Kind, plural, singular and place: of each cloud, and of lookups.
fn kinds() -> Vec<(String, String, String, String)> {
    let of = |kind: String, place: &str| {
        let singular = kind.to_lowercase();
        (kind, format!("{singular}s"), singular, place.to_owned())
    };
    let clouds = Provider::ALL.iter().filter(|it| **it != Provider::K8s);
    let clouds = clouds.map(|cloud| of(format!("{cloud}Secret"), cloud.facts().place));
    let places: Vec<&str> = Provider::ALL.iter().map(|it| it.facts().place).collect();
    clouds.chain([of("SecretLookup".to_owned(), &places.join(" or "))]).collect()
}

fn version() -> Value {
    json!({ "groupVersion": "secret-gateway.flyte.org/v1alpha1", "version": "v1alpha1" })
}

#[tokio::test]
async fn groups_versions_and_resources() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let group = json!({ "name": GROUP, "versions": [version()], "preferredVersion": version() });
    let groups = json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group] });
    for accept in ["application/json", "application/json, */*", "application/vnd.kubernetes.protobuf, */*"] {
        let answer = client.with("accept", accept).get("/apis").await;
        assert_eq!((answer.status, answer.json()), (200, groups.clone()), "{accept}");
        assert_eq!((answer.header("content-type"), answer.header("vary")), (Some("application/json"), Some("Accept")));
    }
    assert_eq!(client.get("/apis").await.json(), groups);

    let group = json!({
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": GROUP,
        "versions": [version()],
        "preferredVersion": version(),
    });
    assert_eq!(client.get(&format!("/apis/{GROUP}")).await.json(), group);

    let resource = |(kind, plural, singular, _): (String, String, String, String)| json!({ "name": plural, "singularName": singular, "namespaced": false, "kind": kind, "verbs": ["get"] });
    let resources = json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "secret-gateway.flyte.org/v1alpha1",
        "resources": kinds().into_iter().map(resource).collect::<Vec<_>>(),
    });
    assert_eq!(client.get(&format!("/apis/{GROUP}/v1alpha1")).await.json(), resources);
}

#[tokio::test]
async fn aggregated_discovery() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let resource = |(kind, plural, singular, _): (String, String, String, String)| {
        json!({
            "resource": plural,
            "responseKind": { "group": GROUP, "version": "v1alpha1", "kind": kind },
            "scope": "Cluster",
            "singularResource": singular,
            "verbs": ["get"],
        })
    };
    for version in ["v2", "v2beta1"] {
        let form = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        let answer = client.with("accept", &format!("{form},application/json")).get("/apis").await;
        let wanted = json!({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": format!("apidiscovery.k8s.io/{version}"),
            "metadata": {},
            "items": [{
                "metadata": { "name": GROUP, "creationTimestamp": null },
                "versions": [{
                    "version": "v1alpha1",
                    "resources": kinds().into_iter().map(resource).collect::<Vec<_>>(),
                    "freshness": "Current",
                }],
            }],
        });
        assert_eq!((answer.json(), answer.header("content-type")), (wanted, Some(form.as_str())));
    }
    let unknown = "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList";
    let message = "only the following media types are accepted: application/json";
    let answer = client.with("accept", unknown).get("/apis").await;
    assert_eq!((answer.status, answer.json()), (406, status(406, "NotAcceptable", message)));
}

fn schemas() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let schema = |(kind, _, _, place): (String, String, String, String)| {
        let binary = "The value, if it is bytes in its store.";
        let mut schema = json!({
            "type": "object",
            "description": format!("A secret read through the gateway; its name is `<{place}>:<its name there>`."),
            "properties": {
                "apiVersion": text("The version of this schema."),
                "kind": text("The kind of this object."),
                "metadata": {
                    "type": "object",
                    "description": "Holds the name alone.",
                    "properties": { "name": text("As it was asked for.") },
                },
                "stringValue": text("The value, if it is text in its store."),
                "binaryValue": { "type": "string", "description": binary, "format": "byte" },
            },
            "x-kubernetes-group-version-kind": [{ "group": GROUP, "version": "v1alpha1", "kind": kind }],
        });
        if kind == "SecretLookup" {
            schema["description"] = json!(format!(
                "A secret that is there, without its value; its name is `<{place}>:<its name there>`, or `ready`, which \
                 always is."
            ));
            let properties = schema["properties"].as_object_mut().unwrap();
            properties.remove("stringValue");
            properties.remove("binaryValue");
            let variable = "Whether it can be an environment variable.";
            properties.insert("variable".to_owned(), json!({ "type": "boolean", "description": variable }));
            properties.insert("problem".to_owned(), text("Why it cannot."));
        }
        (format!("org.flyte.secret-gateway.v1alpha1.{kind}"), schema)
    };
    kinds().into_iter().map(schema).collect()
}

fn paths(v2: bool) -> Value {
    let path = |(kind, plural, _, place): (String, String, String, String)| {
        let mut name = json!({
            "name": "name",
            "in": "path",
            "required": true,
            "description": format!("`<{place}>:<name of the secret>`"),
        });
        let mut ok = json!({ "description": "OK" });
        let mut get = json!({
            "tags": ["secretGatewayFlyteOrg_v1alpha1"],
            "description": format!("read the specified {kind}"),
            "operationId": format!("readSecretGatewayFlyteOrgV1alpha1{kind}"),
            "x-kubernetes-action": "get",
            "x-kubernetes-group-version-kind": { "group": GROUP, "version": "v1alpha1", "kind": kind },
        });
        if v2 {
            name["type"] = json!("string");
            name["uniqueItems"] = json!(true);
            ok["schema"] = json!({ "$ref": format!("#/definitions/org.flyte.secret-gateway.v1alpha1.{kind}") });
            get["consumes"] = json!(["*/*"]);
            get["produces"] = json!(["application/json"]);
            get["schemes"] = json!(["https"]);
        } else {
            name["schema"] = json!({ "type": "string", "uniqueItems": true });
            let schema = json!({ "$ref": format!("#/components/schemas/org.flyte.secret-gateway.v1alpha1.{kind}") });
            ok["content"] = json!({ "application/json": { "schema": schema } });
        }
        get["responses"] = json!({ "200": ok, "401": { "description": "Unauthorized" } });
        let path = format!("/apis/{GROUP}/v1alpha1/{plural}/{{name}}");
        (path, json!({ "get": get, "parameters": [name] }))
    };
    kinds().into_iter().map(path).collect()
}

fn info() -> Value {
    json!({ "title": "Flyte secret gateway", "version": concat!("v", env!("CARGO_PKG_VERSION")) })
}

#[tokio::test]
async fn openapi_2() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let answer = client.get("/openapi/v2").await;
    let wanted = json!({ "swagger": "2.0", "info": info(), "paths": paths(true), "definitions": schemas() });
    assert_eq!(answer.json(), wanted);

    let etag = answer.header("etag").unwrap();
    let again = client.with("if-none-match", etag).get("/openapi/v2").await;
    assert_eq!((again.status, again.header("etag"), again.body.len()), (304, Some(etag), 0));
    assert_eq!(client.with("if-none-match", "\"other\"").get("/openapi/v2").await.status, 200);
}

#[tokio::test]
async fn openapi_3() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let (group, version) = (format!("apis/{GROUP}"), format!("apis/{GROUP}/v1alpha1"));
    let documents = [
        (
            version.as_str(),
            json!({
                "openapi": "3.0.0",
                "info": info(),
                "paths": paths(false),
                "components": { "schemas": schemas() },
            }),
        ),
        (
            group.as_str(),
            json!({
                "openapi": "3.0.0",
                "info": info(),
                "paths": {
                    "/apis/secret-gateway.flyte.org/": {
                        "get": {
                            "tags": ["secretGatewayFlyteOrg_v1alpha1"],
                            "description": "the group",
                            "operationId": "getSecretGatewayFlyteOrgAPIGroup",
                            "responses": {
                                "200": { "description": "OK" },
                                "401": { "description": "Unauthorized" },
                            },
                        },
                    },
                },
            }),
        ),
    ];
    let mut index = json!({ "paths": {} });
    for (path, document) in documents {
        let answer = client.get(&format!("/openapi/v3/{path}")).await;
        assert_eq!(answer.json(), document);
        let hash = answer.header("etag").unwrap().trim_matches('"').to_owned();
        index["paths"][path] = json!({ "serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}") });
    }
    assert_eq!(client.get("/openapi/v3").await.json(), index);
    let url = index["paths"][&version]["serverRelativeURL"].as_str().unwrap();
    assert_eq!(client.get(url).await.status, 200);
}

#[tokio::test]
async fn version_and_paths() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let version = client.get("/version").await.json();
    assert_eq!(version["gitVersion"], concat!("v", env!("CARGO_PKG_VERSION")));
    let paths = client.get("/").await.json();
    assert_eq!(
        paths,
        json!({
            "paths": [
                "/apis",
                "/apis/secret-gateway.flyte.org",
                "/apis/secret-gateway.flyte.org/v1alpha1",
                "/healthz",
                "/livez",
                "/metrics",
                "/openapi/v2",
                "/openapi/v3",
                "/openapi/v3/apis/secret-gateway.flyte.org",
                "/openapi/v3/apis/secret-gateway.flyte.org/v1alpha1",
                "/readyz",
                "/version",
            ],
        })
    );
    for path in paths["paths"].as_array().unwrap() {
        assert_eq!(client.get(path.as_str().unwrap()).await.status, 200, "{path}");
    }
}
