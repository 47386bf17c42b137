//! The puller: brings the secrets that a pod was granted from the secret gateway into the pod's memory.
//!
//! | module | holds | knows nothing of |
//! |---|---|---|
//! | [`run`](mod@run) | attempts, pauses, refreshing, what is logged | HTTP |
//! | [`request`] | one request and its answer | how often |
//! | [`write`] | files that appear complete or not at all | where values come from |
//!
//! What is granted, the env file and the answer's format are the core's: `grant`, `env_file` and `answer`.

pub mod request;
pub mod run;
pub mod write;

use std::path::{Path, PathBuf};

use flyte_secrets_policy::grant::{ENV_DIR, ENV_FILE, TOKEN_DIR, TOKEN_FILE};
use flyte_secrets_policy::pod::SECRETS_DIR;

/// Where things are in the container.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder of files.
    pub files: PathBuf,
    /// The env file's folder.
    pub env: PathBuf,
    /// The service account token.
    pub token: PathBuf,
}

impl Places {
    /// Returns the places under a root folder: `/` in a container.
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
