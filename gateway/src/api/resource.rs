//! Reads of objects: authentication, authorization, configured names, then the reader.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flyte_secrets_policy::env_file;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::accept::{self, Form};
use super::status::Status;
use super::{API_VERSION, GONE, Gateway};
use crate::access::front_proxy::User;
use crate::access::review::{Action, Question};
use crate::audit;
use crate::metrics::{ByKind, ByOutcome, InFlight};
use crate::names::{Kind, Name};
use crate::provider::Value;
use crate::reader::{Failed, Source};
use crate::store;

/// Maximum length of a name. Longer ones are rejected at once, and truncated in messages.
const LONGEST: usize = 1024;

/// Maximum size of headers, counted as in HTTP/2: enough for thousands of groups, and within the limit of a review.
const LONGEST_HEAD: usize = 1 << 20;
/// Name of the lookup that always succeeds, which distinguishes a missing secret from a missing gateway.
const READY: &str = "ready";

/// Rejects requests for collections: secrets cannot be listed or created.
pub(super) async fn collection(
    State(gateway): State<Arc<Gateway>>,
    Path(resource): Path<String>,
    request: Parts,
) -> Status {
    refuse(&gateway, &request, Kind::from_plural(&resource), verb(&request, true))
}

/// Serves an object.
pub(super) async fn object(
    State(gateway): State<Arc<Gateway>>,
    Path((resource, name)): Path<(String, String)>,
    request: Parts,
) -> Response {
    match (Kind::from_plural(&resource), verb(&request, false)) {
        (Some(kind), "get") => read(&gateway, kind, &name, &request).await,
        (kind, verb) => refuse(&gateway, &request, kind, verb).into_response(),
    }
}

fn refuse(gateway: &Gateway, request: &Parts, kind: Option<Kind>, verb: &str) -> Status {
    match (gateway.authenticate(request), kind) {
        (Err(status), _) => *status,
        (Ok(_), Some(kind)) => Status::not_supported(kind, verb),
        (Ok(_), None) => Status::no_such_path(),
    }
}

/// Returns the Kubernetes verb of a request. A `get` with the parameter `watch` is a watch.
fn verb(request: &Parts, collection: bool) -> &'static str {
    // As in apimachinery, every value except "false" and "0" is true.
    let asks_to_watch = |pair: &str| match pair.split_once('=').unwrap_or((pair, "")) {
        ("watch", value) => !value.eq_ignore_ascii_case("false") && value != "0",
        _ => false,
    };
    let watches = request.uri.query().is_some_and(|query| query.split('&').any(asks_to_watch));
    match request.method {
        Method::GET | Method::HEAD if watches => "watch",
        Method::GET if collection => "list",
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        _ => "this method",
    }
}

/// The audit trail of a read. When dropped, it counts the read and writes its audit line, also if the caller
/// disconnects, because the provider may have been called.
struct Trail<'a> {
    gateway: &'a Gateway,
    kind: Kind,
    /// The requested name.
    text: &'a str,
    start: Instant,
    user: Option<User>,
    name: Option<Name>,
    source: Option<Source>,
    /// Reason and HTTP status.
    outcome: (&'static str, u16),
    _in_flight: InFlight,
}

impl<'a> Trail<'a> {
    fn start(gateway: &'a Gateway, kind: Kind, text: &'a str) -> Self {
        Self {
            gateway,
            kind,
            text,
            start: Instant::now(),
            user: None,
            name: None,
            source: None,
            outcome: GONE,
            _in_flight: InFlight::enter(&gateway.metrics.in_flight, kind),
        }
    }
}

impl Drop for Trail<'_> {
    fn drop(&mut self) {
        let Self { gateway, kind, outcome: (outcome, code), source, .. } = *self;
        let duration = self.start.elapsed();
        gateway.metrics.requests.get_or_create(&ByOutcome { kind, outcome }).inc();
        gateway.metrics.request_seconds.get_or_create(&ByKind { kind }).observe(duration.as_secs_f64());
        let user = self.user.as_ref();
        let fields = audit::Read {
            user: user.map(|user| user.name.as_str()),
            groups: user.map_or(&[], |user| &user.groups),
            kind,
            name: cut(self.text),
            place: self.name.as_ref().map(|name| name.place.as_str()),
            source: source.map(Source::word),
            cached: source.is_some_and(|source| source != Source::Provider),
        };
        gateway.audit.read(&fields, audit::Outcome { word: outcome, code, duration, authenticated: user.is_some() });
    }
}

async fn read(gateway: &Gateway, kind: Kind, text: &str, request: &Parts) -> Response {
    let mut trail = Trail::start(gateway, kind, text);
    let answer = answer(&mut trail, request).await;
    trail.outcome = answer.as_ref().map_or_else(|status| (status.reason, status.code), |_| ("ok", 200));
    answer.unwrap_or_else(|status| status.into_response())
}

async fn answer(trail: &mut Trail<'_>, request: &Parts) -> Result<Response, Box<Status>> {
    let Trail { gateway, kind, text, .. } = *trail;
    let user = trail.user.insert(gateway.authenticate(request)?);
    if head(&request.headers) > LONGEST_HEAD {
        // The user's name is enough for the audit line.
        user.groups.clear();
        return Err(Box::new(Status::too_long_a_head(kind, text, LONGEST_HEAD)));
    }
    let user = user.clone();
    let has = |form| !matches!(form, Form::Discovery(_));
    let form = accept::negotiate(&request.headers, has).ok_or_else(|| Box::new(Status::not_acceptable()))?;
    let store = if kind == Kind::Lookup { gateway.served.store_of(text) } else { kind };
    let name = match (kind, text) {
        (Kind::Lookup, READY) => None,
        _ => Some(Name::parse(store, text).map_err(|bad| Status::bad_name(kind, &bad))?),
    };
    trail.name.clone_from(&name);

    let question = Question { user, action: Action::Read(kind, text.to_owned()) };
    gateway.reviewer.review(&question).await.map_err(|refusal| Status::refused(&question, &refusal))?;
    let Some(name) = name else { return Ok(there(form, text, None)) };
    gateway.served.check(&name).map_err(|why| Status::not_served(kind, text, &why))?;

    let read = gateway.reader.read(&name).await;
    trail.source = Some(read.source);
    let value = read.outcome.map_err(|failed| Status::failed(kind, text, &failed))?;
    if kind == Kind::Lookup {
        let plain = gateway.served.plain_values();
        let value = store::unpack(&name, value, plain).map_err(|why| Status::bad_value(kind, text, &why))?;
        return Ok(there(form, text, Some(env_file::check(value.bytes()))));
    }
    match form {
        Form::Table => Ok(Json(table(text)).into_response()),
        Form::Metadata => Ok(Json(metadata(text)).into_response()),
        Form::Plain | Form::Discovery(_) => {
            render(kind, text, &value).map_err(|_| Box::new(Status::failed(kind, text, &Failed::Broken)))
        }
    }
}

/// Returns the size of headers by RFC 9113 (6.5.2).
fn head(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

/// The object of a successful lookup.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lookup<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    /// Whether the value can be a variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<bool>,
    /// Why the value cannot be a variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Returns the response of a successful lookup.
fn there(form: Form, name: &str, variable: Option<Result<(), env_file::Error>>) -> Response {
    match form {
        Form::Table => Json(table(name)).into_response(),
        Form::Metadata => Json(metadata(name)).into_response(),
        Form::Plain | Form::Discovery(_) => Json(Lookup {
            api_version: API_VERSION,
            kind: Kind::Lookup.name(),
            metadata: Metadata { name },
            variable: variable.as_ref().map(Result::is_ok),
            problem: variable.and_then(Result::err).map(|problem| problem.to_string()),
        })
        .into_response(),
    }
}

fn cut(name: &str) -> &str {
    let end = name.char_indices().map(|(at, _)| at).find(|at| *at >= LONGEST);
    end.and_then(|end| name.get(..end)).unwrap_or(name)
}

/// Number of spaces before each object. HTTP/2 (`CHAIN_THRESHOLD` of h2) copies the first bytes of a body into a buffer
/// of the connection, which is not wiped, and sends the rest without a copy.
pub(super) const LEAD: usize = 256;

/// The object in a response.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<&'a str>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
}

/// Returns the response of a read. Its memory is wiped after it is sent, and not moved before.
fn render(kind: Kind, name: &str, value: &Value) -> serde_json::Result<Response> {
    let encoded = match value {
        Value::Text(_) => None,
        Value::Binary(bytes) => Some(Zeroizing::new(STANDARD.encode(bytes.expose_secret()))),
    };
    let object = Object {
        api_version: API_VERSION,
        kind: kind.name(),
        metadata: Metadata { name },
        string_value: match value {
            Value::Text(text) => Some(text.expose_secret()),
            Value::Binary(_) => None,
        },
        binary_value: encoded.as_ref().map(|encoded| encoded.as_str()),
    };
    let mut length = Length(0);
    serde_json::to_writer(&mut length, &object)?;
    let mut json = Zeroizing::new(Vec::with_capacity(LEAD + length.0));
    json.resize(LEAD, b' ');
    serde_json::to_writer(&mut *json, &object)?;
    let mut response = Body::from(Bytes::from_owner(Wiped(json))).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Bytes that are wiped after they are sent.
pub(super) struct Wiped(pub(super) Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A writer that counts bytes.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns the table for kubectl, which has no value.
fn table(name: &str) -> serde_json::Value {
    json!({
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
        "rows": [{ "cells": [name], "object": metadata(name) }],
    })
}

fn metadata(name: &str) -> serde_json::Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": { "name": name },
    })
}
