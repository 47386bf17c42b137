//! The secret managers, and the chain in which they are tried.
//!
//! A manager returns the additions to the pod for one secret request, or a reason. It never sees JSON, and a manager
//! that fails has added nothing.

mod embedded;
mod k8s;
mod pull;
mod sidecar;
mod vault;

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::EnvVar;

use crate::grant::{self, Collected, Grant};
use crate::inserted;
use crate::pod::{self, ConflictCause, Limits, Merged, Plan, Pod, TooLarge, variable};
use crate::reason_code::ReasonCode;
use crate::secret_request::{Annotated, MountRequirement, SecretRequest};
use crate::settings::{self, Delivery, ManagerType, Settings};
use crate::store::host_error::HostError;
use crate::store::{self, Lookup, Reader};
use crate::tenancy;

/// The input of managers.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The original pod.
    pub pod: &'a Pod<'a>,
    /// Limits for additions to the pod.
    pub limits: &'a Limits<'a>,
    /// Namespace of the pod in the admission request.
    pub namespace: &'a str,
    /// User who creates the pod.
    pub creator: &'a str,
    /// The policy's settings.
    pub settings: &'a Settings,
    /// Whether files of Embedded are written to the volume in memory although the pod could refer to their Secrets:
    /// others are written there, too.
    pub files_by_value: bool,
    /// Reads objects.
    pub reader: &'a Reader<'a>,
}

/// A manager.
trait SecretManager {
    /// Returns the additions for a request, given those for the requests before it.
    fn inject(&self, request: &SecretRequest, so_far: &Outcome) -> Result<Injection, Reason>;
}

/// The result of a manager for one request.
#[derive(Debug, Default)]
struct Injection {
    plan: Plan,
    /// Name of the secret for the audit annotation, unless it was looked up.
    source: String,
    /// Names that Embedded looked up; the last one was found.
    looked_up: Vec<Lookup>,
    /// The grant of this secret alone.
    grant: Option<Box<Grant>>,
    warnings: Vec<String>,
}

/// Why a manager does not inject a secret.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The mount requirement is not supported; the others are.
    #[error("unsupported mount_requirement {0}; use {1}")]
    MountRequirement(MountRequirement, &'static str),
    /// A required field of the request is empty.
    #[error("missing required field `{0}`")]
    Missing(&'static str),
    /// A field of the request has this value, which is not what is expected.
    #[error("{0} {1:?} is not {2}")]
    Field(&'static str, String, &'static str),
    /// The key does not map to a valid variable name.
    #[error("key maps to the invalid variable name {0:?}; set `env_var`")]
    Derived(String),
    /// The variable tells the task where its secrets are.
    #[error("{0} is a reserved variable; set another `env_var`")]
    Reserved(String),
    /// The variable changes how programs start.
    #[error(
        "variable {0} is not allowed, it changes how programs start; set another `env_var`, or ask the operator to \
         add it to allowedEnvVars"
    )]
    Denied(String),
    /// Files are not supported on Windows.
    #[error("files are not supported on Windows (spec.os.name); request it as an ENV_VAR")]
    Windows,
    /// The pod has too many requests for Embedded.
    #[error(
        "pod exceeds the limit of {0} secret requests for Embedded; request fewer secrets, or raise \
         limits.embeddedRequests in the policy settings"
    )]
    TooManyRequests(usize),
    /// `delivery: Reference` is not possible.
    #[error("{0}, so the pod cannot reference the secret; set embeddedSecretManagerConfig.delivery to Auto")]
    NoReference(String),
    /// The pod's annotations disable Vault's agent.
    #[error("annotation {0} disables the Vault agent; remove it")]
    AgentOff(String),
    /// A label that Embedded requires is missing.
    #[error("missing required label {0}; add it to the pod")]
    MissingLabel(&'static str),
    /// A label has this value, which is not a valid part of names.
    #[error("label {0}={1:?} must be a valid label value without \"__\", the separator in secret names")]
    Label(&'static str, String),
    /// The secret was not found.
    #[error("not found; looked up {}; store it under one of these names", list(.0))]
    NotFound(Vec<Lookup>),
    /// The store cannot be read, or has an invalid value.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The pod may not have the secret.
    #[error(transparent)]
    Tenancy(#[from] tenancy::Error),
    /// The settings do not name one store.
    #[error("invalid settings: {0}")]
    Settings(#[from] settings::Error),
    /// The pod cannot be read.
    #[error(transparent)]
    Malformed(#[from] pod::Malformed),
    /// The value is not text, as variables require.
    #[error("the value is not UTF-8 text; request it as a FILE")]
    NotText,
    /// The gateway reports that the value cannot be a variable.
    #[error("value cannot be an environment variable: {0}")]
    NoVariable(String),
    /// The value exceeds the limit for a variable.
    #[error("the value of {0} bytes exceeds the limit of {1} bytes for a variable; request it as a FILE")]
    VariableTooLarge(usize, usize),
    /// With this file, all of them, encoded, exceed the limit for the init container.
    #[error(
        "with this file of {0} bytes, files of {1} bytes in base64 exceed the limit of {2} bytes; use fewer or \
         smaller files"
    )]
    FilesTooLarge(usize, usize, usize),
}

impl Reason {
    /// Whether no other manager is asked: an outage, or a limit of what is looked up, must not let a less preferred one
    /// win.
    fn ends_search(&self) -> bool {
        let is_limit = matches!(self, Self::TooManyRequests(_) | Self::Store(store::Error::TooManyReads(_)));
        is_limit || self.code().http_status() == 503
    }

    /// Returns the reason code.
    pub fn code(&self) -> ReasonCode {
        use HostError::{BadName, Forbidden, GatewayForbidden, NotGranted};
        use ReasonCode as Code;
        use store::Error;
        match self {
            Self::MountRequirement(..) | Self::Windows | Self::NoReference(_) | Self::AgentOff(_) => {
                Code::UnsupportedRequest
            }
            Self::Missing(_) | Self::Field(..) => Code::InvalidSecretRequest,
            Self::Store(Error::Name(_) | Error::NoName(_) | Error::Host(_, BadName)) => Code::InvalidSecretRequest,
            Self::Derived(_) | Self::Reserved(_) | Self::Denied(_) => Code::VariableNotAllowed,
            Self::TooManyRequests(_) | Self::VariableTooLarge(..) | Self::FilesTooLarge(..) => Code::LimitExceeded,
            Self::Store(Error::TooManyReads(_)) => Code::LimitExceeded,
            Self::MissingLabel(_) | Self::Label(..) => Code::InvalidLabel,
            Self::NotFound(_) | Self::Store(Error::NotFound | Error::NoValue(..)) => Code::SecretNotFound,
            Self::Store(Error::BadValue(..) | Error::NoProperty(..)) => Code::InvalidSecretValue,
            Self::NotText | Self::NoVariable(_) => Code::InvalidSecretValue,
            Self::Tenancy(_) => Code::TenantMismatch,
            Self::Store(Error::Host(_, Forbidden | GatewayForbidden | NotGranted)) => Code::AccessDenied,
            Self::Settings(_) => Code::InvalidSettings,
            Self::Malformed(_) => Code::InvalidPod,
            Self::Store(Error::Host(..) | Error::NoStore(_)) => Code::ProviderUnavailable,
        }
    }
}

/// Why secrets are not injected.
#[derive(Debug, thiserror::Error)]
pub enum InjectionError {
    /// No manager injects this secret request; those that were tried, with their reasons.
    #[error("secret {0} cannot be injected{reasons}", reasons = reasons(.1))]
    NotInjected(Annotated, Vec<(ManagerType, Reason)>),
    /// The pod exceeds a limit with the additions for this request and those before it.
    #[error("secret {0} cannot be injected: {1}")]
    TooLarge(Annotated, TooLarge),
    /// Two secret requests conflict.
    #[error("secrets {0} and {1} conflict: {2}")]
    ConflictingRequests(Annotated, Annotated, ConflictCause),
}

impl InjectionError {
    /// Returns the reason code: that of the most severe reason, if several managers were tried.
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::NotInjected(_, tried) => {
                let codes = tried.iter().map(|(_, reason)| reason.code());
                codes.max().unwrap_or(ReasonCode::UnsupportedRequest)
            }
            Self::TooLarge(..) => ReasonCode::LimitExceeded,
            Self::ConflictingRequests(..) => ReasonCode::ConflictingRequests,
        }
    }
}

fn list(lookups: &[Lookup]) -> String {
    lookups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the managers' reasons; several are in brackets, as in lists of errors of Kubernetes.
fn reasons(tried: &[(ManagerType, Reason)]) -> String {
    let reasons: Vec<String> = tried.iter().map(|(manager, reason)| format!("{manager}: {reason}")).collect();
    match reasons.as_slice() {
        [] => String::new(),
        [reason] => [": ", reason].concat(),
        _ => [": [", &reasons.join(", "), "]"].concat(),
    }
}

/// The result of one request.
#[derive(Debug)]
pub struct Injected {
    /// The annotation with the request.
    pub annotation: String,
    /// Managers that were tried before, with their reasons.
    pub declined: Vec<(ManagerType, Reason)>,
    /// The manager that injects the secret.
    pub manager: ManagerType,
    /// Name under which the secret was found.
    pub source: String,
    /// Names that Embedded looked up; the last one was found. Empty for other managers.
    pub looked_up: Vec<Lookup>,
}

/// The result of all requests.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The additions.
    pub merged: Merged,
    /// Results by request.
    pub injected: Vec<Injected>,
    /// What the pod may pull.
    granted: Collected,
    /// Warnings for the author of the pod.
    pub warnings: Vec<String>,
}

/// Tries the managers for each request, in the order of the settings. `outcome` has the results so far also on failure.
///
/// # Errors
/// The first request that no manager injects, or that conflicts with another.
pub fn inject(outcome: &mut Outcome, requests: &[Annotated], context: Context) -> Result<(), Box<InjectionError>> {
    let is_auto = context.settings.embedded_secret_manager_config.delivery == Delivery::Auto;
    match attempt(outcome, requests, context).map_err(|error| *error) {
        // The reader does not read objects again.
        Err(InjectionError::ConflictingRequests(.., ConflictCause::Reference)) if is_auto => {
            *outcome = Outcome::default();
            attempt(outcome, requests, Context { files_by_value: true, ..context })
        }
        first => first.map_err(Box::new),
    }
}

fn attempt(outcome: &mut Outcome, requests: &[Annotated], context: Context) -> Result<(), Box<InjectionError>> {
    let chain: Vec<_> = context.settings.managers().map(|manager| (manager, open(manager, context))).collect();
    let allowed = inserted(context.settings.allowed_env_vars.iter().map(|name| Cow::Borrowed(name.as_str())));
    let limit = context.settings.limits.embedded_requests;
    if let (Some((ManagerType::Embedded, _)), Some(surplus)) = (chain.first(), requests.get(limit)) {
        let tried = vec![(ManagerType::Embedded, Reason::TooManyRequests(limit))];
        return Err(Box::new(InjectionError::NotInjected(surplus.clone(), tried)));
    }
    for (number, annotated) in requests.iter().enumerate() {
        let too_large = |problem| Box::new(InjectionError::TooLarge(annotated.clone(), problem));
        for (field, text) in annotated.request.strings() {
            pod::check_text(field, text).map_err(too_large)?;
        }
        let mut declined = Vec::new();
        let served = chain.iter().find_map(|(name, manager)| {
            let injection = manager.inject(&annotated.request, outcome);
            let reason = match injection.and_then(|injection| checked(injection, context.pod, &allowed)) {
                Ok(injection) => return Some(Ok((*name, injection))),
                Err(reason) => reason,
            };
            let ends_search = reason.ends_search();
            declined.push((*name, reason));
            ends_search.then_some(Err(()))
        });
        let Some(Ok((manager, injection))) = served else {
            return Err(Box::new(InjectionError::NotInjected(annotated.clone(), declined)));
        };
        let Injection { plan, source, looked_up, grant, warnings } = injection;
        let (annotation, source) = (annotated.annotation.clone(), looked_up.last().map_or(source, ToString::to_string));
        outcome.injected.push(Injected { annotation, declined, manager, source, looked_up });
        outcome.merged.add(number, plan, context.limits).map_err(|conflict| {
            let first = requests.get(conflict.first).unwrap_or(annotated).clone();
            Box::new(InjectionError::ConflictingRequests(first, annotated.clone(), conflict.cause))
        })?;
        context.limits.check(&outcome.merged).map_err(too_large)?;
        if let Some(grant) = grant {
            outcome.granted.add(*grant);
        }
        outcome.warnings.extend(warnings);
    }
    if let Some(grant) = &outcome.granted.grant {
        outcome.merged.set_args(grant::CONTAINER, grant.to_args());
    }
    Ok(())
}

/// Checks the rules for additions of all managers.
fn checked(injection: Injection, pod: &Pod, allowed: &BTreeSet<Cow<str>>) -> Result<Injection, Reason> {
    let Plan { files, variables, .. } = &injection.plan;
    if !files.is_empty() && pod.is_windows()? {
        return Err(Reason::Windows);
    }
    let mut names = variables.iter().map(|variable| &variable.name);
    match names.find(|name| is_denied(name) && !allowed.contains(name.as_str())) {
        Some(name) => Err(Reason::Denied(name.clone())),
        None => Ok(injection),
    }
}

/// Whether a variable changes what the loader, a shell or a runtime starts, or redirects clients of Kubernetes: the
/// author of a pod could take over containers that other webhooks add.
fn is_denied(name: &str) -> bool {
    let paths = ["BASH_ENV", "ENV", "IFS", "PATH", "PYTHONPATH", "PYTHONSTARTUP"];
    let options = ["JAVA_TOOL_OPTIONS", "NODE_OPTIONS", "PERL5OPT", "RUBYOPT", "_JAVA_OPTIONS"];
    let prefixes = ["BASH_FUNC_", "KUBERNETES_", "LD_"];
    paths.contains(&name) || options.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

fn open<'a>(manager: ManagerType, context: Context<'a>) -> Box<dyn SecretManager + 'a> {
    let Settings { aws_secret_manager: aws, gcp_secret_manager: gcp, azure_secret_manager: azure, .. } =
        context.settings;
    let sidecar = |cloud, container| Box::new(sidecar::Sidecar { cloud, container, settings: context.settings });
    match manager {
        ManagerType::K8s => Box::new(k8s::K8s { context, verified: RefCell::default() }),
        ManagerType::Vault => Box::new(vault::Vault { context }),
        ManagerType::Aws => sidecar(sidecar::AWS, aws.container()),
        ManagerType::Gcp => sidecar(sidecar::GCP, gcp.container()),
        ManagerType::Azure => sidecar(sidecar::AZURE, azure.container()),
        // Settings omit Global.
        ManagerType::Embedded | ManagerType::Global => {
            let (requests, tenancy, values) = (Cell::default(), OnceCell::new(), RefCell::default());
            Box::new(embedded::Embedded { context, requests, tenancy, values })
        }
    }
}

/// Variable with the folder of files (`FLYTE_SECRETS_DEFAULT_DIR` of flytekit).
const DEFAULT_DIR: &str = "FLYTE_SECRETS_DEFAULT_DIR";
/// Variable with the prefix of file names.
const FILE_PREFIX: &str = "FLYTE_SECRETS_FILE_PREFIX";
/// Variable with the prefix of variables.
const ENV_PREFIX: &str = "FLYTE_SECRETS_ENV_PREFIX";

/// Returns the variables with which a task finds the files below a folder, and the one that the request names for the
/// path of its file.
fn file_variables(request: &SecretRequest, folder: &str, path: &str) -> Result<Vec<EnvVar>, Reason> {
    let own = named_variable(request)?.map(|name| variable(name, path));
    Ok([variable(DEFAULT_DIR, folder), variable(FILE_PREFIX, "")].into_iter().chain(own).collect())
}

/// Returns `env_var` of a request, if set.
///
/// The names that a cluster allows depend on its version. No version allows control characters, `=` and characters
/// other than ASCII (`IsRelaxedEnvVarName` of apimachinery).
fn named_variable(request: &SecretRequest) -> Result<Option<String>, Reason> {
    let name = request.env_var.as_str();
    ensure(is_variable(name), "env_var", name, "a valid variable name; it must be ASCII without '='")?;
    (!name.is_empty()).then(|| not_reserved(name.to_owned())).transpose()
}

/// Checks the name of a variable that is derived from a key.
fn derived_variable(name: String) -> Result<String, Reason> {
    if is_variable(&name) { not_reserved(name) } else { Err(Reason::Derived(name)) }
}

fn is_variable(name: &str) -> bool {
    name.bytes().all(|c| matches!(c, b' '..=b'~') && c != b'=')
}

fn not_reserved(name: String) -> Result<String, Reason> {
    let is_reserved = [DEFAULT_DIR, FILE_PREFIX, ENV_PREFIX].contains(&&*name);
    if is_reserved { Err(Reason::Reserved(name)) } else { Ok(name) }
}

/// Checks the value of a field.
fn ensure(valid: bool, field: &'static str, value: &str, expected: &'static str) -> Result<(), Reason> {
    if valid { Ok(()) } else { Err(Reason::Field(field, value.to_owned(), expected)) }
}

/// Checks that a field is not empty.
fn needed<'a>(field: &'static str, value: &'a str) -> Result<&'a str, Reason> {
    if value.is_empty() { Err(Reason::Missing(field)) } else { Ok(value) }
}

/// Checks the mount requirement for managers that only write files: `FILE` or `ANY`.
fn file_only(request: &SecretRequest) -> Result<(), Reason> {
    match request.mount_requirement {
        MountRequirement::File | MountRequirement::Any => Ok(()),
        other => Err(Reason::MountRequirement(other, "FILE or ANY")),
    }
}

/// Whether a path has no empty parts, `.` or `..`, and no control characters, invisible characters or characters that
/// change the direction of text.
fn is_plain_path(path: &str) -> bool {
    let unseen =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !path.split('/').any(|part| matches!(part, "" | "." | ".."))
        && !path.contains(|c: char| c.is_control() || unseen(c))
}
