//! TypeScript types of the settings, and of the answers of the npm package.

use flyte_secrets_explain::check::CheckedSettings;
use flyte_secrets_explain::names::{DecodedName, StoredName};
use flyte_secrets_playground::{DecodedRequests, Previews};
use flyte_secrets_policy::settings::{Facts, Provider};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::{kind, names};

/// Path of the module with the settings.
pub const FILE: &str = "playground/package/settings.ts";

/// Path of the module with the answers.
pub const ANSWERS: &str = "playground/package/answers.ts";

const INTRODUCTION: &str = "\
/**
 * The policy's settings: Flyte's `webhook` section, and the policy's own keys. Made by `make generate` of the types in src/settings.
 * Each key may be left out. Names of managers, types and schemes are read in any case; write them as they stand here.
 */
";

const ANSWERS_INTRODUCTION: &str = "\
/**
 * What the package answers. Made by `make generate` of the types in explain and playground/src.
 */
";

/// Returns the module with the settings. Enums are constants, too, with a comment on each name.
pub fn text() -> String {
    let root = super::schema();
    let mut text = INTRODUCTION.to_owned();
    text += &interface("Settings", &root);
    text += &types(definitions(&root));
    for name in ["Provider", "NameScheme"] {
        text += &choices(name, &root["$defs"][name]);
    }
    text += "\n/** What secrets of a provider are in, as a label, and an example. */\n";
    text += "export const PLACES: Record<Provider, [string, string]> = {\n";
    for provider in Provider::ALL {
        let Facts { place, example, .. } = provider.facts();
        let label: String =
            place.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(place.chars().skip(1)).collect();
        text += &format!("  {provider}: [{label:?}, {example:?}],\n");
    }
    text + "};\n"
}

/// Returns the module with the answers.
pub fn answers() -> String {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    generator.subschema_for::<Previews>();
    generator.subschema_for::<StoredName>();
    generator.subschema_for::<DecodedName>();
    generator.subschema_for::<DecodedRequests>();
    generator.subschema_for::<CheckedSettings>();
    let mut types_of_answers = generator.take_definitions(true);
    let settings = super::schema();
    let known = definitions(&settings);
    let imported: Vec<String> = types_of_answers.keys().filter(|name| known.contains_key(*name)).cloned().collect();
    types_of_answers.retain(|name, _| !known.contains_key(name));
    let import = format!("import type {{ {} }} from \"./settings.js\";\n", imported.join(", "));
    [ANSWERS_INTRODUCTION, &import, &types(&types_of_answers)].concat()
}

fn definitions(root: &Value) -> &Map<String, Value> {
    root["$defs"].as_object().expect("a schema of several types")
}

fn types(definitions: &Map<String, Value>) -> String {
    let declared = definitions.iter().map(|(name, definition)| match definition["properties"].is_object() {
        true => interface(name, definition),
        false => format!("{}export type {name} = {};\n", comment("", definition), type_of(definition)),
    });
    declared.map(|declared| ["\n", &declared].concat()).collect()
}

/// Returns the names of an enum as a constant: `PROVIDERS` of `Provider`.
fn choices(name: &str, schema: &Value) -> String {
    let mut constant = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !constant.is_empty() {
            constant.push('_');
        }
        constant.push(c.to_ascii_uppercase());
    }
    let mut text =
        format!("\n/** The names, and what each is. */\nexport const {constant}S: Record<{name}, string> = {{\n");
    for choice in schema["oneOf"].as_array().into_iter().flatten() {
        let words = choice["description"].as_str().unwrap_or_default().trim_end_matches('.');
        text += &format!("  {}: {words:?},\n", choice["const"].as_str().unwrap_or_default());
    }
    text + "};\n"
}

/// Returns an interface. For an enum, it has the members of all variants, which are optional.
fn interface(name: &str, schema: &Value) -> String {
    let mut text = format!("{}export interface {name} {{\n", comment("", schema));
    let required = |key: &str| schema["required"].as_array().is_some_and(|keys| keys.iter().any(|known| known == key));
    let own = schema["properties"].as_object().into_iter().flatten();
    let of_some = schema["anyOf"].as_array().into_iter().flatten();
    let of_some = of_some.filter_map(|one| one["properties"].as_object()).flatten();
    for (key, property) in own.chain(of_some) {
        let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let optional = if required(key) { "" } else { "?" };
        let key = if plain { key.clone() } else { format!("{key:?}") };
        text += &format!("{}  {key}{optional}: {};\n", comment("  ", property), type_of(property));
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
