//! The schema of the API, in OpenAPI 2 and 3. Documents do not change while the server runs, so the aggregator, which
//! requests them periodically, gets status 304.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::status::Status;
use super::{API_VERSION, GROUP, VERSION};
use crate::names::Kind;

/// A document and its hash.
struct Document {
    json: Bytes,
    hash: String,
}

impl Document {
    fn new(value: &Value) -> Self {
        let json = value.to_string();
        let hash = Sha256::digest(&json).iter().take(16).fold(String::new(), |mut hash, byte| {
            let _ = write!(hash, "{byte:02X}");
            hash
        });
        Self { json: json.into(), hash }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let etag = format!("\"{}\"", self.hash);
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
        let fields = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::ETAG, etag)];
        match known {
            true => (StatusCode::NOT_MODIFIED, fields).into_response(),
            false => (fields, Body::from(self.json.clone())).into_response(),
        }
    }
}

static V2: LazyLock<Document> = LazyLock::new(|| {
    Document::new(&json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths(Flavour::V2),
        "definitions": schemas(),
    }))
});

static V3_GROUP: LazyLock<Document> = LazyLock::new(|| {
    Document::new(&json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": {
            format!("/apis/{GROUP}/"): {
                "get": {
                    "tags": [TAG],
                    "description": "the group",
                    "operationId": "getSecretGatewayFlyteOrgAPIGroup",
                    "responses": { "200": { "description": "OK" }, "401": { "description": "Unauthorized" } },
                },
            },
        },
    }))
});

static V3_VERSION: LazyLock<Document> = LazyLock::new(|| {
    Document::new(&json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths(Flavour::V3),
        "components": { "schemas": schemas() },
    }))
});

static V3: LazyLock<Document> = LazyLock::new(|| {
    let entry = |path: &str, document: &Document| json!({ "serverRelativeURL": format!("/openapi/v3/{path}?hash={}", document.hash) });
    let (group, version) = (format!("apis/{GROUP}"), format!("apis/{API_VERSION}"));
    Document::new(&json!({
        "paths": { group.as_str(): entry(&group, &V3_GROUP), version.as_str(): entry(&version, &V3_VERSION) },
    }))
});

pub(super) async fn v2(headers: HeaderMap) -> Response {
    V2.answer(&headers)
}

pub(super) async fn v3(headers: HeaderMap) -> Response {
    V3.answer(&headers)
}

pub(super) async fn v3_group(Path(group): Path<String>, headers: HeaderMap) -> Response {
    match group == GROUP {
        true => V3_GROUP.answer(&headers),
        false => Status::no_such_path().into_response(),
    }
}

pub(super) async fn v3_version(Path((group, version)): Path<(String, String)>, headers: HeaderMap) -> Response {
    match (group.as_str(), version.as_str()) == (GROUP, VERSION) {
        true => V3_VERSION.answer(&headers),
        false => Status::no_such_path().into_response(),
    }
}

const TAG: &str = "secretGatewayFlyteOrg_v1alpha1";

/// Version of OpenAPI.
#[derive(Clone, Copy)]
enum Flavour {
    V2,
    V3,
}

fn info() -> Value {
    json!({ "title": "Flyte secret gateway", "version": concat!("v", env!("CARGO_PKG_VERSION")) })
}

/// Returns the name of a kind's schema, in the format of Go packages.
fn schema_name(kind: Kind) -> String {
    format!("org.flyte.secret-gateway.{VERSION}.{}", kind.name())
}

fn paths(flavour: Flavour) -> Map<String, Value> {
    let path = |kind: Kind| {
        let schema = schema_name(kind);
        let (name, ok, get) = match flavour {
            Flavour::V2 => (
                json!({ "type": "string", "uniqueItems": true }),
                json!({ "schema": { "$ref": format!("#/definitions/{schema}") } }),
                json!({ "consumes": ["*/*"], "produces": ["application/json"], "schemes": ["https"] }),
            ),
            Flavour::V3 => {
                let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
                (
                    json!({ "schema": { "type": "string", "uniqueItems": true } }),
                    json!({ "content": { "application/json": { "schema": schema } } }),
                    json!({}),
                )
            }
        };
        let name = merged(
            json!({
                "name": "name",
                "in": "path",
                "required": true,
                "description": format!("`<{}>:<name of the secret>`", kind.place()),
            }),
            name,
        );
        let get = merged(
            json!({
                "tags": [TAG],
                "description": format!("read the specified {}", kind.name()),
                "operationId": format!("readSecretGatewayFlyteOrgV1alpha1{}", kind.name()),
                "responses": {
                    "200": merged(json!({ "description": "OK" }), ok),
                    "401": { "description": "Unauthorized" },
                },
                "x-kubernetes-action": "get",
                "x-kubernetes-group-version-kind": { "group": GROUP, "version": VERSION, "kind": kind.name() },
            }),
            get,
        );
        (format!("/apis/{API_VERSION}/{}/{{name}}", kind.plural()), json!({ "get": get, "parameters": [name] }))
    };
    Kind::served().map(path).collect()
}

fn schemas() -> Map<String, Value> {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let schema = |kind: Kind| {
        let binary = merged(text("The value, if it is bytes in its store."), json!({ "format": "byte" }));
        let name = format!("its name is `<{}>:<its name there>`", kind.place());
        let (description, fields) = match kind {
            Kind::Lookup => (
                format!("A secret that is there, without its value; {name}, or `ready`, which always is."),
                json!({
                    "variable": { "type": "boolean", "description": "Whether it can be an environment variable." },
                    "problem": text("Why it cannot."),
                }),
            ),
            _ => (
                format!("A secret read through the gateway; {name}."),
                json!({ "stringValue": text("The value, if it is text in its store."), "binaryValue": binary }),
            ),
        };
        let properties = json!({
            "apiVersion": text("The version of this schema."),
            "kind": text("The kind of this object."),
            "metadata": {
                "type": "object",
                "description": "Holds the name alone.",
                "properties": { "name": text("As it was asked for.") },
            },
        });
        let schema = json!({
            "type": "object",
            "description": description,
            "properties": merged(properties, fields),
            "x-kubernetes-group-version-kind": [{ "group": GROUP, "version": VERSION, "kind": kind.name() }],
        });
        (schema_name(kind), schema)
    };
    Kind::served().map(schema).collect()
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (one.as_object_mut(), other) {
        fields.extend(more);
    }
    one
}
