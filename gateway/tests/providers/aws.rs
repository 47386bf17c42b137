//! AWS: values and names against moto, failures against a double.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Providing;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::primitives::Blob;
use flyte_secrets_policy::settings;
use secret_gateway::config::{self, Config};
use secret_gateway::metrics::Metrics;
use secret_gateway::names::{Kind, Name};
use secret_gateway::provider::{Failure, Provider};
use secret_gateway::providers::aws::SecretsManager;
use secret_gateway::reader::Reader;
use serde_json::{Value, json as object};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tracing_subscriber::filter::LevelFilter;

use crate::double::{Answer, Asked, Double, html, json, json_with, nobody};
use crate::moto::Moto;
use crate::{
    CANARY, assert_nothing_is_shown, assert_rejected_without_a_call, bad_name, binary, broken_connections,
    credentials_refused, forbidden, garbage, no_credentials, nobody_listens, read, text, unreachable,
};

pub const REGION: &str = "eu-west-1";

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
    let regions = vec![REGION.to_owned(), "us-east-2".to_owned()];
    SecretsManager::new(&config::Aws { regions, endpoint: Some(endpoint.to_owned()) }, &sdk(credentials)).unwrap()
}

/// Returns a client that creates secrets.
fn owner(moto: &Moto) -> Client {
    let config = aws_sdk_secretsmanager::config::Builder::from(&sdk(static_credentials())).endpoint_url(&moto.url);
    Client::from_conf(config.build())
}

/// Reads of a provider that never answers, one after another: the caller of each has left when the next one comes.
#[tokio::test]
async fn abandoned_calls_stay_within_concurrency() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let most = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&most);
    tokio::spawn(async move {
        let open = Arc::new(());
        while let Ok((mut stream, _)) = silent.accept().await {
            let one = Arc::clone(&open);
            counted.fetch_max(Arc::strong_count(&open) - 1, Ordering::Relaxed);
            tokio::spawn(async move {
                while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
                drop(one);
            });
        }
    });
    let lines = "tls: { certFile: '', keyFile: '' }\nproviders: { aws: { regions: [eu-west-1] } }\n\
                 reads: { timeout: 100ms, concurrency: 2, retries: 0, breaker: { failures: 1000 } }";
    let aws = Arc::new(provider(&endpoint, static_credentials())) as Arc<dyn Provider>;
    let reader = Reader::new(
        &Config::parse(lines).unwrap(),
        [(Kind::Store(settings::Provider::Aws), aws)].into(),
        Metrics::new(),
    );
    for number in 0..10 {
        let name = Name::parse(Kind::Store(settings::Provider::Aws), &format!("{REGION}:{number}")).unwrap();
        assert!(reader.read(&name).await.outcome.is_err());
    }
    assert_eq!(most.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn values_are_read_from_moto() {
    let moto = Moto::start();
    let owner = owner(&moto);
    let name = "u__org__o__domain__d__project__p__key__k";
    let bytes = [0, 159, 146, 150, 255];
    owner.create_secret().name(name).secret_string("first").send().await.unwrap();
    let current = owner.put_secret_value().secret_id(name).secret_string("päss\n").send().await.unwrap();
    let of_id = format!("{name}::{}", current.version_id().unwrap());
    let of = |version: &str| format!("{name}::{version}");
    owner.create_secret().name("binary").secret_binary(Blob::new(bytes)).send().await.unwrap();
    owner.create_secret().name("no-version").send().await.unwrap();
    owner.create_secret().name("going").secret_string(CANARY).send().await.unwrap();
    owner.delete_secret().secret_id("going").recovery_window_in_days(7).send().await.unwrap();
    owner.create_secret().name("gone").secret_string(CANARY).send().await.unwrap();
    owner.delete_secret().secret_id("gone").force_delete_without_recovery(true).send().await.unwrap();
    let provider = provider(&moto.url, static_credentials());
    let table = [
        (REGION, name, text("päss\n")),
        (REGION, "binary", binary(&bytes)),
        (REGION, "no-version", Err(Failure::NotFound)),
        (
            REGION,
            "going",
            forbidden(
                "secret is marked for deletion; restore it (secretsmanager:RestoreSecret) or delete it without recovery",
            ),
        ),
        (REGION, "gone", Err(Failure::NotFound)),
        (REGION, "never-there", Err(Failure::NotFound)),
        (REGION, &of_id, text("päss\n")),
        (REGION, &of("AWSPREVIOUS"), text("first")),
        (REGION, &of("AWSCURRENT"), text("päss\n")),
        (REGION, &of("blue"), Err(Failure::NotFound)),
        (REGION, &of("00000000-0000-4000-8000-000000000000"), Err(Failure::NotFound)),
        // A region is a store of its own.
        ("us-east-2", name, Err(Failure::NotFound)),
    ];
    for (region, name, wanted) in table {
        assert_eq!(read(&provider, region, name).await, wanted, "{name} in {region}");
    }
}

/// What the service checks before it looks for the secret.
pub fn service(asked: &Asked, answer: impl Fn(&str) -> Answer) -> Answer {
    let signed = format!("/{REGION}/secretsmanager/aws4_request");
    let authorization = asked.header("authorization");
    if asked.header("x-amz-target") != "secretsmanager.GetSecretValue"
        || asked.header("content-type") != "application/x-amz-json-1.1"
        || (asked.method.as_str(), asked.path.as_str()) != ("POST", "/")
    {
        return json(400, object!({"__type": "UnknownOperationException"}));
    }
    if !authorization.starts_with("AWS4-HMAC-SHA256 Credential=") || !authorization.contains(&signed) {
        return json(400, object!({"__type": "IncompleteSignatureException"}));
    }
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    match (&body["SecretId"], &body["VersionStage"]) {
        (Value::String(name), Value::String(stage)) if stage == "AWSCURRENT" => answer(name),
        _ => json(400, object!({"__type": "InvalidParameterException", "Message": "not AWSCURRENT"})),
    }
}

fn error(code: &str, message: &str) -> Answer {
    json(400, object!({"__type": code, "message": message}))
}

/// The double's secrets, and what becomes of reading them.
fn failures() -> Vec<(&'static str, Answer, Result<crate::Shown, Failure>)> {
    let kms = "grant the gateway's role kms:Decrypt on the secret's key, which must be enabled";
    let get = "grant the gateway's role secretsmanager:GetSecretValue on the secret";
    let mut table = vec![
        ("text", json(200, object!({"SecretString": "text"})), text("text")),
        ("both", json(200, object!({"SecretString": "text", "SecretBinary": "AP8="})), text("text")),
        ("empty-text", json(200, object!({"SecretString": "", "SecretBinary": "AP8="})), binary(&[0, 255])),
        ("only-empty-text", json(200, object!({"SecretString": ""})), text("")),
        ("neither", json(200, object!({"Name": "neither"})), garbage("neither SecretString nor SecretBinary")),
        ("missing", error("ResourceNotFoundException", "Secrets Manager can't find it"), Err(Failure::NotFound)),
        (
            "deleted",
            error("InvalidRequestException", "You can't perform this operation: it was marked for deletion"),
            forbidden(
                "secret is marked for deletion; restore it (secretsmanager:RestoreSecret) or delete it without recovery",
            ),
        ),
        (
            "denied",
            error("AccessDeniedException", "User: arn is not authorized to perform: secretsmanager:GetSecretValue"),
            forbidden(get),
        ),
        ("denied-key", error("AccessDeniedException", "Access to KMS is not allowed"), forbidden(kms)),
        ("undecryptable", error("DecryptionFailure", "can't decrypt"), forbidden(kms)),
        ("throttled", error("ThrottlingException", "Rate exceeded"), Err(Failure::Throttled(None))),
        (
            "throttled-for",
            json_with(429, "retry-after", "7", object!({"__type": "TooManyRequestsException"})),
            Err(Failure::Throttled(Some(Duration::from_secs(7)))),
        ),
        ("throttled-by-proxy", html(429), Err(Failure::Throttled(None))),
        ("refused", error("ValidationException", "Invalid name"), bad_name("ValidationException (status 400)")),
        (
            "bad-parameter",
            error("InvalidParameterException", "Invalid"),
            bad_name("InvalidParameterException (status 400)"),
        ),
        (
            "expired",
            error("ExpiredTokenException", "The security token included in the request is expired"),
            credentials_refused("ExpiredTokenException (status 400)"),
        ),
        (
            "unknown-key",
            error("UnrecognizedClientException", "The security token included in the request is invalid"),
            credentials_refused("UnrecognizedClientException (status 400)"),
        ),
        (
            "clock",
            error("InvalidSignatureException", "Signature expired"),
            credentials_refused("InvalidSignatureException (status 400)"),
        ),
        (
            "broken",
            json(500, object!({"__type": "InternalServiceError"})),
            unreachable("InternalServiceError (status 500)"),
        ),
        ("bad-gateway", html(502), unreachable("status 502")),
        (
            "odd",
            json(400, object!({"__type": "SomethingElse"})),
            garbage("undocumented error SomethingElse (status 400) of GetSecretValue"),
        ),
        (
            "quoting",
            json(400, object!({"__type": format!("its value is {CANARY}")})),
            garbage("undocumented error status 400 of GetSecretValue"),
        ),
        (
            "not-json",
            json(200, format!("{{\"SecretString\": \"{CANARY}")),
            garbage("status 200, not a response of GetSecretValue"),
        ),
        (
            "not-base64",
            json(200, object!({"SecretBinary": format!("{CANARY}!")})),
            garbage("status 200, not a response of GetSecretValue"),
        ),
    ];
    table.extend(broken_connections());
    table
}

async fn double() -> Double {
    Double::http(|asked| {
        service(asked, |name| {
            failures()
                .into_iter()
                .find(|(known, ..)| *known == name)
                .map_or_else(|| json(200, object!({"SecretString": CANARY})), |(_, answer, _)| answer)
        })
    })
    .await
}

#[tokio::test]
async fn errors_map_to_failures() {
    let double = double().await;
    let provider = provider(&double.url(), static_credentials());
    let table = failures();
    let asked = table.len();
    for (name, _, wanted) in table {
        assert_eq!(read(&provider, REGION, name).await, wanted, "{name}");
    }
    assert_eq!(double.asked(), vec!["POST /"; asked], "the SDK must not retry");
}

#[tokio::test]
async fn unconfigured_places_and_invalid_names_are_rejected_without_a_call() {
    let double = double().await;
    let provider = provider(&double.url(), static_credentials());
    let alphabet = "expected 1 to 512 letters, digits and _+=.@-";
    let names = ["arn:aws:secretsmanager:eu-central-1:1:secret:x", "a b", &"a".repeat(513)];
    for elsewhere in ["eu-central-1", ""] {
        assert_rejected_without_a_call(&provider, &double, (REGION, elsewhere), (&names, alphabet)).await;
    }
}

#[tokio::test]
async fn refused_connections_are_unreachable() {
    let address = nobody().await;
    let provider = provider(&format!("http://{}", address), static_credentials());
    assert_eq!(read(&provider, REGION, "text").await, nobody_listens(address));
}

/// Credentials that end so soon that the SDK asks for new ones each time, or that cannot be had.
#[derive(Debug)]
struct Rotating {
    given: Arc<AtomicU32>,
    until: u32,
}

impl ProvideCredentials for Rotating {
    fn provide_credentials<'a>(&'a self) -> Providing<'a>
    where
        Self: 'a,
    {
        let given = self.given.fetch_add(1, Ordering::SeqCst) + 1;
        Providing::ready(if given > self.until {
            Err(CredentialsError::provider_error("the role cannot be assumed"))
        } else {
            let expiry = SystemTime::now() + Duration::from_secs(1);
            Ok(Credentials::new("AKIDEXAMPLE", "key", Some(format!("session-{given}")), Some(expiry), "test"))
        })
    }
}

#[tokio::test]
async fn expired_credentials_are_renewed() {
    let given = Arc::new(AtomicU32::new(0));
    let issued = Arc::clone(&given);
    let double = Double::http(move |asked| {
        service(asked, |_| {
            // An older session has expired.
            match asked.header("x-amz-security-token") == format!("session-{}", issued.load(Ordering::SeqCst)) {
                true => json(200, object!({"SecretString": "text"})),
                false => error("ExpiredTokenException", "expired"),
            }
        })
    })
    .await;
    let credentials = SharedCredentialsProvider::new(Rotating { given: Arc::clone(&given), until: 2 });
    let provider = provider(&double.url(), credentials);
    assert_eq!(read(&provider, REGION, "a").await, text("text"));
    assert_eq!(read(&provider, REGION, "b").await, text("text"));
    assert_eq!(read(&provider, REGION, "c").await, no_credentials("the role cannot be assumed"));
    assert_eq!(double.asked(), ["POST /", "POST /"]);
}

#[tokio::test]
async fn debug_output_holds_no_value() {
    let double = double().await;
    let provider = provider(&double.url(), static_credentials());
    let names = ["canary", "not-json", "not-base64"];
    assert_nothing_is_shown("aws::debug_output_holds_no_value", LevelFilter::TRACE, &provider, REGION, &names, CANARY)
        .await;
}

/// The SDK writes errors of the service, which hold no value, into its finest log.
#[tokio::test]
async fn errors_are_quoted_at_trace_level_only() {
    let double = double().await;
    let provider = provider(&double.url(), static_credentials());
    let test = "aws::errors_are_quoted_at_trace_level_only";
    assert_nothing_is_shown(test, LevelFilter::DEBUG, &provider, REGION, &["quoting"], CANARY).await;
}
