//! The trait of providers: one lookup by place and name, and its failures.
//!
//! Knows no SDK, no cache and no Kubernetes.

use std::pin::Pin;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A provider of secrets: one lookup, without retries and cache, which the reader has.
pub trait Provider: Send + Sync {
    /// Returns the value of `name`, which can have a version (`flyte_secrets_policy::names::version`), in `place`
    /// (region, project, vault host, namespace). Must end within seconds, because it occupies a permit of the reader
    /// until then.
    fn fetch<'a>(&'a self, place: &'a str, name: &'a str) -> BoxFuture<'a, Result<Value, Failure>>;
}

/// A value of a provider. It is wiped on drop, and `Debug` does not print it.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text.
    Text(SecretString),
    /// Bytes.
    Binary(SecretSlice<u8>),
}

impl Value {
    /// Returns its bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.expose_secret().as_bytes(),
            Self::Binary(bytes) => bytes.expose_secret(),
        }
    }

    /// Returns its length in bytes.
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a lookup failed. Texts never contain a value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The provider reports that the secret, or an enabled version of it, does not exist.
    #[error("secret not found")]
    NotFound,
    /// The gateway lacks a permission, which the text names.
    #[error("access denied by the provider: {0}")]
    Forbidden(String),
    /// The provider throttles, and may name the time to wait.
    #[error("throttled by the provider; retry later")]
    Throttled(Option<Duration>),
    /// The connection failed, the server reports an error, or credentials are unavailable.
    #[error("provider unavailable: {0}")]
    Unreachable(String),
    /// The provider did not answer in time.
    #[error("timed out waiting for the provider")]
    Slow,
    /// The provider rejects the name.
    #[error("name rejected by the provider: {0}")]
    BadName(String),
    /// The secret is being modified and cannot be read yet.
    #[error("secret is being modified: {0}; retry later")]
    Conflict(String),
    /// The response does not follow the provider's API.
    #[error("unexpected response from the provider: {0}")]
    Garbage(String),
}
