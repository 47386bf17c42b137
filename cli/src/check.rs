//! What is wrong in Flyte's `webhook` section, and where.
//!
//! The core reads the section and stops at the first thing that is wrong. To find the next one, what was found is taken
//! out, and the core reads again.

use flyte_secrets_policy::settings::{self, Error as Wrong};
use flyte_secrets_policy::texts::Texts;
use serde_json::{Value, json};

use crate::files::{self, Entry, Kind, Node, Place, Source};
use crate::output::{self, Answer, Format, Severity};

/// Check Flyte's webhook section: alone, in a whole configuration, in a ConfigMap or in a policy
#[derive(clap::Args)]
pub struct Arguments {
    /// A file, or - for standard input
    file: String,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

/// Why there is nothing to check.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] files::Error),
    #[error("{0} holds no webhook section; it stands under the key webhook in Flyte's configuration")]
    NoSection(String),
    #[error("{0} holds {1} webhook sections; name a file with one of them")]
    Several(String, usize),
    #[error("{0}: {1}; `flyte-secrets check {0}` says where")]
    Wrong(String, Wrong),
}

/// A section, and where its settings stand in the file.
struct Section {
    /// The keys above it.
    path: String,
    node: Node,
}

/// Something that the operator should look at.
struct Finding {
    severity: Severity,
    /// The keys to it.
    path: String,
    message: String,
    place: Option<Place>,
}

pub fn run(arguments: &Arguments) -> Result<Answer, Error> {
    let source = Source::read(&arguments.file)?;
    let mut findings = Vec::new();
    let mut checked = Vec::new();
    match source.documents() {
        Ok(documents) => {
            for section in sections(&documents, &source)? {
                findings.extend(look_at(&section.node));
                checked.push(section.path);
            }
        }
        Err(files::Error::Yaml(_, wrong)) => {
            findings.push(Finding {
                severity: Severity::Error,
                path: String::new(),
                message: wrong.problem,
                place: wrong.place,
            });
        }
        Err(other) => return Err(other.into()),
    }
    let valid = findings.iter().all(|finding| finding.severity == Severity::Warning);
    match arguments.output {
        Format::Json => {
            let rows = findings.iter().map(|Finding { severity, path, message, place }| {
                json!({
                    "severity": match severity { Severity::Error => "error", Severity::Warning => "warning" },
                    "path": path,
                    "message": message,
                    "line": place.map(|place| place.line),
                    "column": place.map(|place| place.column),
                })
            });
            output::json(&json!({ "valid": valid, "sections": checked, "findings": rows.collect::<Value>() }));
        }
        Format::Text => {
            for Finding { severity, message, place, .. } in &findings {
                output::print(&output::finding(*severity, message, &source, *place));
            }
            if valid {
                output::print(&format!("{}: {} valid\n", source.name, checked.join(", ")));
            }
        }
    }
    Ok(Answer::yes_if(valid))
}

/// The one section in a file, which must be valid, as the policy reads it.
pub fn settings(path: &str) -> Result<Value, Error> {
    let source = Source::read(path)?;
    let sections = sections(&source.documents()?, &source)?;
    let [section] = sections.as_slice() else { return Err(Error::Several(source.name, sections.len())) };
    let value = section.node.value();
    settings::validate(value.to_string().as_bytes(), &Texts::default())
        .map_err(|wrong| Error::Wrong(source.name, wrong))?;
    Ok(value)
}

fn sections(documents: &[Node], source: &Source) -> Result<Vec<Section>, Error> {
    let mut found = Vec::new();
    for document in documents {
        find(document, "", source, &mut found);
    }
    if let ([], [document]) = (found.as_slice(), documents) {
        // Objects of Kubernetes hold settings only where `find` looks.
        if document.get("apiVersion").is_none() && !matches!(document.kind, Kind::Scalar(Value::String(_))) {
            found.push(Section { path: "the section".to_owned(), node: document.clone() });
        }
    }
    if found.is_empty() { Err(Error::NoSection(source.name.clone())) } else { Ok(found) }
}

fn find(node: &Node, path: &str, source: &Source, found: &mut Vec<Section>) {
    let policy = node
        .get("kind")
        .is_some_and(|kind| kind.value().as_str().is_some_and(|kind| kind.ends_with("AdmissionPolicy")));
    if let Some(settings) = node.get("spec").filter(|_| policy).and_then(|spec| spec.get("settings")) {
        found.push(Section { path: "spec.settings".to_owned(), node: settings.clone() });
        return;
    }
    for Entry { key, value, .. } in node.entries() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if key == "webhook" && !matches!(value.kind, Kind::Scalar(Value::String(_))) {
            found.push(Section { path, node: value.clone() });
        } else if let Some(embedded) = value.embedded(source) {
            find(&embedded, &path, source, found);
        } else {
            find(value, &path, source, found);
        }
    }
}

fn look_at(section: &Node) -> Vec<Finding> {
    let mut left = section.clone();
    let mut findings: Vec<Finding> = Vec::new();
    loop {
        let json = left.value().to_string();
        let (path, message) = match settings::validate(json.as_bytes(), &Texts::default()) {
            Ok((_, warnings)) => {
                findings.extend(warnings.into_iter().map(|warning| {
                    let path = warning.split_once(": ").map_or("", |(path, _)| path).to_owned();
                    let place = Some(place_of(section, &path));
                    Finding { severity: Severity::Warning, path, place, message: warning }
                }));
                break;
            }
            Err(wrong) => (path_of(&wrong).to_owned(), wrong.to_string()),
        };
        let message = message.trim_start_matches("settings: ").to_owned();
        let there = walk(&left, &path).1;
        let place = element(&left, &path, &message).map_or_else(|| place_of(&left, &path), |(place, _)| place);
        // What is not there any more has been said when it was taken out.
        if there || findings.iter().all(|known| known.path != path) {
            findings.push(Finding {
                severity: Severity::Error,
                path: path.clone(),
                place: Some(place),
                message: message.clone(),
            });
        }
        // Something that is missing cannot be taken out. A provider without its region or the like can, and if that
        // is not it, the whole part is.
        let part = path.split('.').next().unwrap_or_default();
        let gone = take_out(&mut left, &path, &message)
            || take_out(&mut left, &format!("{part}.type"), "")
            || take_out(&mut left, part, "");
        if !gone {
            break;
        }
    }
    findings.sort_by_key(|finding| finding.place);
    findings
}

fn path_of(wrong: &Wrong) -> &str {
    match wrong {
        Wrong::Type { path, .. } | Wrong::UnknownKey { path, .. } | Wrong::Value { path, .. } => path,
    }
}

/// The steps of a path that are there: keys may have dots in them, so the longest key that fits is taken.
fn walk<'n>(node: &'n Node, path: &str) -> (Vec<&'n Entry>, bool) {
    let (mut steps, mut node, mut rest) = (Vec::new(), node, path);
    while !rest.is_empty() {
        let fits = |entry: &&Entry| {
            let behind = rest.strip_prefix(entry.key.as_str());
            behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('.'))
        };
        let Some(entry) = node.entries().iter().filter(fits).max_by_key(|entry| entry.key.len()) else {
            return (steps, false);
        };
        rest = rest.strip_prefix(entry.key.as_str()).unwrap_or_default().trim_start_matches('.');
        node = &entry.value;
        steps.push(entry);
    }
    (steps, true)
}

/// Where a path leads, or the last step towards it: the value if it is one line, else the key.
fn place_of(node: &Node, path: &str) -> Place {
    match walk(node, path) {
        (steps, true) => steps.last().map_or(node.place, |entry| match &entry.value.kind {
            Kind::Scalar(value) if !value.is_null() => entry.value.place,
            _ => entry.key_place,
        }),
        (steps, false) => steps.last().map_or(Place { length: 1, ..node.place }, |entry| entry.key_place),
    }
}

/// The element of a list that a message is about, and its number.
fn element(node: &Node, path: &str, message: &str) -> Option<(Place, usize)> {
    let entry = walk(node, path).0.pop()?;
    let Kind::List(items) = &entry.value.kind else { return None };
    let about = |item: &Node| match item.value() {
        Value::String(text) => {
            message.strip_prefix(path).is_some_and(|rest| rest.starts_with(&format!(": {text:?} is ")))
        }
        _ => false,
    };
    items.iter().enumerate().find(|(_, item)| about(item)).map(|(number, item)| (item.place, number))
}

/// Takes a key or an element of a list out of a section; says whether it was there.
fn take_out(node: &mut Node, path: &str, message: &str) -> bool {
    let (steps, whole) = walk(node, path);
    if !whole || steps.is_empty() {
        return false;
    }
    let keys: Vec<String> = steps.iter().map(|entry| entry.key.clone()).collect();
    let number = element(node, path, message).map(|(_, number)| number);
    let mut node = node;
    for (depth, key) in keys.iter().enumerate() {
        let Kind::Map(entries) = &mut node.kind else { return false };
        let Some(at) = entries.iter().position(|entry| entry.key == *key) else { return false };
        if depth + 1 == keys.len() && number.is_none() {
            entries.remove(at);
            return true;
        }
        let Some(entry) = entries.get_mut(at) else { return false };
        node = &mut entry.value;
    }
    match (&mut node.kind, number) {
        (Kind::List(items), Some(number)) => {
            items.remove(number);
            true
        }
        _ => false,
    }
}
