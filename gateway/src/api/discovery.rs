//! Discovery: groups, versions and resources, in legacy and aggregated documents.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::accept::{self, Form};
use super::status::Status;
use super::{API_VERSION, GROUP, VERSION};
use crate::names::Kind;

pub(super) async fn paths() -> Json<Value> {
    Json(json!({
        "paths": [
            "/apis",
            format!("/apis/{GROUP}"),
            format!("/apis/{API_VERSION}"),
            "/healthz",
            "/livez",
            "/metrics",
            "/openapi/v2",
            "/openapi/v3",
            format!("/openapi/v3/apis/{GROUP}"),
            format!("/openapi/v3/apis/{API_VERSION}"),
            "/readyz",
            "/version",
        ],
    }))
}

pub(super) async fn groups(headers: HeaderMap) -> Response {
    let has = |form| matches!(form, Form::Plain | Form::Discovery(_));
    let mut response = match accept::negotiate(&headers, has) {
        Some(Form::Discovery(version)) => {
            let mut response = Json(aggregated(version)).into_response();
            let content_type = match version {
                "v2" => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                _ => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            };
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            response
        }
        Some(_) => {
            Json(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group_of("")] })).into_response()
        }
        None => Status::not_acceptable().into_response(),
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

pub(super) async fn group(Path(group): Path<String>) -> Response {
    match group == GROUP {
        true => Json(group_of("APIGroup")).into_response(),
        false => Status::no_such_path().into_response(),
    }
}

pub(super) async fn resources(Path((group, version)): Path<(String, String)>) -> Response {
    if (group.as_str(), version.as_str()) != (GROUP, VERSION) {
        return Status::no_such_path().into_response();
    }
    let resource = |kind: Kind| {
        json!({
            "name": kind.plural(),
            "singularName": kind.singular(),
            "namespaced": false,
            "kind": kind.name(),
            "verbs": ["get"],
        })
    };
    Json(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": API_VERSION,
        "resources": Kind::served().map(resource).collect::<Vec<_>>(),
    }))
    .into_response()
}

pub(super) async fn version() -> Json<Value> {
    Json(json!({
        "major": env!("CARGO_PKG_VERSION_MAJOR"),
        "minor": env!("CARGO_PKG_VERSION_MINOR"),
        "gitVersion": concat!("v", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    }))
}

/// Returns the group, with a kind if it is a document of its own.
fn group_of(kind: &str) -> Value {
    let version = json!({ "groupVersion": API_VERSION, "version": VERSION });
    let mut group = json!({ "name": GROUP, "versions": [version], "preferredVersion": version });
    if let (false, Some(fields)) = (kind.is_empty(), group.as_object_mut()) {
        fields.insert("kind".to_owned(), kind.into());
        fields.insert("apiVersion".to_owned(), "v1".into());
    }
    group
}

fn aggregated(version: &str) -> Value {
    let resource = |kind: Kind| {
        json!({
            "resource": kind.plural(),
            "responseKind": { "group": GROUP, "version": VERSION, "kind": kind.name() },
            "scope": "Cluster",
            "singularResource": kind.singular(),
            "verbs": ["get"],
        })
    };
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": [{
            "metadata": { "name": GROUP, "creationTimestamp": null },
            "versions": [{
                "version": VERSION,
                "resources": Kind::served().map(resource).collect::<Vec<_>>(),
                "freshness": "Current",
            }],
        }],
    })
}
