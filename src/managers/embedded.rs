//! Embedded: looks up secrets at admission, scope by scope, and adds them to the pod as variables or files.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{
    Context, ENV_PREFIX, Injection, Outcome, Reason, SecretManager, derived_variable, ensure, file_variables,
    named_variable, needed,
};
use crate::cut;
use crate::grant::{Granted, is_file_name};
use crate::names::{self, Scope, kubernetes, version};
use crate::pod::{
    Container, ContainerName, File, InitContainer, Merged, Plan, SECRETS_DIR, memory_volume, mount, projected_volume,
    secret_variable, variable,
};
use crate::secret_request::{MountRequirement, SecretRequest};
use crate::settings::{Delivery, Provider};
use crate::store::{self, GetResource, Lookup, SecretValue, Store};
use crate::tenancy;

/// Name of the volume in memory for files.
const VOLUME: &str = "embedded-secret-vol";

/// Variable of the init container, with a line `key=base64` for each file.
const SECRETS: &str = "SECRETS";

/// Script that writes each line of `SECRETS` to a file, for `sh` of busybox and dash. Keys have been validated, and are
/// used as file names only. `cat` reports a full volume, which busybox's `base64` does not. Without `$(`, which
/// Kubernetes would expand.
const SCRIPT: &str = "\
printf '%s' \"$SECRETS\" | while IFS= read -r line; do
printf '%s' \"${line#*=}\" | base64 -d | cat > \"/etc/flyte/secrets/${line%%=*}\"
done";

/// Maximum length of a string for a process in Linux, with its terminator (`MAX_ARG_STRLEN`). A variable with its name
/// is one.
const VARIABLE_LIMIT: usize = 128 * 1024 - 1;

pub(super) struct Embedded<'a> {
    pub context: Context<'a>,
    /// Number of requests that have been looked up for the pod.
    pub requests: Cell<usize>,
    /// Whether the pod may have secrets of its labels; the same for each request.
    pub tenancy: OnceCell<Result<(), tenancy::Error>>,
    /// Values that have been read, by the names of their secrets.
    pub values: RefCell<BTreeMap<String, Rc<SecretValue>>>,
}

/// The answer to the name of a secret that exists.
pub(super) struct Found<'s, T> {
    pub answer: T,
    scope: Scope<'s>,
    /// Names that were looked up; the last one was found.
    pub looked_up: Vec<Lookup>,
}

impl<T> Found<'_, T> {
    /// The name in the store.
    fn name(&self) -> &str {
        self.looked_up.last().and_then(|lookup| lookup.name.as_deref().ok()).unwrap_or_default()
    }
}

impl SecretManager for Embedded<'_> {
    fn inject(&self, request: &SecretRequest, so_far: &Outcome) -> Result<Injection, Reason> {
        let Context { pod, settings, namespace, creator, .. } = self.context;
        let embedded = &settings.embedded_secret_manager_config;
        let key = needed("key", &request.key)?;
        // They would break lines of messages and of the audit annotation.
        let printable = !key.contains(|c: char| c.is_control());
        ensure(printable, "key", key, "a valid key; it must not contain control characters")?;
        // In the order in which Flyte reports them.
        let [organization, project, domain] = ["organization", "project", "domain"].map(|name| self.label(name));
        let (organization, project, domain) = (organization?, project?, domain?);
        let scope = Scope { organization: &organization, domain: &domain, project: &project };
        let origin = tenancy::Origin { namespace, service_account: &pod.service_account()?, creator: Some(creator) };
        self.tenancy.get_or_init(|| tenancy::check(&settings.tenancy, scope, &origin)).clone()?;
        // Reject before anything is fetched.
        self.requests.set(self.requests.get() + 1);
        if self.requests.get() > settings.limits.embedded_requests {
            return Err(Reason::TooManyRequests(settings.limits.embedded_requests));
        }
        let variable = self.variable_for(request)?;
        let store = Store::open(embedded)?;
        let requested = self.requested(request, store.provider)?;
        let ignored = [
            ("group", &request.group, &requested.group),
            ("group_version", &request.group_version, &requested.version),
        ];
        let ignored = ignored.into_iter().filter(|(_, asked, used)| asked != used);
        let warnings = ignored.map(|(field, ..)| format!("secret {request}: Embedded ignores {field}")).collect();
        if embedded.delivery == Delivery::Pull {
            return self.pull(request, requested, scope, variable, so_far, warnings);
        }
        let by_reference = self.by_reference(&requested, store.provider)?;
        let found = self.first(&store, scope, &requested, store.guard(), |name| self.fetch(&store, name))?;
        let property = match requested.group.as_str() {
            "" => None,
            group => Some(found.answer.property(group, key)?),
        };
        let value = property.as_ref().unwrap_or(&found.answer);
        let plan = match (variable, by_reference.then(|| found.name())) {
            (Some(name), referred) => self.as_variable(name, value, referred)?,
            (None, Some(referred)) if !self.context.files_by_value => {
                // Without an init container, and updated with the Secret.
                let volume = projected_volume(VOLUME, &kubernetes::secret_name(referred), referred, key);
                Plan {
                    volumes: vec![volume],
                    ..file(request, &requested, VOLUME, so_far.merged.has_projected_volume())?
                }
            }
            (None, _) => self.as_file(request, &requested, value, &so_far.merged)?,
        };
        let Found { scope, looked_up, .. } = found;
        let mut injection = Injection { plan, looked_up, warnings, ..Injection::default() };
        if embedded.image_pull_secrets.enabled {
            self.pull_images(scope, requested.secret(), &mut injection)?;
        }
        Ok(injection)
    }
}

impl<'a> Embedded<'a> {
    /// Returns a label of the pod, as a part of names.
    fn label(&self, name: &'static str) -> Result<Cow<'a, str>, Reason> {
        match self.context.pod.label(name)?.unwrap_or_default() {
            text if text.is_empty() => Err(Reason::MissingLabel(name)),
            text if names::is_part(&text) => Ok(text),
            text => Err(Reason::Label(name, cut(&text).to_owned())),
        }
    }

    /// Returns the variable for the value, or `None` for a file.
    fn variable_for(&self, request: &SecretRequest) -> Result<Option<String>, Reason> {
        let named = named_variable(request)?;
        match request.mount_requirement {
            MountRequirement::Any | MountRequirement::EnvVar if named.is_some() => Ok(named),
            MountRequirement::Any | MountRequirement::EnvVar => {
                let prefix = &self.context.settings.secret_env_var_prefix;
                derived_variable([prefix, request.key.to_ascii_uppercase().as_str()].concat()).map(Some)
            }
            MountRequirement::File => {
                let expected =
                    "a valid file name; expected up to 255 of a-z, A-Z, 0-9, '-', '_' and '.', and not '.' or '..'";
                ensure(is_file_name(&request.key), "key", &request.key, expected).map(|()| None)
            }
            other => Err(Reason::MountRequirement(other, "ANY, ENV_VAR or FILE")),
        }
    }

    /// Returns the answer of `ask` to the first name that exists, narrowest scope first. Without any, checks by `guard`
    /// that the store exists.
    pub(super) fn first<'s, T>(
        &self,
        store: &Store,
        scope: Scope<'s>,
        requested: &Granted,
        guard: GetResource,
        ask: impl Fn(&str) -> Result<T, store::Error>,
    ) -> Result<Found<'s, T>, Reason> {
        let mut looked_up = Vec::new();
        for lookup in store.lookups(scope, requested.secret(), &requested.version) {
            let (scope, lookup) = lookup?;
            let answer = lookup.name.as_deref().map_or(Err(store::Error::NotFound), &ask);
            looked_up.push(lookup);
            match answer {
                Err(store::Error::NotFound) => {}
                answer => return Ok(Found { answer: answer?, scope, looked_up }),
            }
        }
        self.context.reader.check_guard(&guard)?;
        Err(Reason::NotFound(looked_up))
    }

    /// The value under a name, which is decoded once.
    fn fetch(&self, store: &Store, name: &str) -> Result<Rc<SecretValue>, store::Error> {
        let mut values = self.values.borrow_mut();
        if let Some(known) = values.get(name) {
            return Ok(Rc::clone(known));
        }
        let value = Rc::new(store.fetch(self.context.reader, name)?);
        values.insert(name.to_owned(), Rc::clone(&value));
        Ok(value)
    }

    /// Returns the requested secret, with the fields that settings and provider support.
    fn requested(&self, request: &SecretRequest, provider: Provider) -> Result<Granted, Reason> {
        let SecretRequest { key, group, group_version, .. } = request;
        let embedded = &self.context.settings.embedded_secret_manager_config;
        let mut requested = Granted::whole(key);
        if embedded.properties {
            requested.group.clone_from(group);
        }
        if embedded.versions && provider.is_cloud() && !group_version.is_empty() {
            let invalid = |expected| Reason::Field("group_version", group_version.clone(), expected);
            provider.check_version(group_version).map_err(invalid)?;
            requested.version.clone_from(group_version);
        }
        Ok(requested)
    }

    /// Whether the pod refers to the Secret instead of having the value.
    fn by_reference(&self, requested: &Granted, provider: Provider) -> Result<bool, Reason> {
        let Context { settings, namespace, .. } = self.context;
        let embedded = &settings.embedded_secret_manager_config;
        let home = &embedded.k8s_config.namespace;
        let obstacle = match provider {
            Provider::K8s if !requested.group.is_empty() => Some("the value is a property of the secret".to_owned()),
            Provider::K8s if home == namespace => None,
            Provider::K8s => Some(format!("pod is in namespace {namespace:?}, its secret in namespace {home:?}")),
            other => Some(format!("the secret is stored in {other}")),
        };
        match (embedded.delivery, obstacle) {
            (Delivery::Value | Delivery::Pull, _) | (Delivery::Auto, Some(_)) => Ok(false),
            (Delivery::Reference, Some(obstacle)) => Err(Reason::NoReference(obstacle)),
            (_, None) => Ok(true),
        }
    }

    /// Returns the variable with the value or, if given, with a reference to the Secret of this name.
    fn as_variable(&self, name: String, value: &SecretValue, referred: Option<&str>) -> Result<Plan, Reason> {
        let text = str::from_utf8(value.bytes()).ok().filter(|text| !text.contains('\0')).ok_or(Reason::NotText)?;
        let limit = VARIABLE_LIMIT.saturating_sub(name.len() + 1);
        if text.len() > limit {
            return Err(Reason::VariableTooLarge(text.len(), limit));
        }
        let prefix = variable(ENV_PREFIX, &self.context.settings.secret_env_var_prefix);
        let own = match referred {
            Some(referred) => secret_variable(name, &kubernetes::secret_name(referred), referred, None),
            None => variable(name, text),
        };
        Ok(Plan { variables: vec![prefix, own], ..Plan::default() })
    }

    fn as_file(
        &self,
        request: &SecretRequest,
        requested: &Granted,
        value: &SecretValue,
        merged: &Merged,
    ) -> Result<Plan, Reason> {
        let settings = &self.context.settings.embedded_secret_manager_config.file_mount_init_container;
        let key = &request.key;
        let known = merged.shared_init_container(&settings.container_name);
        let lines = known.and_then(|known| known.variable(SECRETS)).unwrap_or_default();
        // The same key has the same value, so one line is enough.
        let there = merged.has_file(key);
        let line = if there { String::new() } else { format!("{key}={}\n", STANDARD.encode(value.bytes())) };
        let all = lines.len() + line.len();
        let limit = VARIABLE_LIMIT - SECRETS.len() - 1;
        if all > limit {
            return Err(Reason::FilesTooLarge(value.bytes().len(), all, limit));
        }
        let container = Container {
            command: ["sh", "-ec", SCRIPT].map(str::to_owned).into(),
            env: vec![variable(SECRETS, &line)],
            volume_mounts: vec![mount(VOLUME, SECRETS_DIR, false)],
            ..settings.container()
        };
        let name = ContainerName::Shared(settings.container_name.clone());
        Ok(Plan {
            volumes: vec![memory_volume(VOLUME, &self.context.settings.volume_size_limit.0)],
            init_containers: vec![InitContainer { name, container }],
            ..file(request, requested, VOLUME, known.is_some())?
        })
    }

    /// Adds the copy of the secret for image pulls, if it exists in the pod's namespace. Flyte creates the copy; a
    /// policy cannot write, so it warns what to copy.
    fn pull_images(&self, scope: Scope, key: &str, injection: &mut Injection) -> Result<(), Reason> {
        let Context { reader, namespace, settings, .. } = self.context;
        let home = &settings.embedded_secret_manager_config.k8s_config.namespace;
        let twin = kubernetes::image_pull_name(scope, key);
        if reader.has_secret(namespace, &twin)? {
            injection.plan.image_pull_secrets.push(twin);
        } else if home != namespace && reader.has_secret(home, &twin)? {
            injection.warnings.push(format!(
                "secret {key:?} can be used as image pull secret after Secret {home}/{twin} is copied to namespace {namespace}"
            ));
        }
        Ok(())
    }
}

/// Returns the additions for a file with any delivery: variables, a path, and the mount of its volume. The first file
/// adds the variables with the folder; later ones do not move them to the front.
pub(super) fn file(request: &SecretRequest, requested: &Granted, volume: &str, later: bool) -> Result<Plan, Reason> {
    let key = &request.key;
    let mut variables = file_variables(request, SECRETS_DIR, &[SECRETS_DIR, "/", key].concat())?;
    if later {
        variables.drain(..2);
    }
    let contents = version::join(&["Embedded ", &requested.group, "/", key].concat(), &requested.version);
    Ok(Plan {
        variables,
        mounts: vec![mount(volume, SECRETS_DIR, true)],
        files: vec![File { path: key.clone(), contents }],
        ..Plan::default()
    })
}
