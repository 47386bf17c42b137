//! References to Kubernetes Secrets in the pod's namespace: a variable, or a volume for each Secret.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::{
    Context, ENV_PREFIX, Injection, Outcome, Reason, SecretManager, derived_variable, ensure, file_variables,
    named_variable, needed,
};
use crate::names::kubernetes;
use crate::pod::{File, Merged, Plan, SECRETS_DIR, mount, secret_variable, secret_volume, variable};
use crate::secret_request::{MountRequirement, SecretRequest, base32};
use crate::store::{self, Lookup};

pub(super) struct K8s<'a> {
    pub context: Context<'a>,
    /// Secrets that have been read, and `SECRET/KEY` for each of their keys.
    pub verified: RefCell<BTreeSet<String>>,
}

impl SecretManager for K8s<'_> {
    fn inject(&self, request: &SecretRequest, Outcome { merged, .. }: &Outcome) -> Result<Injection, Reason> {
        let key = needed("key", &request.key)?;
        let expected = "a valid Secret key; expected up to 253 of a-z, A-Z, 0-9, '-', '_' and '.'";
        ensure(is_secret_key(key), "key", key, expected)?;
        let group = match request.group.as_str() {
            // The name that Flyte's secret service gives to Secrets.
            "" => kubernetes::secret_name(key),
            group => group.to_owned(),
        };
        let expected = "a valid Secret name; expected up to 253 of a-z, 0-9, '-' and '.'";
        ensure(kubernetes::is_dns_subdomain(&group), "group", &group, expected)?;
        self.verify(&group, key)?;
        let plan = match request.mount_requirement {
            MountRequirement::EnvVar => self.variable(request, &group)?,
            MountRequirement::Any | MountRequirement::File => self.file(request, &group, merged)?,
            other => return Err(Reason::MountRequirement(other, "ANY, ENV_VAR or FILE")),
        };
        Ok(Injection { plan, source: [&group, "/", key].concat(), ..Injection::default() })
    }
}

impl K8s<'_> {
    /// Checks that Secret and key exist, if the settings say so.
    fn verify(&self, group: &str, key: &str) -> Result<(), Reason> {
        let Context { settings, reader, namespace, .. } = self.context;
        if !settings.k8s_secret_manager.verify {
            return Ok(());
        }
        let mut verified = self.verified.borrow_mut();
        if !verified.contains(group) {
            let keys = store::keys(reader, namespace, group)?;
            verified.extend(keys.map(|key| [group, "/", &key].concat()));
            verified.insert(group.to_owned());
        }
        if verified.contains(&[group, "/", key].concat()) {
            return Ok(());
        }
        let object = ["Secret ", namespace, "/", group].concat();
        Err(Reason::NotFound(vec![Lookup { name: Ok(key.to_owned()), object }]))
    }

    fn variable(&self, request: &SecretRequest, group: &str) -> Result<Plan, Reason> {
        let prefix = &self.context.settings.secret_env_var_prefix;
        let optional = self.context.settings.k8s_secret_manager.optional;
        let mut derived = [prefix, group, "_", &request.key].concat();
        derived.make_ascii_uppercase();
        let names = [derived_variable(derived)?].into_iter().chain(named_variable(request)?);
        let references = names.map(|name| secret_variable(name, group, &request.key, Some(optional)));
        let variables = references.chain([variable(ENV_PREFIX, prefix)]).collect();
        Ok(Plan { variables, ..Plan::default() })
    }

    fn file(&self, request: &SecretRequest, group: &str, merged: &Merged) -> Result<Plan, Reason> {
        let file = request.key.to_ascii_lowercase();
        let folder = [SECRETS_DIR, "/", group].concat();
        // A Secret has one volume, named by its first request.
        let volume = merged.volume_of(group).map_or_else(
            || kubernetes::volume_name(base32::encode([group, "_", &request.group_version].concat().as_bytes())),
            str::to_owned,
        );
        let optional = self.context.settings.k8s_secret_manager.optional;
        Ok(Plan {
            variables: file_variables(request, SECRETS_DIR, &[&folder, "/", &file].concat())?,
            mounts: vec![mount(&volume, &folder, true)],
            volumes: vec![secret_volume(&volume, group, &request.key, &file, optional)],
            files: vec![File {
                path: [group, "/", &file].concat(),
                contents: ["K8s ", group, "/", &request.key].concat(),
            }],
            ..Plan::default()
        })
    }
}

/// Whether a text can be a key of a Secret's `data` (`IsConfigMapKey` of apimachinery).
fn is_secret_key(key: &str) -> bool {
    let allowed = key.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
    allowed && key.len() <= 253 && key != "." && !key.starts_with("..")
}
