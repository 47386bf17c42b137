//! GCP: the REST protocol of Secret Manager, with the metadata server that Workload Identity is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use google_cloud_auth::credentials::mds;
use secret_gateway::providers::gcp::SecretManager;

use super::*;

pub const PROJECT: &str = "flyte-1";

pub async fn subject() -> Subject {
    Subject {
        double: Double::http(|asked| service(asked, "", |name| answer_of(rows(), name, version(CANARY.as_bytes()))))
            .await,
        open: Box::new(|port| Box::new(SecretManager::open(&config(&format!("http://127.0.0.1:{port}"))).unwrap())),
        place: PROJECT,
        elsewhere: &["flyte-2"],
        rows: rows(),
        asked: |name| {
            let (name, version) = name.split_once("::").unwrap_or((name, "latest"));
            format!("GET /v1/projects/flyte-1/secrets/{name}/versions/{version}:access")
        },
        asked_first: Vec::new(),
        alphabet: (255, "_-"),
        bad_names: &["..", "a/versions/1", "a?x"],
        canaries: &["canary", "wrong-sum", "no-sum", "not-base64", "not-json"],
        encoded: STANDARD.encode(CANARY),
        _files: Vec::new(),
    }
}

fn config(endpoint: &str) -> config::Gcp {
    config::Gcp { projects: vec![PROJECT.to_owned()], endpoint: Some(endpoint.to_owned()), anonymous: true }
}

/// What the service checks before it looks for the secret, whose name has the version if it is not the latest.
fn service(asked: &Asked, token: &str, answer: impl Fn(&str) -> Answer) -> Answer {
    let path = asked.uri().path().strip_prefix("/v1/projects/flyte-1/secrets/");
    let secret = path
        .and_then(|rest| rest.strip_suffix(":access")?.split_once("/versions/"))
        .filter(|(name, _)| asked.method() == "GET" && !name.contains('/'));
    let Some((name, version)) = secret else { return html(404) };
    if !token.is_empty() && header(asked, "authorization") != format!("Bearer {token}") {
        return error(401, "UNAUTHENTICATED", Value::Null);
    }
    match version {
        "latest" => answer(name),
        _ => answer(&format!("{name}::{version}")),
    }
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
fn rows() -> Rows {
    let undecodable = "not a response of AccessSecretVersion";
    let off = "version is disabled or destroyed; enable it, add a version, or delete the secret";
    let role = "grant the gateway's service account roles/secretmanager.secretAccessor (secretmanager.versions.access)";
    let encoded = STANDARD.encode(CANARY);
    let sum_of_another = crc32c::crc32c(b"other").to_string();
    let plain = |status, code| error(status, code, Value::Null);
    let no_api = object!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED",
                          "domain": "googleapis.com"});
    let later = object!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"});
    let throttled = |seconds| Err(Failure::Throttled(Some(Duration::from_secs(seconds))));
    vec![
        ("text", version("päss\n".as_bytes()), text("päss\n")),
        ("text::3", version(b"third"), text("third")),
        ("binary", version(&[0, 159, 255]), binary(&[0, 159, 255])),
        ("empty", version(b""), text("")),
        (
            "wrong-sum",
            payload(object!({"data": encoded, "dataCrc32c": sum_of_another})),
            garbage("payload does not match its CRC32C"),
        ),
        ("no-sum", payload(object!({"data": encoded})), garbage("missing CRC32C of the payload")),
        ("no-payload", json(200, object!({"name": "x"})), garbage("missing payload")),
        ("not-base64", payload(object!({"data": format!("{CANARY}!"), "dataCrc32c": "1"})), garbage(undecodable)),
        ("not-json", json(200, format!("{{\"payload\": \"{CANARY}")), garbage(undecodable)),
        ("missing", plain(404, "NOT_FOUND"), Err(Failure::NotFound)),
        ("not-the-service", html(404), garbage("undocumented status 404 of Secret Manager")),
        ("off", plain(400, "FAILED_PRECONDITION"), forbidden(off)),
        ("denied", plain(403, "PERMISSION_DENIED"), forbidden(role)),
        (
            "no-api",
            error(403, "PERMISSION_DENIED", no_api),
            forbidden("enable API secretmanager.googleapis.com in the project"),
        ),
        ("throttled", plain(429, "RESOURCE_EXHAUSTED"), Err(Failure::Throttled(None))),
        ("throttled-for", error(429, "RESOURCE_EXHAUSTED", later), throttled(7)),
        ("throttled-by-proxy", json_with(429, "retry-after", "9", "<html>"), throttled(9)),
        ("refused", plain(400, "INVALID_ARGUMENT"), bad_name("INVALID_ARGUMENT")),
        ("expired", plain(401, "UNAUTHENTICATED"), credentials_refused("UNAUTHENTICATED")),
        ("expired-by-proxy", html(401), credentials_refused("status 401")),
        ("down", plain(503, "UNAVAILABLE"), unreachable("UNAVAILABLE")),
        ("aborted", plain(409, "ABORTED"), Err(Failure::Conflict("ABORTED".to_owned()))),
        ("lost", plain(500, "DATA_LOSS"), garbage("undocumented error DATA_LOSS of AccessSecretVersion")),
        ("broken", plain(500, "INTERNAL"), unreachable("INTERNAL")),
        ("bad-gateway", html(502), unreachable("status 502")),
        ("late", plain(504, "DEADLINE_EXCEEDED"), Err(Failure::Slow)),
    ]
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
            if asked.uri().path() != TOKEN || header(asked, "metadata-flavor") != "Google" {
                return html(403);
            }
            if asked_for.fetch_add(1, Ordering::SeqCst) < refused {
                return html(404);
            }
            let token = format!("token-{}", giving.fetch_add(1, Ordering::SeqCst) + 1);
            json(200, object!({"access_token": token, "expires_in": expires_in, "token_type": "Bearer"}))
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
        let metadata = self.metadata.url();
        let source = move || {
            let builder = mds::Builder::default().with_endpoint(&metadata).with_universe_domain("googleapis.com");
            builder.build().map_err(|error| error.to_string())
        };
        SecretManager::new(&config(&self.service.url()), Box::new(source)).unwrap()
    }
}

#[tokio::test]
async fn workload_identity_tokens_are_reused_until_rejected() {
    let cloud = Cloud::start(0, 3600).await;
    let provider = cloud.provider();
    assert_eq!(read(&provider, PROJECT, "a").await, text("text"));
    assert_eq!(read(&provider, PROJECT, "b").await, text("text"));
    assert_eq!(cloud.metadata.asked(), [format!("GET {TOKEN}")]);
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
