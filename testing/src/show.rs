//! Output for people: formatted JSON and YAML, diffs, and one pod before and after.

use std::sync::Arc;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use anyhow::{Result, bail};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::engine::{Policy, creation};
use crate::host::Capabilities;

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

/// Prints a pod before and after, the patch, and the names under which secrets were found.
///
/// # Errors
/// The policy does not change the pod.
pub fn demo(pod: &Value, settings: &Value, capabilities: &Arc<dyn Capabilities>) -> Result<()> {
    let policy = Policy::built()?;
    let heading = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
    let title = |title: &str| anstream::println!("{heading}── {title}{heading:#}\n");
    title("a task's pod as Flyte creates it; it asks for three secrets");
    println!("{}", yaml(pod));
    let response = policy.validate(&creation(pod), settings, capabilities)?;
    let Some(mutated) = response.mutated() else { bail!("the pod was not changed: {}", response.message()) };
    title("what the policy makes of it");
    println!("{}", diff(&yaml(pod), &yaml(mutated)));
    title("the patch that the API server gets");
    println!("{}", pretty(&serde_json::to_value(response.patch(pod))?));
    title("where each secret was found (audit annotation)");
    for entry in response.0["audit_annotations"]["secrets"].as_str().unwrap_or_default().split("; ") {
        println!("{entry}");
    }
    Ok(())
}
