//! The settings as TypeScript's types.

use serde_json::Value;

use super::{kind, names};

/// The module.
pub const FILE: &str = "playground/package/settings.ts";

const INTRODUCTION: &str = "\
/**
 * The policy's settings: Flyte's `webhook` section, and the policy's own keys. Made by `make generate` of the types in src/settings.
 * Each key may be left out. Names of managers, types and schemes are read in any case; write them as they stand here.
 */
";

/// Returns the module's text.
pub fn text() -> String {
    let root = super::schema();
    let mut text = INTRODUCTION.to_owned();
    text += &interface("Settings", &root);
    for (name, definition) in root["$defs"].as_object().into_iter().flatten() {
        text.push('\n');
        text += &match names(definition) {
            Some(_) => format!("{}export type {name} = {};\n", comment("", definition), type_of(definition)),
            None if definition["properties"].is_object() => interface(name, definition),
            None => format!("{}export type {name} = {};\n", comment("", definition), type_of(definition)),
        };
    }
    text
}

fn interface(name: &str, schema: &Value) -> String {
    let mut text = format!("{}export interface {name} {{\n", comment("", schema));
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let key = if plain { key.clone() } else { format!("{key:?}") };
        text += &format!("{}  {key}?: {};\n", comment("  ", property), type_of(property));
    }
    text + "}\n"
}

fn comment(indent: &str, schema: &Value) -> String {
    match schema["description"].as_str() {
        Some(text) => format!("{indent}/** {} */\n", text.replace('\n', " ")),
        None => String::new(),
    }
}

fn type_of(schema: &Value) -> String {
    if let Some(types) = schema["anyOf"].as_array() {
        return types.iter().map(type_of).filter(|it| it != "null").collect::<Vec<_>>().join(" | ");
    }
    if let Some(name) = schema["$ref"].as_str() {
        return name.trim_start_matches("#/$defs/").to_owned();
    }
    if let Some(names) = names(schema) {
        return names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" | ");
    }
    match kind(schema) {
        "boolean" => "boolean".to_owned(),
        "integer" => "number".to_owned(),
        "null" => "null".to_owned(),
        "number" => "number".to_owned(),
        "string" if schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "number")) => {
            "string | number".to_owned()
        }
        "string" => "string".to_owned(),
        "array" => match type_of(&schema["items"]) {
            item if item.contains(' ') => format!("({item})[]"),
            item => format!("{item}[]"),
        },
        "object" if schema["additionalProperties"].is_object() => {
            format!("Record<string, {}>", type_of(&schema["additionalProperties"]))
        }
        "object" => "Record<string, unknown>".to_owned(),
        _ => "unknown".to_owned(),
    }
}
