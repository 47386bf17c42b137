//! Shared code of AWS, GCP and Azure: one init container for each request pulls the secret into a volume in memory.

use k8s_openapi::api::core::v1::EnvVar;

use super::{Injection, Outcome, Reason, SecretManager, file_only, file_variables};
use crate::pod::{Container, ContainerName, File, InitContainer, Plan, SECRETS_DIR, memory_volume, mount};
use crate::secret_request::SecretRequest;
use crate::settings::Settings;

/// What is particular to a cloud.
pub(super) struct Cloud {
    pub volume: &'static str,
    pub container_prefix: &'static str,
    /// Mount path of the volume in the init container.
    pub mount_path: &'static str,
    /// Returns what the init container of a request pulls, or a reason.
    pub pull: fn(&SecretRequest) -> Result<Pull, Reason>,
}

/// What an init container pulls.
#[derive(Default)]
pub(super) struct Pull {
    /// Its command; empty for the image's own.
    pub command: Vec<String>,
    pub variables: Vec<EnvVar>,
    /// File that it writes, below the folder of secrets.
    pub file: String,
    /// Name of the secret.
    pub source: String,
}

/// The manager of a cloud.
pub(super) struct Sidecar<'a> {
    pub cloud: Cloud,
    pub container: Container,
    pub settings: &'a Settings,
}

impl SecretManager for Sidecar<'_> {
    fn inject(&self, request: &SecretRequest, _: &Outcome) -> Result<Injection, Reason> {
        let Cloud { volume, container_prefix, mount_path, pull } = self.cloud;
        file_only(request)?;
        let Pull { command, variables, file, source } = pull(request)?;
        let container = Container {
            command,
            env: variables,
            volume_mounts: vec![mount(volume, mount_path, false)],
            ..self.container.clone()
        };
        let plan = Plan {
            variables: file_variables(request, SECRETS_DIR, &[SECRETS_DIR, "/", &file].concat())?,
            mounts: vec![mount(volume, SECRETS_DIR, true)],
            volumes: vec![memory_volume(volume, &self.settings.volume_size_limit.0)],
            init_containers: vec![InitContainer { name: ContainerName::Numbered(container_prefix), container }],
            files: vec![File { path: file, contents: [container_prefix, &source].concat() }],
            ..Plan::default()
        };
        Ok(Injection { plan, source, ..Injection::default() })
    }
}

/// Returns `sh -ec` with a constant script. Everything variable is an argument, the last one the path of the file, so
/// the shell never parses names. Scripts contain no `$(`, which Kubernetes would expand.
pub(super) fn shell(script: &str, arguments: &[&str], file: &str) -> Vec<String> {
    let path = [SECRETS_DIR, "/", file].concat();
    ["sh", "-ec", script, "sh"].iter().chain(arguments).chain([&&*path]).map(ToString::to_string).collect()
}
