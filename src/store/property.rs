//! Properties of values that are JSON objects.

use serde_json::{Map, Value};

use super::{Error, SecretValue};
use crate::{cut, from_json};

impl SecretValue {
    /// As [`property`]; the value is parsed once.
    ///
    /// # Errors
    /// Likewise.
    pub fn property(&self, group: &str, key: &str) -> Result<Self, Error> {
        property_of(self.object.get_or_init(|| from_json(&self.bytes)).as_ref(), group, key)
    }
}

/// Returns the string at `key` of a value that is a JSON object; numbers and booleans as in JSON. `group` names the
/// secret in errors.
///
/// # Errors
/// The value does not have the property, or it is not a string, number or boolean.
pub fn property(value: &[u8], group: &str, key: &str) -> Result<SecretValue, Error> {
    property_of(from_json(value).as_ref(), group, key)
}

fn property_of(object: Option<&Map<String, Value>>, group: &str, key: &str) -> Result<SecretValue, Error> {
    let text = match object.map(|object| object.get(key)) {
        None => Err("is not a JSON object"),
        Some(None) => Err("does not have this property"),
        Some(Some(Value::String(text))) if !text.is_empty() => Ok(text.clone()),
        Some(Some(scalar @ (Value::Number(_) | Value::Bool(_)))) => Ok(scalar.to_string()),
        Some(Some(_)) => Err("has no string there"),
    };
    let no_property = |problem| Error::NoProperty(cut(group).to_owned(), problem, cut(key).to_owned());
    text.map(|text| SecretValue::new(text.into_bytes())).map_err(no_property)
}
