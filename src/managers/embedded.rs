//! Embedded: looks up secrets at admission, scope by scope, and adds them to the pod as variables or files.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{
    Context, ENV_PREFIX, Injection, Outcome, Reason, SecretManager, derived_variable, file_variables, invalid,
    named_variable, needed, path_variable,
};
use crate::cut;
use crate::grant::{Granted, is_file_name};
use crate::names::{self, Scope, kubernetes, version};
use crate::pod::{
    Container, ContainerName, File, InitContainer, Malformed, Merged, Plan, SECRETS_DIR, memory_volume, mount,
    projected_volume, secret_variable, variable,
};
use crate::secret_request::{MountRequirement, SecretRequest};
use crate::settings::{Delivery, Provider};
use crate::store::{self, GetResource, Lookup, SecretStore, SecretValue};
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
    requests: Cell<usize>,
    /// The labels organization, domain and project.
    labels: [Result<Cow<'a, str>, Malformed>; 3],
    service_account: Result<Cow<'a, str>, Malformed>,
    /// Whether the pod may have secrets of its labels; the same for each request.
    tenancy: OnceCell<Result<(), tenancy::Error>>,
    /// Values that have been read, by the names of their secrets.
    values: RefCell<BTreeMap<String, Rc<Stored>>>,
}

/// A value, and what it is as a JSON object, once that has been asked for.
struct Stored {
    value: SecretValue,
    object: OnceCell<Option<Map<String, Value>>>,
}

/// The labels with the scope of a pod.
const LABELS: [&str; 3] = ["organization", "domain", "project"];

impl<'a> Embedded<'a> {
    pub fn new(context: Context<'a>) -> Self {
        let label = |name| context.pod.label(name).map(Option::unwrap_or_default);
        Self {
            context,
            requests: Cell::default(),
            labels: LABELS.map(label),
            service_account: context.pod.service_account(),
            tenancy: OnceCell::new(),
            values: RefCell::default(),
        }
    }
}

impl SecretManager for Embedded<'_> {
    fn inject(&self, request: &SecretRequest, so_far: &Outcome) -> Result<Injection, Reason> {
        let Context { settings, namespace, creator, .. } = self.context;
        let key = needed("key", &request.key)?;
        if key.contains(|c: char| c.is_control()) {
            // It would break lines of messages and of the audit annotation.
            return Err(invalid("key", key, "a valid key; it must not contain control characters"));
        }
        let scope = self.scope()?;
        let service_account = self.service_account.as_deref().map_err(|malformed| *malformed)?;
        let origin = tenancy::Origin { namespace, service_account, creator: Some(creator) };
        self.tenancy.get_or_init(|| tenancy::check(&settings.tenancy, scope, &origin)).clone()?;
        // Reject before anything is fetched.
        self.count()?;
        let variable = self.variable_for(request)?;
        let embedded = &settings.embedded_secret_manager_config;
        let requested = self.requested(request)?;
        let ignored = [
            ("group", &request.group, &requested.group),
            ("group_version", &request.group_version, &requested.version),
        ];
        let ignored = ignored.into_iter().filter(|(_, asked, used)| asked != used);
        let warnings = ignored.map(|(field, ..)| format!("secret {request}: Embedded ignores {field}")).collect();
        if embedded.delivery == Delivery::Pull {
            return self.pull(request, requested, scope, variable, so_far, warnings);
        }
        let property = !requested.group.is_empty();
        let by_reference = self.by_reference(property)?;
        let mut found = self.look_up(scope, &requested)?;
        if property {
            let object = found.value.object.get_or_init(|| store::object(found.value.value.bytes()));
            let value = store::property_of(object.as_ref(), &requested.group, key)?;
            found.value = Rc::new(Stored { value, object: OnceCell::new() });
        }
        let plan = match (variable, by_reference) {
            (Some(name), _) => self.as_variable(name, &found, by_reference)?,
            (None, true) if !self.context.files_by_value => {
                self.as_referenced_file(request, &requested, &found, &so_far.merged)?
            }
            (None, _) => self.as_file(request, &requested, &found.value.value, &so_far.merged)?,
        };
        let source = found.looked_up.last().map(ToString::to_string).unwrap_or_default();
        let mut injection = Injection { plan, source, looked_up: found.looked_up, warnings, ..Injection::default() };
        if embedded.image_pull_secrets.enabled {
            self.pull_images(found.scope, requested.secret(), &mut injection)?;
        }
        Ok(injection)
    }

    fn complete(&self, outcome: &mut Outcome) {
        if let Ok(scope) = self.scope() {
            self.grant(scope, outcome);
        }
    }
}

/// A label as a part of a name.
fn part<'v>(name: &'static str, value: &'v Result<Cow<str>, Malformed>) -> Result<&'v str, Reason> {
    match value.as_deref().map_err(|malformed| *malformed)? {
        "" => Err(Reason::MissingLabel(name)),
        text if names::is_part(text) => Ok(text),
        text => Err(Reason::Label { name, value: cut(text).to_owned() }),
    }
}

/// A value, and its name.
struct Found<'a> {
    value: Rc<Stored>,
    /// Its name in the store.
    name: String,
    scope: Scope<'a>,
    /// Names that were looked up; the last one was found.
    looked_up: Vec<Lookup>,
}

impl Embedded<'_> {
    /// The scope of the pod's labels.
    fn scope(&self) -> Result<Scope<'_>, Reason> {
        let [organization, domain, project] = &self.labels;
        let organization = part("organization", organization)?;
        // As Flyte reports them.
        let project = part("project", project)?;
        Ok(Scope { organization, domain: part("domain", domain)?, project })
    }

    /// Returns the variable for the value, or `None` for a file.
    fn variable_for(&self, request: &SecretRequest) -> Result<Option<String>, Reason> {
        let named = named_variable(request)?;
        match (request.mount_requirement, named) {
            (MountRequirement::Any | MountRequirement::EnvVar, Some(name)) => Ok(Some(name.to_owned())),
            (MountRequirement::Any | MountRequirement::EnvVar, None) => {
                let prefix = &self.context.settings.secret_env_var_prefix;
                derived_variable([prefix, request.key.to_ascii_uppercase().as_str()].concat()).map(Some)
            }
            (MountRequirement::File, _) if is_file_name(&request.key) => Ok(None),
            (MountRequirement::File, _) => Err(invalid(
                "key",
                &request.key,
                "a valid file name; expected up to 255 of a-z, A-Z, 0-9, '-', '_' and '.', and not '.' or '..'",
            )),
            (MountRequirement::Unknown(number), _) => {
                Err(Reason::MountRequirement(MountRequirement::Unknown(number), "ANY, ENV_VAR or FILE"))
            }
        }
    }

    /// Returns the first value that is found, narrowest scope first.
    fn look_up<'s>(&self, scope: Scope<'s>, requested: &Granted) -> Result<Found<'s>, Reason> {
        let Context { settings, reader, .. } = self.context;
        let store = store::open(&settings.embedded_secret_manager_config, reader)?;
        let mut looked_up = Vec::new();
        let (scope, value, name) =
            self.first(&*store, scope, requested, &mut looked_up, |name| self.fetch(&*store, name), store.guard())?;
        Ok(Found { value, name, scope, looked_up })
    }

    /// The value under a name, which is decoded once.
    fn fetch(&self, store: &dyn SecretStore, name: &str) -> Result<Rc<Stored>, store::Error> {
        let mut values = self.values.borrow_mut();
        if let Some(known) = values.get(name) {
            return Ok(Rc::clone(known));
        }
        let stored = Rc::new(Stored { value: store.fetch(name)?, object: OnceCell::new() });
        values.insert(name.to_owned(), Rc::clone(&stored));
        Ok(stored)
    }

    /// Returns the first name that exists, narrowest scope first, and the result of `ask` for it. Without any, checks
    /// by `guard` that the store exists.
    pub(super) fn first<'s, T>(
        &self,
        store: &dyn SecretStore,
        scope: Scope<'s>,
        requested: &Granted,
        looked_up: &mut Vec<Lookup>,
        ask: impl Fn(&str) -> Result<T, store::Error>,
        guard: GetResource,
    ) -> Result<(Scope<'s>, T, String), Reason> {
        for scope in scope.cascade() {
            let names = match store.names(scope, requested.secret()) {
                Ok(names) => names,
                // A name that is too long for the store can be shorter in a broader scope.
                Err(problem @ store::Error::NoName(_)) => {
                    looked_up.push(Lookup::NoName { scope: scope.to_string(), problem });
                    continue;
                }
                Err(failure) => return Err(failure.into()),
            };
            for name in names {
                let name = version::join(&name, &requested.version);
                looked_up.push(store.lookup(&name));
                match ask(&name) {
                    Ok(found) => return Ok((scope, found, name)),
                    Err(store::Error::NotFound) => {}
                    Err(failure) => return Err(failure.into()),
                }
            }
        }
        self.context.reader.check_guard(&guard)?;
        Err(Reason::NotFound(std::mem::take(looked_up)))
    }

    /// Returns the requested secret, with the fields that settings and provider support.
    fn requested(&self, SecretRequest { key, group, group_version, .. }: &SecretRequest) -> Result<Granted, Reason> {
        let embedded = &self.context.settings.embedded_secret_manager_config;
        let mut requested = Granted::whole(key);
        if embedded.properties {
            requested.group.clone_from(group);
        }
        let provider = embedded.provider()?;
        if embedded.versions && provider.is_cloud() && !group_version.is_empty() {
            provider
                .check_version(group_version)
                .map_err(|expected| invalid("group_version", group_version, expected))?;
            requested.version.clone_from(group_version);
        }
        Ok(requested)
    }

    /// Counts a request.
    fn count(&self) -> Result<(), Reason> {
        let limit = self.context.settings.limits.embedded_requests;
        self.requests.set(self.requests.get() + 1);
        if self.requests.get() > limit { Err(Reason::TooManyRequests(limit)) } else { Ok(()) }
    }

    /// Whether the pod refers to the Secret instead of having the value.
    fn by_reference(&self, property: bool) -> Result<bool, Reason> {
        let Context { settings, namespace, .. } = self.context;
        let embedded = &settings.embedded_secret_manager_config;
        let home = &embedded.k8s_config.namespace;
        let obstacle = match embedded.provider()? {
            Provider::K8s if property => Some("the value is a property of the secret".to_owned()),
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

    fn as_variable(&self, name: String, found: &Found, by_reference: bool) -> Result<Plan, Reason> {
        let text = str::from_utf8(found.value.value.bytes())
            .ok()
            .filter(|text| !text.contains('\0'))
            .ok_or(Reason::NotText)?;
        let length = name.len() + 1 + text.len();
        if length > VARIABLE_LIMIT {
            return Err(Reason::VariableTooLarge(text.len(), VARIABLE_LIMIT - name.len() - 1));
        }
        let prefix = &self.context.settings.secret_env_var_prefix;
        let variable_of = match by_reference {
            true => secret_variable(name, &kubernetes::secret_name(&found.name), &found.name, None),
            false => variable(name, text),
        };
        Ok(Plan { variables: vec![variable(ENV_PREFIX, prefix), variable_of], ..Plan::default() })
    }

    /// Returns a file in a volume of the Secret: without an init container, and updated with the Secret.
    fn as_referenced_file(
        &self,
        request: &SecretRequest,
        requested: &Granted,
        found: &Found,
        merged: &Merged,
    ) -> Result<Plan, Reason> {
        let secret = kubernetes::secret_name(&found.name);
        Ok(Plan {
            mounts: vec![mount(VOLUME, SECRETS_DIR, true)],
            volumes: vec![projected_volume(VOLUME, &secret, &found.name, &request.key)],
            ..self.file(request, requested, merged.has_projected_volume())?
        })
    }

    /// Returns the additions for a file with any delivery: variables and a path. The first file adds the variables with
    /// the folder; later ones do not move them to the front.
    pub(super) fn file(&self, request: &SecretRequest, requested: &Granted, later: bool) -> Result<Plan, Reason> {
        let key = &request.key;
        let first = (!later).then(|| file_variables(SECRETS_DIR));
        let path = path_variable(request, &[SECRETS_DIR, "/", key].concat())?;
        Ok(Plan {
            variables: first.into_iter().flatten().chain(path).collect(),
            files: vec![File {
                path: key.clone(),
                contents: version::join(&["Embedded ", &requested.group, "/", key].concat(), &requested.version),
            }],
            ..Plan::default()
        })
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
            return Err(Reason::FilesTooLarge { file: value.bytes().len(), all, limit });
        }
        let container = Container {
            command: ["sh", "-ec", SCRIPT].map(str::to_owned).into(),
            env: vec![variable(SECRETS, &line)],
            volume_mounts: vec![mount(VOLUME, SECRETS_DIR, false)],
            ..settings.container()
        };
        let name = ContainerName::Shared(settings.container_name.clone());
        Ok(Plan {
            mounts: vec![mount(VOLUME, SECRETS_DIR, true)],
            volumes: vec![memory_volume(VOLUME, &self.context.settings.volume_size_limit.0)],
            init_containers: vec![InitContainer { name, container }],
            ..self.file(request, requested, known.is_some())?
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
