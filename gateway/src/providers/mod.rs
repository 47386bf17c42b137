//! Clouds as [`Provider`]s: one look-up with the provider's own SDK, and its answer in the words of
//! [`Failure`].
//!
//! Knows no cache, no retries and no Kubernetes. No text from here holds anything of an answer's body but the error
//! codes that the provider documents.
//!
//! **What the SDKs leave in memory.** Values are moved, not copied, into types that wipe themselves. The buffers of
//! TLS, of HTTP and of JSON in which they came are freed by the SDKs without being wiped, as are the SDKs' own access
//! tokens: only an allocator that wipes what is freed reaches those, and the binary has one.

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

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(1);

/// How long a look-up may take, whoever still waits for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// The longest time for which a provider is left alone because it says so.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why a provider cannot even be asked: what an operator must mend before the gateway starts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A URL that is none.
    #[error("invalid endpoint {endpoint} of {provider}: expected an http or https URL")]
    Endpoint {
        /// Its name.
        provider: &'static str,
        /// What the configuration has.
        endpoint: String,
    },
    /// Azure: no Workload Identity in the environment.
    #[error(
        "missing environment variable {0}; set annotation azure.workload.identity/client-id of the gateway's service \
         account and label azure.workload.identity/use: \"true\" of its pod"
    )]
    NoIdentity(&'static str),
    /// Azure: authorities that cannot be used.
    #[error("invalid `providers.azure.caFile` {path}: {problem}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// An SDK cannot be set up.
    #[error("cannot set up {provider}: {problem}")]
    Setup {
        /// Its name.
        provider: &'static str,
        /// Why.
        problem: String,
    },
}

/// Opens what the configuration names. Nothing is asked of a provider yet.
///
/// # Errors
/// What an operator must mend first.
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

/// A look-up that takes no longer than [`PATIENCE`].
fn look_up<'a>(asking: impl Future<Output = Result<Value, Failure>> + Send + 'a) -> BoxFuture<'a, Answer> {
    Box::pin(async { tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Err(Failure::Slow)) })
}

type Answer = Result<Value, Failure>;

/// A look-up that ends before any call.
fn refuse<'a>(failure: Failure) -> BoxFuture<'a, Answer> {
    Box::pin(std::future::ready(Err(failure)))
}

/// A place that the configuration does not name.
fn not_served(place: &str) -> Failure {
    Failure::Forbidden(format!("{place} is not configured in the gateway"))
}

/// Bytes as text, where they are text.
fn text_or_binary(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::Text(SecretString::from(text)),
        Err(error) => Value::Binary(SecretSlice::from(error.into_bytes())),
    }
}

/// What `Retry-After` says in seconds, at most a minute; as a date it is of no use within one read.
fn retry_after(header: Option<&str>) -> Option<Duration> {
    let text = header?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // What does not fit into a number is large.
    is_number.then(|| text.parse().map_or(LONGEST_PAUSE, Duration::from_secs).min(LONGEST_PAUSE))
}

/// The chain of an error's causes, itself first.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What lies at the bottom of an error of a connection or of credentials, on one line.
///
/// Not for errors of decoding a secret: those may quote it.
fn problem(error: &(dyn StdError + 'static)) -> String {
    const LONGEST: usize = 300;
    if causes(error).any(is_cut) {
        return "connection closed before the response was complete".to_owned();
    }
    match causes(error).last() {
        // It quotes what it could not read, which may be a token.
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

/// A connection that ended too early.
fn is_cut(cause: &(dyn StdError + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
        || cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof))
}

/// An error code as a provider writes it, and nothing else that may stand in its place.
fn code_or_status(code: Option<&str>, status: u16) -> String {
    let is_code = |code: &&str| (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    code.filter(is_code).map_or_else(|| format!("status {status}"), |code| format!("{code} (status {status})"))
}

/// The gateway's own credentials are refused.
fn credentials_refused(code: &str) -> Failure {
    Failure::Unreachable(format!(
        "credentials rejected: {code}; check the identity of the gateway's service account and the clock of its node"
    ))
}

/// The gateway has no credentials.
fn no_credentials(problem: &str) -> Failure {
    Failure::Unreachable(format!(
        "cannot get credentials: {problem}; check the identity of the gateway's service account"
    ))
}

/// An endpoint of the configuration, checked.
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
