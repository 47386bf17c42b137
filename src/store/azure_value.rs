//! How Flyte packs values into Azure Key Vault, which holds text only: JSON of a type and a value.

use std::borrow::Cow;

use base64ct::{Base64, Encoding};

use crate::json::{Cursor, Malformed};

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
    let packed = Packed::read(text.as_bytes()).map_err(|_| "something else than Flyte's JSON of type and value")?;
    let value = packed.value;
    match packed.r#type {
        None => Ok(AzureValue::Text(value.into_owned())),
        Some(b"\"STRING\"" | b"0") => Ok(AzureValue::Text(value.into_owned())),
        Some(b"\"BINARY\"" | b"1") => {
            Base64::decode_vec(&value).map(AzureValue::Binary).map_err(|_| "a value that is not base64")
        }
        Some(_) => Err("a value of a type that is neither STRING nor BINARY"),
    }
}

#[derive(Default)]
struct Packed<'a> {
    /// As it is written.
    r#type: Option<&'a [u8]>,
    value: Cow<'a, str>,
}

impl<'a> Packed<'a> {
    fn read(text: &'a [u8]) -> Result<Self, Malformed> {
        let mut packed = Self::default();
        let mut cursor = Cursor::new(text);
        cursor.members(&mut |cursor, key| {
            if key.eq_ignore_ascii_case(b"type") {
                cursor.skip().map(|span| packed.r#type = text.get(span))
            } else if key.eq_ignore_ascii_case(b"value") {
                cursor.text_or_null().map(|it| packed.value = it.unwrap_or_default())
            } else {
                cursor.pass()
            }
        })?;
        match cursor.peek() {
            None => Ok(packed),
            Some(_) => Err(Malformed { at: cursor.position(), wanted: "nothing more" }),
        }
    }
}
