//! The secret managers, and the chain in which each request asks them.
//!
//! A manager says what is to be added to the pod for one request, or why it cannot. It never sees JSON, and what it
//! fails at it has not begun.

mod aws;
mod azure;
mod embedded;
mod gcp;
mod k8s;
mod sidecar;
mod vault;

use crate::json::Malformed;
use crate::pod::{self, Clash, Merged, Plan, Source, TooLarge, Variable, View, SECRETS_DIR};
use crate::requests::{Annotated, MountRequirement, SecretRequest};
use crate::settings::{self, ManagerType, Settings};
use crate::store::host_error::HostError;
use crate::store::{self, Cluster};
use crate::tenancy;
use crate::texts::Texts;

/// Everything a manager may look at, and where it keeps the texts that it makes.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The pod that comes in.
    pub view: &'a View<'a>,
    /// The namespace that it is created in, as the API server has it.
    pub namespace: &'a str,
    /// The policy's settings.
    pub settings: &'a Settings<'a>,
    /// Where objects are read.
    pub cluster: &'a dyn Cluster,
    /// Texts that live until the pod is answered.
    pub texts: &'a Texts,
}

/// A way to bring secrets into pods.
trait SecretManager<'a> {
    /// Puts into `injection` what is to be added for `request`, after what is in `merged` already. If it fails, what
    /// it has put there counts for nothing.
    fn inject(
        &self,
        request: &'a SecretRequest<'a>,
        merged: &Merged<'a>,
        injection: &mut Injection<'a>,
    ) -> Result<(), Reason>;
}

/// What a manager does for one request.
#[derive(Debug, Default)]
struct Injection<'a> {
    plan: Plan<'a>,
    /// The name under which the secret is found; for the audit annotation.
    source: &'a str,
    warnings: Vec<String>,
}

/// How bad a reason is, and for whom; the worst decides the answer's code.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The author of the pod must change something.
    Invalid,
    /// The author of the pod may not have it.
    Forbidden,
    /// It may pass on a retry, or when the operator acts.
    Unavailable,
}

/// Why a manager does not inject a secret.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// It cannot do variables, or does not know what is asked.
    #[error("cannot do mount_requirement {0}; ask for {1}")]
    MountRequirement(MountRequirement, &'static str),
    /// A field of the request that it needs is empty.
    #[error("needs {0}")]
    Missing(&'static str),
    /// A field of the request is nothing that it could look up or write safely.
    #[error("{field} {value:?} is not {wanted}")]
    Field {
        /// The request's field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it should.
        wanted: &'static str,
    },
    /// The key does not make a variable's name.
    #[error("its key makes the variable {0:?}, which cannot be; name another in env_var")]
    Derived(String),
    /// The variable is one of those that tell the task where its secrets are.
    #[error("{0} is one of the variables that say where secrets are; name another in env_var")]
    Reserved(String),
    /// A label that Embedded needs.
    #[error("needs the pod's label {0}, which is missing or empty; Flyte sets it")]
    MissingLabel(&'static str),
    /// A label that could make the name of another tenant's secret.
    #[error(
        "the pod's label {name} is {value:?}, which is no label's value or holds '__'; secrets' names are made of it"
    )]
    Label {
        /// The label.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// Looked up everywhere.
    #[error("not found; looked up {}; store it under one of these names", .0.join(", "))]
    NotFound(Vec<String>),
    /// The store does not have it, or has something else.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Not for this pod.
    #[error(transparent)]
    Tenancy(#[from] tenancy::Error),
    /// The settings do not say where to look.
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// The pod cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A variable holds text.
    #[error("the value is not text, which a variable must hold; ask for a file")]
    NotText,
    /// What a process may be handed in one variable.
    #[error("the value has {0} bytes, more than the {1} that a variable may hold; ask for a file")]
    VariableTooLarge(usize, usize),
    /// What the init-container may be handed.
    #[error(
        "with this file of {file} bytes all files take {all} bytes in base64, more than the {limit} that the \
             init-container can be handed; use fewer or smaller files"
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
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Tenancy(_) => Severity::Forbidden,
            Self::Store(store::Error::Host { problem: HostError::BadName, .. }) => Severity::Invalid,
            Self::Store(store::Error::Host { .. }) | Self::Settings(_) => Severity::Unavailable,
            _ => Severity::Invalid,
        }
    }
}

/// A pod that is refused.
#[derive(Debug)]
pub enum Refusal<'a> {
    /// No manager injects this request.
    Request {
        /// The request.
        request: Annotated<'a>,
        /// Each manager that was asked, and why it did not.
        tried: Vec<(ManagerType, Reason)>,
    },
    /// Kubernetes would not store the pod with what this request and those before it add.
    TooLarge {
        /// The request.
        request: Annotated<'a>,
        /// What there is too much of.
        problem: TooLarge,
    },
    /// Two requests get in each other's way.
    Clash {
        /// The one that came first.
        first: Annotated<'a>,
        /// The one that came second.
        second: Annotated<'a>,
        /// What both want.
        clash: Clash,
    },
}

/// What became of one request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Injected<'a> {
    /// The annotation that holds the request.
    pub annotation: &'a str,
    /// The manager that took it.
    pub manager: ManagerType,
    /// The name under which the secret is found.
    pub source: &'a str,
}

/// What is to be added for all requests.
#[derive(Debug, Default)]
pub struct Outcome<'a> {
    /// The additions.
    pub merged: Merged<'a>,
    /// What became of each request.
    pub injected: Vec<Injected<'a>>,
    /// What the pod's author should know.
    pub warnings: Vec<String>,
}

/// Asks the managers, in the order of the settings, for each request in turn.
///
/// # Errors
/// The first request that nobody injects, or that gets in another's way.
pub fn inject<'r, 'a: 'r>(
    requests: &'r [Annotated<'a>],
    context: Context<'r>,
) -> Result<Outcome<'r>, Box<Refusal<'a>>> {
    let chain: Vec<Link> = context.settings.managers().map(|manager| (manager, open(manager, context))).collect();
    let mut outcome = Outcome::default();
    for (number, annotated) in requests.iter().enumerate() {
        let too_large = |problem| Box::new(Refusal::TooLarge { request: *annotated, problem });
        annotated
            .request
            .texts()
            .into_iter()
            .try_for_each(|(field, text)| pod::check_text(field, text))
            .map_err(too_large)?;
        let (manager, injection) = ask(&chain, annotated, &outcome.merged)?;
        outcome.merged.add(number, injection.plan).map_err(|clash| {
            let first = *requests.get(clash.first).unwrap_or(annotated);
            Box::new(Refusal::Clash { first, second: *annotated, clash })
        })?;
        pod::check(context.view, &outcome.merged).map_err(too_large)?;
        let annotation = annotated.annotation;
        outcome.injected.push(Injected { annotation, manager, source: injection.source });
        outcome.warnings.extend(injection.warnings);
    }
    Ok(outcome)
}

/// A manager in the chain.
type Link<'a> = (ManagerType, Box<dyn SecretManager<'a> + 'a>);

fn ask<'r, 'a: 'r>(
    chain: &[Link<'r>],
    annotated: &'r Annotated<'a>,
    merged: &Merged<'r>,
) -> Result<(ManagerType, Injection<'r>), Box<Refusal<'a>>> {
    let mut tried = Vec::new();
    for (name, manager) in chain {
        let mut injection = Injection::default();
        match manager.inject(&annotated.request, merged, &mut injection) {
            Ok(()) => return Ok((*name, injection)),
            Err(reason) => {
                // An outage must not let a less preferred manager win.
                let outage = reason.severity() == Severity::Unavailable;
                tried.push((*name, reason));
                if outage {
                    break;
                }
            }
        }
    }
    Err(Box::new(Refusal::Request { request: *annotated, tried }))
}

fn open<'a>(manager: ManagerType, context: Context<'a>) -> Box<dyn SecretManager<'a> + 'a> {
    let Context { settings, texts, .. } = context;
    match manager {
        ManagerType::K8s => Box::new(k8s::K8s { settings, texts }),
        ManagerType::Vault => Box::new(vault::Vault { settings: &settings.vault_secret_manager, texts }),
        ManagerType::Aws => Box::new(aws::manager(&settings.aws_secret_manager, texts)),
        ManagerType::Gcp => Box::new(gcp::manager(&settings.gcp_secret_manager, texts)),
        ManagerType::Azure => Box::new(azure::manager(&settings.azure_secret_manager, texts)),
        // Settings leave Global out.
        ManagerType::Embedded | ManagerType::Global => Box::new(embedded::Embedded { context }),
    }
}

/// Says where files are (`FLYTE_SECRETS_DEFAULT_DIR` of flytekit).
const DEFAULT_DIR: &str = "FLYTE_SECRETS_DEFAULT_DIR";
/// Says what files' names start with.
const FILE_PREFIX: &str = "FLYTE_SECRETS_FILE_PREFIX";
/// Says what variables' names start with.
const ENV_PREFIX: &str = "FLYTE_SECRETS_ENV_PREFIX";

fn literal<'a>(name: &'a str, value: &'a str) -> Variable<'a> {
    Variable { name, source: Source::Literal(value) }
}

/// The variables that lead a task to its files.
fn file_variables<'a>() -> [Variable<'a>; 2] {
    [literal(DEFAULT_DIR, SECRETS_DIR), literal(FILE_PREFIX, "")]
}

/// The variable that a request names, if it names one.
///
/// Which names a cluster allows depends on its version; control characters, `=` and what is not ASCII none does
/// (`IsRelaxedEnvVarName` of apimachinery).
fn named_variable<'a>(request: &SecretRequest<'a>) -> Result<Option<&'a str>, Reason> {
    match request.env_var {
        "" => Ok(None),
        name if is_variable_name(name) => not_reserved(name).map(Some),
        name => Err(refused("env_var", name, "a variable's name: ASCII characters, and no '='")),
    }
}

/// A variable's name that is made of a key.
fn derived_variable(name: &str) -> Result<&str, Reason> {
    match is_variable_name(name) {
        true => not_reserved(name),
        false => Err(Reason::Derived(name.to_owned())),
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
fn path_variable<'a>(request: &SecretRequest<'a>, path: &'a str) -> Result<Option<Variable<'a>>, Reason> {
    Ok(named_variable(request)?.map(|name| literal(name, path)))
}

fn refused(field: &'static str, value: &str, wanted: &'static str) -> Reason {
    Reason::Field { field, value: value.to_owned(), wanted }
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
