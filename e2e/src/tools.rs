//! Paths of the programs that tests run.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
pub use flyte_secrets_testing::repository::path as repository;

/// Paths of programs.
pub struct Tools {
    /// The folder of etcd and kube-apiserver.
    pub control_plane: PathBuf,
    pub kubectl: PathBuf,
    pub helm: PathBuf,
    pub consul_template: PathBuf,
    pub busybox: PathBuf,
    pub dash: PathBuf,
    pub moto_server: PathBuf,
    pub gateway: PathBuf,
}

impl Tools {
    /// Finds programs in the folders that the Makefile sets: `E2E_TOOLS` (built by Go), `KUBEBUILDER_ASSETS` (other
    /// etcd and kube-apiserver), `E2E_MOTO` and `E2E_BUILD` (built by cargo).
    pub fn find() -> Result<Self> {
        let tools = folder("E2E_TOOLS")?;
        let tool = |name: &str| existing(tools.join(name));
        Ok(Self {
            control_plane: folder("KUBEBUILDER_ASSETS").unwrap_or_else(|_| tools.clone()),
            kubectl: tool("kubectl")?,
            helm: tool("helm")?,
            consul_template: tool("consul-template")?,
            busybox: on_path("busybox")?,
            dash: on_path("dash")?,
            moto_server: existing(folder("E2E_MOTO")?.join("bin/moto_server"))?,
            gateway: existing(folder("E2E_BUILD")?.join("secret-gateway"))?,
        })
    }
}

/// Returns the path in a variable that the Makefile sets.
pub fn folder(name: &str) -> Result<PathBuf> {
    Ok(std::env::var_os(name).with_context(|| format!("{name} is not set; the Makefile sets it"))?.into())
}

pub fn existing(path: PathBuf) -> Result<PathBuf> {
    if !path.exists() {
        bail!("{} is missing; `make e2e` builds it", path.display());
    }
    Ok(path)
}

pub fn on_path(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(name)).filter(|path| path.exists());
    found.next().with_context(|| format!("{name} is missing; Debian's package is called {name}"))
}
