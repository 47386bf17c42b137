//! Secrets fetched at admission: looked up scope by scope, then written into the pod as a variable or a file.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Container;

use super::{
    Context, ENV_PREFIX, Injection, Reason, SecretManager, derived_variable, file_variables, named_variable, needed,
    path_variable, refused,
};
use crate::cut;
use crate::names::{self, Scope, kubernetes};
use crate::pod::{ContainerName, File, InitContainer, Merged, Plan, SECRETS_DIR, memory_volume, mount, variable};
use crate::secret_request::{MountRequirement, SecretRequest};
use crate::store::{self, Lookup, SecretValue};
use crate::tenancy;

/// The volume in memory that files are written to.
const VOLUME: &str = "embedded-secret-vol";

/// The init-container's variable: a line `key=base64` for each file.
const SECRETS: &str = "SECRETS";

/// Writes each line of `SECRETS` to a file. Plain `sh`, for busybox and dash alike; keys have been checked, and are
/// never read as anything but a file's name. `cat` says what busybox's `base64` keeps to itself: that a volume is full.
/// No `$(`, which Kubernetes would take for one of its own variables.
const SCRIPT: &str = "\
printf '%s' \"$SECRETS\" | while IFS= read -r line; do
printf '%s' \"${line#*=}\" | base64 -d | cat > \"/etc/flyte/secrets/${line%%=*}\"
done";

/// The longest string that Linux hands to a process, with its end (`MAX_ARG_STRLEN`); a variable is one, name and all.
const VARIABLE_LIMIT: usize = 128 * 1024 - 1;

pub(super) struct Embedded<'a> {
    pub context: Context<'a>,
}

impl SecretManager for Embedded<'_> {
    fn inject(&self, request: &SecretRequest, merged: &Merged) -> Result<Injection, Reason> {
        let Context { settings, namespace, creator, pod, .. } = self.context;
        let key = needed("key", &request.key)?;
        if key.contains(|c: char| c.is_control()) {
            // It would stand in messages and in the audit annotation, line by line.
            return Err(refused("key", key, "a secret's key, which has no control characters"));
        }
        let labels = self.labels()?;
        let scope = labels.scope();
        let service_account = pod.service_account()?;
        tenancy::check(
            &settings.tenancy,
            scope,
            &tenancy::Origin { namespace, service_account: &service_account, creator },
        )?;
        // What can be rejected without the value is rejected before anything is fetched.
        let variable = self.variable_for(request)?;
        let found = self.look_up(scope, key)?;
        let plan = match variable {
            Some(name) => self.as_variable(&name, &found.value)?,
            None => self.as_file(request, &found.value, merged)?,
        };
        let source = found.looked_up.last().map(ToString::to_string).unwrap_or_default();
        let mut injection = Injection { plan, source, looked_up: found.looked_up, warnings: Vec::new() };
        if settings.embedded_secret_manager_config.image_pull_secrets.enabled {
            self.pull_images(found.scope, key, &mut injection)?;
        }
        Ok(injection)
    }
}

/// The labels that say whose secrets a pod may see.
struct Labels<'a> {
    organization: Cow<'a, str>,
    domain: Cow<'a, str>,
    project: Cow<'a, str>,
}

impl Labels<'_> {
    fn scope(&self) -> Scope<'_> {
        Scope { organization: &self.organization, domain: &self.domain, project: &self.project }
    }
}

/// A value, and where it was found.
struct Found<'a> {
    value: SecretValue,
    scope: Scope<'a>,
    /// Where it was looked for; the last one holds it.
    looked_up: Vec<Lookup>,
}

impl Embedded<'_> {
    fn labels(&self) -> Result<Labels<'_>, Reason> {
        let label = |name| {
            let value = self.context.pod.label(name)?.unwrap_or_default();
            match &*value {
                "" => Err(Reason::MissingLabel(name)),
                text if names::is_part(text) => Ok(value),
                text => Err(Reason::Label { name, value: cut(text).to_owned() }),
            }
        };
        Ok(Labels { organization: label("organization")?, project: label("project")?, domain: label("domain")? })
    }

    /// The variable that gets the value, or `None` if a file does.
    fn variable_for(&self, request: &SecretRequest) -> Result<Option<String>, Reason> {
        let named = named_variable(request)?;
        match (request.mount_requirement, named) {
            (MountRequirement::Any | MountRequirement::EnvVar, Some(name)) => Ok(Some(name.to_owned())),
            (MountRequirement::Any | MountRequirement::EnvVar, None) => {
                let prefix = &self.context.settings.secret_env_var_prefix;
                derived_variable([prefix, request.key.to_ascii_uppercase().as_str()].concat()).map(Some)
            }
            (MountRequirement::File, _) if is_file_name(&request.key) => Ok(None),
            (MountRequirement::File, _) => Err(refused(
                "key",
                &request.key,
                "a file's name: up to 255 of a-z, A-Z, 0-9, '-', '_' and '.', and not '.' or '..'",
            )),
            (MountRequirement::Unknown(number), _) => {
                Err(Reason::MountRequirement(MountRequirement::Unknown(number), "ANY, ENV_VAR or FILE"))
            }
        }
    }

    /// The first value that is found, nearest scope first.
    fn look_up<'s>(&self, scope: Scope<'s>, key: &str) -> Result<Found<'s>, Reason> {
        let store = store::open(&self.context.settings.embedded_secret_manager_config, self.context.cluster)?;
        let mut looked_up = Vec::new();
        for scope in scope.cascade() {
            let names = match store.names(scope, key) {
                Ok(names) => names,
                // A name that is too long for the store can be short enough in a broader scope.
                Err(problem) => {
                    looked_up.push(Lookup::NoName { scope: scope.to_string(), problem });
                    continue;
                }
            };
            for name in names {
                looked_up.push(store.lookup(&name));
                match store.fetch(&name) {
                    Ok(value) => return Ok(Found { value, scope, looked_up }),
                    Err(store::Error::NotFound) => {}
                    Err(failure) => return Err(failure.into()),
                }
            }
        }
        Err(Reason::NotFound(looked_up))
    }

    fn as_variable(&self, name: &str, value: &SecretValue) -> Result<Plan, Reason> {
        let text = str::from_utf8(value.bytes()).ok().filter(|text| !text.contains('\0')).ok_or(Reason::NotText)?;
        let length = name.len() + 1 + text.len();
        if length > VARIABLE_LIMIT {
            return Err(Reason::VariableTooLarge(text.len(), VARIABLE_LIMIT - name.len() - 1));
        }
        let prefix = &self.context.settings.secret_env_var_prefix;
        Ok(Plan { variables: vec![variable(ENV_PREFIX, prefix), variable(name, text)], ..Plan::default() })
    }

    fn as_file(&self, request: &SecretRequest, value: &SecretValue, merged: &Merged) -> Result<Plan, Reason> {
        let settings = &self.context.settings.embedded_secret_manager_config.file_mount_init_container;
        let key = &request.key;
        let path = [SECRETS_DIR, "/", key].concat();
        let known = merged.shared_init_container(&settings.container_name);
        let lines = known.and_then(|known| known.variable(SECRETS)).unwrap_or_default();
        // The same key has the same value, so one line is enough.
        let there = lines.lines().any(|line| line.split_once('=').is_some_and(|(file, _)| file == key));
        let line = if there { String::new() } else { format!("{key}={}\n", STANDARD.encode(value.bytes())) };
        let all = lines.len() + line.len();
        let limit = VARIABLE_LIMIT - SECRETS.len() - 1;
        if all > limit {
            return Err(Reason::FilesTooLarge { file: value.bytes().len(), all, limit });
        }
        let container = Container {
            image: Some(settings.image.clone()),
            command: Some(["sh", "-ec", SCRIPT].map(str::to_owned).into()),
            env: Some(vec![variable(SECRETS, &line)]),
            resources: Some(settings.resources.requirements()),
            volume_mounts: Some(vec![mount(VOLUME, SECRETS_DIR, false)]),
            ..Container::default()
        };
        let name = ContainerName::Shared(settings.container_name.clone());
        // The first file leads the task to the folder; later ones do not move these variables to the front.
        let first = known.is_none().then(file_variables);
        Ok(Plan {
            variables: first.into_iter().flatten().chain(path_variable(request, &path)?).collect(),
            mounts: vec![mount(VOLUME, SECRETS_DIR, true)],
            volumes: vec![memory_volume(VOLUME)],
            init_containers: vec![InitContainer { name, container }],
            files: vec![File { path: key.clone(), contents: ["Embedded ", key].concat() }],
            ..Plan::default()
        })
    }

    /// Lets the pod pull images with the secret's twin, if there is one in its namespace. Flyte copies the twin there;
    /// a policy cannot write, so it says what to copy.
    fn pull_images(&self, scope: Scope, key: &str, injection: &mut Injection) -> Result<(), Reason> {
        let Context { cluster, namespace, settings, .. } = self.context;
        let home = &settings.embedded_secret_manager_config.k8s_config.namespace;
        let twin = kubernetes::image_pull_name(scope, key);
        if store::has_secret(cluster, namespace, &twin)? {
            injection.plan.image_pull_secrets.push(twin);
        } else if home != namespace && store::has_secret(cluster, home, &twin)? {
            injection.warnings.push(format!(
                "secret {key:?} can serve to pull images once Secret {home}/{twin} is copied to namespace {namespace}"
            ));
        }
        Ok(())
    }
}

/// Linux has names of up to 255 bytes (`NAME_MAX`).
fn is_file_name(key: &str) -> bool {
    key.len() <= 255
        && key.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        && !matches!(key, "." | "..")
}
