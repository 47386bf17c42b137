//! Properties of values that are JSON objects.

use serde_json::{Map, Value};

use super::SecretValue;
use crate::{cut, from_json};

/// A value without the property.
#[derive(Debug, thiserror::Error)]
#[error("secret {group:?} {problem}; store a JSON object with a string under {key:?}")]
pub struct NoProperty {
    /// Name of the secret.
    group: String,
    /// The property.
    key: String,
    problem: &'static str,
}

impl SecretValue {
    /// As [`property`]; the value is parsed once.
    ///
    /// # Errors
    /// Likewise.
    pub fn property(&self, group: &str, key: &str) -> Result<Self, NoProperty> {
        property_of(self.object.get_or_init(|| from_json(&self.bytes)).as_ref(), group, key)
    }
}

/// Returns the string at `key` of a value that is a JSON object; numbers and booleans as in JSON. `group` names the
/// secret in errors.
///
/// # Errors
/// The value does not have the property, or it is not a string, number or boolean.
pub fn property(value: &[u8], group: &str, key: &str) -> Result<SecretValue, NoProperty> {
    property_of(from_json(value).as_ref(), group, key)
}

fn property_of(object: Option<&Map<String, Value>>, group: &str, key: &str) -> Result<SecretValue, NoProperty> {
    let text = match object.map(|object| object.get(key)) {
        None => Err("is not a JSON object"),
        Some(None) => Err("does not have this property"),
        Some(Some(Value::String(text))) if !text.is_empty() => Ok(text.clone()),
        Some(Some(scalar @ (Value::Number(_) | Value::Bool(_)))) => Ok(scalar.to_string()),
        Some(Some(_)) => Err("has no string there"),
    };
    let no_property = |problem| NoProperty { group: cut(group).to_owned(), key: cut(key).to_owned(), problem };
    text.map(|text| SecretValue::new(text.into_bytes())).map_err(no_property)
}
