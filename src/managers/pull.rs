//! Delivery `Pull` of Embedded: grants secrets to the pod, which pulls them when it starts. No value is read here.

use super::embedded::{Embedded, file};
use super::{ENV_PREFIX, Injection, Outcome, Reason, ensure};
use crate::grant::{self, Grant, Granted, parse_duration};
use crate::names::{Scope, version};
use crate::pod::{
    Container, ContainerName, InitContainer, Plan, SECRETS_DIR, file_variable, memory_volume, mount, token_volume,
    variable,
};
use crate::secret_request::{MountRequirement, SecretRequest};
use crate::settings::LookupMode;
use crate::store::{self, Lookup, Store};

/// Size of the volume of the env file, which cannot be larger.
const ENV_LIMIT: &str = "2Mi";

impl Embedded<'_> {
    /// Returns the additions that grant a secret to the pod: as a variable with a name, or as a file.
    pub(super) fn pull(
        &self,
        request: &SecretRequest,
        requested: Granted,
        scope: Scope,
        name: Option<String>,
        so_far: &Outcome,
        mut warnings: Vec<String>,
    ) -> Result<Injection, Reason> {
        let settings = self.context.settings;
        let pull = settings.embedded_secret_manager_config.pull_settings();
        for (field, key) in [("key", requested.key.as_str()), ("group", requested.secret())] {
            let expected = "a valid key; it must not contain control characters or '$'";
            ensure(grant::is_key(key), field, key, expected)?;
        }
        if name.is_some() && !pull.variables {
            return Err(Reason::MountRequirement(MountRequirement::EnvVar, "FILE"));
        }
        let (looked_up, warning) = self.look_before(scope, &requested, name.is_some())?;
        warnings.extend(warning);
        let source = format!("{scope} {}", version::join(requested.secret(), &requested.version));
        let so_far = &so_far.granted;
        let mut grant = Grant {
            gateway: pull.gateway.clone(),
            ca: pull.ca.clone(),
            organization: scope.organization.to_owned(),
            domain: scope.domain.to_owned(),
            project: scope.project.to_owned(),
            patience: parse_duration(&pull.patience).unwrap_or_default(),
            refresh: pull.refresh.as_deref().and_then(parse_duration),
            ..Grant::default()
        };
        let mut mounts = Vec::new();
        // With `refresh`, the ready marker for the startup probe is written there.
        let mut has_env_volume = pull.refresh.is_some();
        let mut plan = match name {
            Some(name) => {
                has_env_volume = true;
                let key = grant::variable_name(so_far.place_of(&requested));
                let name = file_variable(name, grant::ENV_VOLUME, grant::ENV_FILE, key);
                grant.variables.push(requested);
                Plan { variables: vec![variable(ENV_PREFIX, &settings.secret_env_var_prefix), name], ..Plan::default() }
            }
            None => {
                mounts.push(mount(grant::FILES_VOLUME, SECRETS_DIR, false));
                let later = so_far.grant.as_ref().is_some_and(|grant| !grant.files.is_empty());
                let plan = file(request, &requested, grant::FILES_VOLUME, later)?;
                grant.files.push(requested);
                Plan { volumes: vec![memory_volume(grant::FILES_VOLUME, &settings.volume_size_limit.0)], ..plan }
            }
        };
        if has_env_volume {
            mounts.push(mount(grant::ENV_VOLUME, grant::ENV_DIR, false));
            plan.private_volumes.push(memory_volume(grant::ENV_VOLUME, ENV_LIMIT));
        }
        mounts.push(mount(grant::TOKEN_VOLUME, grant::TOKEN_DIR, true));
        plan.private_volumes.push(token_volume(grant::TOKEN_VOLUME, &pull.audience, grant::TOKEN_FILE));
        let container = Container { volume_mounts: mounts, ..pull.puller() };
        plan.init_containers.push(InitContainer { name: ContainerName::Exact(grant::CONTAINER), container });
        Ok(Injection { plan, source, looked_up, grant: Some(Box::new(grant)), warnings })
    }

    /// Checks with the gateway that the secret exists and can be delivered, and returns its lookups and a warning.
    fn look_before(
        &self,
        scope: Scope,
        requested: &Granted,
        variable: bool,
    ) -> Result<(Vec<Lookup>, Option<String>), Reason> {
        let embedded = &self.context.settings.embedded_secret_manager_config;
        if embedded.lookup == LookupMode::Off {
            return Ok(Default::default());
        }
        let store = Store::open(embedded)?;
        let ask = |name: &str| store.exists(self.context.reader, name);
        match self.first(&store, scope, requested, store::READY, ask) {
            // The gateway checks a property only when it is pulled.
            Ok(found) if variable && requested.group.is_empty() && found.answer.variable == Some(false) => {
                Err(Reason::NoVariable(found.answer.problem.unwrap_or_default()))
            }
            Ok(found) => Ok((found.looked_up, None)),
            Err(Reason::Store(failure @ store::Error::Host(..))) if embedded.lookup == LookupMode::Prefer => {
                let secret = requested.secret();
                let warning = format!("secret {secret:?} was not looked up: {failure}; the pod waits for it");
                Ok((Vec::new(), Some(warning)))
            }
            Err(reason) => Err(reason),
        }
    }
}
