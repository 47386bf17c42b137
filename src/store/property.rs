//! Properties of values that are JSON objects.

use serde_json::{Map, Value};

use super::SecretValue;
use crate::cut;
use crate::from_json;

/// A value without the property.
#[derive(Debug, thiserror::Error)]
#[error("secret {group:?} {problem}; store a JSON object with a string under {key:?}")]
pub struct NoProperty {
    /// Name of the secret.
    group: String,
    /// The property.
    key: String,
    /// The problem.
    problem: &'static str,
}

/// Returns a value as a JSON object, if it is one.
pub fn object(value: &[u8]) -> Option<Map<String, Value>> {
    from_json(value)
}

/// As [`property_of`] of a value.
///
/// # Errors
/// Likewise.
pub fn property(value: &[u8], group: &str, key: &str) -> Result<SecretValue, NoProperty> {
    property_of(object(value).as_ref(), group, key)
}

/// Returns the string at `key` of a JSON object; numbers and booleans as in JSON. `group` names the secret in errors.
///
/// # Errors
/// The object does not have the property, or it is not a string, number or boolean.
pub fn property_of(object: Option<&Map<String, Value>>, group: &str, key: &str) -> Result<SecretValue, NoProperty> {
    let problem = |problem| NoProperty { group: cut(group).to_owned(), key: cut(key).to_owned(), problem };
    let object = object.ok_or_else(|| problem("is not a JSON object"))?;
    let text = match object.get(key) {
        None => return Err(problem("does not have this property")),
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(scalar @ (Value::Number(_) | Value::Bool(_))) => scalar.to_string(),
        Some(_) => return Err(problem("has no string there")),
    };
    Ok(SecretValue::new(text.into_bytes()))
}
