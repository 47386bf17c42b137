//! TypeScript types of the settings, and of the answers of the npm package.

use flyte_secrets_explain::check::CheckedSettings;
use flyte_secrets_explain::names::{DecodedName, StoredName};
use flyte_secrets_playground::{DecodedRequests, Previews};
use flyte_secrets_policy::settings::{Facts, Provider};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::{capitalized, description, is_number_too, kind, names, properties};

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
    let mut text = [INTRODUCTION, &interface("Settings", &root), &types(definitions(&root))].concat();
    for (constant, name) in [("PROVIDERS", "Provider"), ("NAME_SCHEMES", "NameScheme")] {
        text +=
            &format!("\n/** The names, and what each is. */\nexport const {constant}: Record<{name}, string> = {{\n");
        for choice in root["$defs"][name]["oneOf"].as_array().into_iter().flatten() {
            let words = description(choice);
            text +=
                &format!("  {}: {:?},\n", choice["const"].as_str().unwrap_or_default(), words.trim_end_matches('.'));
        }
        text += "};\n";
    }
    text += "\n/** What secrets of a provider are in, as a label, and an example. */\n";
    text += "export const PLACES: Record<Provider, [string, string]> = {\n";
    for provider in Provider::ALL {
        let Facts { place, example, .. } = provider.facts();
        text += &format!("  {provider}: [{:?}, {example:?}],\n", capitalized(place));
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
    let settings = super::schema();
    let known = definitions(&settings);
    let (imported, own): (Map<_, _>, Map<_, _>) =
        generator.take_definitions(true).into_iter().partition(|(name, _)| known.contains_key(name));
    let imported: Vec<&str> = imported.keys().map(String::as_str).collect();
    let import = format!("import type {{ {} }} from \"./settings.js\";\n", imported.join(", "));
    [ANSWERS_INTRODUCTION, &import, &types(&own)].concat()
}

fn definitions(root: &Value) -> &Map<String, Value> {
    root["$defs"].as_object().expect("a schema of several types")
}

fn types(definitions: &Map<String, Value>) -> String {
    let declared = definitions.iter().map(|(name, definition)| match definition["properties"].is_object() {
        true => format!("\n{}", interface(name, definition)),
        false => format!("\n{}export type {name} = {};\n", comment("", definition), type_of(definition)),
    });
    declared.collect()
}

/// Returns an interface. For an enum, it has the members of all variants, which are optional.
fn interface(name: &str, schema: &Value) -> String {
    let mut text = format!("{}export interface {name} {{\n", comment("", schema));
    let required = |key: &str| schema["required"].as_array().is_some_and(|keys| keys.iter().any(|known| known == key));
    let variants = schema["anyOf"].as_array().into_iter().flatten();
    for (key, property) in properties(schema).chain(variants.flat_map(properties)) {
        let is_plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let name = if is_plain { key.clone() } else { format!("{key:?}") };
        let optional = if required(key) { "" } else { "?" };
        text += &format!("{}  {name}{optional}: {};\n", comment("  ", property), type_of(property));
    }
    text + "}\n"
}

fn comment(indent: &str, schema: &Value) -> String {
    match description(schema).as_str() {
        "" => String::new(),
        text => format!("{indent}/** {text} */\n"),
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
        "integer" => "number".to_owned(),
        "string" if is_number_too(schema) => "string | number".to_owned(),
        kind @ ("boolean" | "null" | "number" | "string") => kind.to_owned(),
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
