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

use std::path::{Path, PathBuf};

use flyte_secrets_policy::grant::{ENV_DIR, ENV_FILE, TOKEN_DIR, TOKEN_FILE};
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
