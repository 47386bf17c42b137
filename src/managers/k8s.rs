//! References to Kubernetes Secrets of the pod's own namespace: a variable, or a volume for each Secret.

use super::{
    derived_variable, file_variables, literal, named_variable, needed, path_variable, refused, Injection, Reason,
    SecretManager, ENV_PREFIX,
};
use crate::base32::{self, Alphabet};
use crate::names::kubernetes;
use crate::pod::{File, Mount, Plan, SecretItem, SecretVolume, Source, Variable, Volume, SECRETS_DIR};
use crate::requests::{MountRequirement, SecretRequest};
use crate::settings::Settings;

pub(super) struct K8s<'a> {
    pub settings: &'a Settings,
}

impl SecretManager for K8s<'_> {
    fn inject(&self, request: &SecretRequest, plan: &Plan) -> Result<Injection, Reason> {
        let key = secret_key(needed("key", &request.key)?)?;
        let group = match request.group.as_str() {
            // As Flyte's secret service names the Secrets that it creates.
            "" => kubernetes::secret_name(key),
            group => secret_name(group)?.to_owned(),
        };
        let plan = match request.mount_requirement {
            MountRequirement::EnvVar => self.variable(request, &group),
            MountRequirement::Any | MountRequirement::File => self.file(request, &group, plan),
            other => Err(Reason::MountRequirement(other, "ANY, ENV_VAR or FILE")),
        }?;
        let source = [&group, "/", key].concat();
        Ok(Injection { plan, source, ..Injection::default() })
    }
}

impl K8s<'_> {
    fn variable(&self, request: &SecretRequest, group: &str) -> Result<Plan, Reason> {
        let prefix = &self.settings.secret_env_var_prefix;
        let derived = derived_variable([prefix, group, "_", &request.key].concat().to_ascii_uppercase())?;
        let source = Source::SecretKey {
            secret: group.to_owned(),
            key: request.key.clone(),
            optional: self.settings.k8s_secret_manager.optional,
        };
        let named = named_variable(request)?.map(|name| Variable { name: name.to_owned(), source: source.clone() });
        let mut variables = vec![Variable { name: derived, source }];
        variables.extend(named);
        variables.push(literal(ENV_PREFIX, prefix));
        Ok(Plan { variables, ..Plan::default() })
    }

    fn file(&self, request: &SecretRequest, group: &str, plan: &Plan) -> Result<Plan, Reason> {
        let file = request.key.to_ascii_lowercase();
        let folder = [SECRETS_DIR, "/", group].concat();
        let path = [&folder, "/", &file].concat();
        let mut variables = file_variables();
        variables.extend(path_variable(request, &path)?);
        // A Secret has one volume of ours, whichever version its first request names.
        let known = plan.secret_volume(group).map(|volume| volume.name.clone());
        let name = known.unwrap_or_else(|| {
            let versioned = [group, "_", &request.group_version].concat();
            kubernetes::volume_name(base32::encode(Alphabet::Flyte, versioned.as_bytes()))
        });
        let contents = ["K8s ", group, "/", &request.key].concat();
        let volume = SecretVolume {
            name: name.clone(),
            secret: group.to_owned(),
            items: vec![SecretItem { key: request.key.clone(), path: file }],
            optional: self.settings.k8s_secret_manager.optional,
        };
        Ok(Plan {
            variables,
            mounts: vec![Mount { volume: Some(name), path: folder }],
            volumes: vec![Volume::Secret(volume)],
            files: vec![File { path, contents }],
            ..Plan::default()
        })
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
