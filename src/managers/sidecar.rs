//! What AWS, GCP and Azure share: one init-container for each request pulls the secret into a volume in memory.

use super::{file_only, file_variables, path_variable, Injection, Reason, SecretManager};
use crate::pod::{ContainerName, File, InitContainer, Merged, Mount, OwnVariable, Plan, Volume, SECRETS_DIR};
use crate::requests::SecretRequest;
use crate::settings::Sidecar;
use crate::texts::Texts;

/// What one cloud's init-container does for a request.
pub(super) struct Pull<'a> {
    /// Its command; empty for the image's own.
    pub command: Vec<&'a str>,
    /// Its variables.
    pub variables: Vec<OwnVariable<'a>>,
    /// The file that it writes, as the task sees it.
    pub path: &'a str,
    /// What it pulls.
    pub source: &'a str,
}

/// A cloud's manager.
pub(super) struct SidecarManager<'a> {
    pub settings: &'a Sidecar,
    pub texts: &'a Texts,
    pub default_image: &'static str,
    pub volume: &'static str,
    pub container_prefix: &'static str,
    /// Where the init-container mounts the volume.
    pub mount_path: &'static str,
    /// Reads a request, or says why it cannot be pulled.
    pub pull: fn(&'a SecretRequest, &'a Texts) -> Result<Pull<'a>, Reason>,
}

impl<'a> SecretManager<'a> for SidecarManager<'a> {
    fn inject(&self, request: &'a SecretRequest, _: &Merged<'a>) -> Result<Injection<'a>, Reason> {
        file_only(request)?;
        let Pull { command, variables: own, path, source } = (self.pull)(request, self.texts)?;
        let mut variables = file_variables();
        variables.extend(path_variable(request, path)?);
        let container = InitContainer {
            name: ContainerName::Numbered(self.container_prefix),
            image: self.settings.sidecar_image.as_deref().unwrap_or(self.default_image),
            command,
            variables: own,
            mount_path: self.mount_path,
            resources: &self.settings.resources,
        };
        let plan = Plan {
            variables,
            mounts: vec![Mount { volume: None, path: SECRETS_DIR }],
            volumes: vec![Volume::Memory(self.volume)],
            init_containers: vec![container],
            files: vec![File { path, contents: self.texts.concat(&[self.container_prefix, source]) }],
            ..Plan::default()
        };
        Ok(Injection { plan, source, ..Injection::default() })
    }
}

/// `sh -ec` with a script that is the same for every secret; what differs are its arguments, so that no name is ever
/// read by the shell. Scripts hold no `$(`, which Kubernetes would take for one of its own variables.
pub(super) fn shell<'a>(script: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    let mut command = vec!["sh", "-ec", script, "sh"];
    command.extend_from_slice(arguments);
    command
}
