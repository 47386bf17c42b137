//! What AWS, GCP and Azure share: one init container for each request pulls the secret into a volume in memory.

use k8s_openapi::api::core::v1::EnvVar;

use super::{Injection, Outcome, Reason, SecretManager, file_only, file_variables, path_variable};
use crate::pod::{Container, ContainerName, File, InitContainer, Plan, SECRETS_DIR, memory_volume, mount};
use crate::secret_request::SecretRequest;
use crate::settings::Quantity;

/// What one cloud's init container does for a request.
pub(super) struct Pull {
    /// Its command; empty for the image's own.
    pub command: Vec<String>,
    /// Its variables.
    pub variables: Vec<EnvVar>,
    /// The file that it writes, below the folder of secrets.
    pub file: String,
    /// What it pulls.
    pub source: String,
}

/// A cloud's manager.
pub(super) struct SidecarManager<'a> {
    pub container: Container,
    /// Size of the volume in memory.
    pub size_limit: &'a Quantity,
    pub volume: &'static str,
    pub container_prefix: &'static str,
    /// Where the init container mounts the volume.
    pub mount_path: &'static str,
    /// Reads a request, or says why it cannot be pulled.
    pub pull: fn(&SecretRequest) -> Result<Pull, Reason>,
}

impl SecretManager for SidecarManager<'_> {
    fn inject(&self, request: &SecretRequest, _: &Outcome) -> Result<Injection, Reason> {
        file_only(request)?;
        let Pull { command, variables, file, source } = (self.pull)(request)?;
        let path = [SECRETS_DIR, "/", &file].concat();
        let container = Container {
            command,
            env: variables,
            volume_mounts: vec![mount(self.volume, self.mount_path, false)],
            ..self.container.clone()
        };
        let plan = Plan {
            variables: file_variables(SECRETS_DIR).into_iter().chain(path_variable(request, &path)?).collect(),
            mounts: vec![mount(self.volume, SECRETS_DIR, true)],
            volumes: vec![memory_volume(self.volume, &self.size_limit.0)],
            init_containers: vec![InitContainer { name: ContainerName::Numbered(self.container_prefix), container }],
            files: vec![File { path: file, contents: [self.container_prefix, &source].concat() }],
            ..Plan::default()
        };
        Ok(Injection { plan, source, ..Injection::default() })
    }
}

/// `sh -ec` with a script that is the same for every secret; what differs are its arguments, so that no name is ever
/// read by the shell. Scripts hold no `$(`, which Kubernetes would take for one of its own variables.
pub(super) fn shell(script: &str, arguments: &[&str]) -> Vec<String> {
    ["sh", "-ec", script, "sh"].iter().chain(arguments).map(ToString::to_string).collect()
}
