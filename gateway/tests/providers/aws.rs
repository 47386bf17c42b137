//! AWS: the protocol of Secrets Manager, and credentials that end.

use std::time::SystemTime;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use secret_gateway::providers::aws::SecretsManager;

use super::*;

pub const REGION: &str = "eu-west-1";
/// A region without secrets.
const EMPTY_REGION: &str = "us-east-2";
/// The ID of a version.
const ID: &str = "00000000-0000-4000-8000-000000000000";
const DELETED: &str =
    "secret is marked for deletion; restore it (secretsmanager:RestoreSecret) or delete it without recovery";

pub async fn subject() -> Subject {
    Subject {
        double: Double::http(|asked| {
            service(asked, |name| answer_of(rows(), name, json(200, object!({"SecretString": CANARY}))))
        })
        .await,
        open: Box::new(|port| Box::new(provider(&format!("http://127.0.0.1:{port}"), static_credentials()))),
        place: REGION,
        elsewhere: &["eu-central-1", ""],
        rows: rows(),
        asked: |_| "POST /".to_owned(),
        asked_first: Vec::new(),
        alphabet: (512, "_+=.@-"),
        bad_names: &["arn:aws:secretsmanager:eu-central-1:1:secret:x", "a b"],
        canaries: &["canary", "not-json", "not-base64"],
        encoded: CANARY.to_owned(),
        _files: Vec::new(),
    }
}

fn static_credentials() -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new("AKIDEXAMPLE", "key", Some("session".to_owned()), None, "test"))
}

fn sdk(credentials: SharedCredentialsProvider) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .credentials_provider(credentials)
        .build()
}

fn provider(endpoint: &str, credentials: SharedCredentialsProvider) -> SecretsManager {
    let regions = vec![REGION.to_owned(), EMPTY_REGION.to_owned()];
    SecretsManager::new(&config::Aws { regions, endpoint: Some(endpoint.to_owned()) }, &sdk(credentials)).unwrap()
}

/// What the service checks before it looks for the secret, whose name has the version if it is not the current one.
pub fn service(asked: &Asked, answer: impl Fn(&str) -> Answer) -> Answer {
    let authorization = header(asked, "authorization");
    if header(asked, "x-amz-target") != "secretsmanager.GetSecretValue"
        || header(asked, "content-type") != "application/x-amz-json-1.1"
        || (asked.method().as_str(), asked.uri().path()) != ("POST", "/")
    {
        return json(400, object!({"__type": "UnknownOperationException"}));
    }
    let signed = |region: &str| authorization.contains(&format!("/{region}/secretsmanager/aws4_request"));
    if !authorization.starts_with("AWS4-HMAC-SHA256 Credential=") || !(signed(REGION) || signed(EMPTY_REGION)) {
        return json(400, object!({"__type": "IncompleteSignatureException"}));
    }
    let body: Value = serde_json::from_slice(asked.body()).unwrap_or_default();
    let name = body["SecretId"].as_str().unwrap_or_default();
    match (body["VersionStage"].as_str(), body["VersionId"].as_str()) {
        _ if signed(EMPTY_REGION) => error("ResourceNotFoundException", "in words"),
        (Some("AWSCURRENT"), None) => answer(name),
        (Some(stage), None) if stage.len() != ID.len() => answer(&format!("{name}::{stage}")),
        (None, Some(id)) if id.len() == ID.len() => answer(&format!("{name}::{id}")),
        _ => json(400, object!({"__type": "InvalidParameterException", "Message": "neither a stage nor an ID"})),
    }
}

fn error(code: &str, message: &str) -> Answer {
    json(400, object!({"__type": code, "message": message}))
}

/// The double's secrets, and what becomes of reading them.
fn rows() -> Rows {
    let kms = "grant the gateway's role kms:Decrypt on the secret's key, which must be enabled";
    let get = "grant the gateway's role secretsmanager:GetSecretValue on the secret";
    let deleted = "You can't perform this operation: it was marked for deletion";
    let denied = "User: arn is not authorized to perform: secretsmanager:GetSecretValue";
    let not_a_response = || garbage("status 200, not a response of GetSecretValue");
    // Errors that are named in what becomes of them.
    let named = |code: &'static str, outcome: fn(&str) -> Outcome| {
        (code, error(code, "in words"), outcome(&format!("{code} (status 400)")))
    };
    vec![
        ("text", json(200, object!({"SecretString": "päss\n"})), text("päss\n")),
        ("text::AWSPREVIOUS", json(200, object!({"SecretString": "first"})), text("first")),
        ("text::00000000-0000-4000-8000-000000000000", json(200, object!({"SecretString": "id"})), text("id")),
        ("text::blue", error("ResourceNotFoundException", "in words"), Err(Failure::NotFound)),
        ("binary", json(200, object!({"SecretBinary": "AJ+Slv8="})), binary(&[0, 159, 146, 150, 255])),
        ("both", json(200, object!({"SecretString": "text", "SecretBinary": "AP8="})), text("text")),
        ("empty-text", json(200, object!({"SecretString": "", "SecretBinary": "AP8="})), binary(&[0, 255])),
        ("only-empty-text", json(200, object!({"SecretString": ""})), text("")),
        ("neither", json(200, object!({"Name": "neither"})), garbage("neither SecretString nor SecretBinary")),
        ("missing", error("ResourceNotFoundException", "Secrets Manager can't find it"), Err(Failure::NotFound)),
        ("deleted", error("InvalidRequestException", deleted), forbidden(DELETED)),
        ("denied", error("AccessDeniedException", denied), forbidden(get)),
        ("denied-key", error("AccessDeniedException", "Access to KMS is not allowed"), forbidden(kms)),
        ("undecryptable", error("DecryptionFailure", "can't decrypt"), forbidden(kms)),
        ("throttled", error("ThrottlingException", "Rate exceeded"), Err(Failure::Throttled(None))),
        (
            "throttled-for",
            json_with(429, "retry-after", "7", object!({"__type": "TooManyRequestsException"})),
            Err(Failure::Throttled(Some(Duration::from_secs(7)))),
        ),
        ("throttled-by-proxy", html(429), Err(Failure::Throttled(None))),
        named("ValidationException", bad_name),
        named("InvalidParameterException", bad_name),
        named("ExpiredTokenException", credentials_refused),
        named("UnrecognizedClientException", credentials_refused),
        named("InvalidSignatureException", credentials_refused),
        (
            "broken",
            json(500, object!({"__type": "InternalServiceError"})),
            unreachable("InternalServiceError (status 500)"),
        ),
        ("bad-gateway", html(502), unreachable("status 502")),
        (
            "odd",
            error("SomethingElse", "in words"),
            garbage("undocumented error SomethingElse (status 400) of GetSecretValue"),
        ),
        (
            "quoting",
            error(&format!("its value is {CANARY}"), "in words"),
            garbage("undocumented error status 400 of GetSecretValue"),
        ),
        ("not-json", json(200, format!("{{\"SecretString\": \"{CANARY}")), not_a_response()),
        ("not-base64", json(200, object!({"SecretBinary": format!("{CANARY}!")})), not_a_response()),
    ]
}

#[tokio::test]
async fn regions_and_stages_are_sent() {
    let subject = subject().await;
    let provider = subject.provider();
    assert_eq!(read(&*provider, REGION, "text::AWSCURRENT").await, text("päss\n"));
    assert_eq!(read(&*provider, EMPTY_REGION, "text").await, Err(Failure::NotFound));
}

#[tokio::test]
async fn expired_credentials_are_renewed() {
    let given = Arc::new(AtomicU32::new(0));
    let issued = Arc::clone(&given);
    let double = Double::http(move |asked| {
        service(asked, |_| {
            // An older session has expired.
            match header(asked, "x-amz-security-token") == format!("session-{}", issued.load(Ordering::SeqCst)) {
                true => json(200, object!({"SecretString": "text"})),
                false => error("ExpiredTokenException", "expired"),
            }
        })
    })
    .await;
    // Credentials end so soon that the SDK asks for new ones each time, and the third time there are none.
    let credentials = provide_credentials_fn(move || {
        let given = given.fetch_add(1, Ordering::SeqCst) + 1;
        let expiry = Some(SystemTime::now() + Duration::from_secs(1));
        let session = Some(format!("session-{given}"));
        std::future::ready(match given {
            1 | 2 => Ok(Credentials::new("AKIDEXAMPLE", "key", session, expiry, "test")),
            _ => Err(CredentialsError::provider_error("the role cannot be assumed")),
        })
    });
    let provider = provider(&double.url(), SharedCredentialsProvider::new(credentials));
    assert_eq!(read(&provider, REGION, "a").await, text("text"));
    assert_eq!(read(&provider, REGION, "b").await, text("text"));
    assert_eq!(read(&provider, REGION, "c").await, no_credentials("the role cannot be assumed"));
    assert_eq!(double.asked(), ["POST /", "POST /"]);
}
