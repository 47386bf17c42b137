//! JSON in spellings that no library writes, so that what is written anew shows.

use proptest::prelude::*;
use serde_json::Value;

/// Stands in a payload where a pod's text goes.
pub(super) const HOLE: &str = "@hole@";

/// Values in odd spellings, for fields that nobody knows. A value holds `@odd:N@` in place of number N.
const ODD: [&str; 14] = [
    "1e400",
    "-0.0",
    "1E+2",
    "12345678901234567890123",
    "0.1000",
    "[ ]",
    "{ }",
    "\"\\u0041\\/\\ud83d\\ude00\"",
    "[1e5,{\"a\" : null},[[[[]]]]]",
    "{\"env\":[{\"name\":\"HOME\"}],\"volumes\":[],\"\\u006e\" :\ttrue}",
    "\"\\\\\\\"mutated_object\\\":\"",
    "1.7976931348623159e308",
    "\"\u{2028}\u{7f}é\"",
    "\n[\n1\n,\n2\n]\n",
];

/// A field's value in an odd spelling.
pub fn odd() -> impl Strategy<Value = Value> {
    (0..ODD.len()).prop_map(|number| Value::String(format!("@odd:{number}@")))
}

/// Keys that the policy reads, and how else they can be written.
const ESCAPED: [(&str, &str); 6] = [
    ("\"env\"", "\"\\u0065nv\""),
    ("\"volumeMounts\"", "\"volume\\u004dounts\""),
    ("\"name\"", "\"n\\u0061me\""),
    ("\"spec\"", "\"spe\\u0063\""),
    ("\"annotations\"", "\"\\u0061nnotations\""),
    ("\"/etc/flyte/secrets\"", "\"\\/etc\\/flyte\\/secrets\""),
];

/// How a value becomes text.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// On many lines.
    pretty: bool,
    /// With escapes where none are needed.
    escaped: bool,
}

impl Style {
    /// Mostly plain, as an API server writes.
    pub fn any() -> impl Strategy<Value = Self> {
        (super::rarely(20), super::rarely(20)).prop_map(|(pretty, escaped)| Self { pretty, escaped })
    }

    /// Writes a value.
    pub fn write(self, value: &Value) -> String {
        let mut text = if self.pretty { format!("{value:#}") } else { value.to_string() };
        for (number, odd) in ODD.iter().enumerate() {
            text = text.replace(&format!("\"@odd:{number}@\""), odd);
        }
        for (plain, escaped) in ESCAPED.iter().filter(|_| self.escaped) {
            text = text.replace(plain, escaped);
        }
        text
    }
}
