//! Where secrets live, as the reader sees it: one look-up by place and name, and the ways in which it fails.
//!
//! Knows no SDK, no cache and no Kubernetes.

use std::pin::Pin;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// A future that is not named.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where secrets live: one look-up, no retries and no cache (the reader has those).
pub trait Provider: Send + Sync {
    /// The value stored under `name`, which may carry a version (`flyte_secrets_policy::names::version`), in `place` (region,
    /// project, vault). Ends within seconds, with or without one:
    /// the reader lets nobody else ask until then.
    fn fetch<'a>(&'a self, place: &'a str, name: &'a str) -> BoxFuture<'a, Result<Value, Failure>>;
}

/// A value as the provider has it; wiped on drop, and shows nothing in `Debug`.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text.
    Text(SecretString),
    /// Bytes.
    Binary(SecretSlice<u8>),
}

impl Value {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.expose_secret().as_bytes(),
            Self::Binary(bytes) => bytes.expose_secret(),
        }
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why there is no value. The texts are the provider's or the gateway's words, and never hold a value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The provider's own word for "no such secret", or for one without an enabled version.
    #[error("secret not found")]
    NotFound,
    /// What the gateway may not; names the permission that is missing.
    #[error("access denied by the provider: {0}")]
    Forbidden(String),
    /// The provider throttles, perhaps with the time to wait.
    #[error("throttled by the provider; retry later")]
    Throttled(Option<Duration>),
    /// No connection, an error of the server, or credentials that cannot be had.
    #[error("provider unavailable: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("timed out waiting for the provider")]
    Slow,
    /// The provider refuses the name.
    #[error("name rejected by the provider: {0}")]
    BadName(String),
    /// The secret is being changed, so that it cannot be read for a moment.
    #[error("secret is being modified: {0}; retry later")]
    Conflict(String),
    /// An answer that the provider's API does not yield.
    #[error("unexpected response from the provider: {0}")]
    Garbage(String),
}
