//! Preview of a pod: the policy's answer, with the secrets in a file.

use std::collections::BTreeMap;
use std::mem;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::admission;
use flyte_secrets_policy::managers::{Injected, InjectionError, Reason};
use flyte_secrets_policy::names::{NameScheme, Scope, kubernetes};
use flyte_secrets_policy::settings::{self, ManagerType, UnknownFields};
use flyte_secrets_policy::store::Lookup;
use flyte_secrets_policy::verdict::{Rejection, Verdict};
use serde::Serialize;
use serde_json::{Value, json};

use crate::requests::{self, Answer, DecodedRequest};
use crate::source::Pod;
use crate::store::{self, Store};
use crate::{Error, text};

/// The policy's answer.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Preview {
    /// Kind and name of the pod.
    pub name: String,
    /// Namespace in which it is created.
    pub namespace: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The rejection, if it is rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refused>,
    /// Warnings for the author of the pod.
    pub warnings: Vec<String>,
    /// The result of each secret request.
    pub requests: Vec<ExplainedRequest>,
    /// The mutated pod, with values.
    #[serde(skip)]
    pub after: Value,
}

/// The outcome for a pod.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The pod is unchanged.
    Untouched,
    /// The pod is mutated.
    Changed,
    /// The pod is rejected.
    Refused,
}

/// A rejection.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refused {
    /// The HTTP status.
    pub code: u16,
    /// The message of the policy.
    pub message: String,
}

/// The result of one secret request.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExplainedRequest {
    /// The annotation.
    pub annotation: String,
    /// The request in words.
    pub asks: String,
    /// Managers that were tried, in order. Only the last one can accept. Empty if the pod is rejected before.
    pub managers: Vec<AskedManager>,
}

/// The result of one manager.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AskedManager {
    /// The manager.
    pub manager: ManagerType,
    /// Whether it accepts the request.
    pub takes: bool,
    /// Name under which the secret was found, if it accepts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Reason, if it does not accept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Names that were looked up, in order.
    pub read: Vec<LookedUp>,
}

/// A name that was looked up.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LookedUp {
    /// The object with that name, or its kind and place.
    pub object: String,
    /// The name.
    pub name: String,
    /// Whether it exists.
    pub found: bool,
}

impl AskedManager {
    fn declined((manager, reason): (ManagerType, Reason)) -> Self {
        let read = match &reason {
            Reason::NotFound(lookups) => read(lookups, false),
            _ => Vec::new(),
        };
        Self { manager, takes: false, source: None, reason: Some(reason.to_string()), read }
    }

    /// Returns the managers that were tried for an accepted request.
    fn all(injected: Injected) -> Vec<Self> {
        let Injected { declined, manager, source, looked_up, .. } = injected;
        let takes = Self { manager, takes: true, source: Some(source), reason: None, read: read(&looked_up, true) };
        declined.into_iter().map(Self::declined).chain([takes]).collect()
    }
}

fn read(lookups: &[Lookup], last_is_found: bool) -> Vec<LookedUp> {
    let name = |Lookup { name, object }: &Lookup| {
        Some(LookedUp { object: object.clone(), name: name.clone().ok()?, found: false })
    };
    let mut names: Vec<LookedUp> = lookups.iter().filter_map(name).collect();
    if let Some(last) = names.last_mut() {
        last.found = last_is_found;
    }
    names
}

/// The creation of a pod.
#[derive(Debug)]
pub struct Admission<'a> {
    pod: &'a Pod,
    namespace: &'a str,
    settings: &'a Value,
    store: Store,
}

impl<'a> Admission<'a> {
    /// Returns the creation of a pod with the secrets in `store`; without a store, each requested secret is assumed to
    /// exist in its project's scope. The default namespace is the pod's own, or `default`.
    pub fn new(pod: &'a Pod, namespace: Option<&'a str>, settings: &'a Value, store: Option<&Store>) -> Self {
        let store = store.cloned().unwrap_or_else(|| Store::assumed(names(pod)));
        let namespace = namespace.or(pod.namespace.as_deref()).unwrap_or("default");
        Self { pod, namespace, settings, store }
    }

    /// Returns the policy's answer.
    pub fn decide(&self) -> Preview {
        let (verdict, injected) = self.ask(&self.store);
        let mut asked: BTreeMap<String, Vec<AskedManager>> =
            injected.into_iter().map(|it| (it.annotation.clone(), AskedManager::all(it))).collect();
        let unchanged = || self.pod.object.clone();
        let (outcome, refusal, warnings, after) = match verdict {
            Verdict::Accept { warnings } => (Outcome::Untouched, None, warnings, unchanged()),
            Verdict::Mutate { pod, warnings, .. } => (Outcome::Changed, None, warnings, self.read(pod.json())),
            Verdict::Reject(rejection) => {
                let refusal = Refused { code: rejection.code().http_status(), message: rejection.to_string() };
                if let Rejection::Injection(error) = *rejection
                    && let InjectionError::NotInjected(request, tried) = *error
                {
                    asked.insert(request.annotation, tried.into_iter().map(AskedManager::declined).collect());
                }
                (Outcome::Refused, Some(refusal), Vec::new(), unchanged())
            }
        };
        let requests =
            requests::read(self.pod, UnknownFields::Warn).requests.into_iter().filter_map(|decoded| match decoded {
                DecodedRequest { annotation: Some(annotation), answer: Answer::Request { asks, .. } } => {
                    let managers = asked.remove(&annotation).unwrap_or_default();
                    Some(ExplainedRequest { annotation, asks, managers })
                }
                _ => None,
            });
        let (name, namespace) = (self.pod.name.clone(), self.namespace.to_owned());
        Preview { name, namespace, outcome, refusal, warnings, requests: requests.collect(), after }
    }

    /// Returns the pod before and after `preview`, with values on request only. To hide them, the policy runs again with
    /// two kinds of placeholders in the store: where its answers differ, there is a value. Variables of the same names
    /// are hidden in the original pod, too, because an earlier mutation can have added values.
    ///
    /// # Errors
    /// The pod is rejected with placeholders.
    pub fn before_and_after(&self, preview: &Preview, show_values: bool) -> Result<(Value, Value), Error> {
        let mut before = self.pod.object.clone();
        if preview.outcome != Outcome::Changed || show_values {
            return Ok((before, preview.after.clone()));
        }
        let ask = |words| match self.ask(&self.store.with_placeholders(words)).0 {
            Verdict::Mutate { pod, .. } => Ok(self.read(pod.json())),
            Verdict::Accept { .. } | Verdict::Reject(_) => Err(Error::NoRoom),
        };
        let (mut hidden, other) = (ask(store::VALUE)?, ask("place of")?);
        let mut values = Vec::new();
        compare(&preview.after, &hidden, &other, &mut values);
        hide(&mut before, &values);
        hide(&mut hidden, &values);
        Ok((before, hidden))
    }

    /// Parses the core's JSON of a pod.
    fn read(&self, pod: &str) -> Value {
        let mut pod = serde_json::from_str(pod).unwrap_or_default();
        reorder(&mut pod, &self.pod.object);
        pod
    }

    fn ask(&self, store: &Store) -> (Verdict, Vec<Injected>) {
        // The pod is assumed to be created by Flyte.
        let creators = settings::parse(&self.settings.to_string()).ok().and_then(|settings| settings.tenancy.creators);
        let creator = creators.and_then(|creators| creators.into_iter().next());
        let request = json!({
            "userInfo": { "username": creator },
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "operation": "CREATE",
            "namespace": self.namespace,
            "object": self.pod.object,
        });
        let payload = json!({ "request": request, "settings": self.settings });
        admission::explain(payload.to_string().as_bytes(), store)
    }
}

/// Sorts members in the order of another value, so that a diff shows changes only. Elements of lists are matched by
/// name.
fn reorder(value: &mut Value, like: &Value) {
    match (value, like) {
        (Value::Object(members), Value::Object(like)) => {
            let mut rest = mem::take(members);
            for (key, like) in like {
                if let Some(mut value) = rest.shift_remove(key) {
                    reorder(&mut value, like);
                    members.insert(key.clone(), value);
                }
            }
            members.extend(rest);
        }
        (Value::Array(items), Value::Array(like)) => {
            for item in items {
                if let Some(like) =
                    like.iter().find(|like| item.get("name").is_some() && like.get("name") == item.get("name"))
                {
                    reorder(item, like);
                }
            }
        }
        _ => {}
    }
}

/// Returns all names that the policy can look up for the secret requests of a pod, by their Secrets in Kubernetes.
fn names(pod: &Pod) -> BTreeMap<String, String> {
    let label = |name: &str| text(&pod.object, &["metadata", "labels", name]);
    let scope = Scope { organization: label("organization"), domain: label("domain"), project: label("project") };
    let candidates = |decoded: DecodedRequest| match decoded.answer {
        Answer::Request { request, .. } => {
            let schemes = [NameScheme::Canonical, NameScheme::Documented];
            scope.cascade().iter().flat_map(|scope| scope.candidates(&request.key, &schemes)).collect()
        }
        Answer::Error { .. } => Vec::new(),
    };
    // With `Reject`, the policy rejects the pod before it looks up anything.
    let names = requests::read(pod, UnknownFields::Warn).requests.into_iter().flat_map(candidates);
    names.map(|name| (kubernetes::secret_name(&name), name)).collect()
}

/// A variable with a value, and with a placeholder in its stead.
struct Hidden {
    name: String,
    value: String,
    placeholder: String,
}

fn variable(object: &Value) -> Option<(&str, &str)> {
    Some((object.get("name")?.as_str()?, object.get("value")?.as_str()?))
}

fn compare(real: &Value, hidden: &Value, other: &Value, values: &mut Vec<Hidden>) {
    if let (Some((name, value)), Some((_, placeholder)), Some((_, second))) =
        (variable(real), variable(hidden), variable(other))
        && placeholder != second
    {
        let (name, value, placeholder) = (name.to_owned(), value.to_owned(), placeholder.to_owned());
        values.push(Hidden { name, value, placeholder });
    }
    match (real, hidden, other) {
        (Value::Object(real), Value::Object(hidden), Value::Object(other)) => {
            for ((real, hidden), other) in real.values().zip(hidden.values()).zip(other.values()) {
                compare(real, hidden, other, values);
            }
        }
        (Value::Array(real), Value::Array(hidden), Value::Array(other)) => {
            for ((real, hidden), other) in real.iter().zip(hidden).zip(other) {
                compare(real, hidden, other, values);
            }
        }
        _ => {}
    }
}

fn hide(value: &mut Value, values: &[Hidden]) {
    let shown = variable(value).and_then(|(name, value)| {
        let mut named = values.iter().filter(|hidden| hidden.name == name).peekable();
        named.peek()?;
        let known = named.find(|hidden| [&hidden.value, &hidden.placeholder].iter().any(|known| *known == value));
        Some(known.map_or_else(|| "<another value>".to_owned(), |hidden| readable(&hidden.placeholder)))
    });
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(|value| hide(value, values));
            if let (Some(value), Some(shown)) = (members.get_mut("value"), shown) {
                *value = shown.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, values)),
        _ => {}
    }
}

/// Decodes files, which are lines of base64, so that placeholders are readable.
fn readable(text: &str) -> String {
    let decoded = |line: &str| {
        let (file, encoded) = line.split_once('=')?;
        let placeholder = String::from_utf8(STANDARD.decode(encoded.trim_end()).ok()?).ok()?;
        placeholder.starts_with("<value of ").then(|| [file, "=", &placeholder, "\n"].concat())
    };
    text.split_inclusive('\n').map(|line| decoded(line).unwrap_or_else(|| line.to_owned())).collect()
}
