//! How Flyte packs values into Azure Key Vault, which holds text only: JSON of a type and a value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

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

/// Returns the bytes of the text that Key Vault holds; with `plain`, those of a text that Flyte has not packed are its own.
///
/// # Errors
/// As those of [`unpack`].
pub fn open(text: &str, plain: bool) -> Result<Vec<u8>, &'static str> {
    match unpack(text) {
        Err(_) if plain => Ok(text.as_bytes().to_vec()),
        unpacked => unpacked.map(AzureValue::into_bytes),
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
    let other = "a value that is not Flyte's {\"type\", \"value\"} JSON";
    let packed: Map<String, Value> = serde_json::from_str(text).map_err(|_| other)?;
    let member = |name: &str| {
        let any_case = || packed.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        packed.get(name).or_else(any_case)
    };
    let value = match member("value") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(value)) => value.clone(),
        Some(_) => return Err(other),
    };
    match member("type") {
        None => Ok(AzureValue::Text(value)),
        Some(kind) if *kind == "STRING" || *kind == 0 => Ok(AzureValue::Text(value)),
        Some(kind) if *kind == "BINARY" || *kind == 1 => {
            STANDARD.decode(&value).map(AzureValue::Binary).map_err(|_| "a value that is not valid base64")
        }
        Some(_) => Err("a value of a type other than STRING and BINARY"),
    }
}
