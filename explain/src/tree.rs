//! YAML and JSON as a tree, with the places where things stand.
//!
//! Knows nothing of pods, settings or secrets. YAML is that of version 1.2, and `<<` merges, as kubectl reads it; what JSON cannot
//! say is text. [`crate::yaml`] writes it.

use flyte_secrets_policy::json::{Cursor, Malformed, Writer};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

/// Why a text is not YAML, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {}, column {}: {problem}", .place.line, .place.column)]
pub struct BadYaml {
    /// The fact.
    pub problem: String,
    /// Where it shows.
    pub place: Place,
}

/// Where something stands in a text. Lines and columns count from 1, columns and lengths in characters.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// How long it is.
    pub length: usize,
}

impl From<Span> for Place {
    fn from(span: Span) -> Self {
        Self { line: span.start.line(), column: span.start.col() + 1, length: span.len() }
    }
}

impl Place {
    /// As JSON: `{"line", "column", "length"}`.
    pub fn write(&self, json: &mut Writer) {
        json.object();
        for (key, number) in [("line", self.line), ("column", self.column), ("length", self.length.max(1))] {
            json.key(key).raw(number.to_string().as_bytes());
        }
        json.end_object();
    }
}

/// A value, and where it stands.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Its place, if it comes from YAML.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug, Default)]
pub enum Kind {
    /// Nothing.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as JSON writes it.
    Number(String),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text.
    Map(Vec<Entry>),
}

/// A member of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Where the key stands.
    pub key_place: Place,
    /// What it has.
    pub value: Node,
}

impl From<Kind> for Node {
    fn from(kind: Kind) -> Self {
        Self { place: Place::default(), kind }
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Kind::Text(text.to_owned()).into()
    }
}

impl Node {
    /// A map with one member.
    pub fn of(key: &str, value: Self) -> Self {
        Kind::Map(vec![Entry { key: key.to_owned(), key_place: Place::default(), value }]).into()
    }

    /// The members of a map; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The members of a map, to be changed.
    pub fn entries_mut(&mut self) -> Option<&mut Vec<Entry>> {
        match &mut self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The elements of a list, if it is one.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What a map has under a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// What a map has under a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        self.entries_mut()?.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
    }

    /// What stands at the end of a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The text at the end of a path of keys.
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.text()
    }

    /// Sets a member of a map, at its end if it is new; makes a map of anything else.
    pub fn set(&mut self, key: &str, value: Self) {
        if let Some(known) = self.get_mut(key) {
            *known = value;
            return;
        }
        let entry = Entry { key: key.to_owned(), key_place: Place::default(), value };
        match self.entries_mut() {
            Some(entries) => entries.push(entry),
            None => self.kind = Kind::Map(vec![entry]),
        }
    }

    /// Moves all places.
    pub fn shift(&mut self, to: &dyn Fn(Place) -> Place) {
        self.place = to(self.place);
        match &mut self.kind {
            Kind::List(items) => items.iter_mut().for_each(|item| item.shift(to)),
            Kind::Map(entries) => entries.iter_mut().for_each(|entry| {
                entry.key_place = to(entry.key_place);
                entry.value.shift(to);
            }),
            _ => {}
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Writer::default();
        self.write(&mut json);
        json.into_bytes()
    }

    /// Writes it as JSON.
    pub fn write(&self, json: &mut Writer) {
        match &self.kind {
            Kind::Null => drop(json.raw(b"null")),
            Kind::Bool(value) => drop(json.boolean(*value)),
            Kind::Number(number) => drop(json.raw(number.as_bytes())),
            Kind::Text(text) => drop(json.string(text)),
            Kind::List(items) => {
                json.list();
                items.iter().for_each(|item| item.write(json));
                json.end_list();
            }
            Kind::Map(entries) => {
                json.object();
                for entry in entries {
                    entry.value.write(json.string(&entry.key).fragment(b":"));
                }
                json.end_object();
            }
        }
    }

    /// Reads JSON, as the core has written it.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn from_json(json: &[u8]) -> Result<Self, Malformed> {
        read_json(&mut Cursor::new(json))
    }
}

fn read_json(json: &mut Cursor) -> Result<Node, Malformed> {
    let kind = match json.peek() {
        Some(b'{') => {
            let mut entries = Vec::new();
            json.object()?;
            while let Some(key) = json.member()? {
                let key = key.read()?.into_owned();
                entries.push(Entry { key, key_place: Place::default(), value: read_json(json)? });
            }
            Kind::Map(entries)
        }
        Some(b'[') => {
            let mut items = Vec::new();
            json.list()?;
            while json.element()? {
                items.push(read_json(json)?);
            }
            Kind::List(items)
        }
        Some(b'"') => Kind::Text(json.text()?.into_owned()),
        _ => match json.scalar()? {
            b"null" => Kind::Null,
            b"true" => Kind::Bool(true),
            b"false" => Kind::Bool(false),
            number => Kind::Number(String::from_utf8(number.to_vec()).unwrap_or_default()),
        },
    };
    Ok(kind.into())
}

/// How many values a text may have, those behind aliases counted each time: a few lines of aliases of aliases would fill any memory.
const MOST_VALUES: usize = 1_000_000;

/// How deep values may nest, so that the walk over them has stack enough.
const DEEPEST: usize = 128;

/// Reads all documents of a text of YAML, of which JSON is a part.
///
/// # Errors
/// The first thing that is no YAML, a key that stands twice, or too much of everything.
pub fn parse(text: &str) -> Result<Vec<Node>, BadYaml> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|wrong| {
            let (line, column) = (wrong.marker().line(), wrong.marker().col() + 1);
            bad(wrong.info(), Place { line, column, length: 1 })
        })?;
        builder.take(event, span.into())?;
    }
    // A text without a document is one that says nothing.
    if builder.documents.is_empty() {
        builder.documents.push(Node::default());
    }
    Ok(builder.documents)
}

fn bad(problem: &str, place: Place) -> BadYaml {
    BadYaml { problem: problem.to_owned(), place }
}

/// Puts documents together from the parser's events.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    /// What is open, outermost first.
    open: Vec<Open>,
    /// What aliases may name.
    anchors: Vec<(usize, Node)>,
    values: usize,
}

/// A list or a map that has not ended.
struct Open {
    anchor: usize,
    node: Node,
    /// The key whose value comes next, and whether it merges.
    key: Option<(String, Place, bool)>,
    /// What `<<` has named.
    merged: Vec<Node>,
}

impl Builder {
    fn take(&mut self, event: Event, place: Place) -> Result<(), BadYaml> {
        match event {
            Event::SequenceStart(anchor, _) => self.enter(anchor, Node { place, kind: Kind::List(Vec::new()) }),
            Event::MappingStart(anchor, _) => self.enter(anchor, Node { place, kind: Kind::Map(Vec::new()) }),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { anchor, mut node, merged, .. }) = self.open.pop() else { return Ok(()) };
                for entry in merged.iter().flat_map(Node::entries) {
                    if node.get(&entry.key).is_none() {
                        node.set(&entry.key, entry.value.clone());
                    }
                }
                self.add(anchor, node, false)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let merges = text == "<<" && style == ScalarStyle::Plain;
                let kind = scalar(&text, style, tag.as_deref());
                self.add(anchor, Node { place, kind }, merges)
            }
            Event::Alias(anchor) => {
                let named = self.anchors.iter().find(|(known, _)| *known == anchor);
                let mut node = named.map(|(_, node)| node.clone()).unwrap_or_default();
                self.count(size(&node), place)?;
                node.shift(&|_| place);
                self.add(0, node, false)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn enter(&mut self, anchor: usize, node: Node) -> Result<(), BadYaml> {
        if self.open.len() >= DEEPEST {
            return Err(bad(&format!("values nest more than {DEEPEST} deep"), node.place));
        }
        self.open.push(Open { anchor, node, key: None, merged: Vec::new() });
        Ok(())
    }

    /// `merges` says of a key that its value's members are to be members of the map.
    fn add(&mut self, anchor: usize, node: Node, merges: bool) -> Result<(), BadYaml> {
        self.count(1, node.place)?;
        if anchor > 0 {
            self.anchors.push((anchor, node.clone()));
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match (&mut open.node.kind, open.key.take()) {
            (Kind::Map(entries), Some((key, place, merges))) => match (merges, node.kind) {
                (true, Kind::List(items)) => open.merged.extend(items),
                (true, kind) => open.merged.push(kind.into()),
                _ if entries.iter().any(|entry| entry.key == key) => {
                    return Err(bad(&format!("key {key:?} stands twice"), place));
                }
                (_, kind) => {
                    entries.push(Entry { key, key_place: place, value: Node { place: node.place, kind } });
                }
            },
            (Kind::Map(_), None) => {
                let problem = || bad("a key is a list or a map; write a text", node.place);
                open.key = Some((key(&node).ok_or_else(problem)?, node.place, merges));
            }
            (Kind::List(items), _) => items.push(node),
            // Nothing else is ever open.
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, values: usize, place: Place) -> Result<(), BadYaml> {
        self.values = self.values.saturating_add(values);
        match self.values > MOST_VALUES {
            true => Err(bad(&format!("there are more than {MOST_VALUES} values behind aliases"), place)),
            false => Ok(()),
        }
    }
}

fn size(node: &Node) -> usize {
    match &node.kind {
        Kind::List(items) => items.iter().map(size).fold(1, usize::saturating_add),
        Kind::Map(entries) => entries.iter().map(|entry| size(&entry.value)).fold(1, usize::saturating_add),
        _ => 1,
    }
}

/// A key's text; JSON has no other keys.
fn key(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Null => Some("null".to_owned()),
        Kind::Bool(value) => Some(value.to_string()),
        Kind::Number(text) | Kind::Text(text) => Some(text.clone()),
        Kind::List(_) | Kind::Map(_) => None,
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Kind {
    let is_plain = match tag {
        Some(tag) if tag.is_yaml_core_schema() => tag.suffix != "str",
        Some(_) => false,
        None => style == ScalarStyle::Plain,
    };
    if is_plain { plain(text) } else { Kind::Text(text.to_owned()) }
}

/// What a scalar without quotes means in YAML's core schema.
pub(crate) fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ => number(text).map_or_else(|| Kind::Text(text.to_owned()), Kind::Number),
    }
}

/// A number as JSON writes it, digit by digit: none is rounded.
fn number(text: &str) -> Option<String> {
    let based = |prefix: &str, base| text.strip_prefix(prefix).and_then(|it| u64::from_str_radix(it, base).ok());
    if let Some(number) = based("0o", 8).or_else(|| based("0x", 16)) {
        return Some(number.to_string());
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let decimal = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    let exponent_digits = exponent.map_or("0", |exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    let has_digits = whole.len() + fraction.len() > 0 && !exponent_digits.is_empty();
    if !has_digits || ![whole, fraction, exponent_digits].into_iter().all(decimal) {
        return None;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let mut number = [sign, whole].concat();
    for (divider, rest) in [(".", fraction), ("e", exponent.unwrap_or_default())] {
        if !rest.is_empty() {
            number.push_str(divider);
            number.push_str(rest);
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_those_of_the_core_schema() {
        // Without quotes, and in JSON.
        let table = [
            ("", "null"),
            ("~", "null"),
            ("True", "true"),
            ("yes", "\"yes\""),
            ("007", "7"),
            ("+1", "1"),
            ("-0", "-0"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("1.50", "1.50"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1e3"),
            ("1e", "\"1e\""),
            (".", "\".\""),
            (".inf", "\".inf\""),
            ("1_000", "\"1_000\""),
            ("18446744073709551616", "18446744073709551616"),
        ];
        for (text, wanted) in table {
            let json = Node::from(plain(text)).to_json();
            assert_eq!(String::from_utf8_lossy(&json), wanted, "{text}");
        }
    }

    #[test]
    fn documents_read_as_others_read_them() {
        let texts = [
            "a: &x {b: [1, 'two', \"3\"]}\nc: *x\nd:\n  <<: *x\n  e: >-\n    f\n    g\n---\n- !!str 1\n- |+\n  h\n\n- ? i\n  : j\n",
            "# nothing\n",
            "{\"a\": [null, true, -1.5e3], \"b\\n\": {}}",
        ];
        for text in texts {
            let mut wanted = Vec::new();
            for document in serde_yaml::Deserializer::from_str(text) {
                let mut value: serde_yaml::Value = serde::Deserialize::deserialize(document).expect("YAML");
                value.apply_merge().expect("merges");
                wanted.push(serde_json::to_value(value).expect("JSON"));
            }
            let read = parse(text).expect("YAML");
            let read: Vec<serde_json::Value> =
                read.iter().map(|it| serde_json::from_slice(&it.to_json()).expect("JSON")).collect();
            assert_eq!(read, wanted, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        let deep = "[".repeat(200);
        let aliases = (1..9).fold("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned(), |text, n| {
            let list = vec![format!("*a{}", n - 1); 10].join(",");
            format!("{text}a{n}: &a{n} [{list}]\n")
        });
        let table = [
            ("a: 1\nb:\n  c: 1\n  c: 2\n", "line 4, column 3: key \"c\" stands twice"),
            ("? [a]\n: b\n", "line 1, column 3: a key is a list or a map; write a text"),
            (&deep, "line 1, column 129: values nest more than 128 deep"),
            (&aliases, "line 6, column 38: there are more than 1000000 values behind aliases"),
        ];
        for (text, wanted) in table {
            assert_eq!(parse(text).expect_err("no YAML").to_string(), wanted);
        }
    }
}
