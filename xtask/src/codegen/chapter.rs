//! The page of the settings, generated from the schema of their types, whose descriptions are the comments of fields.

use serde_json::Value;

use super::{capitalized, description, is_number_too, kind, names, properties, resolved};

/// Path of the page.
pub const FILE: &str = "docs/src/settings.md";

const INTRODUCTION: &str = "\
# Settings

<!-- Made by `make generate` of the comments in src/settings. -->

After this page you know all settings of the policy, with their types and defaults.

The settings are the section `webhook` of Flyte's configuration, unchanged. All fields have
defaults: `{}` is valid and means Embedded with Kubernetes Secrets. `null` is the default. Names of
managers, types and schemes are case-insensitive. Unknown fields are rejected, with the nearest
name.

`flyte-secrets check FILE` validates a file and prints each error with its line. See
[Command line](cli.md#settings). [Settings errors](troubleshooting.md#settings-errors) lists what
the policy rejects when it starts.
";

const IGNORED: &str = "
## Ignored fields

These fields of Flyte have no meaning in a policy. They are accepted and ignored:

";

/// Returns the text of the page.
pub fn text() -> String {
    let schema = super::schema();
    let mut chapter = Chapter { schema: &schema, text: INTRODUCTION.to_owned(), ignored: String::new() };
    chapter.section("", "", &schema);
    [&chapter.text, IGNORED, &chapter.ignored].concat()
}

struct Chapter<'s> {
    schema: &'s Value,
    text: String,
    /// List of the paths of fields that are ignored.
    ignored: String,
}

impl Chapter<'_> {
    /// Writes the section at `path` and those below it.
    fn section(&mut self, path: &str, description: &str, section: &Value) {
        let (mut rows, mut below) = (String::new(), Vec::new());
        for (key, property) in properties(section) {
            let inner = resolved(self.schema, property);
            let place = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let mut row = |key: &str, schema: &Value, default: &Value| {
                let (kind, default) = (self.type_of(schema), default_of(default));
                rows += &format!("| `{key}` | {kind} | {default} | {} |\n", meaning(property));
            };
            if property["$ref"] == "#/$defs/Ignored" {
                self.ignored += &format!("* `{place}`\n");
            } else if property["$ref"] == "#/$defs/Resources" {
                for (amounts, schema) in properties(inner) {
                    row(&format!("{key}.{amounts}"), schema, &property["default"][amounts]);
                }
            } else if properties(inner).next().is_none() {
                row(key, property, &property["default"]);
            } else {
                below.push((place, meaning(property) + "\n\n", inner.clone()));
            }
        }
        let heading = if path.is_empty() { "Top level".to_owned() } else { format!("`{path}`") };
        self.text += &format!("\n## {heading}\n\n{description}");
        if !rows.is_empty() {
            self.text += &format!("| field | type | default | description |\n|---|---|---|---|\n{rows}");
        }
        for (path, description, section) in below {
            self.section(&path, &description, &section);
        }
    }

    fn type_of(&self, schema: &Value) -> String {
        let schema = resolved(self.schema, schema);
        if let Some(names) = names(schema) {
            return names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        }
        let of = |elements: &str| match self.type_of(&schema[elements]).as_str() {
            "quantity" => "quantities".to_owned(),
            "string" => "strings".to_owned(),
            other => other.to_owned(),
        };
        match kind(schema) {
            "boolean" => "`true`, `false`".to_owned(),
            "integer" => "number".to_owned(),
            "array" => format!("list of {}", of("items")),
            "object" if schema["additionalProperties"] == true => "map".to_owned(),
            "object" => format!("map of {}", of("additionalProperties")),
            "string" if is_number_too(schema) => "quantity".to_owned(),
            _ => "string".to_owned(),
        }
    }
}

fn default_of(default: &Value) -> String {
    let code = |value: &Value| format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let parts: Vec<String> = match default {
        Value::Null => Vec::new(),
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::Array(elements) => elements.iter().map(code).collect(),
        Value::Object(members) if members.values().all(Value::is_string) => {
            members.iter().map(|(name, amount)| format!("`{name}: {}`", amount.as_str().unwrap_or_default())).collect()
        }
        other => vec![code(other)],
    };
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// Returns the description in one line, with its first sentence set apart.
fn meaning(property: &Value) -> String {
    let text = description(property);
    for mark in ["Not in Flyte", "Deprecated by Flyte"] {
        if let Some(rest) = text.strip_prefix(mark).and_then(|rest| rest.strip_prefix(": ")) {
            return format!("*{mark}.* {}", capitalized(rest));
        }
    }
    text
}
