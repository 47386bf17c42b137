//! The pod as it will be, or why it is refused: the policy's own answer, with a store of secrets from a file.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use flyte_secrets_policy::admission;
use flyte_secrets_policy::json::Writer;
use flyte_secrets_policy::managers::Refusal;
use flyte_secrets_policy::names::{NameScheme, Scope, kubernetes};
use flyte_secrets_policy::requests::Annotated;
use flyte_secrets_policy::settings;
use flyte_secrets_policy::texts::Texts;
use flyte_secrets_policy::verdict::{Rejection, Verdict};
use serde_json::{Value, json};

use crate::check;
use crate::files::{self, Pod, Source};
use crate::output::{self, Answer};
use crate::request::{self, sentence};
use crate::store::{self, Asked, Store};

/// Show the pod as the policy will make it, or why it is refused
#[derive(clap::Args)]
pub struct Arguments {
    /// Pods, or workloads with a pod's template; - for standard input
    #[arg(short, long)]
    file: String,
    /// Flyte's webhook section, as `check` finds it; Flyte's defaults without it
    #[arg(long, value_name = "FILE")]
    settings: Option<String>,
    /// What the stores hold; without it, each secret that is asked for is taken to be in its project's scope
    #[arg(long, value_name = "FILE")]
    secrets: Option<String>,
    /// The namespace that the pod is created in; the pod's own without it
    #[arg(short, long)]
    namespace: Option<String>,
    /// What is printed of the pod
    #[arg(short, long, value_enum, default_value = "diff")]
    output: Shape,
    /// Say for each request which managers are asked, which names are looked up, and why
    #[arg(long)]
    explain: bool,
    /// Print secrets' values, which else are named only
    #[arg(long, requires = "secrets")]
    show_values: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Shape {
    /// What changes; with --explain, text
    Diff,
    Yaml,
    Json,
    /// The JSON patch that the API server gets
    Patch,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] files::Error),
    #[error(transparent)]
    Settings(#[from] check::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What is accepted with values is accepted with words in their place, unless these take more room than there is.
    #[error("the pod has no room for words in the place of values; use --show-values")]
    Placeholders,
    #[error("--explain can be written as diff, yaml or json, not as patch")]
    ExplainedPatch,
}

/// The policy's answer, as data.
#[derive(Clone, Debug)]
enum Outcome {
    Accepted { warnings: Vec<String> },
    Changed { pod: Value, warnings: Vec<String>, audit: String },
    Refused { code: u16, message: String, reason: Option<String> },
}

pub fn run(arguments: &Arguments) -> Result<Answer, Error> {
    if arguments.explain && arguments.output == Shape::Patch {
        return Err(Error::ExplainedPatch);
    }
    let source = Source::read(&arguments.file)?;
    let pods = source.pods()?;
    let settings = arguments.settings.as_deref().map_or_else(|| Ok(json!({})), check::settings)?;
    let secrets = arguments.secrets.as_deref().map(Store::load).transpose()?;
    if secrets.is_none() {
        output::note("no --secrets are given: each secret that is asked for is taken to be in its project's scope");
    }
    let mut answer = Answer::Yes;
    for (number, pod) in pods.iter().enumerate() {
        let namespace = arguments.namespace.as_deref().or(pod.namespace.as_deref()).unwrap_or("default");
        let names = names(pod);
        let assumed = || Store::assumed(names.values().cloned());
        let admission =
            Admission { namespace, settings: &settings, store: &secrets.as_ref().map_or_else(assumed, Store::fresh) };
        let outcome = admission.decide(&pod.object);
        answer = answer.and(Answer::yes_if(!matches!(outcome, Outcome::Refused { .. })));
        if arguments.explain {
            let explained = admission.explain(pod, &names, &outcome);
            match arguments.output {
                Shape::Json => output::json(&explained),
                Shape::Yaml => output::print(&separated(number, &output::yaml(&explained))),
                _ => output::print(&explanation(&explained)),
            }
            continue;
        }
        let before = &pod.object;
        let (before, after) = match &outcome {
            Outcome::Changed { pod: after, .. } if arguments.show_values => (before.clone(), after.clone()),
            Outcome::Changed { pod: after, .. } => admission.without_values(before, after)?,
            _ => (before.clone(), before.clone()),
        };
        match (arguments.output, &outcome) {
            (_, Outcome::Refused { .. }) => {}
            (Shape::Diff, _) => {
                output::print(&output::diff(&source.name, &output::yaml(&before), &output::yaml(&after)));
            }
            (Shape::Yaml, _) => output::print(&separated(number, &output::yaml(&after))),
            (Shape::Json, _) => output::json(&after),
            (Shape::Patch, _) => output::json(&json!(json_patch::diff(&before, &after))),
        }
        match outcome {
            Outcome::Accepted { warnings } => {
                warnings.iter().for_each(|warning| output::warning(warning));
                output::note(&format!("{} is let through as it is", pod.name));
            }
            Outcome::Changed { warnings, .. } => warnings.iter().for_each(|warning| output::warning(warning)),
            Outcome::Refused { code, message, .. } => {
                output::error(&format!("{} is refused with code {code}: {message}", pod.name));
            }
        }
    }
    Ok(answer)
}

fn separated(number: usize, document: &str) -> String {
    if number == 0 { document.to_owned() } else { format!("---\n{document}") }
}

/// All names under which the policy may look for what a pod asks for, by the names of the Secrets that hold them.
fn names(pod: &Pod) -> BTreeMap<String, String> {
    let label =
        |name: &str| pod.object.pointer("/metadata/labels").and_then(|it| it.get(name)?.as_str()).unwrap_or_default();
    let scope = Scope { organization: label("organization"), domain: label("domain"), project: label("project") };
    let texts = Texts::default();
    let found = request::read(pod, &texts);
    let keys = found.requests.iter().map(|annotated| annotated.request.key);
    let schemes = [NameScheme::Canonical, NameScheme::Documented];
    let names = keys.flat_map(|key| scope.cascade().into_iter().flat_map(move |scope| scope.candidates(key, &schemes)));
    names.map(|name| (kubernetes::secret_name(&name), name)).collect()
}

/// Where pods are created.
struct Admission<'a> {
    namespace: &'a str,
    settings: &'a Value,
    store: &'a Store,
}

impl Admission<'_> {
    fn decide(&self, pod: &Value) -> Outcome {
        let payload = json!({
            "request": {
                "kind": { "group": "", "version": "v1", "kind": "Pod" },
                "operation": "CREATE",
                "namespace": self.namespace,
                "object": pod,
            },
            "settings": self.settings,
        });
        let texts = Texts::default();
        match admission::validate(payload.to_string().as_bytes(), &texts, self.store) {
            Verdict::Accept { warnings } => Outcome::Accepted { warnings },
            Verdict::Mutate { pod: edited, audit, warnings } => {
                let mut json = Writer::default();
                edited.write(&mut json);
                // The core splices into JSON that was written above, so what it writes is JSON.
                let pod = serde_json::from_slice(&json.into_bytes()).unwrap_or_default();
                Outcome::Changed { pod, warnings, audit }
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

    /// The pod before and after, without values. The policy is asked again with two kinds of placeholders in the
    /// store: where these answers differ, a value stands. Variables of that name are hidden in the pod that came in,
    /// too, where an earlier pass may have put a value.
    fn without_values(&self, before: &Value, after: &Value) -> Result<(Value, Value), Error> {
        let ask = |words| {
            let store = self.store.with_placeholders(words);
            match (Admission { store: &store, ..*self }).decide(before) {
                Outcome::Changed { pod, .. } => Ok(pod),
                Outcome::Accepted { .. } | Outcome::Refused { .. } => Err(Error::Placeholders),
            }
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
    fn explain(&self, pod: &Pod, names: &BTreeMap<String, String>, outcome: &Outcome) -> Value {
        let texts = Texts::default();
        let found = request::read(pod, &texts);
        let json = self.settings.to_string();
        let managers = settings::parse(json.as_bytes(), &texts).map(|settings| settings.managers().collect::<Vec<_>>());
        let requests = found.requests.iter().map(|Annotated { annotation, request }| {
            let mut asked = Vec::new();
            for manager in managers.iter().flatten() {
                let mut settings = self.settings.clone();
                if let Some(settings) = settings.as_object_mut() {
                    settings.insert("secretManagerTypes".to_owned(), json!([manager.name()]));
                }
                self.store.take_asked();
                let answer = (Admission { settings: &settings, ..*self }).decide(&only(&pod.object, annotation));
                let read = self.store.take_asked();
                let read = read.into_iter().map(|Asked { object, name, found }| {
                    let name = names.get(&name).cloned().unwrap_or(name);
                    json!({ "object": object, "name": name, "found": found })
                });
                let mut row = json!({ "manager": manager.name() });
                let (takes, why) = match &answer {
                    Outcome::Changed { audit, .. } => {
                        let source = audit.strip_prefix(&format!("{annotation}: {} ", manager.name()));
                        (true, ("source", source.unwrap_or(audit).to_owned()))
                    }
                    Outcome::Accepted { warnings } => (false, ("reason", warnings.join("; "))),
                    Outcome::Refused { message, reason, .. } => {
                        (false, ("reason", reason.clone().unwrap_or_else(|| message.clone())))
                    }
                };
                if let Some(row) = row.as_object_mut() {
                    row.insert("takes".to_owned(), json!(takes));
                    row.insert(why.0.to_owned(), json!(why.1));
                    row.insert("read".to_owned(), read.collect());
                }
                asked.push(row);
                // An outage ends the search, as it does in the policy.
                if takes || matches!(answer, Outcome::Refused { code: 503, .. } | Outcome::Accepted { .. }) {
                    break;
                }
            }
            json!({ "annotation": annotation, "asks for": sentence(request), "managers": asked })
        });
        let requests: Value = requests.collect();
        let mut explained = json!({ "pod": pod.name, "namespace": self.namespace, "requests": requests });
        if let Some(explained) = explained.as_object_mut() {
            let (accepted, rest) = match outcome {
                Outcome::Accepted { warnings } | Outcome::Changed { warnings, .. } => {
                    (true, ("warnings", json!(warnings)))
                }
                Outcome::Refused { code, message, .. } => {
                    (false, ("refusal", json!({ "code": code, "message": message })))
                }
            };
            explained.insert("accepted".to_owned(), json!(accepted));
            explained.insert(rest.0.to_owned(), rest.1);
        }
        explained
    }
}

/// The pod with one request.
fn only(pod: &Value, annotation: &str) -> Value {
    let mut pod = pod.clone();
    if let Some(annotations) = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.retain(|key, _| key == annotation || flyte_secrets_policy::requests::number_of(key).is_none());
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

fn compare(real: &Value, hidden: &Value, other: &Value, values: &mut Vec<Hidden>) {
    let text = |object: &Value, field: &str| object.get(field).and_then(Value::as_str).map(str::to_owned);
    if let (Some(name), Some(value), Some(stand_in)) = (text(real, "name"), text(real, "value"), text(hidden, "value"))
        && hidden.get("value") != other.get("value")
    {
        let shown = readable(&stand_in);
        values.push(Hidden { name, values: [value, stand_in], shown });
    }
    match (real, hidden, other) {
        (Value::Object(real), Value::Object(hidden), Value::Object(other)) => {
            let all = real.values().zip(hidden.values()).zip(other.values());
            all.for_each(|((real, hidden), other)| compare(real, hidden, other, values));
        }
        (Value::Array(real), Value::Array(hidden), Value::Array(other)) => {
            let all = real.iter().zip(hidden).zip(other);
            all.for_each(|((real, hidden), other)| compare(real, hidden, other, values));
        }
        _ => {}
    }
}

fn hide(value: &mut Value, values: &[Hidden]) {
    match value {
        Value::Object(object) => {
            let text = |field: &str| object.get(field).and_then(Value::as_str);
            if let (Some(name), Some(value)) = (text("name"), text("value")) {
                let mut named = values.iter().filter(|hidden| hidden.name == name).peekable();
                if named.peek().is_some() {
                    let known = named.find(|hidden| hidden.values.iter().any(|known| known == value));
                    let shown = known.map_or("<another value>", |hidden| hidden.shown.as_str());
                    object.insert("value".to_owned(), json!(shown));
                }
            }
            object.values_mut().for_each(|value| hide(value, values));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, values)),
        _ => {}
    }
}

/// Files stand in base64, line by line; their placeholders are shown as they are.
fn readable(text: &str) -> String {
    let line = |line: &str| {
        let (file, encoded) = line.split_once('=')?;
        let placeholder = String::from_utf8(STANDARD.decode(encoded.trim_end()).ok()?).ok()?;
        placeholder.starts_with("<value of ").then(|| format!("{file}={placeholder}\n"))
    };
    text.split_inclusive('\n').map(|text| line(text).unwrap_or_else(|| text.to_owned())).collect()
}

/// The explanation for people.
fn explanation(explained: &Value) -> String {
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |value: &Value, field: &str| value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let yes = |value: &Value, field: &str| value.get(field).and_then(Value::as_bool).unwrap_or_default();
    let mut lines = vec![format!("{} in namespace {}", text(explained, "pod"), text(explained, "namespace"))];
    for request in list(explained, "requests") {
        lines.push(format!("  {} asks for {}", text(&request, "annotation"), text(&request, "asks for")));
        for manager in list(&request, "managers") {
            let name = text(&manager, "manager");
            lines.push(match yes(&manager, "takes") {
                true => format!("    {name} takes it: {}", text(&manager, "source")),
                false => format!("    {name} does not: {}", text(&manager, "reason")),
            });
            // What a manager that gives up has looked for stands in its reason.
            for read in list(&manager, "read").iter().filter(|read| yes(&manager, "takes") && !yes(read, "found")) {
                let (name, object) = (text(read, "name"), text(read, "object"));
                lines.push(match object.ends_with(&name) {
                    true => format!("      not there: {object}"),
                    false => format!("      not there: {name} ({object})"),
                });
            }
        }
    }
    for warning in list(explained, "warnings") {
        lines.push(format!("  warning: {}", warning.as_str().unwrap_or_default()));
    }
    lines.push(match explained.get("refusal") {
        Some(refusal) => {
            let code = refusal.get("code").and_then(Value::as_u64).unwrap_or_default();
            format!("refused with code {code}: {}", text(refusal, "message"))
        }
        None => "accepted".to_owned(),
    });
    lines.join("\n") + "\n"
}
