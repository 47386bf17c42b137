//! What clients and the aggregator are told of the API: whole documents.

use secret_gateway::names::Kind;

use super::*;

/// Returns a reference to a kind.
fn of_api(kind: Kind) -> Value {
    json!({ "group": GROUP, "version": "v1alpha1", "kind": kind.name() })
}

/// Returns a value made of each kind, in an array or object.
fn of_kinds<T, All: FromIterator<T>>(value: impl Fn(Kind) -> T) -> All {
    Kind::served().map(value).collect()
}

#[tokio::test]
async fn groups_versions_and_resources() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let version = json!({ "groupVersion": "secret-gateway.flyte.org/v1alpha1", "version": "v1alpha1" });
    let mut group = json!({ "name": GROUP, "versions": [version], "preferredVersion": version });
    let groups = json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group] });
    for accept in ["application/json", "application/json, */*", "application/vnd.kubernetes.protobuf, */*"] {
        let answer = client.with("accept", accept).get("/apis").await;
        answer.is(&groups);
        assert_eq!((answer.header("content-type"), answer.header("vary")), (Some("application/json"), Some("Accept")));
    }
    client.get("/apis").await.is(&groups);

    group["kind"] = json!("APIGroup");
    group["apiVersion"] = json!("v1");
    client.get(&format!("/apis/{GROUP}")).await.is(&group);

    let plurals: Vec<_> = of_kinds(Kind::plural);
    assert_eq!(plurals, ["awssecrets", "gcpsecrets", "azuresecrets", "secretlookups"]);
    let resources: Vec<_> = of_kinds(|kind| {
        let (name, singular) = (kind.plural(), kind.singular());
        json!({ "name": name, "singularName": singular, "namespaced": false, "kind": kind.name(), "verbs": ["get"] })
    });
    client.get(&format!("/apis/{GROUP}/v1alpha1")).await.is(&json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "secret-gateway.flyte.org/v1alpha1",
        "resources": resources,
    }));
}

#[tokio::test]
async fn aggregated_discovery() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let resources: Vec<_> = of_kinds(|kind| {
        json!({
            "resource": kind.plural(), "singularResource": kind.singular(), "responseKind": of_api(kind),
            "scope": "Cluster", "verbs": ["get"],
        })
    });
    for version in ["v2", "v2beta1"] {
        let form = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        let answer = client.with("accept", &format!("{form},application/json")).get("/apis").await;
        answer.is(&json!({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": format!("apidiscovery.k8s.io/{version}"),
            "metadata": {},
            "items": [{
                "metadata": { "name": GROUP, "creationTimestamp": null },
                "versions": [{ "version": "v1alpha1", "resources": resources, "freshness": "Current" }],
            }],
        }));
        assert_eq!(answer.header("content-type"), Some(form.as_str()));
    }
    let unknown = "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList";
    let answer = client.with("accept", unknown).get("/apis").await;
    let message = "only the following media types are accepted: application/json";
    answer.is_failure(406, "NotAcceptable", message, &json!({}));
}

fn schemas() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    of_kinds(|kind| {
        let place = format!("its name is `<{}>:<its name there>`", kind.place());
        let metadata = json!({
            "type": "object", "description": "Holds the name alone.",
            "properties": { "name": text("As it was asked for.") },
        });
        let mut properties = json!({
            "apiVersion": text("The version of this schema."),
            "kind": text("The kind of this object."),
            "metadata": metadata,
        });
        let description = if kind == Kind::Lookup {
            let variable = "Whether it can be an environment variable.";
            properties["variable"] = json!({ "type": "boolean", "description": variable });
            properties["problem"] = text("Why it cannot.");
            format!("A secret that is there, without its value; {place}, or `ready`, which always is.")
        } else {
            let binary = "The value, if it is bytes in its store.";
            properties["stringValue"] = text("The value, if it is text in its store.");
            properties["binaryValue"] = json!({ "type": "string", "description": binary, "format": "byte" });
            format!("A secret read through the gateway; {place}.")
        };
        let schema = json!({
            "type": "object", "description": description, "properties": properties,
            "x-kubernetes-group-version-kind": [of_api(kind)],
        });
        (format!("org.flyte.secret-gateway.v1alpha1.{}", kind.name()), schema)
    })
}

fn paths(v2: bool) -> Value {
    of_kinds(|kind| {
        let mut name = json!({
            "name": "name", "in": "path", "required": true,
            "description": format!("`<{}>:<name of the secret>`", kind.place()),
        });
        let mut ok = json!({ "description": "OK" });
        let mut get = json!({
            "tags": ["secretGatewayFlyteOrg_v1alpha1"],
            "description": format!("read the specified {}", kind.name()),
            "operationId": format!("readSecretGatewayFlyteOrgV1alpha1{}", kind.name()),
            "x-kubernetes-action": "get",
            "x-kubernetes-group-version-kind": of_api(kind),
        });
        let schema = format!("org.flyte.secret-gateway.v1alpha1.{}", kind.name());
        if v2 {
            name["type"] = json!("string");
            name["uniqueItems"] = json!(true);
            ok["schema"] = json!({ "$ref": format!("#/definitions/{schema}") });
            get["consumes"] = json!(["*/*"]);
            get["produces"] = json!(["application/json"]);
            get["schemes"] = json!(["https"]);
        } else {
            name["schema"] = json!({ "type": "string", "uniqueItems": true });
            let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
            ok["content"] = json!({ "application/json": { "schema": schema } });
        }
        get["responses"] = json!({ "200": ok, "401": { "description": "Unauthorized" } });
        (format!("/apis/{GROUP}/v1alpha1/{}/{{name}}", kind.plural()), json!({ "get": get, "parameters": [name] }))
    })
}

fn info() -> Value {
    json!({ "title": "Flyte secret gateway", "version": concat!("v", env!("CARGO_PKG_VERSION")) })
}

#[tokio::test]
async fn openapi_2() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    let answer = client.get("/openapi/v2").await;
    answer.is(&json!({ "swagger": "2.0", "info": info(), "paths": paths(true), "definitions": schemas() }));

    let etag = answer.header("etag").unwrap();
    let again = client.with("if-none-match", etag).get("/openapi/v2").await;
    assert_eq!((again.status, again.header("etag"), again.body.len()), (304, Some(etag), 0));
    assert_eq!(client.with("if-none-match", "\"other\"").get("/openapi/v2").await.status, 200);
}

#[tokio::test]
async fn openapi_3() {
    let kit = Kit::start("").await;
    let group = json!({
        "tags": ["secretGatewayFlyteOrg_v1alpha1"],
        "description": "the group",
        "operationId": "getSecretGatewayFlyteOrgAPIGroup",
        "responses": { "200": { "description": "OK" }, "401": { "description": "Unauthorized" } },
    });
    let documents = [
        (format!("apis/{GROUP}/v1alpha1"), json!({ "paths": paths(false), "components": { "schemas": schemas() } })),
        (format!("apis/{GROUP}"), json!({ "paths": { "/apis/secret-gateway.flyte.org/": { "get": group } } })),
    ];
    let mut index = json!({ "paths": {} });
    for (path, mut document) in documents {
        document["openapi"] = json!("3.0.0");
        document["info"] = info();
        let answer = kit.get(&format!("/openapi/v3/{path}")).await;
        answer.is(&document);
        let hash = answer.header("etag").unwrap().trim_matches('"').to_owned();
        let url = format!("/openapi/v3/{path}?hash={hash}");
        assert_eq!(kit.get(&url).await.status, 200);
        index["paths"][path] = json!({ "serverRelativeURL": url });
    }
    kit.get("/openapi/v3").await.is(&index);
}

#[tokio::test]
async fn version_and_paths() {
    let kit = Kit::start("").await;
    let version = kit.get("/version").await.json();
    assert_eq!(version["gitVersion"], concat!("v", env!("CARGO_PKG_VERSION")));
    let paths = [
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
    ];
    kit.get("/").await.is(&json!({ "paths": paths }));
    for path in paths {
        assert_eq!(kit.get(path).await.status, 200, "{path}");
    }
}
