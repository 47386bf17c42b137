//! What AWS, GCP and Azure share: one init-container for each request pulls the secret into a volume in memory.

use super::{file_only, file_variables, path_variable, Injection, Reason, SecretManager};
use crate::pod::{ContainerName, File, InitContainer, Mount, Plan, Variable, Volume, SECRETS_DIR};
use crate::requests::SecretRequest;
use crate::settings::Sidecar;

/// What one cloud's init-container does for a request.
pub(super) struct Pull {
    /// Its command; empty for the image's own.
    pub command: Vec<String>,
    /// Its variables.
    pub variables: Vec<Variable>,
    /// The file that it writes, as the task sees it.
    pub path: String,
    /// What it pulls.
    pub source: String,
}

/// A cloud's manager.
pub(super) struct SidecarManager<'a> {
    pub settings: &'a Sidecar,
    pub default_image: &'static str,
    pub volume: &'static str,
    pub container_prefix: &'static str,
    /// Where the init-container mounts the volume.
    pub mount_path: &'static str,
    /// Reads a request, or says why it cannot be pulled.
    pub pull: fn(&SecretRequest) -> Result<Pull, Reason>,
}

impl SecretManager for SidecarManager<'_> {
    fn inject(&self, request: &SecretRequest, _: &Plan) -> Result<Injection, Reason> {
        file_only(request)?;
        let Pull { command, variables: own, path, source } = (self.pull)(request)?;
        let mut variables = file_variables();
        variables.extend(path_variable(request, &path)?);
        let container = InitContainer {
            name: ContainerName::Numbered(self.container_prefix),
            image: self.settings.sidecar_image.clone().unwrap_or_else(|| self.default_image.to_owned()),
            command,
            variables: own,
            mount_path: self.mount_path,
            resources: self.settings.resources.clone(),
        };
        let plan = Plan {
            variables,
            mounts: vec![Mount { volume: None, path: SECRETS_DIR.to_owned() }],
            volumes: vec![Volume::Memory(self.volume.to_owned())],
            init_containers: vec![container],
            files: vec![File { path, contents: [self.container_prefix, &source].concat() }],
            ..Plan::default()
        };
        Ok(Injection { plan, source, ..Injection::default() })
    }
}

/// `sh -ec` with a script that is the same for every secret; what differs are its arguments, so that no name is ever
/// read by the shell. Scripts hold no `$(`, which Kubernetes would take for one of its own variables.
pub(super) fn shell(script: &str, arguments: &[&str]) -> Vec<String> {
    ["sh", "-ec", script, "sh"].iter().chain(arguments).map(|&word| word.to_owned()).collect()
}
