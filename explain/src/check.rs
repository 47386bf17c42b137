//! What is wrong in Flyte's `webhook` section, and where.
//!
//! The core reads the section and stops at the first thing that is wrong. To find the next one, what was found is taken
//! out, and the core reads again.

use flyte_secrets_policy::json::Writer;
use flyte_secrets_policy::settings::{self, Error as Wrong};

use crate::source::{self, Source};
use crate::tree::{Entry, Kind, Node, Place};

/// Why there is nothing to check.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text cannot be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// It holds something else.
    #[error("{0} holds no webhook section; it stands under the key webhook in Flyte's configuration")]
    NoSection(String),
    /// One is wanted.
    #[error("{0} holds {1} webhook sections; name a file with one of them")]
    Several(String, usize),
    /// It is not valid.
    #[error("{0}: {1}; `flyte-secrets check {0}` says where")]
    Wrong(String, Wrong),
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// It must be changed.
    Error,
    /// It may be as meant.
    Warning,
}

/// Something that somebody should look at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The keys to it; empty if it is about the whole text.
    pub path: String,
    /// The fact and the way out.
    pub message: String,
    /// Where it stands in the text.
    pub place: Option<Place>,
}

impl Finding {
    /// What makes a whole text useless.
    pub fn error(message: String, place: Option<Place>) -> Self {
        Self { severity: Severity::Error, path: String::new(), message, place }
    }

    /// Why a text cannot be read, for those who see it.
    pub fn unreadable(wrong: &source::Error) -> Self {
        match wrong {
            source::Error::Yaml(_, wrong) => Self::error(wrong.problem.clone(), Some(wrong.place)),
            source::Error::NoPod(_) => Self::error(wrong.to_string(), None),
        }
    }

    /// As JSON: `{"severity", "path", "message", "place"}`, the last one if it is known.
    pub fn write(&self, json: &mut Writer) {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        json.object().member("severity", severity).member("path", &self.path).member("message", &self.message);
        if let Some(place) = &self.place {
            place.write(json.key("place"));
        }
        json.end_object();
    }
}

/// What a look at all sections of a text has found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// The sections, by the keys that lead to them.
    pub sections: Vec<String>,
    /// In the order of the text.
    pub findings: Vec<Finding>,
    /// The settings, if there is one section and it is valid.
    pub settings: Option<Node>,
}

impl Checked {
    /// Whether the policy would start with it.
    pub fn is_valid(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Warning)
    }

    /// As JSON: `{"valid", "sections", "findings"}`.
    pub fn write(&self, json: &mut Writer) {
        json.object().key("valid").boolean(self.is_valid()).key("sections").strings(&self.sections);
        json.key("findings").list();
        self.findings.iter().for_each(|finding| finding.write(json));
        json.end_list().end_object();
    }
}

/// A section, and where its settings stand in the text.
struct Section {
    /// The keys above it.
    path: String,
    node: Node,
}

/// Looks at each section in a text.
///
/// # Errors
/// There is none. A text that is no YAML is a finding.
pub fn check(source: &Source) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    let documents = match source.documents() {
        Ok(documents) => documents,
        Err(wrong) => {
            checked.findings.push(Finding::unreadable(&wrong));
            return Ok(checked);
        }
    };
    let sections = sections(&documents, source)?;
    for section in &sections {
        checked.findings.extend(look_at(&section.node));
        checked.sections.push(section.path.clone());
    }
    if let ([section], true) = (sections.as_slice(), checked.is_valid()) {
        checked.settings = Some(section.node.clone());
    }
    Ok(checked)
}

/// The one section in a text, which must be valid, as the policy reads it.
///
/// # Errors
/// There is none, or several, or it is not valid.
pub fn settings(source: &Source) -> Result<Node, Error> {
    let sections = sections(&source.documents()?, source)?;
    let [section] = sections.as_slice() else { return Err(Error::Several(source.name.clone(), sections.len())) };
    settings::validate(&section.node.to_json())
        .map_err(|wrong| Error::Wrong(source.name.clone(), wrong))?;
    Ok(section.node.clone())
}

fn sections(documents: &[Node], source: &Source) -> Result<Vec<Section>, Error> {
    let mut found = Vec::new();
    for document in documents {
        find(document, "", source, &mut found);
    }
    if let ([], [document]) = (found.as_slice(), documents) {
        // Objects of Kubernetes hold settings only where `find` looks.
        if document.get("apiVersion").is_none() && !matches!(document.kind, Kind::Text(_)) {
            found.push(Section { path: "the section".to_owned(), node: document.clone() });
        }
    }
    if found.is_empty() { Err(Error::NoSection(source.name.clone())) } else { Ok(found) }
}

fn find(node: &Node, path: &str, source: &Source, found: &mut Vec<Section>) {
    let policy = node.get("kind").and_then(Node::text).is_some_and(|kind| kind.ends_with("AdmissionPolicy"));
    if let Some(settings) = node.get("spec").filter(|_| policy).and_then(|spec| spec.get("settings")) {
        found.push(Section { path: "spec.settings".to_owned(), node: settings.clone() });
        return;
    }
    for Entry { key, value, .. } in node.entries() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if key == "webhook" && !matches!(value.kind, Kind::Text(_)) {
            found.push(Section { path, node: value.clone() });
        } else if let Some(embedded) = source.within(value) {
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
        let (path, message) = match settings::validate(&left.to_json()) {
            Ok((_, warnings)) => {
                for message in warnings {
                    let path = message.split_once(':').map_or("", |(path, _)| path).to_owned();
                    let place = Some(place_of(section, &path));
                    insert(&mut findings, Finding { severity: Severity::Warning, path, place, message });
                }
                return findings;
            }
            Err(wrong) => (path_of(&wrong).to_owned(), wrong.to_string()),
        };
        let message = message.strip_prefix("settings: ").unwrap_or(&message).to_owned();
        let there = walk(&left, &path).1;
        let place = element(&left, &path, &message).map_or_else(|| place_of(&left, &path), |(place, _)| place);
        // What is not there any more has been said when it was taken out.
        if there || findings.iter().all(|known| known.path != path) {
            let (path, message) = (path.clone(), message.clone());
            insert(&mut findings, Finding { severity: Severity::Error, path, place: Some(place), message });
        }
        // Something that is missing cannot be taken out. A provider without its region or the like can, and if that
        // is not it, the whole part is.
        let part = path.split('.').next().unwrap_or_default();
        let gone = take_out(&mut left, &path, &message)
            || take_out(&mut left, &format!("{part}.type"), "")
            || take_out(&mut left, part, "");
        if !gone {
            return findings;
        }
    }
}

/// Findings are in the order of the text.
fn insert(findings: &mut Vec<Finding>, finding: Finding) {
    let at = findings.iter().take_while(|known| known.place <= finding.place).count();
    findings.insert(at, finding);
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
            Kind::Null | Kind::List(_) | Kind::Map(_) => entry.key_place,
            _ => entry.value.place,
        }),
        (steps, false) => steps.last().map_or(Place { length: 1, ..node.place }, |entry| entry.key_place),
    }
}

/// The element of a list that a message is about, and its number.
fn element(node: &Node, path: &str, message: &str) -> Option<(Place, usize)> {
    let entry = walk(node, path).0.pop()?;
    let Kind::List(items) = &entry.value.kind else { return None };
    let about = |item: &Node| {
        let text = item.text().map(|text| format!(": {text:?} is "));
        text.zip(message.strip_prefix(path)).is_some_and(|(text, rest)| rest.starts_with(&text))
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
