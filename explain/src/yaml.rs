//! Writing YAML: what people read. Blocks for texts of several lines, quotes where a reader of any version of YAML could take a text for
//! something else.
//!
//! Knows a tree and nothing of what is in it.

use flyte_secrets_policy::json::Writer;

use crate::tree::{self, Kind, Node};

/// Writes a document, in the order of the tree.
pub fn write(node: &Node) -> String {
    let mut text = String::new();
    value(node, 0, &mut text);
    text.trim_start_matches([' ', '\n']).to_owned()
}

/// A value behind a key or a hyphen, from the space or the line's end on. What nests stands so many columns in.
fn value(node: &Node, indent: usize, text: &mut String) {
    match &node.kind {
        Kind::List(items) if !items.is_empty() => {
            for item in items {
                line(indent, text);
                text.push('-');
                match &item.kind {
                    // The first member of a map, or the first element of a list, stands behind the hyphen.
                    Kind::Map(_) | Kind::List(_) => {
                        let mut nested = String::new();
                        value(item, indent + 2, &mut nested);
                        text.push(' ');
                        text.push_str(nested.trim_start_matches([' ', '\n']));
                    }
                    _ => value(item, indent + 2, text),
                }
            }
        }
        Kind::Map(entries) if !entries.is_empty() => {
            for entry in entries {
                line(indent, text);
                scalar(&entry.key, text);
                text.push(':');
                // Lists stand below their key, not further in.
                let deeper = if entry.value.items().is_some() { 0 } else { 2 };
                value(&entry.value, indent + deeper, text);
            }
        }
        kind => {
            text.push(' ');
            match kind {
                Kind::Null => text.push_str("null"),
                Kind::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
                Kind::Number(number) => text.push_str(number),
                Kind::Text(value) if is_block(value) => block(value, indent, text),
                Kind::Text(value) => scalar(value, text),
                Kind::List(_) => text.push_str("[]"),
                Kind::Map(_) => text.push_str("{}"),
            }
            text.push('\n');
        }
    }
}

/// Starts a line, if none has been started.
fn line(indent: usize, text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(value: &str, text: &mut String) {
    if is_plain(value) {
        text.push_str(value);
        return;
    }
    // JSON's strings are YAML's, but for characters that YAML wants to see escaped.
    let mut json = Writer::default();
    json.string(value);
    for character in String::from_utf8(json.into_bytes()).unwrap_or_default().chars() {
        match is_printable(character) {
            true => text.push(character),
            false => text.push_str(&format!("\\u{:04x}", u32::from(character))),
        }
    }
}

fn block(value: &str, indent: usize, text: &mut String) {
    text.push('|');
    match value.strip_suffix('\n') {
        None => text.push('-'),
        Some(rest) if rest.ends_with('\n') => text.push('+'),
        Some(_) => {}
    }
    // The line's end comes with what follows.
    for content in value.strip_suffix('\n').unwrap_or(value).split('\n') {
        text.push('\n');
        if !content.is_empty() {
            text.extend(std::iter::repeat_n(' ', indent.max(2)));
            text.push_str(content);
        }
    }
}

/// Whether a text of several lines can stand as it is.
fn is_block(value: &str) -> bool {
    value.contains('\n')
        && !value.starts_with([' ', '\n', '\t'])
        && value.chars().all(|c| c == '\n' || c == '\t' || is_printable(c))
}

fn is_printable(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether a text needs no quotes: it is nothing else than text in YAML 1.1 and 1.2, and has nothing in it that ends it.
fn is_plain(value: &str) -> bool {
    const INDICATORS: &str = "-?:,[]{}#&*!|>'\"%@` ";
    // Of numbers, times and dates.
    const NUMBERS: &str = "0123456789+-.:_eETtZz ";
    const WORDS: [&str; 12] = ["y", "n", "yes", "no", "on", "off", "=", "<<", ".inf", "-.inf", "+.inf", ".nan"];
    let mut characters = value.chars();
    let starts = match (characters.next(), characters.next()) {
        (None, _) => false,
        // A hyphen starts options of commands too; three of them, and three dots, divide documents.
        (Some('-'), Some(second)) => second != ' ' && !value.starts_with("---"),
        (Some('.'), Some('.')) => false,
        (Some(first), _) => !INDICATORS.contains(first),
    };
    let digits = value.trim_start_matches(['+', '-', '.']);
    let based = ["0x", "0o", "0b"].iter().any(|base| digits.starts_with(base));
    let number = digits.starts_with(|c: char| c.is_ascii_digit());
    let number = number && (based || value.chars().all(|c| NUMBERS.contains(c)));
    starts
        && !number
        && !WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
        && matches!(tree::plain(value), Kind::Text(_))
        && !value.as_bytes().windows(2).any(|pair| matches!(pair, b": " | b" #"))
        && !value.ends_with([':', ' '])
        && value.chars().all(is_printable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What serde_json makes of a tree.
    fn json(node: &Node) -> serde_json::Value {
        serde_json::from_slice(&node.to_json()).expect("JSON")
    }

    fn text() -> impl Strategy<Value = String> {
        let words = [
            "yes",
            "NO",
            "~",
            "null",
            "0x1F",
            "1:20",
            "2001-01-01",
            ".inf",
            "1_000",
            "-",
            "--",
            "- a",
            "a: b",
            "<<",
            "=",
            "a #b",
        ];
        let odd = [
            "|",
            "\n",
            "a\n",
            "a\n\nb",
            "a\n\n",
            " a\nb",
            "a\tb",
            "\u{85}",
            "\u{feff}x",
            "{{ a }}",
            "-ec",
            "--x",
            "...",
            "'",
            "\"\\",
        ];
        let known = words.into_iter().chain(odd).map(str::to_owned).collect::<Vec<_>>();
        prop_oneof![proptest::sample::select(known), "[ -~\n]{0,12}", "\\PC{0,8}", "[0-9+.eEx_:-]{1,6}"]
    }

    fn tree() -> impl Strategy<Value = Node> {
        let number = prop_oneof![any::<i64>().prop_map(|it| it.to_string()), "[1-9][0-9]{0,3}\\.[0-9]{1,3}"];
        let leaf = prop_oneof![
            Just(Kind::Null),
            any::<bool>().prop_map(Kind::Bool),
            number.prop_map(Kind::Number),
            text().prop_map(Kind::Text)
        ];
        leaf.prop_map(Node::from).prop_recursive(4, 24, 4, |inner| {
            let map = proptest::collection::btree_map(text(), inner.clone(), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(|items| Kind::List(items).into()),
                map.prop_map(|members| {
                    let mut map = Node::from(Kind::Map(Vec::new()));
                    members.into_iter().for_each(|(key, value)| map.set(&key, value));
                    map
                })
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(tree in tree()) {
            let text = write(&tree);
            let read = tree::parse(&text).expect("YAML");
            prop_assert_eq!(read.iter().map(json).collect::<Vec<_>>(), vec![json(&tree)], "{}", text);
            // The same in the eyes of somebody else's reader of YAML 1.1.
            let other: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
            prop_assert_eq!(other, json(&tree), "{}", text);
        }
    }

    #[test]
    fn it_looks_as_people_write_it() {
        let json = br#"{"a":[{"b":"x","c":[1,-2.50]},[["z"]],[],"p\nq"],"d":{"e":{},"f":"yes","g":"l\n"},"h":"-ec","i":"5Gi","j":null}"#;
        let tree = Node::from_json(json).expect("JSON");
        let wanted = "a:\n- b: x\n  c:\n  - 1\n  - -2.50\n- - - z\n- []\n- |-\n  p\n  q\nd:\n  e: {}\n  f: \"yes\"\n  g: |\n    l\n\
                      h: -ec\ni: 5Gi\nj: null\n";
        assert_eq!(write(&tree), wanted);
    }
}
