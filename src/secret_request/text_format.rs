//! Protobuf's text format for the message `Secret`.
//!
//! A port of `proto.UnmarshalText` of github.com/golang/protobuf v1.5.4 (`proto/text_decode.go`), which accepts more
//! than protobuf's own specification and less in places; no crate does the same. What it accepts is accepted here,
//! except strings that are not UTF-8: proto3 has none, and Go would carry them into the pod mangled.

use strum::VariantArray;

use super::{MountRequirement, SecretRequest};
use crate::cut;

/// An error of decoding a `Secret` message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// An unknown field.
    #[error("unknown field {0:?}; expected group, group_version, key, mount_requirement or env_var")]
    UnknownField(String),
    /// A repeated field.
    #[error("field `{0}` is repeated")]
    Repeated(&'static str),
    /// No colon after a field's name.
    #[error("field `{0}`: expected a colon after the name")]
    NoColon(&'static str),
    /// The value of a string field is not a quoted string.
    #[error("field `{0}`: expected a quoted string")]
    NotAString(&'static str),
    /// The value of `mount_requirement` is neither a number nor a known name.
    #[error("invalid mount_requirement {0:?}: expected ANY, ENV_VAR, FILE or a number")]
    NotAMountRequirement(String),
    /// A quote is open at the end of the line or of the text.
    #[error("unterminated quoted string")]
    OpenQuote,
    /// An escape sequence that the text format does not have.
    #[error("invalid escape sequence {0} in field `{1}`")]
    Escape(String, &'static str),
    /// Bytes that are not UTF-8, written out or by escapes.
    #[error("field `{0}` is not valid UTF-8")]
    NotUtf8(&'static str),
    /// A byte that starts no token.
    #[error("unexpected byte {0:#04x}")]
    Byte(u8),
}

/// Decodes a `Secret` message.
///
/// # Errors
/// What Go's `proto.UnmarshalText` rejects, and strings that are not UTF-8.
pub fn parse(text: &[u8]) -> Result<SecretRequest, Error> {
    parse_with(text, &mut |field| Err(Error::UnknownField(field)))
}

/// As [`parse`], with a decision on each unknown field: an error, or its value is skipped.
///
/// # Errors
/// As for [`parse`].
pub fn parse_with(text: &[u8], unknown: &mut dyn FnMut(String) -> Result<(), Error>) -> Result<SecretRequest, Error> {
    let mut tokens = Tokens { rest: text };
    let mut request = SecretRequest::default();
    let mut seen = [false; 5];
    while let Some(token) = tokens.next(FIELDS_ONLY)? {
        let Token::Word(name) = token else { return Err(Error::UnknownField(token.describe())) };
        let Some(field) = Field::VARIANTS.iter().find(|field| <&str>::from(**field).as_bytes() == name) else {
            unknown(token.describe())?;
            tokens.skip_value(token.describe())?;
            tokens.separator();
            continue;
        };
        let label = field.into();
        if let Some(seen) = seen.get_mut(*field as usize)
            && std::mem::replace(seen, true)
        {
            return Err(Error::Repeated(label));
        }
        if tokens.next(label)? != Some(Token::Symbol(b':')) {
            return Err(Error::NoColon(label));
        }
        match field {
            Field::Group => request.group = tokens.string(label)?,
            Field::GroupVersion => request.group_version = tokens.string(label)?,
            Field::Key => request.key = tokens.string(label)?,
            Field::EnvVar => request.env_var = tokens.string(label)?,
            Field::MountRequirement => request.mount_requirement = tokens.mount_requirement()?,
        }
        tokens.separator();
    }
    Ok(request)
}

/// Encodes a request as Go's `proto.MarshalTextString` does: a line for each field that is not empty.
pub fn write(request: &SecretRequest) -> String {
    let mut text = String::new();
    for field in Field::VARIANTS {
        let value = match field {
            Field::Group => quote(&request.group),
            Field::GroupVersion => quote(&request.group_version),
            Field::Key => quote(&request.key),
            Field::MountRequirement if request.mount_requirement == MountRequirement::Any => continue,
            Field::MountRequirement => request.mount_requirement.to_string(),
            Field::EnvVar => quote(&request.env_var),
        };
        if value != "\"\"" {
            text.push_str(&format!("{}: {value}\n", <&str>::from(field)));
        }
    }
    text
}

fn quote(value: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in value.bytes() {
        match byte {
            b'\n' => quoted.push_str("\\n"),
            b'\r' => quoted.push_str("\\r"),
            b'\t' => quoted.push_str("\\t"),
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\{byte:03o}")),
        }
    }
    quoted.push('"');
    quoted
}

/// Name in errors of a quoted string that replaces the name of a field.
const FIELDS_ONLY: &str = "name";

#[derive(Clone, Copy, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
enum Field {
    Group,
    GroupVersion,
    Key,
    MountRequirement,
    EnvVar,
}

#[derive(Debug, Eq, PartialEq)]
enum Token<'a> {
    /// One of `< > { } : [ ] ; , /`.
    Symbol(u8),
    /// Letters, digits and `-+._`.
    Word(&'a [u8]),
    /// Consecutive quoted strings, unquoted and joined.
    Quoted(Vec<u8>),
}

impl Token<'_> {
    fn describe(&self) -> String {
        match self {
            Self::Symbol(symbol) => char::from(*symbol).to_string(),
            Self::Word(word) => cut(&String::from_utf8_lossy(word)).to_owned(),
            Self::Quoted(_) => "a quoted string".to_owned(),
        }
    }
}

struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    /// Returns the next token, or `None` at the end; `field` is for errors in a quoted string.
    fn next(&mut self, field: &'static str) -> Result<Option<Token<'a>>, Error> {
        self.skip_blank();
        let (first, tail) = match self.rest {
            [] => return Ok(None),
            [first, tail @ ..] => (*first, tail),
        };
        match first {
            b'<' | b'>' | b'{' | b'}' | b':' | b'[' | b']' | b';' | b',' | b'/' => {
                self.rest = tail;
                Ok(Some(Token::Symbol(first)))
            }
            b'"' | b'\'' => self.quoted(field).map(|joined| Some(Token::Quoted(joined))),
            _ => {
                let length = self.rest.iter().take_while(|byte| is_word(**byte)).count();
                let (word, rest) = self.rest.split_at(length);
                if word.is_empty() {
                    return Err(Error::Byte(first));
                }
                self.rest = rest;
                Ok(Some(Token::Word(word)))
            }
        }
    }

    fn string(&mut self, field: &'static str) -> Result<String, Error> {
        match self.next(field)? {
            Some(Token::Quoted(bytes)) => String::from_utf8(bytes).map_err(|_| Error::NotUtf8(field)),
            _ => Err(Error::NotAString(field)),
        }
    }

    fn mount_requirement(&mut self) -> Result<MountRequirement, Error> {
        let token = self.next(Field::MountRequirement.into())?;
        let refused = |token: Option<Token>| {
            Error::NotAMountRequirement(token.map_or_else(|| "nothing".to_owned(), |token| token.describe()))
        };
        let Some(Token::Word(word)) = token else { return Err(refused(token)) };
        match word {
            b"ANY" => Ok(MountRequirement::Any),
            b"ENV_VAR" => Ok(MountRequirement::EnvVar),
            b"FILE" => Ok(MountRequirement::File),
            _ => go_int32(word).map(MountRequirement::from_number).ok_or_else(|| refused(token)),
        }
    }

    /// Skips the value of the field `name`: a scalar, a message or a list.
    fn skip_value(&mut self, name: String) -> Result<(), Error> {
        let mut open = 0;
        loop {
            match self.next(FIELDS_ONLY)? {
                Some(Token::Symbol(b':')) if open == 0 => continue,
                Some(Token::Symbol(b'{' | b'<' | b'[')) => open += 1,
                Some(Token::Symbol(b'}' | b'>' | b']')) if open > 0 => open -= 1,
                Some(Token::Symbol(_)) if open == 0 => return Err(Error::UnknownField(name)),
                Some(_) => {}
                None => return Err(Error::UnknownField(name)),
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    /// Skips one `;` or `,` between fields.
    fn separator(&mut self) {
        self.skip_blank();
        if let [b';' | b',', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Skips white space, and comments from `#` to the end of the line.
    fn skip_blank(&mut self) {
        let mut comment = false;
        while let [byte, rest @ ..] = self.rest {
            match byte {
                b'\n' => comment = false,
                b'#' => comment = true,
                b' ' | b'\t' | b'\r' => {}
                _ if comment => {}
                _ => return,
            }
            self.rest = rest;
        }
    }

    /// Returns consecutive quoted strings as one.
    fn quoted(&mut self, field: &'static str) -> Result<Vec<u8>, Error> {
        let mut joined = Vec::new();
        while let [quote @ (b'"' | b'\''), tail @ ..] = self.rest {
            let mut length = 0;
            loop {
                match tail.get(length) {
                    None | Some(b'\n') => return Err(Error::OpenQuote),
                    Some(byte) if byte == quote => break,
                    Some(b'\\') => length += 2,
                    Some(_) => length += 1,
                }
            }
            let (inner, rest) = tail.split_at(length);
            unquote(inner, field, &mut joined)?;
            self.rest = rest.get(1..).unwrap_or_default();
            self.skip_blank();
        }
        Ok(joined)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_')
}

/// Appends the content of a quoted string to `joined`, with escapes resolved.
fn unquote(inner: &[u8], field: &'static str, joined: &mut Vec<u8>) -> Result<(), Error> {
    let mut rest = inner;
    // Go decodes the characters of a string only if it has an escape.
    if inner.contains(&b'\\') && str::from_utf8(inner).is_err() {
        return Err(Error::NotUtf8(field));
    }
    loop {
        let plain = rest.iter().position(|byte| *byte == b'\\').unwrap_or(rest.len());
        let (plain, escape) = rest.split_at(plain);
        joined.extend_from_slice(plain);
        rest = match escape {
            [] => return Ok(()),
            [_, rest @ ..] => rest,
        };
        let refused =
            |digits: &[u8]| Error::Escape(format!("\\{}", String::from_utf8_lossy(digits).escape_debug()), field);
        let [kind, tail @ ..] = rest else { return Err(refused(&[])) };
        let (length, radix) = match kind {
            b'0'..=b'7' => (2, 8),
            b'x' | b'X' => (2, 16),
            b'u' => (4, 16),
            b'U' => (8, 16),
            _ => (0, 0),
        };
        // If `tail` is shorter, digits are missing, and the escape is rejected below.
        let (digits, tail) = tail.split_at_checked(length).ok_or_else(|| refused(rest))?;
        rest = tail;
        if radix == 0 {
            joined.push(match kind {
                b'a' => 0x07,
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 0x0b,
                b'?' | b'\'' | b'"' | b'\\' => *kind,
                _ => return Err(refused(&[*kind])),
            });
            continue;
        }
        let written = [&[*kind], digits].concat();
        let digits = if radix == 8 { written.as_slice() } else { digits };
        let number = digits
            .iter()
            .try_fold(0_u32, |number, digit| Some(number * radix + char::from(*digit).to_digit(radix)?))
            .ok_or_else(|| refused(&written))?;
        match (kind, u8::try_from(number)) {
            (b'u' | b'U', _) if number > 0x0010_FFFF => return Err(refused(&written)),
            // Go turns lone surrogates into the replacement character.
            (b'u' | b'U', _) => {
                let character = char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
                joined.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            (_, Ok(byte)) => joined.push(byte),
            (_, Err(_)) => return Err(refused(&written)),
        }
    }
}

/// Parses a number as Go's `strconv.ParseInt(word, 0, 32)`: signs, prefixes 0x, 0o, 0b and 0, underscores between
/// digits.
fn go_int32(word: &[u8]) -> Option<i32> {
    let word = str::from_utf8(word).ok()?;
    let (negative, unsigned) = match word.strip_prefix(['+', '-']) {
        Some(unsigned) => (word.starts_with('-'), unsigned),
        None => (false, word),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (radix, digits, prefixed) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, lower.get(2..)?, true),
        [b'0', b'o', ..] => (8, lower.get(2..)?, true),
        [b'0', b'b', ..] => (2, lower.get(2..)?, true),
        [b'0', _, ..] => (8, lower.get(1..)?, true),
        _ => (10, lower.as_str(), false),
    };
    // An underscore must be between digits; a base prefix counts as a digit.
    if digits.ends_with('_')
        || digits.as_bytes().windows(2).any(|pair| pair == b"__")
        || (digits.starts_with('_') && !prefixed)
    {
        return None;
    }
    let digits: String = digits.chars().filter(|digit| *digit != '_').collect();
    if !digits.bytes().all(|digit| char::from(digit).is_digit(radix)) {
        return None;
    }
    let number = i64::from_str_radix(&digits, radix).ok()?;
    i32::try_from(if negative { -number } else { number }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<String, Error> {
        parse(text.as_bytes()).map(|request| request.key)
    }

    #[test]
    fn each_refusal_names_what_is_wrong() {
        let table: [(&[u8], Error); 15] = [
            (b"keys:\"k\"", Error::UnknownField("keys".into())),
            (b"\"key\":\"k\"", Error::UnknownField("a quoted string".into())),
            (b"{", Error::UnknownField("{".into())),
            (b"key:'a' key:'b'", Error::Repeated("key")),
            (b"key 'a'", Error::NoColon("key")),
            (b"key:", Error::NotAString("key")),
            (b"key:k", Error::NotAString("key")),
            (b"mount_requirement:SOMEWHERE", Error::NotAMountRequirement("SOMEWHERE".into())),
            (b"mount_requirement:2147483648", Error::NotAMountRequirement("2147483648".into())),
            (b"key:'a", Error::OpenQuote),
            (b"key:'a\n'", Error::OpenQuote),
            (b"key:'\\q'", Error::Escape("\\q".into(), "key")),
            (b"key:'\\400'", Error::Escape("\\400".into(), "key")),
            (b"key:'\xff'", Error::NotUtf8("key")),
            (b"\xef\xbb\xbfkey:'a'", Error::Byte(0xef)),
        ];
        for (text, wrong) in table {
            assert_eq!(parse(text), Err(wrong), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let all = SecretRequest {
            group: "g".to_owned(),
            group_version: "v".to_owned(),
            key: "\"é\\\n\r\t\u{1}'".to_owned(),
            mount_requirement: MountRequirement::Unknown(7),
            env_var: "X".to_owned(),
        };
        let written = "group: \"g\"\ngroup_version: \"v\"\nkey: \"\\\"\\303\\251\\\\\\n\\r\\t\\001'\"\n\
                       mount_requirement: 7\nenv_var: \"X\"\n";
        assert_eq!(write(&all), written);
        assert_eq!(parse(written.as_bytes()), Ok(all));
        assert_eq!(write(&SecretRequest::default()), "");
    }

    #[test]
    fn strings_side_by_side_may_share_a_character() {
        assert_eq!(
            key(r#"key:"\xc3" # half of it
            '\251'"#),
            Ok("é".into())
        );
        assert_eq!(key("key:\"\\xc3\""), Err(Error::NotUtf8("key")));
    }

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        let table = [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("+2", Some(2)),
            ("0x2", Some(2)),
            ("0X_2", Some(2)),
            ("02", Some(2)),
            ("0_2", Some(2)),
            ("0b10", Some(2)),
            ("0o2", Some(2)),
            ("1_0", Some(10)),
            ("-2147483648", Some(i32::MIN)),
            ("2147483648", None),
            ("_1", None),
            ("1_", None),
            ("1__0", None),
            ("08", None),
            ("0x", None),
            ("--1", None),
            ("1.0", None),
            ("1e0", None),
            ("-", None),
            ("0_", None),
            ("+-1", None),
        ];
        for (word, number) in table {
            assert_eq!(go_int32(word.as_bytes()), number, "{word}");
        }
    }
}
