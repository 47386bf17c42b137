//! What AWS, GCP and Azure share: one init-container for each request pulls the secret into a volume in memory.

use super::{file_only, file_variables, path_variable, Injection, Reason, SecretManager};
use crate::pod::{ContainerName, File, InitContainer, Merged, Mount, OwnVariable, Volume, SECRETS_DIR};
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
    pub settings: &'a Sidecar<'a>,
    pub texts: &'a Texts,
    pub default_image: &'static str,
    pub volume: &'static str,
    pub container_prefix: &'static str,
    /// Where the init-container mounts the volume.
    pub mount_path: &'static str,
    /// Reads a request, or says why it cannot be pulled.
    pub pull: fn(&SecretRequest<'a>, &'a Texts) -> Result<Pull<'a>, Reason>,
}

impl<'a> SecretManager<'a> for SidecarManager<'a> {
    fn inject(
        &self,
        request: &'a SecretRequest<'a>,
        _: &Merged<'a>,
        injection: &mut Injection<'a>,
    ) -> Result<(), Reason> {
        file_only(request)?;
        let Pull { command, variables, path, source } = (self.pull)(request, self.texts)?;
        let Injection { plan, .. } = injection;
        plan.variables.extend(file_variables());
        plan.variables.extend(path_variable(request, path)?);
        plan.mounts.push(Mount { volume: None, path: SECRETS_DIR });
        plan.volumes.push(Volume::Memory(self.volume));
        plan.files.push(File { path, contents: self.texts.concat(&[self.container_prefix, source]) });
        plan.init_containers.push(InitContainer {
            name: ContainerName::Numbered(self.container_prefix),
            image: self.settings.sidecar_image.unwrap_or(self.default_image),
            command,
            variables,
            mount_path: self.mount_path,
            resources: &self.settings.resources,
        });
        injection.source = source;
        Ok(())
    }
}

/// `sh -ec` with a script that is the same for every secret; what differs are its arguments, so that no name is ever
/// read by the shell. Scripts hold no `$(`, which Kubernetes would take for one of its own variables.
pub(super) fn shell<'a>(script: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    let mut command = vec!["sh", "-ec", script, "sh"];
    command.extend_from_slice(arguments);
    command
}
