//! The page of the settings, generated from the schema of their types, whose descriptions are the comments of fields.

use serde_json::{Map, Value};

use super::{kind, names, resolved};

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
    let mut chapter = Chapter { schema: &schema, text: INTRODUCTION.to_owned(), ignored: Vec::new() };
    chapter.section("", "", &schema);
    chapter.text += IGNORED;
    for path in &chapter.ignored {
        chapter.text += &format!("* `{path}`\n");
    }
    chapter.text
}

struct Chapter<'s> {
    schema: &'s Value,
    text: String,
    /// Paths of fields that are ignored.
    ignored: Vec<String>,
}

impl Chapter<'_> {
    /// Writes the section at `path` and those below it.
    fn section(&mut self, path: &str, description: &str, section: &Value) {
        let (mut rows, mut below) = (String::new(), Vec::new());
        for (key, property) in properties(section) {
            let inner = resolved(self.schema, property).clone();
            let place = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if property["$ref"] == "#/$defs/Ignored" {
                self.ignored.push(place);
            } else if property["$ref"] == "#/$defs/Resources" {
                for (amounts, schema) in properties(&inner) {
                    let default = &property["default"][amounts];
                    rows += &row(&format!("{key}.{amounts}"), &self.type_of(schema), default, property);
                }
            } else if properties(&inner).is_empty() {
                rows += &row(key, &self.type_of(property), &property["default"], property);
            } else {
                below.push((place, meaning(property), inner));
            }
        }
        let heading = if path.is_empty() { "Top level".to_owned() } else { format!("`{path}`") };
        let description = if description.is_empty() { String::new() } else { format!("{description}\n\n") };
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
        match kind(schema) {
            "boolean" => "`true`, `false`".to_owned(),
            "integer" => "number".to_owned(),
            "array" => format!("list of {}", plural(self.type_of(&schema["items"]))),
            "object" if schema["additionalProperties"] == true => "map".to_owned(),
            "object" => format!("map of {}", plural(self.type_of(&schema["additionalProperties"]))),
            "string" if schema["type"].as_array().is_some_and(|types| types.iter().any(|it| it == "number")) => {
                "quantity".to_owned()
            }
            _ => "string".to_owned(),
        }
    }
}

fn properties(schema: &Value) -> Vec<(&String, &Value)> {
    schema["properties"].as_object().map(|properties| properties.iter().collect()).unwrap_or_default()
}

fn plural(kind: String) -> String {
    match kind.as_str() {
        "quantity" => "quantities".to_owned(),
        "string" => "strings".to_owned(),
        _ => kind,
    }
}

fn row(key: &str, kind: &str, default: &Value, property: &Value) -> String {
    format!("| `{key}` | {kind} | {} | {} |\n", default_of(default), meaning(property))
}

fn default_of(default: &Value) -> String {
    let amounts = |amounts: &Map<String, Value>| -> Vec<String> {
        amounts.iter().map(|(name, amount)| format!("`{name}: {}`", amount.as_str().unwrap_or_default())).collect()
    };
    let parts = match default {
        Value::Null => Vec::new(),
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::Array(elements) => elements.iter().map(code).collect(),
        Value::Object(members) if members.values().all(Value::is_string) => amounts(members),
        other => vec![code(other)],
    };
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

fn code(value: &Value) -> String {
    format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// Returns the description in one line, with its first sentence set apart.
fn meaning(property: &Value) -> String {
    let text = property["description"].as_str().unwrap_or_default().replace('\n', " ");
    for mark in ["Not in Flyte", "Deprecated by Flyte"] {
        if let Some(rest) = text.strip_prefix(mark).and_then(|rest| rest.strip_prefix(": ")) {
            let mut letters = rest.chars();
            let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
            return format!("*{mark}.* {first}{}", letters.as_str());
        }
    }
    text
}
