//! GCP Secret Manager: `AccessSecretVersion` of the requested version, or of `latest`. The checksum is verified.
//!
//! Credentials are Application Default Credentials: Workload Identity, or a file named by the environment. Required
//! permission: `secretmanager.versions.access`, as in the role `roles/secretmanager.secretAccessor`.
//!
//! `latest` is the version created last. If it is disabled or destroyed, the lookup is [`Failure::Forbidden`] and not
//! "not found": a value of a broader scope must not silently replace it. A secret without any version is not found.

use std::collections::HashSet;
use std::error::Error as _;
use std::sync::Arc;

use flyte_secrets_policy::names::version;
use flyte_secrets_policy::settings;
use google_cloud_auth::credentials::{Builder as DefaultCredentials, Credentials, anonymous};
use google_cloud_gax::error::CredentialsError;
use google_cloud_gax::error::rpc::{Code, Status, StatusDetails};
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_secretmanager_v1::Error as SdkError;
use google_cloud_secretmanager_v1::client::SecretManagerService;
use google_cloud_secretmanager_v1::model::AccessSecretVersionResponse;
use tokio::sync::Mutex;

use super::{
    Answer, Error, LONGEST_PAUSE, causes, code_or_status, credentials_refused, endpoint, look_up, no_credentials,
    not_served, problem, refuse, retry_after, text_or_binary,
};
use crate::config;
use crate::provider::{BoxFuture, Failure, Provider};

/// A function that creates credentials.
type Source = Box<dyn Fn() -> Result<Credentials, String> + Send + Sync>;

/// Secret Manager in the configured projects.
pub struct SecretManager {
    projects: HashSet<String>,
    connection: Arc<Connection>,
}

impl SecretManager {
    /// Returns the provider with Application Default Credentials, or without credentials for an emulator.
    ///
    /// # Errors
    /// The endpoint or the credentials file is invalid.
    pub fn open(config: &config::Gcp) -> Result<Self, Error> {
        let default = || DefaultCredentials::default().build().map_err(|error| problem(&error));
        let source: Source = if config.anonymous {
            Box::new(|| Ok(anonymous::Builder::new().build()))
        } else {
            // Reports an invalid file at startup, and starts to fetch the token.
            let first = default().map_err(|problem| Error::Setup { provider: "GCP", problem })?;
            let first = std::sync::Mutex::new(Some(first));
            Box::new(move || first.lock().ok().and_then(|mut first| first.take()).map_or_else(default, Ok))
        };
        Self::new(config, source)
    }

    /// Returns the provider with a source of credentials.
    ///
    /// # Errors
    /// The endpoint is invalid.
    pub fn new(config: &config::Gcp, source: Source) -> Result<Self, Error> {
        if let Some(text) = &config.endpoint {
            endpoint("GCP", text)?;
        }
        let connection = Connection { endpoint: config.endpoint.clone(), source, client: Mutex::default() };
        Ok(Self { projects: config.projects.iter().cloned().collect(), connection: Arc::new(connection) })
    }
}

impl Provider for SecretManager {
    fn fetch<'a>(&'a self, place: &'a str, name: &'a str) -> BoxFuture<'a, Answer> {
        if !self.projects.contains(place) {
            return refuse(not_served(place));
        }
        let (name, version) = version::split(name);
        if let Err(expected) = settings::Provider::Gcp.check_name(name) {
            return refuse(Failure::BadName(expected));
        }
        let version = format!("projects/{place}/secrets/{name}/versions/{}", version.unwrap_or("latest"));
        let connection = Arc::clone(&self.connection);
        look_up(async move { connection.access(version).await })
    }
}

/// The SDK's client, and the data to create another. The first read creates it, because it calls the metadata server.
struct Connection {
    endpoint: Option<String>,
    source: Source,
    client: Mutex<Option<SecretManagerService>>,
}

impl Connection {
    async fn access(&self, version: String) -> Answer {
        let client = self.client().await?;
        match client.access_secret_version().set_name(version).send().await {
            Ok(answer) => value(answer),
            Err(error) => {
                if is_lasting(&error) {
                    self.client.lock().await.take();
                }
                Err(failure(&error))
            }
        }
    }

    async fn client(&self) -> Result<SecretManagerService, Failure> {
        let mut slot = self.client.lock().await;
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let credentials = (self.source)().map_err(|problem| no_credentials(&problem))?;
        // The reader retries within its timeout.
        let mut builder = SecretManagerService::builder().with_credentials(credentials).with_retry_policy(NeverRetry);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let client = builder.build().await.map_err(|error| Failure::Unreachable(problem(&error)))?;
        Ok(slot.insert(client).clone())
    }
}

/// Whether the SDK no longer retries to get credentials: it stops after a failure that it considers permanent, also
/// when the metadata server starts later than the pod. Only new credentials are retried.
fn is_lasting(error: &SdkError) -> bool {
    let credentials = error.source().and_then(|source| source.downcast_ref::<CredentialsError>());
    error.is_authentication() && !credentials.is_some_and(CredentialsError::is_transient)
}

fn value(answer: AccessSecretVersionResponse) -> Answer {
    let garbage = |problem: &str| Err(Failure::Garbage(problem.to_owned()));
    let Some(payload) = answer.payload else { return garbage("missing payload") };
    match payload.data_crc32c {
        // Secret Manager has a checksum for each version, even if its writer sent none.
        None => garbage("missing CRC32C of the payload"),
        Some(sum) if sum != i64::from(crc32c::crc32c(&payload.data)) => garbage("payload does not match its CRC32C"),
        // The buffer has no other owner, so this moves it.
        Some(_) => Ok(text_or_binary(payload.data.into())),
    }
}

pub(super) fn failure(error: &SdkError) -> Failure {
    if let Some(status) = error.status() {
        return refused(status, error);
    }
    match error.http_status_code() {
        _ if error.is_authentication() => no_credentials(&of_credentials(error)),
        _ if error.is_timeout() => Failure::Slow,
        _ if error.is_deserialization() => Failure::Garbage("not a response of AccessSecretVersion".to_owned()),
        Some(401) => credentials_refused(&code_or_status(None, 401)),
        Some(429) => Failure::Throttled(wait(None, error)),
        Some(status @ 500..) => Failure::Unreachable(code_or_status(None, status)),
        Some(status) => Failure::Garbage(format!("undocumented {} of Secret Manager", code_or_status(None, status))),
        None => Failure::Unreachable(problem(error)),
    }
}

/// Returns why credentials are unavailable. The SDK's own text is not used, because it quotes the response.
fn of_credentials(error: &SdkError) -> String {
    let status = causes(error).skip(1).find_map(|cause| cause.downcast_ref::<SdkError>()?.http_status_code());
    status.map_or_else(|| problem(error), |status| format!("{} from the token endpoint", code_or_status(None, status)))
}

/// Returns the failure for an error of Secret Manager.
fn refused(status: &Status, error: &SdkError) -> Failure {
    let said = status.code.name();
    match status.code {
        Code::NotFound => Failure::NotFound,
        Code::FailedPrecondition => Failure::Forbidden(
            "version is disabled or destroyed; enable it, add a version, or delete the secret".to_owned(),
        ),
        Code::PermissionDenied if has_reason(status, "SERVICE_DISABLED") => {
            Failure::Forbidden("enable API secretmanager.googleapis.com in the project".to_owned())
        }
        Code::PermissionDenied => Failure::Forbidden(
            "grant the gateway's service account roles/secretmanager.secretAccessor (secretmanager.versions.access)"
                .to_owned(),
        ),
        Code::ResourceExhausted => Failure::Throttled(wait(Some(status), error)),
        Code::DeadlineExceeded => Failure::Slow,
        Code::InvalidArgument => Failure::BadName(said.to_owned()),
        Code::Unauthenticated => credentials_refused(said),
        Code::Aborted => Failure::Conflict(said.to_owned()),
        Code::Unavailable | Code::Internal | Code::Unknown => Failure::Unreachable(said.to_owned()),
        _ => Failure::Garbage(format!("undocumented error {said} of AccessSecretVersion")),
    }
}

fn has_reason(status: &Status, reason: &str) -> bool {
    status.details.iter().any(|detail| matches!(detail, StatusDetails::ErrorInfo(info) if info.reason == reason))
}

/// Returns the time that Secret Manager asks to wait.
fn wait(status: Option<&Status>, error: &SdkError) -> Option<std::time::Duration> {
    let detail = status.into_iter().flat_map(|status| &status.details).find_map(|detail| match detail {
        StatusDetails::RetryInfo(info) => info.retry_delay.and_then(|delay| delay.try_into().ok()),
        _ => None,
    });
    detail
        .map(|delay: std::time::Duration| delay.min(LONGEST_PAUSE))
        .or_else(|| retry_after(error.http_headers()?.get("retry-after")?.to_str().ok()))
}
