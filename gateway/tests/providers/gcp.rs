//! GCP: the REST protocol of Secret Manager, with the metadata server that Workload Identity is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use google_cloud_auth::credentials::mds;
use secret_gateway::config;
use secret_gateway::provider::Failure;
use secret_gateway::providers::gcp::SecretManager;
use serde_json::{Value, json as object};
use tracing_subscriber::filter::LevelFilter;

use crate::double::{Answer, Asked, Double, html, json, json_with, nobody};
use crate::{
    CANARY, assert_nothing_is_shown, assert_rejected_without_a_call, bad_name, binary, broken_connections,
    credentials_refused, forbidden, garbage, no_credentials, nobody_listens, read, text, unreachable,
};

pub const PROJECT: &str = "flyte-1";

fn config(endpoint: &str) -> config::Gcp {
    config::Gcp { projects: vec![PROJECT.to_owned()], endpoint: Some(endpoint.to_owned()), anonymous: true }
}

fn with_identity(endpoint: &str, metadata: &str) -> SecretManager {
    let metadata = metadata.to_owned();
    let source = move || {
        let builder = mds::Builder::default().with_endpoint(&metadata).with_universe_domain("googleapis.com");
        builder.build().map_err(|error| error.to_string())
    };
    SecretManager::new(&config(endpoint), Box::new(source)).unwrap()
}

/// What the service checks before it looks for the secret.
fn service(asked: &Asked, token: &str, answer: impl Fn(&str) -> Answer) -> Answer {
    let secret = asked
        .path
        .strip_prefix("/v1/projects/flyte-1/secrets/")
        .and_then(|rest| rest.strip_suffix(":access")?.split_once("/versions/"))
        .filter(|(name, version)| asked.method == "GET" && !name.contains('/') && ["latest", "3"].contains(version));
    let Some((name, version)) = secret else { return html(404) };
    let sent = asked.header("authorization");
    if !token.is_empty() && sent != format!("Bearer {token}") {
        return error(401, "UNAUTHENTICATED", Value::Null);
    }
    if version == "3" { self::version(b"third") } else { answer(name) }
}

fn error(status: u16, code: &str, detail: Value) -> Answer {
    let details: Vec<_> = Some(detail).into_iter().filter(|detail| !detail.is_null()).collect();
    json(status, object!({"error": {"code": status, "status": code, "message": code, "details": details}}))
}

fn version(bytes: &[u8]) -> Answer {
    payload(object!({"data": STANDARD.encode(bytes), "dataCrc32c": crc32c::crc32c(bytes).to_string()}))
}

fn payload(payload: Value) -> Answer {
    json(200, object!({"name": "projects/1/secrets/x/versions/3", "payload": payload}))
}

/// The double's secrets, and what becomes of reading them.
fn failures() -> Vec<(&'static str, Answer, Result<crate::Shown, Failure>)> {
    let undecodable = "not a response of AccessSecretVersion";
    let damaged = "payload does not match its CRC32C";
    let off = "version is disabled or destroyed; enable it, add a version, or delete the secret";
    let role = "grant the gateway's service account roles/secretmanager.secretAccessor (secretmanager.versions.access)";
    let sum = |bytes| crc32c::crc32c(bytes).to_string();
    let mut table = vec![
        ("text", version("päss\n".as_bytes()), text("päss\n")),
        ("binary", version(&[0, 159, 255]), binary(&[0, 159, 255])),
        ("empty", version(b""), text("")),
        (
            "wrong-sum",
            payload(object!({"data": STANDARD.encode(CANARY), "dataCrc32c": sum(b"other")})),
            garbage(damaged),
        ),
        ("no-sum", payload(object!({"data": STANDARD.encode(CANARY)})), garbage("missing CRC32C of the payload")),
        ("no-payload", json(200, object!({"name": "x"})), garbage("missing payload")),
        ("not-base64", payload(object!({"data": format!("{CANARY}!"), "dataCrc32c": "1"})), garbage(undecodable)),
        ("not-json", json(200, format!("{{\"payload\": \"{CANARY}")), garbage(undecodable)),
        ("missing", error(404, "NOT_FOUND", Value::Null), Err(Failure::NotFound)),
        ("not-the-service", html(404), garbage("undocumented status 404 of Secret Manager")),
        ("off", error(400, "FAILED_PRECONDITION", Value::Null), forbidden(off)),
        ("denied", error(403, "PERMISSION_DENIED", Value::Null), forbidden(role)),
        (
            "no-api",
            error(
                403,
                "PERMISSION_DENIED",
                object!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED",
                         "domain": "googleapis.com"}),
            ),
            forbidden("enable API secretmanager.googleapis.com in the project"),
        ),
        ("throttled", error(429, "RESOURCE_EXHAUSTED", Value::Null), Err(Failure::Throttled(None))),
        (
            "throttled-for",
            error(
                429,
                "RESOURCE_EXHAUSTED",
                object!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}),
            ),
            Err(Failure::Throttled(Some(Duration::from_secs(7)))),
        ),
        (
            "throttled-by-proxy",
            json_with(429, "retry-after", "9", "<html>"),
            Err(Failure::Throttled(Some(Duration::from_secs(9)))),
        ),
        ("refused", error(400, "INVALID_ARGUMENT", Value::Null), bad_name("INVALID_ARGUMENT")),
        ("expired", error(401, "UNAUTHENTICATED", Value::Null), credentials_refused("UNAUTHENTICATED")),
        ("expired-by-proxy", html(401), credentials_refused("status 401")),
        ("down", error(503, "UNAVAILABLE", Value::Null), unreachable("UNAVAILABLE")),
        ("aborted", error(409, "ABORTED", Value::Null), Err(Failure::Conflict("ABORTED".to_owned()))),
        ("lost", error(500, "DATA_LOSS", Value::Null), garbage("undocumented error DATA_LOSS of AccessSecretVersion")),
        ("broken", error(500, "INTERNAL", Value::Null), unreachable("INTERNAL")),
        ("bad-gateway", html(502), unreachable("status 502")),
        ("late", error(504, "DEADLINE_EXCEEDED", Value::Null), Err(Failure::Slow)),
    ];
    table.extend(broken_connections());
    table
}

async fn double() -> Double {
    Double::http(|asked| {
        service(asked, "", |name| {
            failures()
                .into_iter()
                .find(|(known, ..)| *known == name)
                .map_or_else(|| version(CANARY.as_bytes()), |(_, answer, _)| answer)
        })
    })
    .await
}

#[tokio::test]
async fn errors_map_to_failures() {
    let double = double().await;
    let provider = SecretManager::open(&config(&double.url())).unwrap();
    let table = failures();
    let mut asked = Vec::new();
    for (name, _, wanted) in table {
        assert_eq!(read(&provider, PROJECT, name).await, wanted, "{name}");
        asked.push(format!("GET /v1/projects/flyte-1/secrets/{name}/versions/latest:access"));
    }
    assert_eq!(read(&provider, PROJECT, "text::3").await, text("third"));
    asked.push("GET /v1/projects/flyte-1/secrets/text/versions/3:access".to_owned());
    assert_eq!(double.asked(), asked, "the SDK must not retry");
}

#[tokio::test]
async fn unconfigured_places_and_invalid_names_are_rejected_without_a_call() {
    let double = double().await;
    let provider = SecretManager::open(&config(&double.url())).unwrap();
    let alphabet = "expected 1 to 255 letters, digits and _-";
    let names = ["..", "a/versions/1", "a?x", &"a".repeat(256)];
    assert_rejected_without_a_call(&provider, &double, (PROJECT, "flyte-2"), (&names, alphabet)).await;
}

#[tokio::test]
async fn refused_connections_are_unreachable() {
    let address = nobody().await;
    let provider = SecretManager::open(&config(&format!("http://{}", address))).unwrap();
    assert_eq!(read(&provider, PROJECT, "text").await, nobody_listens(address));
}

/// The metadata server that gives tokens, and a service that takes only the one that is valid now.
pub struct Cloud {
    pub metadata: Double,
    pub service: Double,
    /// How many tokens were given.
    given: Arc<AtomicU32>,
}

const TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

impl Cloud {
    /// The first so many requests for a token are refused.
    pub async fn start(refused: u32, expires_in: u32) -> Self {
        let (given, asked_for) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let giving = Arc::clone(&given);
        let metadata = Double::http(move |asked| {
            if asked.header("metadata-flavor") != "Google" {
                return html(403);
            }
            match asked.path.as_str() {
                TOKEN if asked_for.fetch_add(1, Ordering::SeqCst) < refused => html(404),
                TOKEN => {
                    let number = giving.fetch_add(1, Ordering::SeqCst) + 1;
                    let token = format!("token-{number}");
                    json(200, object!({"access_token": token, "expires_in": expires_in, "token_type": "Bearer"}))
                }
                _ => html(404),
            }
        })
        .await;
        let valid = Arc::clone(&given);
        let service = Double::http(move |asked| {
            service(asked, &format!("token-{}", valid.load(Ordering::SeqCst)), |name| {
                version(if name == "empty" { b"" } else { b"text" })
            })
        })
        .await;
        Self { metadata, service, given }
    }

    fn provider(&self) -> SecretManager {
        with_identity(&self.service.url(), &self.metadata.url())
    }
}

#[tokio::test]
async fn workload_identity_tokens_are_reused() {
    let cloud = Cloud::start(0, 3600).await;
    let provider = cloud.provider();
    assert_eq!(read(&provider, PROJECT, "a").await, text("text"));
    assert_eq!(read(&provider, PROJECT, "b").await, text("text"));
    assert_eq!(cloud.metadata.asked(), [format!("GET {TOKEN}")]);
}

#[tokio::test]
async fn rejected_tokens_are_reported() {
    let cloud = Cloud::start(0, 3600).await;
    let provider = cloud.provider();
    assert_eq!(read(&provider, PROJECT, "a").await, text("text"));
    // It is revoked: another one is the valid one now.
    cloud.given.fetch_add(1, Ordering::SeqCst);
    assert_eq!(read(&provider, PROJECT, "a").await, credentials_refused("UNAUTHENTICATED"));
}

#[tokio::test]
async fn tokens_that_expire_are_renewed() {
    let cloud = Cloud::start(0, 1).await;
    let provider = cloud.provider();
    assert_eq!(read(&provider, PROJECT, "a").await, text("text"));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // The SDK renews it in the background, and a read waits for that as long as it may.
    let renewed = tokio::time::timeout(Duration::from_secs(20), async {
        while read(&provider, PROJECT, "a").await != text("text") {}
    });
    assert_eq!(renewed.await, Ok(()));
    assert_eq!(cloud.given.load(Ordering::SeqCst), 2);
}

/// A metadata server that starts later than the pod refuses at first; the SDK takes that for permanent.
#[tokio::test]
async fn late_identities_are_picked_up() {
    let cloud = Cloud::start(1, 3600).await;
    let provider = cloud.provider();
    let first = read(&provider, PROJECT, "a").await;
    assert_eq!(read(&provider, PROJECT, "a").await, text("text"));
    assert_eq!(first, no_credentials("status 404 from the token endpoint"));
}

#[tokio::test]
async fn debug_output_holds_no_value() {
    let double = double().await;
    let provider = SecretManager::open(&config(&double.url())).unwrap();
    let names = ["canary", "wrong-sum", "no-sum", "not-base64", "not-json"];
    assert_nothing_is_shown(
        "gcp::debug_output_holds_no_value",
        LevelFilter::TRACE,
        &provider,
        PROJECT,
        &names,
        &STANDARD.encode(CANARY),
    )
    .await;
}
