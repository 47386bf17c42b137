//! Output for people: formatted JSON and YAML, and diffs.

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

/// Returns JSON in several lines.
pub fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// Returns YAML.
pub fn yaml(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap_or_default()
}

/// Returns a diff of two texts with three lines of context, with colors if standard output has them. A stream that
/// removes colors would also remove control characters of the texts.
pub fn diff(before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    let colored = AutoStream::choice(&std::io::stdout()) != ColorChoice::Never;
    let mut text = String::new();
    for (number, group) in diff.grouped_ops(3).iter().enumerate() {
        if number > 0 {
            text.push_str("  ⋮\n");
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let (sign, style) = match change.tag() {
                ChangeTag::Delete => ('-', AnsiColor::Red.on_default()),
                ChangeTag::Insert => ('+', AnsiColor::Green.on_default()),
                ChangeTag::Equal => (' ', Style::new()),
            };
            let style = if colored { style } else { Style::new() };
            let line = change.value().trim_end_matches('\n');
            text.push_str(&format!("{style}{sign} {line}{style:#}\n"));
        }
    }
    text
}
