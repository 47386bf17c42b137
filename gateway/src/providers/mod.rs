//! Providers: one lookup with the SDK of AWS, GCP, Azure or Kubernetes, whose errors become a [`Failure`].
//!
//! Knows no cache and no retries. Of the body of a response, texts contain only documented error codes.
//!
//! **Memory of the SDKs.** Values are moved, not copied, into types that wipe themselves. SDKs free the buffers of TLS,
//! HTTP and JSON, and their access tokens, without wiping them. The program's allocator wipes all freed memory.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flyte_secrets_policy::settings;
use secrecy::{SecretSlice, SecretString};

use crate::config;
use crate::names::Kind;
use crate::provider::{BoxFuture, Failure, Provider, Value};

pub mod aws;
pub mod azure;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod gcp;
pub mod k8s;

/// Timeout of a connection.
const CONNECT: Duration = Duration::from_secs(1);

/// Timeout of a lookup, even if no caller waits for it any longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Maximum of a provider's `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// An error of setting up a provider, which prevents the start of the gateway.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The endpoint is not a valid URL.
    #[error("invalid endpoint {endpoint} of {provider}: expected an http or https URL")]
    Endpoint {
        /// Its name.
        provider: &'static str,
        /// The endpoint in the configuration.
        endpoint: String,
    },
    /// Azure: a variable of Workload Identity is missing.
    #[error(
        "missing environment variable {0}; set annotation azure.workload.identity/client-id of the gateway's service \
         account and label azure.workload.identity/use: \"true\" of its pod"
    )]
    NoIdentity(&'static str),
    /// Azure: the certificate authorities are invalid.
    #[error("invalid `providers.azure.caFile` {path}: {problem}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// The reason.
        problem: String,
    },
    /// The SDK cannot be set up.
    #[error("cannot set up {provider}: {problem}")]
    Setup {
        /// Its name.
        provider: &'static str,
        /// The reason.
        problem: String,
    },
}

/// Returns the configured providers, without calling them.
///
/// # Errors
/// A provider cannot be set up.
pub async fn open(config: &config::Providers) -> Result<HashMap<Kind, Arc<dyn Provider>>, Error> {
    let mut providers: HashMap<Kind, Arc<dyn Provider>> = HashMap::new();
    if let Some(aws) = &config.aws {
        providers.insert(Kind::Store(settings::Provider::Aws), Arc::new(aws::SecretsManager::open(aws).await?));
    }
    if let Some(gcp) = &config.gcp {
        providers.insert(Kind::Store(settings::Provider::Gcp), Arc::new(gcp::SecretManager::open(gcp)?));
    }
    if let Some(azure) = &config.azure {
        providers.insert(Kind::Store(settings::Provider::Azure), Arc::new(azure::KeyVault::open(azure)?));
    }
    Ok(providers)
}

/// Limits a lookup to [`PATIENCE`].
fn look_up<'a>(asking: impl Future<Output = Result<Value, Failure>> + Send + 'a) -> BoxFuture<'a, Answer> {
    Box::pin(async { tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Err(Failure::Slow)) })
}

type Answer = Result<Value, Failure>;

/// Returns a failure without a call.
fn refuse<'a>(failure: Failure) -> BoxFuture<'a, Answer> {
    Box::pin(std::future::ready(Err(failure)))
}

/// Returns the failure for a place that is not configured.
fn not_served(place: &str) -> Failure {
    Failure::Forbidden(format!("{place} is not configured in the gateway"))
}

/// Returns bytes as text if they are UTF-8.
fn text_or_binary(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::Text(SecretString::from(text)),
        Err(error) => Value::Binary(SecretSlice::from(error.into_bytes())),
    }
}

/// Returns `Retry-After` if it is in seconds, at most a minute. Dates are ignored.
fn retry_after(header: Option<&str>) -> Option<Duration> {
    let text = header?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number that does not fit is large.
    is_number.then(|| text.parse().map_or(LONGEST_PAUSE, Duration::from_secs).min(LONGEST_PAUSE))
}

/// Returns the chain of an error's causes, itself first.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Returns the root cause of an error of a connection or of credentials, on one line.
///
/// Not for errors of decoding a secret, which can quote it.
fn problem(error: &(dyn StdError + 'static)) -> String {
    const LONGEST: usize = 300;
    if causes(error).any(is_cut) {
        return "connection closed before the response was complete".to_owned();
    }
    match causes(error).last() {
        // The error quotes its input, which can be a token.
        Some(root) if root.is::<serde_json::Error>() => "invalid JSON in the response".to_owned(),
        root => root
            .map(ToString::to_string)
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control())
            .take(LONGEST)
            .collect(),
    }
}

/// Whether the connection ended early.
fn is_cut(cause: &(dyn StdError + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
        || cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof))
}

/// Returns an error code in the format of providers, or the HTTP status.
fn code_or_status(code: Option<&str>, status: u16) -> String {
    let is_code = |code: &&str| (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    code.filter(is_code).map_or_else(|| format!("status {status}"), |code| format!("{code} (status {status})"))
}

/// Returns the failure if the gateway's credentials are rejected.
fn credentials_refused(code: &str) -> Failure {
    Failure::Unreachable(format!(
        "credentials rejected: {code}; check the identity of the gateway's service account and the clock of its node"
    ))
}

/// Returns the failure if the gateway has no credentials.
fn no_credentials(problem: &str) -> Failure {
    Failure::Unreachable(format!(
        "cannot get credentials: {problem}; check the identity of the gateway's service account"
    ))
}

/// Returns a configured endpoint as a URL.
fn endpoint(provider: &'static str, text: &str) -> Result<url::Url, Error> {
    url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| Error::Endpoint { provider, endpoint: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_alphanumeric() {
        assert_eq!(code_or_status(Some("ThrottlingException"), 400), "ThrottlingException (status 400)");
        for other in [None, Some(""), Some("the value is hunter2"), Some("a\nb")] {
            assert_eq!(code_or_status(other, 502), "status 502");
        }
    }

    #[test]
    fn retry_after_is_at_most_a_minute() {
        let table = [
            (Some(" 7 "), Some(7)),
            (Some("61"), Some(60)),
            (Some("18446744073709551615"), Some(60)),
            (Some("18446744073709551616"), Some(60)),
            (Some("+7"), None),
            (Some(""), None),
            (Some("Fri, 31 Dec 1999 23:59:59 GMT"), None),
            (Some("-1"), None),
            (None, None),
        ];
        for (header, seconds) in table {
            assert_eq!(retry_after(header), seconds.map(Duration::from_secs), "{header:?}");
        }
    }
}
