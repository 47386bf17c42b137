//! YAML: reads documents as saphyr's nodes, which have places, and writes documents.
//!
//! Does not know pods, settings or secrets. Reads YAML 1.2, with merge keys (`<<`) as in kubectl.

use std::collections::BTreeMap;
use std::mem;

use saphyr::{MarkedYamlOwned, ScalarOwned, ScanError, YamlDataOwned, YamlLoader};
use saphyr_parser::{Event, Marker, Parser, Span, SpannedEventReceiver as _};
use serde::Serialize;
use serde_json::Value;

/// A value with its place.
pub type Node = MarkedYamlOwned;

/// A syntax error with its place.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {}, column {}: {problem}", .place.line, .place.column)]
pub struct Invalid {
    /// The error.
    pub problem: String,
    /// The place.
    pub place: Place,
}

impl Invalid {
    fn new(problem: String, marker: Marker) -> Self {
        Self { problem, place: Span::empty(marker).into() }
    }
}

impl From<&ScanError> for Invalid {
    fn from(error: &ScanError) -> Self {
        Self::new(error.info().to_owned(), *error.marker())
    }
}

/// A place in a text. Lines and columns count from 1; columns and lengths are in characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// The length, at least 1.
    pub length: usize,
}

impl From<Span> for Place {
    fn from(span: Span) -> Self {
        Self { line: span.start.line(), column: span.start.col() + 1, length: span.len().max(1) }
    }
}

/// Maximum number of values of aliases, each counted as often as it is used: a few lines of nested aliases could
/// exhaust memory.
const MAX_ALIASED: usize = 1_000_000;

/// Maximum depth of values, so that recursion does not exhaust the stack.
const MAX_DEPTH: usize = 128;

/// Parses all documents of a text in YAML or JSON. An empty text is one document without a value.
///
/// # Errors
/// The first syntax error, a duplicate key, or a limit that is exceeded.
pub fn read(text: &str) -> Result<Vec<Node>, Invalid> {
    let mut loader = YamlLoader::<Node>::default();
    loader.alias_limit(MAX_ALIASED);
    let mut depth = Depth::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Invalid::from(&error))?;
        if depth.after(&event) > MAX_DEPTH {
            return Err(Invalid::new(format!("values nest more than {MAX_DEPTH} deep"), span.start));
        }
        loader.on_event(event, span);
        if let Some(error) = loader.error() {
            return Err(error.into());
        }
    }
    let mut documents = loader.into_documents();
    documents.iter_mut().try_for_each(settle)?;
    if documents.is_empty() {
        documents.push(Node::value_from_str("~"));
    }
    Ok(documents)
}

/// The depth of values, in which an alias counts as its anchor.
#[derive(Default)]
struct Depth {
    /// Anchors of the open collections, outermost first, and their depth so far.
    open: Vec<(usize, usize)>,
    /// Depth of the collections with anchors.
    anchors: BTreeMap<usize, usize>,
}

impl Depth {
    /// Returns the depth of the value that an event starts or ends.
    fn after(&mut self, event: &Event) -> usize {
        let depth = match event {
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                self.open.push((*anchor, 1));
                0
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (anchor, depth) = self.open.pop().unwrap_or_default();
                self.anchors.insert(anchor, depth);
                depth
            }
            Event::Alias(anchor) => self.anchors.get(anchor).copied().unwrap_or_default(),
            _ => 0,
        };
        if let Some((_, outer)) = self.open.last_mut() {
            *outer = (*outer).max(depth + 1);
        }
        self.open.len() + depth
    }
}

/// Removes tags, which JSON does not have, and applies merge keys; the map's own keys take precedence.
fn settle(node: &mut Node) -> Result<(), Invalid> {
    while let YamlDataOwned::Tagged(_, inner) = &mut node.data {
        node.data = mem::replace(&mut inner.data, YamlDataOwned::BadValue);
    }
    match &mut node.data {
        YamlDataOwned::Sequence(items) => items.iter_mut().try_for_each(settle)?,
        YamlDataOwned::Mapping(entries) => {
            for (key, value) in entries.iter_mut() {
                if !matches!(key.data, YamlDataOwned::Value(_)) {
                    return Err(Invalid::new("invalid key: expected a string".to_owned(), key.span.start));
                }
                settle(value)?;
            }
            let merged = match entries.remove(&Node::value_from_str("<<")) {
                Some(Node { data: YamlDataOwned::Sequence(maps), .. }) => maps,
                other => other.into_iter().collect(),
            };
            for (key, value) in merged.iter().filter_map(|map| map.data.as_mapping()).flatten() {
                entries.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        _ => {}
    }
    Ok(())
}

/// Returns the value of a node without places. Values that JSON does not have are null.
pub fn value(node: &Node) -> Value {
    match &node.data {
        YamlDataOwned::Value(ScalarOwned::Boolean(value)) => (*value).into(),
        YamlDataOwned::Value(ScalarOwned::Integer(number)) => (*number).into(),
        YamlDataOwned::Value(ScalarOwned::FloatingPoint(number)) => number.into_inner().into(),
        YamlDataOwned::Value(ScalarOwned::String(text)) => text.as_str().into(),
        YamlDataOwned::Sequence(items) => items.iter().map(value).collect(),
        YamlDataOwned::Mapping(entries) => entries.iter().map(|(key, node)| (name(key), value(node))).collect(),
        _ => Value::Null,
    }
}

/// Returns the text of a key.
pub fn name(key: &Node) -> String {
    match value(key) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Returns a document as YAML.
pub fn write(value: &impl Serialize) -> String {
    // It fails only for keys that are not strings.
    serde_yaml::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn values(text: &str) -> Vec<Value> {
        read(text).expect("YAML").iter().map(value).collect()
    }

    #[test]
    fn texts_follow_the_core_schema_with_merge_keys() {
        let merged = json!({ "a": { "b": [1], "c": 2 }, "d": { "c": 3, "b": [1] }, "e": { "f": 1, "b": [1], "c": 2 } });
        let table = [
            ("", json!([null])),
            ("[~, True, yes, 0x1F, 0o17, 1.5, 1_000]", json!([[null, true, "yes", 31, 15, 1.5, "1_000"]])),
            ("['1', !!str 1, !mine 1]", json!([["1", "1", 1]])),
            ("a: &x {b: [1], c: 2}\nd:\n  <<: *x\n  c: 3\ne:\n  <<: [{f: 1}, *x]\n", json!([merged])),
            ("1\n---\n- |+\n  h\n\n", json!([1, ["h\n\n"]])),
        ];
        for (text, expected) in table {
            assert_eq!(json!(values(text)), expected, "{text}");
        }
    }

    #[test]
    fn invalid_texts_are_rejected_with_the_place() {
        let deep = "[".repeat(200);
        let aliases = (1..9).fold("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned(), |text, n| {
            let list = vec![format!("*a{}", n - 1); 10].join(",");
            format!("{text}a{n}: &a{n} [{list}]\n")
        });
        let nested = (1..9).fold(format!("a0: &a0 {}{}\n", "[".repeat(50), "]".repeat(50)), |text, n| {
            format!("{text}a{n}: &a{n} {}*a{}{}\n", "[".repeat(50), n - 1, "]".repeat(50))
        });
        let table = [
            ("a: 1\nb:\n  c: 1\n  c: 2\n", "line 4, column 3: duplicated key in mapping"),
            ("? [a]\n: b\n", "line 1, column 3: invalid key: expected a string"),
            (&deep, "line 1, column 129: values nest more than 128 deep"),
            (&nested, "line 3, column 59: values nest more than 128 deep"),
            (
                &aliases,
                "line 6, column 38: alias expansion exceeded the maximum node budget (possible billion-laughs attack)",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(read(text).expect_err("invalid").to_string(), expected);
        }
    }

    fn text() -> impl Strategy<Value = String> {
        let known = [
            "yes", "NO", "~", "0x1F", "1:20", ".inf", "1_000", "-", "a: b", "<<", "=", "a #b", "a\n\nb", " a\nb", "-ec",
        ];
        // The writer does not escape U+2028 and U+2029, which the reader treats as line ends, as YAML 1.1 does.
        let printable = "[^\\p{C}\u{2028}\u{2029}]{0,8}";
        prop_oneof![proptest::sample::select(known.to_vec()).prop_map(str::to_owned), "[ -~\n]{0,12}", printable]
    }

    proptest! {
        #[test]
        fn written_documents_read_back(pairs in proptest::collection::btree_map("[a-z]{1,4}", text(), 0..6)) {
            let document = json!({ "list": [pairs, [], {}, null, 1.5], "pairs": pairs });
            prop_assert_eq!(values(&write(&document)), vec![document]);
        }
    }
}
