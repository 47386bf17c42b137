//! How Flyte packs values into Azure Key Vault, which holds text only: JSON of a type and a value.

use serde_json::{Map, Value};

use super::decode_base64;

/// Returns the bytes in the text that Key Vault holds: `{"type": "STRING" | 0 | "BINARY" | 1, "value": …}`, without a
/// type a string. With `plain`, a text that Flyte has not packed is the value.
///
/// Flyte writes the names of the types; its page on Azure shows the numbers. Keys are read in any case, as Go reads
/// them.
///
/// # Errors
/// What is there instead, in words that hold nothing of it.
pub fn unpack(text: &str, plain: bool) -> Result<Vec<u8>, &'static str> {
    packed(text).or_else(|problem| if plain { Ok(text.as_bytes().to_vec()) } else { Err(problem) })
}

fn packed(text: &str) -> Result<Vec<u8>, &'static str> {
    let other = "a value that is not Flyte's {\"type\", \"value\"} JSON";
    let packed: Map<String, Value> = serde_json::from_str(text).map_err(|_| other)?;
    let member = |name: &str| {
        let any_case = || packed.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        packed.get(name).or_else(any_case)
    };
    let value = match member("value") {
        None | Some(Value::Null) => "",
        Some(Value::String(value)) => value,
        Some(_) => return Err(other),
    };
    match member("type") {
        None => Ok(value.as_bytes().to_vec()),
        Some(kind) if *kind == "STRING" || *kind == 0 => Ok(value.as_bytes().to_vec()),
        Some(kind) if *kind == "BINARY" || *kind == 1 => decode_base64(value),
        Some(_) => Err("a value of a type other than STRING and BINARY"),
    }
}
