//! Delivery `Pull` of Embedded: grants secrets to the pod, which pulls them when it starts. No value is read here.

use super::embedded::Embedded;
use super::{Context, ENV_PREFIX, Injection, Outcome, Reason, invalid};
use crate::grant::{self, Collected, Grant, Granted};
use crate::names::{Scope, version};
use crate::pod::{
    Container, ContainerName, InitContainer, Plan, SECRETS_DIR, file_variable, memory_volume, mount, token_volume,
    variable,
};
use crate::secret_request::{MountRequirement, SecretRequest};
use crate::settings::LookupMode;
use crate::store::{self, Lookup};

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
            if !grant::is_key(key) {
                return Err(invalid(field, key, "a valid key; it must not contain control characters or '$'"));
            }
        }
        if name.is_some() && !pull.variables {
            return Err(Reason::MountRequirement(MountRequirement::EnvVar, "FILE"));
        }
        let (looked_up, warning) = self.look_before(scope, &requested, name.is_some())?;
        warnings.extend(warning);
        let granted = || format!("{scope} {}", version::join(requested.secret(), &requested.version));
        let source = looked_up.last().map_or_else(granted, ToString::to_string);
        let is_file = name.is_none();
        let (own, volume, mut plan) = match name {
            Some(name) => {
                let key = so_far.granted.variable(&requested);
                let name = file_variable(name, grant::ENV_VOLUME, grant::ENV_FILE, key);
                let variables = vec![variable(ENV_PREFIX, &settings.secret_env_var_prefix), name];
                let volume = memory_volume(grant::ENV_VOLUME, ENV_LIMIT);
                let plan = Plan { variables, private_volumes: vec![volume], ..Plan::default() };
                (grant::ENV_VOLUME, grant::ENV_DIR, plan)
            }
            None => {
                let plan = Plan {
                    mounts: vec![mount(grant::FILES_VOLUME, SECRETS_DIR, true)],
                    volumes: vec![memory_volume(grant::FILES_VOLUME, &settings.volume_size_limit.0)],
                    ..self.file(request, &requested, !so_far.granted.files.is_empty())?
                };
                (grant::FILES_VOLUME, SECRETS_DIR, plan)
            }
        };
        let mut mounts = vec![mount(own, volume, false)];
        if pull.refresh.is_some() && own != grant::ENV_VOLUME {
            // The ready marker for the startup probe is written there.
            plan.private_volumes.push(memory_volume(grant::ENV_VOLUME, ENV_LIMIT));
            mounts.push(mount(grant::ENV_VOLUME, grant::ENV_DIR, false));
        }
        mounts.push(mount(grant::TOKEN_VOLUME, grant::TOKEN_DIR, true));
        plan.private_volumes.push(token_volume(grant::TOKEN_VOLUME, &pull.audience, grant::TOKEN_FILE));
        let container = Container { volume_mounts: mounts, ..pull.puller() };
        plan.init_containers.push(InitContainer { name: ContainerName::Exact(grant::CONTAINER), container });
        Ok(Injection { plan, source, looked_up, granted: Some(Box::new((requested, is_file))), warnings })
    }

    /// Writes the grant, with all that the pod may pull, into the arguments of its init container.
    pub(super) fn grant(&self, scope: Scope, outcome: &mut Outcome) {
        let Collected { files, variables, .. } = std::mem::take(&mut outcome.granted);
        if files.is_empty() && variables.is_empty() {
            return;
        }
        let pull = self.context.settings.embedded_secret_manager_config.pull_settings();
        let grant = Grant {
            gateway: pull.gateway.clone(),
            ca: pull.ca.clone(),
            organization: scope.organization.to_owned(),
            domain: scope.domain.to_owned(),
            project: scope.project.to_owned(),
            patience: grant::parse_duration(&pull.patience).unwrap_or_default(),
            refresh: pull.refresh.as_deref().and_then(grant::parse_duration),
            files,
            variables,
        };
        outcome.merged.set_args(grant::CONTAINER, grant.to_args());
    }

    /// Checks with the gateway that the secret exists and can be delivered, and returns its lookups and a warning.
    fn look_before(
        &self,
        scope: Scope,
        requested: &Granted,
        variable: bool,
    ) -> Result<(Vec<Lookup>, Option<String>), Reason> {
        let Context { settings, reader, .. } = self.context;
        let embedded = &settings.embedded_secret_manager_config;
        if embedded.lookup == LookupMode::Off {
            return Ok(Default::default());
        }
        let store = store::open(embedded, reader)?;
        let mut looked_up = Vec::new();
        let found = self.first(
            &*store,
            scope,
            requested,
            &mut looked_up,
            |name| store::exists(embedded, reader, name),
            store::ready(),
        );
        match found {
            // The gateway checks a property only when it is pulled.
            Ok((_, found, _)) if variable && requested.group.is_empty() && found.variable == Some(false) => {
                Err(Reason::NoVariable(found.problem.unwrap_or_default()))
            }
            Ok(_) => Ok((looked_up, None)),
            Err(Reason::Store(failure @ store::Error::Host { .. })) if embedded.lookup == LookupMode::Prefer => {
                let warning =
                    format!("secret {:?} was not looked up: {failure}; the pod waits for it", requested.secret());
                Ok((Vec::new(), Some(warning)))
            }
            Err(reason) => Err(reason),
        }
    }
}
