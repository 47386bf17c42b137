//! How Flyte packs values into Azure Key Vault, which holds text only: JSON of a type and a value.

use std::collections::BTreeMap;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use serde_json::Value;

/// A value, unpacked.
#[derive(Clone, Eq, PartialEq)]
pub enum AzureValue {
    /// Type `STRING`.
    Text(String),
    /// Type `BINARY`.
    Binary(Vec<u8>),
}

impl AzureValue {
    /// The value's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// Unpacks the text that Key Vault holds: `{"type": "STRING" | 0 | "BINARY" | 1, "value": …}`, without a type a string.
///
/// Flyte writes the names of the types; its page on Azure shows the numbers. Keys are read in any case, as Go reads
/// them.
///
/// # Errors
/// What is there instead, in words that hold nothing of it.
pub fn unpack(text: &str) -> Result<AzureValue, &'static str> {
    let packed: BTreeMap<String, Value> =
        serde_json::from_str(text).map_err(|_| "something else than Flyte's JSON of type and value")?;
    let member = |name: &str| packed.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let value = match member("value") {
        Some(Value::String(value)) => value.as_str(),
        None | Some(Value::Null) => "",
        Some(_) => return Err("JSON whose value is no string"),
    };
    let text = || Ok(AzureValue::Text(value.to_owned()));
    let binary = || STANDARD.decode(value).map(AzureValue::Binary).map_err(|_| "a value that is not base64");
    match member("type") {
        None => text(),
        Some(Value::String(name)) if name == "STRING" => text(),
        Some(Value::String(name)) if name == "BINARY" => binary(),
        Some(Value::Number(number)) if number.as_u64() == Some(0) => text(),
        Some(Value::Number(number)) if number.as_u64() == Some(1) => binary(),
        Some(_) => Err("a value of a type that is neither STRING nor BINARY"),
    }
}
