//! AWS Secrets Manager: `GetSecretValue` of the version that is asked for, else of the one at `AWSCURRENT`.
//!
//! Credentials come by the SDK's default chain: IRSA, EKS Pod Identity, environment, instance. What they must allow:
//! `secretsmanager:GetSecretValue`, and `kms:Decrypt` where a secret has a key of the customer's own.
//!
//! A secret that is marked for deletion is not "no such secret": it is there, may be restored, and a value of a
//! broader scope must not silently take its place. It is [`Failure::Forbidden`], with the way out.

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

/// The stage of the version that is read unless another is asked for.
const STAGE: &str = "AWSCURRENT";

/// Secrets Manager in the regions that are configured.
#[derive(Debug)]
pub struct SecretsManager {
    /// By region.
    clients: HashMap<String, Client>,
}

impl SecretsManager {
    /// With credentials as the SDK finds them.
    ///
    /// # Errors
    /// An endpoint that is none.
    pub async fn open(config: &config::Aws) -> Result<Self, Error> {
        let mut sdk = aws_config::defaults(BehaviorVersion::v2026_01_12()).timeout_config(timeouts());
        if let Some(region) = config.regions.first() {
            // STS is asked in this one, and no metadata service for another.
            sdk = sdk.region(Region::new(region.clone()));
        }
        Self::new(config, &sdk.load().await)
    }

    /// With the SDK's configuration at hand.
    ///
    /// # Errors
    /// An endpoint that is none.
    pub fn new(config: &config::Aws, sdk: &SdkConfig) -> Result<Self, Error> {
        if let Some(text) = &config.endpoint {
            endpoint("AWS", text)?;
        }
        let client = |region: &String| {
            // The reader retries, within its own budget.
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

/// Whether a version is called as Secrets Manager itself calls those that it makes; other names are stages.
fn is_uuid(version: &str) -> bool {
    let lengths = version.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && version.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// SecretString, else SecretBinary; an empty string hides no bytes.
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

/// Credentials that cannot be had, at whatever stage the SDK notices.
fn is_of_credentials(error: &SdkError<GetSecretValueError, HttpResponse>) -> bool {
    causes(error).any(|cause| cause.is::<CredentialsError>())
}

/// What Secrets Manager says in its own words.
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
        // The word for a missing kms:Decrypt is the same; its message is "Access to KMS is not allowed".
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
