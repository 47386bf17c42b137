//! The schema of the chart's values. The settings are inserted into a handwritten schema: without references, so that
//! helm's messages name fields, and with `null` allowed for each field, as in the policy.

use anyhow::{Context, Result};
use flyte_secrets_testing::{repository, show};
use secret_gateway::config::{Prefixes, Providers};
use serde_json::{Map, Value, json};

use super::{description, names, properties, resolved};

/// Path of the schema.
pub const FILE: &str = "deploy/chart/values.schema.json";
/// Path of the handwritten schema.
const WRITTEN: &str = "deploy/chart/values.schema.in.json";

/// Returns the text of the schema.
///
/// # Errors
/// The handwritten schema cannot be read, or has no place for the settings.
pub fn text() -> Result<String> {
    let mut values: Value = serde_json::from_str(&repository::read(WRITTEN)?)?;
    let root = super::schema();
    let providers = schemars::schema_for!(Providers).to_value();
    let prefixes = schemars::schema_for!(Prefixes).to_value();
    let gateway = "/properties/gateway/properties/config/properties";
    for (place, schema) in [
        ("/properties/policy/properties/settings".to_owned(), nullable(of(&root, &root, nullable))),
        (format!("{gateway}/providers"), of(&providers, &providers, |schema| schema)),
        (format!("{gateway}/prefixes"), of(&prefixes, &prefixes, |schema| schema)),
    ] {
        *values.pointer_mut(&place).with_context(|| format!("{WRITTEN} has no {place}"))? = schema;
    }
    Ok(show::pretty(&values))
}

/// Returns a schema in the words of draft 7, without references; what is within it goes through `member`.
fn of(root: &Value, schema: &Value, member: fn(Value) -> Value) -> Value {
    let definition = resolved(root, schema);
    let Value::Object(parts) = definition else { return json!(true) };
    let mut made = Map::new();
    if let Some(text) = [schema, definition].map(description).into_iter().find(|text| !text.is_empty()) {
        made.insert("description".to_owned(), json!(text));
    }
    if let Some(names) = names(definition) {
        made.extend(any_case(&names));
        return made.into();
    }
    if !parts.contains_key("type") {
        return json!(true);
    }
    // Keywords of a field take precedence over those of its type.
    for (key, value) in parts.iter().chain(schema.as_object().into_iter().flatten()) {
        let inner = |schema: &Value| member(of(root, schema, member));
        let value = match (key.as_str(), value) {
            (
                "$schema" | "$ref" | "$defs" | "anyOf" | "default" | "description" | "format" | "title" | "required",
                _,
            ) => {
                continue;
            }
            ("properties", _) => properties(definition).map(|(name, schema)| (name.clone(), inner(schema))).collect(),
            ("additionalProperties", Value::Object(_)) => inner(value),
            ("items", _) => of(root, value, member),
            _ => value.clone(),
        };
        made.insert(key.clone(), value);
    }
    // For names that do not match, helm's library reports another path.
    if let Some(pattern) =
        made.shift_remove("propertyNames").and_then(|mut names| Some(names.get_mut("pattern")?.take()))
        && let Some(values) = made.insert("additionalProperties".to_owned(), json!(false))
    {
        let pattern = pattern.as_str().unwrap_or_default();
        made.insert("patternProperties".to_owned(), json!({ pattern: values }));
    }
    made.into()
}

/// Allows `null`, which is the default.
fn nullable(mut schema: Value) -> Value {
    match schema.get_mut("type") {
        Some(Value::Array(kinds)) if !kinds.iter().any(|kind| kind == "null") => kinds.push(json!("null")),
        Some(kind @ Value::String(_)) => *kind = json!([kind, "null"]),
        _ => {}
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.push(Value::Null);
    }
    schema
}

/// Returns keywords that allow names in any case of ASCII; names of digits also as numbers.
fn any_case(names: &[&str]) -> [(String, Value); 2] {
    let numbers: Option<Vec<u64>> = names.iter().map(|name| name.parse().ok()).collect();
    if let Some(numbers) = numbers {
        let all: Value = numbers.into_iter().flat_map(|it| [json!(it), json!(it.to_string())]).collect();
        return [("type".to_owned(), json!(["string", "integer"])), ("enum".to_owned(), all)];
    }
    let letter = |c: char| match c.is_ascii_alphabetic() {
        true => format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase()),
        false => c.to_string(),
    };
    let patterns: Vec<String> = names.iter().map(|name| name.chars().map(letter).collect()).collect();
    let pattern = format!("^({})$", patterns.join("|"));
    [("type".to_owned(), json!("string")), ("pattern".to_owned(), json!(pattern))]
}
