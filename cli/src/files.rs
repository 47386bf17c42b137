//! Files and standard input: YAML and JSON with the places where things stand, and the pods in them.
//!
//! Knows nothing of secrets or settings.

use std::fmt;
use std::io::Read;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};
use serde_saphyr::{Location, MessageFormatter, Spanned, UserMessageFormatter};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} cannot be read: {1}")]
    Read(String, std::io::Error),
    #[error("{0} is not YAML: {1}")]
    Yaml(String, BadYaml),
    #[error("{0} holds no pod; a Pod, a List of them, or a workload with a pod's template is wanted")]
    NoPod(String),
}

/// Why a text is not YAML, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}{problem}", .place.map(|it| format!("line {}, column {}: ", it.line, it.column)).unwrap_or_default())]
pub struct BadYaml {
    pub problem: String,
    pub place: Option<Place>,
}

/// Where something stands in a text. Lines and columns count from 1, columns and lengths in characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    pub line: usize,
    pub column: usize,
    pub length: usize,
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self { line: number(location.line()), column: number(location.column()), length: number(location.span().len()) }
    }
}

/// A text, and where it comes from.
#[derive(Debug)]
pub struct Source {
    pub name: String,
    pub text: String,
}

impl Source {
    /// Reads a file, or standard input, which is called `-`.
    pub fn read(path: &str) -> Result<Self, Error> {
        let mut text = String::new();
        let (name, read) = match path {
            "-" => ("standard input", std::io::stdin().read_to_string(&mut text).map(|_| text)),
            path => (path, std::fs::read_to_string(path)),
        };
        Ok(Self { name: name.to_owned(), text: read.map_err(|wrong| Error::Read(name.to_owned(), wrong))? })
    }

    /// The documents in it.
    pub fn documents(&self) -> Result<Vec<Node>, Error> {
        parse(&self.text).map_err(|wrong| Error::Yaml(self.name.clone(), wrong))
    }

    /// The same, without places.
    pub fn values(&self) -> Result<Vec<Value>, Error> {
        Ok(self.documents()?.iter().map(Node::value).collect())
    }

    /// The pods in it.
    pub fn pods(&self) -> Result<Vec<Pod>, Error> {
        let mut pods = Vec::new();
        for value in &self.values()? {
            collect_pods(value, &mut pods);
        }
        if pods.is_empty() { Err(Error::NoPod(self.name.clone())) } else { Ok(pods) }
    }

    /// The bytes at a place, up to the end of its line.
    pub fn span(&self, place: Place) -> Range<usize> {
        let before: usize = self.text.split_inclusive('\n').take(place.line.saturating_sub(1)).map(str::len).sum();
        let line = self.text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
        let byte = |column: usize| line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
        let start = place.column.saturating_sub(1);
        before + byte(start)..before + byte(start.saturating_add(place.length.max(1)))
    }
}

fn parse(text: &str) -> Result<Vec<Node>, BadYaml> {
    serde_saphyr::from_multiple(text).map_err(|wrong| BadYaml {
        place: wrong.location().map(Place::from),
        problem: UserMessageFormatter.format_message(wrong.without_snippet()).into_owned(),
    })
}

/// A value in YAML, and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub kind: Kind,
}

/// What it is.
#[derive(Clone, Debug)]
pub enum Kind {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A member of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub key_place: Place,
    pub value: Node,
}

impl Node {
    pub fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => items.iter().map(Self::value).collect(),
            Kind::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.value.value())).collect(),
        }
    }

    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The YAML in a text, such as an entry of a ConfigMap. Places are those of `source` if the text is a literal
    /// block, else the text's own.
    pub fn embedded(&self, source: &Source) -> Option<Self> {
        let Kind::Scalar(Value::String(text)) = &self.kind else { return None };
        let mut documents = parse(text).ok()?;
        let mut node = documents.pop().filter(|_| documents.is_empty())?;
        // A literal block starts behind the line of its indicator, with the same lines, indented.
        let (above, first) = text.lines().enumerate().find(|(_, line)| !line.trim().is_empty())?;
        let mut lines = source.text.lines().enumerate().skip(self.place.line.saturating_sub(1)).take(above + 2);
        let indent = |line: &str| line.len() - line.trim_start().len();
        match lines.find(|(_, line)| line.trim() == first.trim()) {
            Some((number, line)) => node.shift(&|place| Place {
                line: place.line + number - above,
                column: place.column + indent(line) - indent(first),
                ..place
            }),
            None => node.shift(&|_| self.place),
        }
        Some(node)
    }

    fn shift(&mut self, to: &dyn Fn(Place) -> Place) {
        self.place = to(self.place);
        match &mut self.kind {
            Kind::Scalar(_) => {}
            Kind::List(items) => items.iter_mut().for_each(|item| item.shift(to)),
            Kind::Map(entries) => entries.iter_mut().for_each(|entry| {
                entry.key_place = to(entry.key_place);
                entry.value.shift(to);
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { place: referenced.into(), kind: value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyKind)
    }
}

struct AnyKind;

impl<'de> Visitor<'de> for AnyKind {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Scalar(json!(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Scalar(json!(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Scalar(json!(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::Scalar(json!(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Scalar(json!(value)))
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        Kind::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = access.next_entry::<Spanned<String>, Node>()? {
            entries.push(Entry { key: key.value, key_place: key.referenced.into(), value });
        }
        Ok(Kind::Map(entries))
    }
}

/// A pod, or what a workload makes pods of.
#[derive(Clone, Debug)]
pub struct Pod {
    /// As people call it: kind and name.
    pub name: String,
    pub namespace: Option<String>,
    pub object: Value,
}

/// Where workloads have their pods: Deployments, Jobs and the like; CronJobs; PodTemplates.
const TEMPLATES: [&str; 3] = ["/spec/template", "/spec/jobTemplate/spec/template", "/template"];

fn collect_pods(object: &Value, pods: &mut Vec<Pod>) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or_default();
    if let Some(items) = object.get("items").and_then(Value::as_array).filter(|_| kind.ends_with("List")) {
        items.iter().for_each(|item| collect_pods(item, pods));
        return;
    }
    let name = text("/metadata/name").or(text("/metadata/generateName")).unwrap_or("without a name");
    let namespace = text("/metadata/namespace");
    let template = TEMPLATES.iter().find_map(|pointer| object.pointer(pointer).filter(|it| it.get("spec").is_some()));
    let pod = match (kind, template) {
        ("Pod", _) => object.clone(),
        (_, Some(template)) => {
            let mut pod = Map::from_iter([("apiVersion".to_owned(), json!("v1")), ("kind".to_owned(), json!("Pod"))]);
            pod.extend(template.as_object().cloned().unwrap_or_default());
            Value::Object(pod)
        }
        _ => return,
    };
    pods.push(Pod { name: format!("{kind} {name}"), namespace: namespace.map(str::to_owned), object: pod });
}
