//! Shared code of AWS, GCP and Azure: one init container for each request pulls the secret into a volume in memory.

use k8s_openapi::api::core::v1::EnvVar;

use super::{Injection, Outcome, Reason, SecretManager, file_only, file_variables, path_variable};
use crate::pod::{Container, ContainerName, File, InitContainer, Plan, SECRETS_DIR, memory_volume, mount};
use crate::secret_request::SecretRequest;
use crate::settings::Quantity;

/// The init container of a cloud for one request.
pub(super) struct Pull {
    /// Its command; empty for the image's own.
    pub command: Vec<String>,
    /// Its variables.
    pub variables: Vec<EnvVar>,
    /// File that it writes, below the folder of secrets.
    pub file: String,
    /// Name of the secret.
    pub source: String,
}

/// The manager of a cloud.
pub(super) struct SidecarManager<'a> {
    pub container: Container,
    /// Size of the volume in memory.
    pub size_limit: &'a Quantity,
    pub volume: &'static str,
    pub container_prefix: &'static str,
    /// Mount path of the volume in the init container.
    pub mount_path: &'static str,
    /// Returns the init container for a request, or a reason.
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

/// Returns `sh -ec` with a constant script. Everything variable is an argument, so the shell never parses names.
/// Scripts contain no `$(`, which Kubernetes would expand.
pub(super) fn shell(script: &str, arguments: &[&str]) -> Vec<String> {
    ["sh", "-ec", script, "sh"].iter().chain(arguments).map(ToString::to_string).collect()
}
