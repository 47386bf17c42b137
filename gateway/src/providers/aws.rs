//! AWS Secrets Manager: `GetSecretValue` of the requested version, or of `AWSCURRENT`.
//!
//! Credentials are those of the SDK's default chain: IRSA, EKS Pod Identity, environment, instance. Required
//! permissions: `secretsmanager:GetSecretValue`, and `kms:Decrypt` for secrets with a customer managed key.
//!
//! A secret that is marked for deletion is [`Failure::Forbidden`] and not "not found": it can be restored, and a value
//! of a broader scope must not silently replace it.

use std::collections::HashMap;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::{GetSecretValueError, GetSecretValueOutput};
use flyte_secrets_policy::names::version;
use flyte_secrets_policy::settings;
use secrecy::{SecretSlice, SecretString};

use super::{
    Answer, CONNECT, Error, causes, code_or_status, credentials_refused, endpoint, is_cut, look_up, no_credentials,
    not_served, problem, refuse, retry_after,
};
use crate::config;
use crate::provider::{BoxFuture, Failure, Provider, Value};

/// Stage of the version that is read by default.
const STAGE: &str = "AWSCURRENT";

/// Secrets Manager in the configured regions.
#[derive(Debug)]
pub struct SecretsManager {
    /// Clients by region.
    clients: HashMap<String, Client>,
}

impl SecretsManager {
    /// Returns the provider with the SDK's default credentials.
    ///
    /// # Errors
    /// The endpoint is invalid.
    pub async fn open(config: &config::Aws) -> Result<Self, Error> {
        let mut sdk = aws_config::defaults(BehaviorVersion::v2026_01_12()).timeout_config(timeouts());
        if let Some(region) = config.regions.first() {
            // The region of STS. Without it, the SDK would request one from the metadata service.
            sdk = sdk.region(Region::new(region.clone()));
        }
        Self::new(config, &sdk.load().await)
    }

    /// Returns the provider with a configuration of the SDK.
    ///
    /// # Errors
    /// The endpoint is invalid.
    pub fn new(config: &config::Aws, sdk: &SdkConfig) -> Result<Self, Error> {
        if let Some(text) = &config.endpoint {
            endpoint("AWS", text)?;
        }
        let client = |region: &String| {
            // The reader retries within its timeout.
            let mut service = Builder::from(sdk)
                .region(Region::new(region.clone()))
                .retry_config(RetryConfig::disabled())
                .timeout_config(timeouts());
            if let Some(endpoint) = &config.endpoint {
                service = service.endpoint_url(endpoint);
            }
            (region.clone(), Client::from_conf(service.build()))
        };
        Ok(Self { clients: config.regions.iter().map(client).collect() })
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).build()
}

impl Provider for SecretsManager {
    fn fetch<'a>(&'a self, place: &'a str, name: &'a str) -> BoxFuture<'a, Answer> {
        let Some(client) = self.clients.get(place) else { return refuse(not_served(place)) };
        let (name, version) = version::split(name);
        if let Err(expected) = settings::Provider::Aws.check_name(name) {
            return refuse(Failure::BadName(expected));
        }
        let asking = client.get_secret_value().secret_id(name);
        let asking = match version {
            Some(id) if is_uuid(id) => asking.version_id(id),
            stage => asking.version_stage(stage.unwrap_or(STAGE)),
        };
        look_up(async { asking.send().await.map_err(|error| failure(&error)).and_then(value) })
    }
}

/// Whether a version is an ID of Secrets Manager. Others are stages.
fn is_uuid(version: &str) -> bool {
    let lengths = version.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && version.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Returns `SecretString`, or `SecretBinary` if that is absent or empty.
fn value(output: GetSecretValueOutput) -> Answer {
    match (output.secret_string, output.secret_binary) {
        (Some(text), None) => Ok(Value::Text(SecretString::from(text))),
        (Some(text), _) if !text.is_empty() => Ok(Value::Text(SecretString::from(text))),
        (_, Some(bytes)) => Ok(Value::Binary(SecretSlice::from(bytes.into_inner()))),
        (None, None) => Err(Failure::Garbage("neither SecretString nor SecretBinary".to_owned())),
    }
}

fn failure(error: &SdkError<GetSecretValueError, HttpResponse>) -> Failure {
    match error {
        SdkError::ServiceError(refusal) => refused(refusal.err(), refusal.raw()),
        SdkError::TimeoutError(_) => Failure::Slow,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Failure::Slow,
        SdkError::ResponseError(broken) if !causes(error).any(is_cut) => undecodable(broken.raw()),
        error if is_of_credentials(error) => no_credentials(&problem(error)),
        error => Failure::Unreachable(problem(error)),
    }
}

/// Whether credentials are unavailable, at any stage of the SDK.
fn is_of_credentials(error: &SdkError<GetSecretValueError, HttpResponse>) -> bool {
    causes(error).any(|cause| cause.is::<CredentialsError>())
}

/// Returns the failure for an error of Secrets Manager.
pub(super) fn refused(error: &GetSecretValueError, raw: &HttpResponse) -> Failure {
    let status = raw.status().as_u16();
    let code = error.code().unwrap_or_default();
    let said = || code_or_status(error.code(), status);
    match code {
        "ResourceNotFoundException" => Failure::NotFound,
        "InvalidRequestException" => Failure::Forbidden(
            "secret is marked for deletion; restore it (secretsmanager:RestoreSecret) or delete it without recovery"
                .to_owned(),
        ),
        "DecryptionFailure" => decrypt(),
        // A missing kms:Decrypt has the same code, with the message "Access to KMS is not allowed".
        "AccessDeniedException" if error.message().is_some_and(|message| message.contains("KMS")) => decrypt(),
        "AccessDeniedException" => {
            Failure::Forbidden("grant the gateway's role secretsmanager:GetSecretValue on the secret".to_owned())
        }
        "ValidationException" | "InvalidParameterException" => Failure::BadName(said()),
        "ThrottlingException" | "Throttling" | "TooManyRequestsException" | "RequestLimitExceeded" => {
            Failure::Throttled(retry_after(raw.headers().get("retry-after")))
        }
        "ExpiredTokenException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "RequestExpired"
        | "NotAuthorized" => credentials_refused(&said()),
        _ => match status {
            429 => Failure::Throttled(retry_after(raw.headers().get("retry-after"))),
            ..300 => undecodable(raw),
            500.. => Failure::Unreachable(said()),
            _ => Failure::Garbage(format!("undocumented error {} of GetSecretValue", said())),
        },
    }
}

fn undecodable(raw: &HttpResponse) -> Failure {
    let status = code_or_status(None, raw.status().as_u16());
    Failure::Garbage(format!("{status}, not a response of GetSecretValue"))
}

fn decrypt() -> Failure {
    Failure::Forbidden("grant the gateway's role kms:Decrypt on the secret's key, which must be enabled".to_owned())
}
