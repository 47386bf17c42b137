//! The secret managers, and the chain in which each request asks them.
//!
//! A manager says what is to be added to the pod for one request, or why it cannot. It never sees JSON, and what it
//! fails at it has not begun.

mod aws;
mod azure;
mod embedded;
mod gcp;
mod k8s;
mod pull;
mod sidecar;
mod vault;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::EnvVar;

use crate::grant::{self, Granted};
use crate::inserted;
use crate::pod::{self, ConflictCause, Limits, Merged, Plan, Pod, TooLarge, variable};
use crate::reason_code::ReasonCode;
use crate::secret_request::{Annotated, MountRequirement, SecretRequest};
use crate::settings::{self, Delivery, ManagerType, Settings};
use crate::store::host_error::HostError;
use crate::store::{self, Lookup, Reader};
use crate::tenancy;

/// Everything a manager may look at.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The pod that comes in.
    pub pod: &'a Pod<'a>,
    /// What it takes before anything is added.
    pub limits: &'a Limits<'a>,
    /// The namespace that it is created in, as the API server has it.
    pub namespace: &'a str,
    /// The user who creates it.
    pub creator: &'a str,
    /// The policy's settings.
    pub settings: &'a Settings,
    /// Whether files of Embedded are written to the volume in memory although the pod could refer to their Secrets: others
    /// are written there, too.
    pub files_by_value: bool,
    /// What reads objects.
    pub reader: &'a Reader<'a>,
}

/// A way to bring secrets into pods.
trait SecretManager {
    /// Returns what is to be added for a request, given what is to be added for those before it.
    fn inject(&self, request: &SecretRequest, so_far: &Outcome) -> Result<Injection, Reason>;

    /// Completes what is to be added when all requests are served.
    fn complete(&self, _: &mut Outcome) {}
}

/// What a manager does for one request.
#[derive(Debug, Default)]
struct Injection {
    plan: Plan,
    /// The name under which the secret is found; for the audit annotation.
    source: String,
    /// Where Embedded has looked; the last one holds it.
    looked_up: Vec<Lookup>,
    /// What is granted to the pod, and whether that is a file.
    granted: Option<(Granted, bool)>,
    warnings: Vec<String>,
}

/// Why a manager does not inject a secret.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// It cannot do variables, or does not know what is asked.
    #[error("unsupported mount_requirement {0}; use {1}")]
    MountRequirement(MountRequirement, &'static str),
    /// A field of the request that it needs is empty.
    #[error("missing required field `{0}`")]
    Missing(&'static str),
    /// A field of the request is nothing that it could look up or write safely.
    #[error("{field} {value:?} is not {expected}")]
    Field {
        /// The request's field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it should.
        expected: &'static str,
    },
    /// The key does not make a variable's name.
    #[error("key maps to the invalid variable name {0:?}; set `env_var`")]
    Derived(String),
    /// The variable is one of those that tell the task where its secrets are.
    #[error("{0} is a reserved variable; set another `env_var`")]
    Reserved(String),
    /// The variable is one that changes how programs start.
    #[error(
        "variable {0} is not allowed, it changes how programs start; set another `env_var`, or ask the operator to \
         add it to allowedEnvVars"
    )]
    Denied(String),
    /// Init containers and mounts are for Linux.
    #[error("files are not supported on Windows (spec.os.name); request it as an ENV_VAR")]
    Windows,
    /// More than Embedded fetches for one pod.
    #[error(
        "pod exceeds the limit of {0} secret requests for Embedded; request fewer secrets, or raise \
         limits.embeddedRequests in the policy settings"
    )]
    TooManyRequests(usize),
    /// `delivery: Reference`, where that cannot be done.
    #[error("{0}, so the pod cannot reference the secret; set embeddedSecretManagerConfig.delivery to Auto")]
    NoReference(String),
    /// The pod's annotations keep Vault's agent out.
    #[error("annotation {0} disables the Vault agent; remove it")]
    AgentOff(String),
    /// The value has no such property.
    #[error(transparent)]
    Property(#[from] store::NoProperty),
    /// A label that Embedded needs.
    #[error("missing required label {0}; add it to the pod")]
    MissingLabel(&'static str),
    /// A label that could make the name of another tenant's secret.
    #[error("label {name}={value:?} must be a valid label value without \"__\", the separator in secret names")]
    Label {
        /// The label.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// Looked up everywhere.
    #[error("not found; looked up {}; store it under one of these names", list(.0))]
    NotFound(Vec<Lookup>),
    /// The store does not have it, or has something else.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Not for this pod.
    #[error(transparent)]
    Tenancy(#[from] tenancy::Error),
    /// The settings do not say where to look.
    #[error("invalid settings: {0}")]
    Settings(#[from] settings::Error),
    /// The pod cannot be read.
    #[error(transparent)]
    Malformed(#[from] pod::Malformed),
    /// A variable holds text.
    #[error("the value is not UTF-8 text; request it as a FILE")]
    NotText,
    /// As the gateway says of a value that it does not show.
    #[error("value cannot be an environment variable: {0}")]
    NoVariable(String),
    /// What a process may be handed in one variable.
    #[error("the value of {0} bytes exceeds the limit of {1} bytes for a variable; request it as a FILE")]
    VariableTooLarge(usize, usize),
    /// What the init-container may be handed.
    #[error(
        "with this file of {file} bytes, files of {all} bytes in base64 exceed the limit of {limit} bytes; use fewer \
         or smaller files"
    )]
    FilesTooLarge {
        /// Size of this file.
        file: usize,
        /// Size of all, encoded.
        all: usize,
        /// The limit.
        limit: usize,
    },
}

impl Reason {
    /// Whether no other manager is asked: an outage, or a limit of what is looked up, must not let a less preferred one win.
    fn ends_search(&self) -> bool {
        let is_limit = matches!(self, Self::TooManyRequests(_) | Self::Store(store::Error::TooManyReads(_)));
        is_limit || self.code().http_status() == 503
    }

    /// Returns the reason code.
    pub fn code(&self) -> ReasonCode {
        use HostError::{BadName, Forbidden, GatewayForbidden, NotGranted};
        match self {
            Self::MountRequirement(..) | Self::Windows | Self::NoReference(_) | Self::AgentOff(_) => {
                ReasonCode::UnsupportedRequest
            }
            Self::Missing(_) | Self::Field { .. } => ReasonCode::InvalidSecretRequest,
            Self::Derived(_) | Self::Reserved(_) | Self::Denied(_) => ReasonCode::VariableNotAllowed,
            Self::TooManyRequests(_) | Self::VariableTooLarge(..) | Self::FilesTooLarge { .. } => {
                ReasonCode::LimitExceeded
            }
            Self::MissingLabel(_) | Self::Label { .. } => ReasonCode::InvalidLabel,
            Self::NotFound(_) => ReasonCode::SecretNotFound,
            Self::Property { .. } | Self::NotText | Self::NoVariable(_) => ReasonCode::InvalidSecretValue,
            Self::Tenancy(_) => ReasonCode::TenantMismatch,
            Self::Settings(_) => ReasonCode::InvalidSettings,
            Self::Malformed(_) => ReasonCode::InvalidPod,
            Self::Store(error) => match error {
                store::Error::NotFound | store::Error::NoValue { .. } => ReasonCode::SecretNotFound,
                store::Error::Name(_) | store::Error::NoName(_) => ReasonCode::InvalidSecretRequest,
                store::Error::BadValue { .. } => ReasonCode::InvalidSecretValue,
                store::Error::TooManyReads(_) => ReasonCode::LimitExceeded,
                store::Error::Host { problem: BadName, .. } => ReasonCode::InvalidSecretRequest,
                store::Error::Host { problem: Forbidden | GatewayForbidden | NotGranted, .. } => {
                    ReasonCode::AccessDenied
                }
                store::Error::Host { .. } | store::Error::NoStore(_) => ReasonCode::ProviderUnavailable,
            },
        }
    }
}

/// Why secrets are not injected.
#[derive(Debug, thiserror::Error)]
pub enum InjectionError {
    /// No manager injects this secret request.
    #[error("secret {} (annotation {}) cannot be injected{}", request.request, request.annotation, reasons(tried))]
    NotInjected {
        /// The secret request.
        request: Annotated,
        /// Each manager that was asked, and why it did not.
        tried: Vec<(ManagerType, Reason)>,
    },
    /// Kubernetes would not store the pod with what this secret request and those before it add.
    #[error("secret {} (annotation {}) cannot be injected: {problem}", request.request, request.annotation)]
    TooLarge {
        /// The secret request.
        request: Annotated,
        /// What exceeds a limit.
        problem: TooLarge,
    },
    /// Two secret requests conflict.
    #[error(
        "secrets {} (annotation {}) and {} (annotation {}) conflict: {cause}",
        first.request, first.annotation, second.request, second.annotation
    )]
    ConflictingRequests {
        /// The one that came first.
        first: Annotated,
        /// The one that came second.
        second: Annotated,
        /// What both set.
        cause: ConflictCause,
    },
}

impl InjectionError {
    /// Returns the reason code: that of the worst reason where several managers were asked.
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::NotInjected { tried, .. } => {
                let codes = tried.iter().map(|(_, reason)| reason.code());
                codes.max().unwrap_or(ReasonCode::UnsupportedRequest)
            }
            Self::TooLarge { .. } => ReasonCode::LimitExceeded,
            Self::ConflictingRequests { .. } => ReasonCode::ConflictingRequests,
        }
    }
}

fn list(lookups: &[Lookup]) -> String {
    lookups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the managers' reasons; several in brackets, as Kubernetes lists errors.
fn reasons(tried: &[(ManagerType, Reason)]) -> String {
    let reasons: Vec<String> = tried.iter().map(|(manager, reason)| format!("{manager}: {reason}")).collect();
    match reasons.as_slice() {
        [] => String::new(),
        [reason] => [": ", reason].concat(),
        _ => [": [", &reasons.join(", "), "]"].concat(),
    }
}

/// What became of one request.
#[derive(Debug)]
pub struct Injected {
    /// The annotation that holds the request.
    pub annotation: String,
    /// The managers that were asked before, and why they did not take it.
    pub declined: Vec<(ManagerType, Reason)>,
    /// The manager that took it.
    pub manager: ManagerType,
    /// The name under which the secret is found.
    pub source: String,
    /// Where Embedded has looked for it; the last one holds it. Empty for the others, which look nothing up.
    pub looked_up: Vec<Lookup>,
}

/// What is to be added for all requests.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The additions.
    pub merged: Merged,
    /// What became of each request.
    pub injected: Vec<Injected>,
    /// What the pod may pull.
    granted: grant::Collected,
    /// What the pod's author should know.
    pub warnings: Vec<String>,
}

/// Asks the managers, in the order of the settings, for each request in turn.
///
/// # Errors
/// The first request that nobody injects, or that conflicts with another.
pub fn inject(requests: &[Annotated], context: Context) -> Result<Outcome, Box<InjectionError>> {
    let mut outcome = Outcome::default();
    inject_into(&mut outcome, requests, context)?;
    Ok(outcome)
}

/// As [`inject`], which it leaves half done where it fails: what became of the requests until then.
///
/// # Errors
/// Likewise.
pub(crate) fn inject_into(
    outcome: &mut Outcome,
    requests: &[Annotated],
    context: Context,
) -> Result<(), Box<InjectionError>> {
    let first = attempt(outcome, requests, context);
    let auto = context.settings.embedded_secret_manager_config.delivery == Delivery::Auto;
    let by_reference = |error: &InjectionError| {
        matches!(error, InjectionError::ConflictingRequests { cause: ConflictCause::Reference, .. })
    };
    match first {
        // What has been read is not read again.
        Err(error) if auto && by_reference(&error) => {
            *outcome = Outcome::default();
            attempt(outcome, requests, Context { files_by_value: true, ..context })
        }
        first => first,
    }
}

fn attempt(outcome: &mut Outcome, requests: &[Annotated], context: Context) -> Result<(), Box<InjectionError>> {
    let chain: Vec<Link> = context.settings.managers().map(|manager| (manager, open(manager, context))).collect();
    let limit = context.settings.limits.embedded_requests;
    if let (Some((ManagerType::Embedded, _)), Some(surplus)) = (chain.first(), requests.get(limit)) {
        let tried = vec![(ManagerType::Embedded, Reason::TooManyRequests(limit))];
        return Err(Box::new(InjectionError::NotInjected { request: surplus.clone(), tried }));
    }
    let is_windows = context.pod.is_windows();
    let allowed = inserted(context.settings.allowed_env_vars.iter().map(|name| Cow::Borrowed(name.as_str())));
    for (number, annotated) in requests.iter().enumerate() {
        let too_large = |problem| Box::new(InjectionError::TooLarge { request: annotated.clone(), problem });
        for (field, text) in annotated.request.strings() {
            pod::check_text(field, text).map_err(too_large)?;
        }
        let check = |plan: &Plan| check_plan(plan, is_windows, &allowed);
        let (declined, manager, injection) = ask(&chain, annotated, outcome, &check)?;
        let annotation = annotated.annotation.clone();
        let Injection { plan, source, looked_up, granted, warnings } = injection;
        outcome.injected.push(Injected { annotation, declined, manager, source, looked_up });
        outcome.merged.add(number, plan, context.limits).map_err(|conflict| {
            let first = requests.get(conflict.first).unwrap_or(annotated).clone();
            Box::new(InjectionError::ConflictingRequests { first, second: annotated.clone(), cause: conflict.cause })
        })?;
        context.limits.check(&outcome.merged).map_err(too_large)?;
        if let Some((granted, is_file)) = granted {
            outcome.granted.add(granted, is_file);
        }
        outcome.warnings.extend(warnings);
    }
    chain.iter().for_each(|(_, manager)| manager.complete(outcome));
    Ok(())
}

/// A manager in the chain.
type Link<'a> = (ManagerType, Box<dyn SecretManager + 'a>);

/// The managers that declined a request, the one that took it, and what it adds.
type Answer = (Vec<(ManagerType, Reason)>, ManagerType, Injection);

fn ask(
    chain: &[Link],
    annotated: &Annotated,
    so_far: &Outcome,
    check: &dyn Fn(&Plan) -> Result<(), Reason>,
) -> Result<Answer, Box<InjectionError>> {
    let mut tried = Vec::new();
    for (name, manager) in chain {
        let injection = manager.inject(&annotated.request, so_far);
        match injection.and_then(|injection| check(&injection.plan).map(|()| injection)) {
            Ok(injection) => return Ok((tried, *name, injection)),
            Err(reason) => {
                let ends_search = reason.ends_search();
                tried.push((*name, reason));
                if ends_search {
                    break;
                }
            }
        }
    }
    Err(Box::new(InjectionError::NotInjected { request: annotated.clone(), tried }))
}

/// Checks what no manager may add.
fn check_plan(
    plan: &Plan,
    is_windows: Result<bool, pod::Malformed>,
    allowed: &BTreeSet<Cow<str>>,
) -> Result<(), Reason> {
    if !plan.files.is_empty() && is_windows? {
        return Err(Reason::Windows);
    }
    match plan.variables.iter().find(|variable| is_denied(&variable.name) && !allowed.contains(&*variable.name)) {
        Some(variable) => Err(Reason::Denied(variable.name.clone())),
        None => Ok(()),
    }
}

/// Whether a variable makes the loader, a shell or a runtime start something else, or misleads clients of Kubernetes: with
/// it the author of a pod could take over containers that others have put there.
fn is_denied(name: &str) -> bool {
    const NAMES: [&str; 11] = [
        "BASH_ENV",
        "ENV",
        "IFS",
        "JAVA_TOOL_OPTIONS",
        "NODE_OPTIONS",
        "PATH",
        "PERL5OPT",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "RUBYOPT",
        "_JAVA_OPTIONS",
    ];
    ["BASH_FUNC_", "KUBERNETES_", "LD_"].iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

fn open<'a>(manager: ManagerType, context: Context<'a>) -> Box<dyn SecretManager + 'a> {
    let settings = context.settings;
    match manager {
        ManagerType::K8s => Box::new(k8s::K8s { context, verified: RefCell::default() }),
        ManagerType::Vault => {
            Box::new(vault::Vault { settings: &settings.vault_secret_manager, limits: context.limits })
        }
        ManagerType::Aws => Box::new(aws::manager(settings)),
        ManagerType::Gcp => Box::new(gcp::manager(settings)),
        ManagerType::Azure => Box::new(azure::manager(settings)),
        // Settings leave Global out.
        ManagerType::Embedded | ManagerType::Global => Box::new(embedded::Embedded::new(context)),
    }
}

/// Says where files are (`FLYTE_SECRETS_DEFAULT_DIR` of flytekit).
const DEFAULT_DIR: &str = "FLYTE_SECRETS_DEFAULT_DIR";
/// Says what files' names start with.
const FILE_PREFIX: &str = "FLYTE_SECRETS_FILE_PREFIX";
/// Says what variables' names start with.
const ENV_PREFIX: &str = "FLYTE_SECRETS_ENV_PREFIX";

/// The variables that lead a task to its files below a folder.
fn file_variables(folder: &str) -> [EnvVar; 2] {
    [variable(DEFAULT_DIR, folder), variable(FILE_PREFIX, "")]
}

/// The variable that a request names, if it names one.
///
/// Which names a cluster allows depends on its version; control characters, `=` and what is not ASCII none does
/// (`IsRelaxedEnvVarName` of apimachinery).
fn named_variable(request: &SecretRequest) -> Result<Option<&str>, Reason> {
    match request.env_var.as_str() {
        "" => Ok(None),
        name if is_variable_name(name) => not_reserved(name).map(Some),
        name => Err(invalid("env_var", name, "a valid variable name; it must be ASCII without '='")),
    }
}

/// A variable's name that is made of a key.
fn derived_variable(name: String) -> Result<String, Reason> {
    match is_variable_name(&name) {
        true => not_reserved(&name).map(str::to_owned),
        false => Err(Reason::Derived(name)),
    }
}

fn is_variable_name(name: &str) -> bool {
    name.bytes().all(|c| matches!(c, b' '..=b'~') && c != b'=')
}

fn not_reserved(name: &str) -> Result<&str, Reason> {
    match [DEFAULT_DIR, FILE_PREFIX, ENV_PREFIX].contains(&name) {
        true => Err(Reason::Reserved(name.to_owned())),
        false => Ok(name),
    }
}

/// The variable that leads to a file, if the request names one.
fn path_variable(request: &SecretRequest, path: &str) -> Result<Option<EnvVar>, Reason> {
    Ok(named_variable(request)?.map(|name| variable(name, path)))
}

fn invalid(field: &'static str, value: &str, expected: &'static str) -> Reason {
    Reason::Field { field, value: value.to_owned(), expected }
}

/// A field that must not be empty.
fn needed<'a>(field: &'static str, value: &'a str) -> Result<&'a str, Reason> {
    match value {
        "" => Err(Reason::Missing(field)),
        value => Ok(value),
    }
}

/// What managers of files alone take: `FILE` and `ANY`.
fn file_only(request: &SecretRequest) -> Result<(), Reason> {
    match request.mount_requirement {
        MountRequirement::File | MountRequirement::Any => Ok(()),
        other => Err(Reason::MountRequirement(other, "FILE or ANY")),
    }
}

/// A path of which no part leads anywhere else: nothing empty, `.` or `..` between slashes; and which is what it looks like: no
/// control characters, nothing that is not seen or turns the direction of what follows.
fn is_plain_path(path: &str) -> bool {
    let unseen =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !path.split('/').any(|part| matches!(part, "" | "." | ".."))
        && !path.contains(|c: char| c.is_control() || unseen(c))
}
