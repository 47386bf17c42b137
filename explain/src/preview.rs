//! The pod as it will be, or why it is refused: the policy's own answer, with a store of secrets that somebody has written down.

use base64ct::{Base64, Encoding};
use flyte_secrets_policy::admission;
use flyte_secrets_policy::json::Writer;
use flyte_secrets_policy::managers::Refusal;
use flyte_secrets_policy::names::{NameScheme, Scope, kubernetes};
use flyte_secrets_policy::secret_request::{self as annotations, Annotated};
use flyte_secrets_policy::settings::{self, ManagerType};
use flyte_secrets_policy::verdict::{Rejection, Verdict};

use crate::requests::{self, sentence};
use crate::source::Pod;
use crate::store::{self, Asked, Hashed, Store};
use crate::tree::{Kind, Node};

/// What is accepted with values is accepted with words in their place, unless these take more room than there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the pod has no room for words in the place of values")]
pub struct NoRoom;

/// The policy's answer, as data.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The pod stays as it is.
    Untouched {
        /// What its author should know.
        warnings: Vec<String>,
    },
    /// The pod is changed.
    Changed {
        /// As it will be.
        pod: Node,
        /// What its author should know.
        warnings: Vec<String>,
        /// The audit annotation.
        audit: String,
    },
    /// The pod is refused.
    Refused {
        /// The HTTP status.
        code: u16,
        /// All that the policy says.
        message: String,
        /// What the last manager says that was asked, if it comes to that.
        reason: Option<String>,
    },
}

impl Outcome {
    /// What the pod's author should know.
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Untouched { warnings } | Self::Changed { warnings, .. } => warnings,
            Self::Refused { .. } => &[],
        }
    }
}

/// What becomes of one request, and why.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The annotation.
    pub annotation: String,
    /// What it asks for, in words.
    pub asks: String,
    /// The managers that were asked, in order; the last one takes it, or nobody does.
    pub managers: Vec<AskedManager>,
}

/// What one manager makes of a request.
#[derive(Clone, Debug)]
pub struct AskedManager {
    /// The manager.
    pub manager: ManagerType,
    /// Under which name the secret is found, or why the manager does not take the request.
    pub answer: Result<String, String>,
    /// What was looked up, in order.
    pub read: Vec<Asked>,
}

impl Explained {
    /// As JSON: `{"annotation", "asks", "managers": [{"manager", "takes", "source" | "reason", "read"}]}`.
    pub fn write(&self, json: &mut Writer) {
        json.object().member("annotation", &self.annotation).member("asks", &self.asks);
        json.key("managers").list();
        for AskedManager { manager, answer, read } in &self.managers {
            json.object().member("manager", manager.name()).key("takes").boolean(answer.is_ok());
            match answer {
                Ok(source) => json.member("source", source),
                Err(reason) => json.member("reason", reason),
            };
            json.key("read").list();
            for Asked { object, name, found } in read {
                json.object().member("object", object).member("name", name).key("found").boolean(*found).end_object();
            }
            json.end_list().end_object();
        }
        json.end_list().end_object();
    }
}

/// Where a pod is created.
#[derive(Debug)]
pub struct Admission<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The namespace.
    pub namespace: &'a str,
    /// The policy's settings.
    pub settings: &'a Node,
    store: Store,
    /// All names under which the policy may look for what the pod asks for, by the names of the Secrets that hold them.
    names: Vec<Hashed>,
}

impl<'a> Admission<'a> {
    /// A pod that is created with what `store` has; without one, each secret that is asked for is taken to be in its project's scope.
    /// Without a namespace it is the pod's own, or `default`.
    pub fn new(pod: &'a Pod, namespace: Option<&'a str>, settings: &'a Node, store: Option<&Store>) -> Self {
        let names = names(pod);
        let store = store.map_or_else(|| Store::assumed(names.clone()), Store::fresh);
        let namespace = namespace.or(pod.namespace.as_deref()).unwrap_or("default");
        Self { pod, namespace, settings, store, names }
    }

    /// What the policy says.
    pub fn decide(&self) -> Outcome {
        decide(&self.pod.object, self.namespace, self.settings, &self.store)
    }

    /// The pod before and after, as `outcome` has it, without values. The policy is asked again with two kinds of placeholders in the
    /// store: where these answers differ, a value stands. Variables of that name are hidden in the pod that came in,
    /// too, where an earlier pass may have put a value.
    ///
    /// # Errors
    /// With placeholders the pod is refused.
    pub fn without_values(&self, outcome: &Outcome) -> Result<(Node, Node), NoRoom> {
        let before = &self.pod.object;
        let Outcome::Changed { pod: after, .. } = outcome else { return Ok((before.clone(), before.clone())) };
        let ask = |words| match decide(before, self.namespace, self.settings, &self.store.with_placeholders(words)) {
            Outcome::Changed { pod, .. } => Ok(pod),
            Outcome::Untouched { .. } | Outcome::Refused { .. } => Err(NoRoom),
        };
        let (mut hidden, other) = (ask(store::VALUE)?, ask("place of")?);
        let mut values = Vec::new();
        compare(after, &hidden, &other, &mut values);
        let mut before = before.clone();
        hide(&mut before, &values);
        hide(&mut hidden, &values);
        Ok((before, hidden))
    }

    /// What becomes of each request, manager by manager: each is asked alone, as the policy would.
    pub fn explain(&self) -> Vec<Explained> {
        let found = requests::read(self.pod);
        let json = self.settings.to_json();
        let settings = settings::parse(&json).unwrap_or_default();
        let mut explained = Vec::new();
        for Annotated { annotation, request } in &found.requests {
            let pod = only(&self.pod.object, annotation);
            let mut asked = Vec::new();
            for manager in settings.managers() {
                let (made, goes_on) = self.ask(manager, annotation, &pod);
                asked.push(made);
                if !goes_on {
                    break;
                }
            }
            let annotation = (*annotation).to_owned();
            explained.push(Explained { annotation, asks: sentence(request), managers: asked });
        }
        explained
    }

    /// What a manager alone makes of a pod with one request, and whether the next one would be asked.
    fn ask(&self, manager: ManagerType, annotation: &str, pod: &Node) -> (AskedManager, bool) {
        let mut settings = self.settings.clone();
        settings.set("secretManagerTypes", Kind::List(vec![manager.name().into()]).into());
        self.store.take_asked();
        let outcome = decide(pod, self.namespace, &settings, &self.store);
        let mut read = self.store.take_asked();
        for asked in &mut read {
            if let Some(known) = self.names.iter().find(|known| known.secret == asked.name) {
                asked.name.clone_from(&known.name);
            }
        }
        // An outage ends the search, as it does in the policy.
        let goes_on = matches!(outcome, Outcome::Refused { code: 400..=499, .. });
        let answer = match outcome {
            Outcome::Changed { audit, .. } => {
                let source = audit.strip_prefix(&format!("{annotation}: {} ", manager.name()));
                Ok(source.unwrap_or(&audit).to_owned())
            }
            Outcome::Untouched { warnings } => Err(warnings.join("; ")),
            Outcome::Refused { message, reason, .. } => Err(reason.unwrap_or(message)),
        };
        (AskedManager { manager, answer, read }, goes_on)
    }

    /// The members `name`, `namespace`, `outcome`, `refusal` if it is one, `warnings` and `requests` of an object in JSON.
    pub fn write(&self, outcome: &Outcome, explained: &[Explained], json: &mut Writer) {
        json.member("name", &self.pod.name).member("namespace", self.namespace);
        match outcome {
            Outcome::Untouched { .. } => json.member("outcome", "untouched"),
            Outcome::Changed { .. } => json.member("outcome", "changed"),
            Outcome::Refused { code, message, .. } => {
                json.member("outcome", "refused").key("refusal").object();
                json.key("code").raw(code.to_string().as_bytes()).member("message", message).end_object()
            }
        };
        json.key("warnings").strings(outcome.warnings()).key("requests").list();
        explained.iter().for_each(|explained| explained.write(json));
        json.end_list();
    }
}

fn names(pod: &Pod) -> Vec<Hashed> {
    let label = |name: &str| pod.object.text_at(&["metadata", "labels", name]).unwrap_or_default();
    let scope = Scope { organization: label("organization"), domain: label("domain"), project: label("project") };
    let mut names = Vec::new();
    for annotated in requests::read(pod).requests {
        for scope in scope.cascade() {
            for name in scope.candidates(annotated.request.key, &[NameScheme::Canonical, NameScheme::Documented]) {
                names.push(Hashed { secret: kubernetes::secret_name(&name), name });
            }
        }
    }
    names
}

fn decide(pod: &Node, namespace: &str, settings: &Node, store: &Store) -> Outcome {
    let mut json = Writer::default();
    json.object().key("request").object();
    json.key("kind").object().member("group", "").member("version", "v1").member("kind", "Pod").end_object();
    json.member("operation", "CREATE").member("namespace", namespace);
    pod.write(json.key("object"));
    settings.write(json.end_object().key("settings"));
    json.end_object();
    match admission::validate(json.bytes(), &texts, store) {
        Verdict::Accept { warnings } => Outcome::Untouched { warnings },
        Verdict::Mutate { pod: edited, audit, warnings } => {
            let mut json = Writer::default();
            edited.write(&mut json);
            // The core splices into JSON that was written above, so what it writes is JSON.
            Outcome::Changed { pod: Node::from_json(json.bytes()).unwrap_or_default(), warnings, audit }
        }
        Verdict::Reject(rejection) => Outcome::Refused {
            code: rejection.code(),
            message: rejection.to_string(),
            reason: match rejection.as_ref() {
                Rejection::Refusal(refusal) => match refusal.as_ref() {
                    Refusal::Request { tried, .. } => tried.last().map(|(_, reason)| reason.to_string()),
                    Refusal::TooLarge { .. } | Refusal::Clash { .. } => None,
                },
                _ => None,
            },
        },
    }
}

/// The pod with one request.
fn only(pod: &Node, annotation: &str) -> Node {
    let mut pod = pod.clone();
    let annotations = pod.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"));
    if let Some(entries) = annotations.and_then(Node::entries_mut) {
        entries.retain(|entry| entry.key == annotation || annotations::number_of(&entry.key).is_none());
    }
    pod
}

/// A variable that holds a value.
struct Hidden {
    name: String,
    /// The value itself, and what the core has been handed in its place.
    values: [String; 2],
    /// What is shown.
    shown: String,
}

fn compare(real: &Node, hidden: &Node, other: &Node, values: &mut Vec<Hidden>) {
    if let (Some(name), Some(value)) = (real.text_at(&["name"]), real.text_at(&["value"]))
        && let (Some(stand_in), Some(second)) = (hidden.text_at(&["value"]), other.text_at(&["value"]))
        && stand_in != second
    {
        let values_of = [value.to_owned(), stand_in.to_owned()];
        values.push(Hidden { name: name.to_owned(), values: values_of, shown: readable(stand_in) });
    }
    match (&real.kind, &hidden.kind, &other.kind) {
        (Kind::Map(real), Kind::Map(hidden), Kind::Map(other)) => {
            for ((real, hidden), other) in real.iter().zip(hidden).zip(other) {
                compare(&real.value, &hidden.value, &other.value, values);
            }
        }
        (Kind::List(real), Kind::List(hidden), Kind::List(other)) => {
            for ((real, hidden), other) in real.iter().zip(hidden).zip(other) {
                compare(real, hidden, other, values);
            }
        }
        _ => {}
    }
}

fn hide(node: &mut Node, values: &[Hidden]) {
    let shown = node.text_at(&["name"]).zip(node.text_at(&["value"])).and_then(|(name, value)| {
        let mut named = values.iter().filter(|hidden| hidden.name == name).peekable();
        named.peek()?;
        let known = named.find(|hidden| hidden.values.iter().any(|known| known == value));
        Some(known.map_or("<another value>", |hidden| hidden.shown.as_str()))
    });
    if let Some(shown) = shown {
        node.set("value", shown.into());
    }
    match &mut node.kind {
        Kind::Map(entries) => entries.iter_mut().for_each(|entry| hide(&mut entry.value, values)),
        Kind::List(items) => items.iter_mut().for_each(|item| hide(item, values)),
        _ => {}
    }
}

/// Files stand in base64, line by line; their placeholders are shown as they are.
fn readable(text: &str) -> String {
    let mut shown = String::new();
    for line in text.split_inclusive('\n') {
        let placeholder = line.split_once('=').and_then(|(file, encoded)| {
            let placeholder = String::from_utf8(Base64::decode_vec(encoded.trim_end()).ok()?).ok()?;
            placeholder.starts_with("<value of ").then(|| [file, "=", &placeholder, "\n"].concat())
        });
        shown.push_str(placeholder.as_deref().unwrap_or(line));
    }
    shown
}
