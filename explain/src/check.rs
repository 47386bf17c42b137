//! What is wrong in Flyte's `webhook` section, and where.
//!
//! The core reads the section and stops at the first thing that is wrong. To find the next one, what was found is taken
//! out, and the core reads again.

use std::collections::BTreeSet;

use flyte_secrets_policy::settings;
use saphyr::YamlDataOwned;
use serde::Serialize;
use serde_json::Value;

use crate::source::{self, Source};
use crate::yaml::{self, Node, Place};

/// Why there is nothing to check.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text cannot be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// It holds something else.
    #[error("{0} holds no webhook section; expected one under the key webhook, as in Flyte's configuration")]
    NoSection(String),
    /// One is expected.
    #[error("{0} holds {1} webhook sections; name a file with one of them")]
    Several(String, usize),
    /// It is not valid.
    #[error("{0}: {1}; `flyte-secrets check {0}` shows where")]
    Invalid(String, settings::Error),
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It must be changed.
    Error,
    /// It may be as meant.
    Warning,
}

/// Something that somebody should look at.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The keys to it; empty if it is about the whole text.
    pub path: String,
    /// The fact and the way out.
    pub message: String,
    /// Where it stands in the text, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl Finding {
    /// Returns what makes a whole text useless.
    pub fn error(message: String, place: Option<Place>) -> Self {
        Self { severity: Severity::Error, path: String::new(), message, place }
    }

    /// Returns why a text cannot be read, for those who see it.
    pub fn unreadable(error: &source::Error) -> Self {
        match error {
            source::Error::Yaml(_, invalid) => Self::error(invalid.problem.clone(), Some(invalid.place)),
            source::Error::NoPod(_) => Self::error(error.to_string(), None),
        }
    }
}

/// What a look at all sections of a text has found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Checked {
    /// Whether the policy would start with it.
    pub valid: bool,
    /// The sections, by the keys that lead to them.
    pub sections: Vec<String>,
    /// In the order of the text.
    pub findings: Vec<Finding>,
    /// The settings, if there is one section and it is valid.
    #[serde(skip)]
    pub settings: Option<Value>,
}

/// Looks at each section in a text.
///
/// # Errors
/// There is none. A text that is not YAML is a finding.
pub fn check(source: &Source) -> Result<Checked, Error> {
    let documents = match source.documents() {
        Ok(documents) => documents,
        Err(error) => return Ok(Checked { findings: vec![Finding::unreadable(&error)], ..Checked::default() }),
    };
    let sections = sections(&documents, source)?;
    let findings: Vec<Finding> = sections.iter().flat_map(look_at).collect();
    let valid = findings.iter().all(|finding| finding.severity == Severity::Warning);
    let settings = match sections.as_slice() {
        [section] if valid => Some(yaml::value(&section.node)),
        _ => None,
    };
    Ok(Checked { valid, sections: sections.into_iter().map(|section| section.path).collect(), findings, settings })
}

/// Returns the one section in a text, which must be valid, as the policy reads it.
///
/// # Errors
/// There is none, or several, or it is not valid.
pub fn settings(source: &Source) -> Result<Value, Error> {
    let sections = sections(&source.documents()?, source)?;
    let [section] = sections.as_slice() else { return Err(Error::Several(source.name.clone(), sections.len())) };
    let value = yaml::value(&section.node);
    settings::validate(value.to_string().as_bytes()).map_err(|error| Error::Invalid(source.name.clone(), error))?;
    Ok(value)
}

/// A section, and where its settings stand in the text.
struct Section {
    /// The keys above it.
    path: String,
    node: Node,
    origin: Origin,
}

/// Where a node comes from, which says what its places are in the whole text.
#[derive(Clone, Copy)]
enum Origin {
    /// The text.
    Text,
    /// The YAML in a literal block of it, such as an entry of a ConfigMap: so many lines further down, and columns further in.
    Block { lines: usize, columns: usize },
    /// The YAML in a string of another style, which stands here as a whole.
    Whole(Place),
}

impl Origin {
    fn place(self, place: Place) -> Place {
        match self {
            Self::Text => place,
            Self::Block { lines, columns } => {
                Place { line: place.line + lines, column: place.column + columns, ..place }
            }
            Self::Whole(whole) => whole,
        }
    }

    /// Returns the YAML in a string, and its origin.
    fn within(self, node: &Node, source: &Source) -> Option<(Node, Self)> {
        let text = node.data.as_str()?;
        let mut documents = yaml::read(text).ok()?;
        let inner = documents.pop().filter(|_| documents.is_empty())?;
        let place = Place::from(node.span);
        if !matches!(self, Self::Text) {
            return Some((inner, Self::Whole(self.place(place))));
        }
        // A literal block starts behind the line of its indicator, with the same lines, indented.
        let (above, first) = text.lines().enumerate().find(|(_, line)| !line.trim().is_empty())?;
        let mut lines = source.text.lines().enumerate().skip(place.line.saturating_sub(1)).take(above + 2);
        let indent = |line: &str| line.len() - line.trim_start().len();
        let origin = match lines.find(|(_, line)| line.trim() == first.trim()) {
            Some((number, line)) => {
                Self::Block { lines: number.saturating_sub(above), columns: indent(line).saturating_sub(indent(first)) }
            }
            None => Self::Whole(place),
        };
        Some((inner, origin))
    }
}

fn sections(documents: &[Node], source: &Source) -> Result<Vec<Section>, Error> {
    let mut found = Vec::new();
    for document in documents {
        find(document, "", Origin::Text, source, &mut found);
    }
    if let ([], [document]) = (found.as_slice(), documents) {
        // Objects of Kubernetes hold settings only where `find` looks.
        if document.data.as_mapping_get("apiVersion").is_none() && !document.data.is_string() {
            let path = "the section".to_owned();
            found.push(Section { path, node: document.clone(), origin: Origin::Text });
        }
    }
    if found.is_empty() { Err(Error::NoSection(source.name.clone())) } else { Ok(found) }
}

fn find(node: &Node, path: &str, origin: Origin, source: &Source, found: &mut Vec<Section>) {
    let get = |key| node.data.as_mapping_get(key);
    let policy = get("kind").and_then(|kind| kind.data.as_str()).is_some_and(|kind| kind.ends_with("AdmissionPolicy"));
    if let Some(settings) = get("spec").filter(|_| policy).and_then(|spec| spec.data.as_mapping_get("settings")) {
        found.push(Section { path: "spec.settings".to_owned(), node: settings.clone(), origin });
        return;
    }
    for (key, value) in node.data.as_mapping().into_iter().flatten() {
        let key = yaml::name(key);
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if key == "webhook" && !value.data.is_string() {
            found.push(Section { path, node: value.clone(), origin });
        } else if let Some((embedded, origin)) = origin.within(value, source) {
            find(&embedded, &path, origin, source, found);
        } else {
            find(value, &path, origin, source, found);
        }
    }
}

fn look_at(section: &Section) -> Vec<Finding> {
    let place = |node: &Node, path: &str| Some(section.origin.place(place_of(node, path)));
    let mut left = section.node.clone();
    let mut removed = BTreeSet::new();
    let mut findings: Vec<Finding> = Vec::new();
    loop {
        let error = match settings::validate(yaml::value(&left).to_string().as_bytes()) {
            Ok((_, warnings)) => {
                findings.extend(warnings.into_iter().map(|message| {
                    let path = message.split_once(':').map_or("", |(path, _)| path).to_owned();
                    Finding { severity: Severity::Warning, place: place(&section.node, &path), path, message }
                }));
                findings.sort_by_key(|finding| finding.place);
                return findings;
            }
            Err(error) => error,
        };
        let path = error.path().to_owned();
        let original = renumbered(&path, &removed);
        // What is not there any more has been reported when it was taken out.
        if walk(&left, &path).1 || findings.iter().all(|known| known.path != original) {
            let message = with_path(error, original.clone()).to_string();
            let message = message.strip_prefix("invalid settings: ").unwrap_or(&message).to_owned();
            let place = place(&left, &path);
            findings.push(Finding { severity: Severity::Error, path: original.clone(), message, place });
        }
        // Something that is missing cannot be taken out. A provider without its region or the like can, and if that
        // is not it, the whole part is.
        let part = path.split(['.', '[']).next().unwrap_or_default();
        if take_out(&mut left, &path) {
            let element = numbered(&original).filter(|(_, _, rest)| rest.is_empty());
            removed.extend(element.map(|(list, number, _)| (list.to_owned(), number)));
        } else if !take_out(&mut left, &format!("{part}.type")) && !take_out(&mut left, part) {
            findings.sort_by_key(|finding| finding.place);
            return findings;
        }
    }
}

/// Splits a path at the number of an element: the list, the number, and the rest.
fn numbered(path: &str) -> Option<(&str, usize, &str)> {
    let (list, rest) = path.split_once('[')?;
    let (number, rest) = rest.split_once(']')?;
    Some((list, number.parse().ok()?, rest))
}

/// Returns a path with the number that an element had before others were taken out of its list.
fn renumbered(path: &str, removed: &BTreeSet<(String, usize)>) -> String {
    let Some((list, mut number, rest)) = numbered(path) else { return path.to_owned() };
    for (_, before) in removed.iter().filter(|(known, _)| known == list) {
        number += usize::from(*before <= number);
    }
    format!("{list}[{number}]{rest}")
}

fn with_path(error: settings::Error, path: String) -> settings::Error {
    use settings::Error::{Type, UnknownField, Value};
    match error {
        Type { expected, .. } => Type { path, expected },
        UnknownField { nearest, .. } => UnknownField { path, nearest },
        Value { problem, .. } => Value { path, problem },
        other => other,
    }
}

/// A step of a path.
enum Step<'n> {
    /// To the value of a key.
    Key(&'n Node, &'n Node),
    /// To an element of a list.
    Item(usize, &'n Node),
}

/// Returns the first step of a path, and the rest of it. Keys may have dots in them, so the longest key that fits is taken.
fn step<'n, 'p>(node: &'n Node, path: &'p str) -> Option<(Step<'n>, &'p str)> {
    let (step, rest) = match &node.data {
        YamlDataOwned::Sequence(items) => {
            let ("", number, rest) = numbered(path)? else { return None };
            (Step::Item(number, items.get(number)?), rest)
        }
        YamlDataOwned::Mapping(entries) => {
            let fits = |(key, value)| {
                let rest = path.strip_prefix(yaml::name(key).as_str())?;
                (rest.is_empty() || rest.starts_with(['.', '['])).then_some((Step::Key(key, value), rest))
            };
            entries.iter().filter_map(fits).min_by_key(|(_, rest)| rest.len())?
        }
        _ => return None,
    };
    Some((step, rest.strip_prefix('.').unwrap_or(rest)))
}

/// Returns the last step of a path that is there, and whether it leads to its end.
fn walk<'n>(node: &'n Node, path: &str) -> (Option<Step<'n>>, bool) {
    let (mut last, mut node, mut rest) = (None, node, path);
    while !rest.is_empty() {
        let Some((step, behind)) = step(node, rest) else { return (last, false) };
        let (Step::Key(_, value) | Step::Item(_, value)) = step;
        (last, node, rest) = (Some(step), value, behind);
    }
    (last, true)
}

/// Returns where a path leads, or the last step towards it: the value if it is one line, else the key.
fn place_of(node: &Node, path: &str) -> Place {
    let at = |node: &Node| Place::from(node.span);
    match walk(node, path) {
        (Some(Step::Key(_, value)), true) if value.data.is_value() && !value.data.is_null() => at(value),
        (Some(Step::Key(key, _)), _) => at(key),
        (Some(Step::Item(_, value)), _) if value.data.is_value() => at(value),
        (Some(Step::Item(_, value)), _) => Place { length: 1, ..at(value) },
        (None, _) => Place { length: 1, ..at(node) },
    }
}

/// Takes out what a path leads to; says whether it was there.
fn take_out(node: &mut Node, path: &str) -> bool {
    match step(node, path) {
        Some((Step::Key(key, _), rest)) => {
            let key = key.clone();
            node.data.as_mapping_mut().is_some_and(|entries| match rest {
                "" => entries.remove(&key).is_some(),
                rest => entries.get_mut(&key).is_some_and(|value| take_out(value, rest)),
            })
        }
        Some((Step::Item(number, _), rest)) => node.data.as_sequence_mut().is_some_and(|items| match rest {
            "" => items.drain(number..=number).next().is_some(),
            rest => items.get_mut(number).is_some_and(|value| take_out(value, rest)),
        }),
        None => false,
    }
}
