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
use flyte_secrets_policy::settings::Provider::Aws;
use secret_gateway::config::{self, Config};
use secret_gateway::metrics::Metrics;
use secret_gateway::names::{Kind, Name};
use secret_gateway::provider::{Failure, Provider};
use secret_gateway::providers::aws::SecretsManager;
use secret_gateway::reader::Reader;
use serde_json::{Value, json as object};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::double::{Answer, Asked, Double, header, html, json, json_with};
use crate::moto::Moto;
use crate::{
    CANARY, Outcome, Rows, Subject, answer_of, bad_name, binary, credentials_refused, forbidden, garbage,
    no_credentials, read, text, unreachable,
};

pub const REGION: &str = "eu-west-1";
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
    let reader = Reader::new(&Config::parse(lines).unwrap(), [(Kind::Store(Aws), aws)].into(), Metrics::new());
    for number in 0..10 {
        let name = Name::parse(Kind::Store(Aws), &format!("{REGION}:{number}")).unwrap();
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
        (REGION, "going", forbidden(DELETED)),
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
    let authorization = header(asked, "authorization");
    if header(asked, "x-amz-target") != "secretsmanager.GetSecretValue"
        || header(asked, "content-type") != "application/x-amz-json-1.1"
        || (asked.method().as_str(), asked.uri().path()) != ("POST", "/")
    {
        return json(400, object!({"__type": "UnknownOperationException"}));
    }
    if !authorization.starts_with("AWS4-HMAC-SHA256 Credential=") || !authorization.contains(&signed) {
        return json(400, object!({"__type": "IncompleteSignatureException"}));
    }
    let body: Value = serde_json::from_slice(asked.body()).unwrap_or_default();
    match (&body["SecretId"], &body["VersionStage"]) {
        (Value::String(name), Value::String(stage)) if stage == "AWSCURRENT" => answer(name),
        _ => json(400, object!({"__type": "InvalidParameterException", "Message": "not AWSCURRENT"})),
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
        ("text", json(200, object!({"SecretString": "text"})), text("text")),
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
            match header(asked, "x-amz-security-token") == format!("session-{}", issued.load(Ordering::SeqCst)) {
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
