//! Errors in Flyte's `webhook` section, with their places.
//!
//! The core stops at the first error of a section. To find the next one, the invalid value is removed and the core
//! reads the section again.

use flyte_secrets_policy::settings;
use saphyr::YamlDataOwned;
use serde::Serialize;
use serde_json::Value;

use crate::flyte::{self, Configuration, File, Input, Version};
use crate::source::Source;
use crate::yaml::{self, Node, Place};
use crate::{Error, at, text};

/// Severity of a finding.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy does not start.
    Error,
    /// The policy starts.
    Warning,
}

/// An error or a warning.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// Path of keys; empty if it concerns the whole text.
    pub path: String,
    /// The message.
    pub message: String,
    /// Place in the text, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// File of the ConfigMap, if the text has it as a quoted string, within which places are unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl Finding {
    pub(crate) fn new(severity: Severity, path: &str, message: String, place: Option<Place>) -> Self {
        Self { severity, path: path.to_owned(), message, place, file: None }
    }
}

impl From<&Error> for Finding {
    /// Returns the finding for a text that cannot be read.
    fn from(error: &Error) -> Self {
        let (message, place) = match error {
            Error::Yaml(_, invalid) => (invalid.problem.clone(), Some(invalid.place)),
            Error::NotStore(.., place) => (error.to_string(), *place),
            _ => (error.to_string(), None),
        };
        Self::new(Severity::Error, "", message, place)
    }
}

/// The result of checking all sections of a text.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckedSettings {
    /// Whether the policy starts with these settings.
    pub valid: bool,
    /// Paths of the sections.
    pub sections: Vec<String>,
    /// Sections that are part of Flyte's configuration, as Flyte reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub configurations: Vec<Configuration>,
    /// Findings in the order of the text.
    pub findings: Vec<Finding>,
    /// The settings, if there is one valid section, with the defaults of its version of Flyte.
    #[serde(skip)]
    pub settings: Option<Value>,
}

/// Checks each section in a text, with the given or the detected version of Flyte.
///
/// # Errors
/// The text has no section. A text that is not YAML is a finding.
pub fn check(source: &Source, version: Option<Version>) -> Result<CheckedSettings, Error> {
    let documents = match source.documents() {
        Ok(documents) => documents,
        Err(error) => {
            return Ok(CheckedSettings { findings: vec![Finding::from(&error)], ..CheckedSettings::default() });
        }
    };
    let sections = sections(&documents, source, version)?;
    let findings: Vec<Finding> = sections.iter().flat_map(look_at).collect();
    let valid = findings.iter().all(|finding| finding.severity == Severity::Warning);
    let settings = match sections.as_slice() {
        [section] if valid => Some(section.configuration().settings),
        _ => None,
    };
    Ok(CheckedSettings {
        valid,
        sections: sections.iter().map(|section| section.path.clone()).collect(),
        configurations: sections.into_iter().filter_map(|section| section.configuration).collect(),
        findings,
        settings,
    })
}

/// Returns the only section in a text, or that of a ConfigMap, given as `namespace/name` or `name`: valid, with the
/// defaults of its version of Flyte.
///
/// # Errors
/// The text has no section, several, or an invalid one.
pub fn settings(source: &Source, version: Option<Version>, config_map: Option<&str>) -> Result<Configuration, Error> {
    let mut sections = sections(&source.documents()?, source, version)?;
    if let Some(name) = config_map {
        let named = |known: &str| known == name || known.rsplit_once('/').is_some_and(|(_, known)| known == name);
        sections.retain(|section| section.configuration.as_ref().is_some_and(|it| named(&it.name)));
    }
    let configuration = match sections.as_slice() {
        [section] => section.configuration(),
        [] => return Err(Error::NoSection(source.name.clone())),
        several => {
            let paths = several.iter().map(|section| section.path.clone()).collect();
            return Err(Error::Sections(source.name.clone(), paths));
        }
    };
    settings::validate(configuration.settings.to_string().as_bytes())
        .map_err(|error| Error::Section(source.name.clone(), error))?;
    Ok(configuration)
}

/// A section, and the places of its settings in the text.
struct Section {
    /// Path of keys, or the ConfigMap.
    path: String,
    /// The section of each file, in the order of merging.
    parts: Vec<Part>,
    /// The section as Flyte reads it, if it is part of Flyte's configuration.
    configuration: Option<Configuration>,
    /// Errors of its files.
    findings: Vec<Finding>,
}

/// The section in one file.
struct Part {
    file: String,
    node: Node,
    origin: Origin,
}

impl Section {
    fn configuration(&self) -> Configuration {
        let settings = || self.parts.first().map(|part| yaml::value(&part.node)).unwrap_or_default();
        let alone = || Configuration { settings: settings(), ..Configuration::default() };
        self.configuration.clone().unwrap_or_else(alone)
    }

    /// Returns a finding with the place of its path in the last file that has it, whose value is in effect.
    fn found(&self, severity: Severity, path: &str, message: String) -> Finding {
        let part = |path: &str| self.parts.iter().rev().find(|part| walk(&part.node, path).1);
        let first = path.split(['.', '[']).next().unwrap_or_default();
        let alone = self.parts.first().filter(|_| self.configuration.is_none());
        let part = part(path).or_else(|| part(first)).or(alone);
        let place = part.map(|part| part.origin.place(place_of(&part.node, path)));
        let whole = part.filter(|part| matches!(part.origin, Origin::Whole(_)));
        Finding { file: whole.map(|part| part.file.clone()), ..Finding::new(severity, path, message, place) }
    }
}

/// The origin of a node, which determines its places in the whole text.
#[derive(Clone, Copy)]
enum Origin {
    /// The text.
    Text,
    /// YAML in a literal block, such as an entry of a ConfigMap: offset by lines and columns.
    Block { lines: usize, columns: usize },
    /// YAML in a string of another style, with one place for the whole.
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
        // A literal block starts in the line after its indicator, with the same lines, indented.
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

fn sections(documents: &[Node], source: &Source, version: Option<Version>) -> Result<Vec<Section>, Error> {
    let reader = Reader { source, version, templates: documents.iter().flat_map(namespace_templates).collect() };
    let mut found = Vec::new();
    for document in documents {
        reader.find(document, "", Origin::Text, &mut found);
    }
    if found.iter().any(|section| !section.parts.is_empty()) {
        // ConfigMaps without the section.
        found.retain(|section| !section.parts.is_empty());
    }
    if let ([], [document]) = (found.as_slice(), documents) {
        // In objects of Kubernetes, only the places that `find` reads are settings.
        if document.data.as_mapping_get("apiVersion").is_none() && !document.data.is_string() {
            found.push(reader.section("the section".to_owned(), document, Origin::Text));
        }
    }
    if found.is_empty() { Err(Error::NoSection(source.name.clone())) } else { Ok(found) }
}

/// Returns the objects in a document, which can be a List.
fn objects(document: &Node) -> Vec<&Node> {
    match document.data.as_mapping_get("items").and_then(|items| items.data.as_sequence()) {
        Some(items) => items.iter().flat_map(objects).collect(),
        None => vec![document],
    }
}

/// Returns the namespaces of ConfigMaps, with their template for namespaces of tasks.
fn namespace_templates(document: &Node) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for object in objects(document).into_iter().map(yaml::value) {
        let files =
            at(&object, &["data"]).and_then(Value::as_object).filter(|_| text(&object, &["kind"]) == "ConfigMap");
        let files = files.into_iter().flatten().filter_map(|(_, file)| yaml::read(file.as_str()?).ok());
        for content in files.flatten().map(|content| yaml::value(&content)) {
            let template = text(&content, &["namespace_mapping", "template"]);
            if !template.is_empty() {
                found.push((text(&object, &["metadata", "namespace"]).to_owned(), template.to_owned()));
            }
        }
    }
    found
}

/// Finds sections.
struct Reader<'a> {
    source: &'a Source,
    version: Option<Version>,
    templates: Vec<(String, String)>,
}

impl Reader<'_> {
    fn section(&self, path: String, node: &Node, origin: Origin) -> Section {
        let parts = vec![Part { file: String::new(), node: node.clone(), origin }];
        Section { path, parts, configuration: None, findings: Vec::new() }
    }

    fn find(&self, node: &Node, path: &str, origin: Origin, found: &mut Vec<Section>) {
        let get = |key| node.data.as_mapping_get(key);
        let kind = get("kind").and_then(|kind| kind.data.as_str()).unwrap_or_default();
        let settings = get("spec").and_then(|spec| spec.data.as_mapping_get("settings"));
        if let Some(settings) = settings.filter(|_| kind.ends_with("AdmissionPolicy")) {
            found.push(self.section("spec.settings".to_owned(), settings, origin));
            return;
        }
        if kind == "ConfigMap" && matches!(origin, Origin::Text) {
            found.extend(self.config_map(node));
            return;
        }
        if kind.ends_with("List") && matches!(origin, Origin::Text) {
            objects(node).into_iter().for_each(|object| self.find(object, "", origin, found));
            return;
        }
        for (key, value) in node.data.as_mapping().into_iter().flatten() {
            let key = yaml::name(key);
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if key == "webhook" && !value.data.is_string() {
                let mut section = self.section(path, value, origin);
                // Adjacent sections determine the version. Settings of the policy have none.
                let files = [File { name: String::new(), content: yaml::value(node) }];
                let configuration = self.read(&files, &Value::Null);
                section.configuration = Some(configuration).filter(|it| it.flyte.is_some());
                found.push(section);
            } else if let Some((embedded, origin)) = origin.within(value, self.source) {
                self.find(&embedded, &path, origin, found);
            } else {
                self.find(value, &path, origin, found);
            }
        }
    }

    fn read(&self, files: &[File], config_map: &Value) -> Configuration {
        let namespace = text(config_map, &["metadata", "namespace"]);
        let template = self.templates.iter().find(|(of, _)| of == namespace && !config_map.is_null());
        let namespace_template = template.map(|(_, template)| template.as_str());
        Configuration::read(&Input { files, config_map, namespace_template, version: self.version })
    }

    /// Returns the section of a ConfigMap, as Flyte merges it from the ConfigMap's files.
    fn config_map(&self, node: &Node) -> Option<Section> {
        let data = node.data.as_mapping_get("data").and_then(|data| data.data.as_mapping());
        let mut entries: Vec<(String, &Node)> =
            data.into_iter().flatten().map(|(key, file)| (yaml::name(key), file)).collect();
        entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let (mut files, mut parts, mut findings) = (Vec::new(), Vec::new(), Vec::new());
        for (name, file) in entries {
            let place = Some(Place { length: 1, ..Place::from(file.span) });
            let mut report = |severity, message| findings.push(Finding::new(severity, "", message, place));
            let is_read = name.ends_with(".yaml");
            let Some((content, origin)) = Origin::Text.within(file, self.source) else {
                if is_read {
                    report(Severity::Error, format!("{name} is not one document of YAML"));
                }
                continue;
            };
            let section = content.data.as_mapping_get("webhook").filter(|section| !section.data.is_string()).cloned();
            if is_read {
                parts.extend(section.map(|node| Part { file: name.clone(), node, origin }));
                files.push(File { name, content: yaml::value(&content) });
            } else if section.is_some() {
                report(Severity::Warning, format!("{name} is ignored: Flyte reads files called *.yaml"));
            }
        }
        if parts.is_empty() && !flyte::runs_webhook(&files) {
            return None;
        }
        let configuration = self.read(&files, &yaml::value(node));
        let path = format!("ConfigMap {}", configuration.name);
        Some(Section { path, parts, configuration: Some(configuration), findings })
    }
}

fn look_at(section: &Section) -> Vec<Finding> {
    let configuration = section.configuration();
    let given = configuration.warnings.iter().map(|it| section.found(it.severity, &it.path, it.message.clone()));
    let mut findings: Vec<Finding> = section.findings.iter().cloned().chain(given).collect();
    let mut left = configuration.tenant();
    // Elements of lists, in order.
    let mut removed: Vec<(String, usize)> = Vec::new();
    loop {
        let mut error = match settings::validate(left.to_string().as_bytes()) {
            Ok((_, warnings)) => {
                findings.extend(warnings.into_iter().map(|message| {
                    let path = message.split_once(':').map_or("", |(path, _)| path).to_owned();
                    section.found(Severity::Warning, &path, message)
                }));
                break;
            }
            Err(error) => error,
        };
        let path = error.path().to_owned();
        let original = renumbered(&path, &removed);
        if let settings::Error::UnknownField { path, .. } | settings::Error::Value { path, .. } = &mut error {
            path.clone_from(&original);
        }
        let existed = take_out(&mut left, &path);
        // A path that no longer exists was reported when it was removed.
        if existed || findings.iter().all(|known| known.path != original) {
            findings.push(section.found(Severity::Error, &original, error.to_string()));
        }
        // A missing field cannot be removed. Remove the provider that lacks a field, such as its region; if that does
        // not help, remove the whole top-level field.
        let part = path.split(['.', '[']).next().unwrap_or_default();
        if existed {
            if let Some((list, number, "")) = numbered(&original) {
                let element = (list.to_owned(), number);
                removed.insert(removed.partition_point(|known| *known < element), element);
            }
        } else if !take_out(&mut left, &format!("{part}.type")) && !take_out(&mut left, part) {
            break;
        }
    }
    findings.sort_by_key(|finding| finding.place);
    findings
}

/// Splits a path at the index of an element: the list, the index, and the rest.
fn numbered(path: &str) -> Option<(&str, usize, &str)> {
    let (list, rest) = path.split_once('[')?;
    let (number, rest) = rest.split_once(']')?;
    Some((list, number.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}

/// Returns a path with the index that an element had before others were removed from its list.
fn renumbered(path: &str, removed: &[(String, usize)]) -> String {
    let Some((list, mut number, _)) = numbered(path) else { return path.to_owned() };
    let element = format!("{list}[{number}]");
    for (_, before) in removed.iter().filter(|(known, _)| known == list) {
        number += usize::from(*before <= number);
    }
    path.replacen(&element, &format!("{list}[{number}]"), 1)
}

/// Returns what follows a key in a path, if that starts with it. Keys can contain dots, so the longest one counts.
fn after<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(key)?;
    let ends = rest.is_empty() || rest.starts_with(['.', '[']);
    ends.then(|| rest.strip_prefix('.').unwrap_or(rest))
}

/// Returns the last step of a path that exists, a value with its key in a map, and whether it is the end of the path.
fn walk<'n>(mut node: &'n Node, mut path: &str) -> (Option<(Option<&'n Node>, &'n Node)>, bool) {
    let mut last = None;
    while !path.is_empty() {
        let step = match &node.data {
            YamlDataOwned::Sequence(items) => numbered(path)
                .and_then(|(list, number, rest)| Some((None, items.get(number).filter(|_| list.is_empty())?, rest))),
            YamlDataOwned::Mapping(entries) => {
                let steps =
                    entries.iter().filter_map(|(key, value)| Some((Some(key), value, after(path, &yaml::name(key))?)));
                steps.min_by_key(|(.., rest)| rest.len())
            }
            _ => None,
        };
        let Some((key, value, rest)) = step else { return (last, false) };
        (last, node, path) = (Some((key, value)), value, rest);
    }
    (last, true)
}

/// Returns the place of a path or of its last existing step: of the value if that is one line, otherwise of the key.
fn place_of(node: &Node, path: &str) -> Place {
    let at = |node: &Node| Place::from(node.span);
    match walk(node, path) {
        (Some((Some(_), value)), true) if value.data.is_value() && !value.data.is_null() => at(value),
        (Some((Some(key), _)), _) => at(key),
        (Some((None, value)), _) if value.data.is_value() => at(value),
        (Some((None, value)), _) => Place { length: 1, ..at(value) },
        (None, _) => Place { length: 1, ..at(node) },
    }
}

/// Removes the value at a path, and returns whether it existed.
fn take_out(value: &mut Value, path: &str) -> bool {
    match value {
        Value::Array(items) => match numbered(path) {
            Some(("", number, "")) => number < items.len() && items.drain(number..=number).count() == 1,
            Some(("", number, rest)) => items.get_mut(number).is_some_and(|item| take_out(item, rest)),
            _ => false,
        },
        Value::Object(members) => {
            let keys = members.keys().filter_map(|key| Some((after(path, key)?, key.clone())));
            match keys.min_by_key(|(rest, _)| rest.len()) {
                Some(("", key)) => members.shift_remove(&key).is_some(),
                Some((rest, key)) => members.get_mut(&key).is_some_and(|member| take_out(member, rest)),
                None => false,
            }
        }
        _ => false,
    }
}
