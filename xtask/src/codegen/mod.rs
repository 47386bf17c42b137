//! Generated files: from the types of the settings, some combined with a handwritten file.
//!
//! | module | generates |
//! |---|---|
//! | [`chapter`] | the book's reference of the settings |
//! | [`chart`] | the schema of the chart's values, from `values.schema.in.json` |
//! | [`questions`] | Rancher's forms for the chart, the policy and Artifact Hub, from `questions.in.yaml` |
//! | [`typescript`] | the types of settings and answers for the npm package |
//!
//! `cargo xtask generate` writes them. The types are read as JSON schema; no field is named here.

pub mod chapter;
pub mod chart;
pub mod providers;
pub mod questions;
pub mod typescript;

use anyhow::Result;
use flyte_secrets_policy::settings::{Provider, Settings};
use serde_json::Value;

/// Returns each generated file: its path in the repository, and its text.
///
/// # Errors
/// A handwritten file cannot be read, or names an unknown field of the settings.
pub fn files() -> Result<Vec<(&'static str, String)>> {
    let mut files = vec![
        (chapter::FILE, chapter::text()),
        (chart::FILE, chart::text()?),
        (typescript::FILE, typescript::text()),
        (typescript::ANSWERS, typescript::answers()),
    ];
    files.extend(providers::files()?);
    files.extend(questions::files()?);
    Ok(files)
}

/// Returns the kinds of the gateway's objects that hold values.
fn gateway_kinds() -> impl Iterator<Item = &'static str> {
    Provider::ALL.iter().filter(|it| it.is_cloud()).map(|cloud| cloud.facts().kind)
}

/// Returns the schema of the settings, with a definition for each type.
fn schema() -> Value {
    schemars::schema_for!(Settings).to_value()
}

/// Resolves a reference; for an optional type, returns the type.
fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let schema = schema.get("anyOf").and_then(|types| types.get(0)).unwrap_or(schema);
    match schema["$ref"].as_str().and_then(|path| root.pointer(path.trim_start_matches('#'))) {
        Some(definition) => definition,
        None => schema,
    }
}

/// Returns the names of an enum, or `None` for other schemas.
fn names(schema: &Value) -> Option<Vec<&str>> {
    match &schema["enum"] {
        Value::Array(names) => names.iter().map(Value::as_str).collect(),
        _ => schema["oneOf"].as_array()?.iter().map(|name| name["const"].as_str()).collect(),
    }
}

/// Returns the name of a type in JSON schema, other than `null`.
fn kind(schema: &Value) -> &str {
    schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or_default()
}

/// Whether a string can be a number, too.
fn is_number_too(schema: &Value) -> bool {
    schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "number"))
}

/// Returns the description in one line.
fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ")
}

/// Returns the members of a type.
fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// Returns a text with its first letter in upper case.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}

#[cfg(test)]
#[allow(clippy::expect_used)] // how tests fail
mod tests {
    use flyte_secrets_testing::repository;

    #[test]
    fn generated_files_are_up_to_date() {
        for (file, text) in super::files().expect("generated files") {
            assert!(text.len() > 300, "{file} is nearly empty: {text}");
            assert!(text == repository::read(file).expect(file), "{file} is out of date; run `make generate`");
        }
    }
}
