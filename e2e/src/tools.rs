//! Paths of the programs that tests run.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
pub use flyte_secrets_testing::repository::path as repository;

/// Returns a program in the folder of a variable that the Makefile sets: `E2E_TOOLS` and `E2E_NODE_TOOLS` (built by
/// Go), `E2E_MOTO`, `E2E_BUILD` (built by cargo), or `KUBEBUILDER_ASSETS` (other etcd and kube-apiserver).
pub fn program(variable: &str, name: &str) -> Result<PathBuf> {
    let path = given(variable)?.join(name);
    ensure!(path.exists(), "{} is missing; the Makefile builds it", path.display());
    Ok(path)
}

/// Returns the path in a variable that the Makefile sets.
pub fn given(variable: &str) -> Result<PathBuf> {
    Ok(std::env::var_os(variable).with_context(|| format!("{variable} is not set; the Makefile sets it"))?.into())
}

/// Returns a program of the machine.
pub fn on_path(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(name)).filter(|path| path.exists());
    found.next().with_context(|| format!("{name} is missing; Debian's package is called {name}"))
}
