//! The puller: an init container that pulls a pod's secrets from the secret gateway into volumes in memory.
//!
//! | module | purpose | does not know |
//! |---|---|---|
//! | [`run`](mod@run) | attempts, backoff, refresh, log | HTTP |
//! | [`request`] | one request and its response | the number of attempts |
//! | [`write`](mod@write) | files that are written completely or not at all | the source of values |
//!
//! The core defines the grant, the env file and the format of the response: `grant`, `env_file` and `answer`.

pub mod request;
pub mod run;
pub mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flyte_secrets_policy::env_file;
use flyte_secrets_policy::grant::{ENV_DIR, ENV_FILE, TOKEN_DIR, TOKEN_FILE, format_duration};
use flyte_secrets_policy::pod::SECRETS_DIR;

/// Paths in the container.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder of files.
    pub files: PathBuf,
    /// The folder of the env file.
    pub env: PathBuf,
    /// The service account token.
    pub token: PathBuf,
}

impl Places {
    /// Returns the paths under a root folder, `/` in a container.
    pub fn under(root: &Path) -> Self {
        let place = |path: &str| root.join(path.trim_start_matches('/'));
        Self { files: place(SECRETS_DIR), env: place(ENV_DIR), token: place(TOKEN_DIR).join(TOKEN_FILE) }
    }

    /// Returns the env file.
    pub fn env_file(&self) -> PathBuf {
        self.env.join(ENV_FILE)
    }

    /// Returns the file that exists once everything granted has been written, for the startup probe of a sidecar.
    pub fn ready(&self) -> PathBuf {
        self.env.join("ready")
    }
}

/// Why a pull failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate authority in the grant is invalid.
    #[error("invalid value of option --ca: {0}")]
    Authority(&'static str),
    /// The token cannot be read from its file.
    #[error("cannot read service account token {file}: {1}", file = .0.display())]
    Token(PathBuf, io::Error),
    /// The gateway cannot be reached.
    #[error("cannot reach the secret gateway: {0}")]
    Transport(#[from] ureq::Error),
    /// The gateway rejected the request, with a `Status`.
    #[error("{code} {reason}: {message}")]
    Status {
        /// The HTTP status.
        code: u16,
        /// The reason in the `Status`.
        reason: String,
        /// The message in the `Status`, on one line.
        message: String,
        /// The time that the gateway asks to wait.
        retry_after: Duration,
    },
    /// The response ended early.
    #[error("incomplete response: {0}")]
    CutOff(io::Error),
    /// The response does not match the grant.
    #[error("unexpected response from the secret gateway: {0}")]
    Answer(&'static str),
    /// A secret, by its key, cannot be a variable.
    #[error("secret {0:?} cannot be a variable: {1}")]
    Variable(String, env_file::Error),
    /// The file for the startup probe cannot be written.
    #[error("cannot write the ready marker: {0}")]
    Ready(io::Error),
    /// A file cannot be written.
    #[error("cannot write {file}: {1}", file = .0.display())]
    Write(PathBuf, io::Error),
    /// The time of the grant is over, after the error of the last attempt.
    #[error("timed out after {patience}: {1}", patience = format_duration(*.0))]
    TimedOut(Duration, Box<Error>),
}

impl Error {
    /// Returns how long to wait at least before another attempt, or none if that cannot succeed.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Transport(_) | Self::CutOff(_) => Some(Duration::ZERO),
            Self::Status { code: 429 | 500.., retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}
