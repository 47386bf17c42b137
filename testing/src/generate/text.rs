//! JSON in unusual spellings, so that tests notice what is encoded again.

use proptest::prelude::*;
use serde_json::Value;

/// Placeholder of a pod's text in a payload.
pub(super) const HOLE: &str = "@hole@";

/// Values in unusual spellings, for unknown fields. `@odd:N@` is the placeholder of number N.
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

/// Generates a value in an unusual spelling.
pub fn odd() -> impl Strategy<Value = Value> {
    (0..ODD.len()).prop_map(|number| Value::String(format!("@odd:{number}@")))
}

/// Keys that the policy reads, in other spellings.
const ESCAPED: [(&str, &str); 6] = [
    ("\"env\"", "\"\\u0065nv\""),
    ("\"volumeMounts\"", "\"volume\\u004dounts\""),
    ("\"name\"", "\"n\\u0061me\""),
    ("\"spec\"", "\"spe\\u0063\""),
    ("\"annotations\"", "\"\\u0061nnotations\""),
    ("\"/etc/flyte/secrets\"", "\"\\/etc\\/flyte\\/secrets\""),
];

/// Style of JSON.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Several lines.
    pretty: bool,
    /// Unnecessary escapes.
    escaped: bool,
}

impl Style {
    /// Generates a style, which is mostly that of an API server.
    pub fn any() -> impl Strategy<Value = Self> {
        (super::rarely(20), super::rarely(20)).prop_map(|(pretty, escaped)| Self { pretty, escaped })
    }

    /// Returns the text of a value.
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
