//! References to Kubernetes Secrets of the pod's own namespace: a variable, or a volume for each Secret.

use super::{
    derived_variable, file_variables, literal, named_variable, needed, path_variable, refused, Injection, Reason,
    SecretManager, ENV_PREFIX,
};
use crate::base32::{self, Alphabet};
use crate::names::kubernetes;
use crate::pod::{File, Merged, Mount, Plan, SecretItem, SecretVolume, Source, Variable, Volume, SECRETS_DIR};
use crate::requests::{MountRequirement, SecretRequest};
use crate::settings::Settings;
use crate::texts::Texts;

pub(super) struct K8s<'a> {
    pub settings: &'a Settings<'a>,
    pub texts: &'a Texts,
}

impl<'a> SecretManager<'a> for K8s<'a> {
    fn inject(
        &self,
        request: &'a SecretRequest<'a>,
        merged: &Merged<'a>,
        injection: &mut Injection<'a>,
    ) -> Result<(), Reason> {
        let key = secret_key(needed("key", request.key)?)?;
        let group = match request.group {
            // As Flyte's secret service names the Secrets that it creates.
            "" => self.texts.keep(kubernetes::secret_name(key).into()),
            group => secret_name(group)?,
        };
        injection.source = self.texts.concat(&[group, "/", key]);
        match request.mount_requirement {
            MountRequirement::EnvVar => self.variable(request, group, &mut injection.plan),
            MountRequirement::Any | MountRequirement::File => self.file(request, group, merged, &mut injection.plan),
            other => Err(Reason::MountRequirement(other, "ANY, ENV_VAR or FILE")),
        }
    }
}

impl<'a> K8s<'a> {
    fn variable(&self, request: &'a SecretRequest<'a>, group: &'a str, plan: &mut Plan<'a>) -> Result<(), Reason> {
        let prefix = self.settings.secret_env_var_prefix;
        let derived = self.texts.upper(&[prefix, group, "_", request.key]);
        let optional = self.settings.k8s_secret_manager.optional;
        let source = Source::SecretKey { secret: group, key: request.key, optional };
        plan.variables.push(Variable { name: derived_variable(derived)?, source });
        plan.variables.extend(named_variable(request)?.map(|name| Variable { name, source }));
        plan.variables.push(literal(ENV_PREFIX, prefix));
        Ok(())
    }

    fn file(
        &self,
        request: &'a SecretRequest<'a>,
        group: &'a str,
        merged: &Merged<'a>,
        plan: &mut Plan<'a>,
    ) -> Result<(), Reason> {
        let file = self.texts.lower(&[request.key]);
        let folder = self.texts.concat(&[SECRETS_DIR, "/", group]);
        let path = self.texts.concat(&[folder, "/", file]);
        plan.variables.extend(file_variables());
        plan.variables.extend(path_variable(request, path)?);
        // A Secret has one volume of ours, whichever version its first request names.
        let known = merged.secret_volume(group).map(|volume| volume.name);
        let name = known.unwrap_or_else(|| {
            let versioned = [group, "_", request.group_version].concat();
            self.texts.keep(kubernetes::volume_name(base32::encode(Alphabet::Flyte, versioned.as_bytes())).into())
        });
        let contents = self.texts.concat(&["K8s ", group, "/", request.key]);
        plan.volumes.push(Volume::Secret(SecretVolume {
            name,
            secret: group,
            items: vec![SecretItem { key: request.key, path: file }],
            optional: self.settings.k8s_secret_manager.optional,
        }));
        plan.mounts.push(Mount { volume: Some(name), path: folder });
        plan.files.push(File { path, contents });
        Ok(())
    }
}

/// A key of a Secret's `data` (`IsConfigMapKey` of apimachinery).
fn secret_key(key: &str) -> Result<&str, Reason> {
    let allowed = key.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
    if allowed && key.len() <= 253 && key != "." && !key.starts_with("..") {
        return Ok(key);
    }
    Err(refused("key", key, "a key of a Kubernetes Secret: up to 253 of a-z, A-Z, 0-9, '-', '_' and '.'"))
}

/// A Secret's name.
fn secret_name(group: &str) -> Result<&str, Reason> {
    match kubernetes::is_dns_subdomain(group) {
        true => Ok(group),
        false => Err(refused("group", group, "the name of a Kubernetes Secret: up to 253 of a-z, 0-9, '-' and '.'")),
    }
}
