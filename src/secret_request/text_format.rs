//! Protobuf's text format for the message `Secret`.
//!
//! A port of `proto.UnmarshalText` of github.com/golang/protobuf v1.5.4 (`proto/text_decode.go`), which accepts more
//! than protobuf's own specification and less in places; no crate does the same. What it accepts is accepted here,
//! except strings that are not UTF-8: proto3 has none, and Go would carry them into the pod mangled.

use strum::VariantArray;

use super::{MountRequirement, SecretRequest};
use crate::cut;
use crate::settings::UnknownFields;

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
    parse_with(text, UnknownFields::Reject, &mut Vec::new())
}

/// As [`parse`]; unknown fields can be skipped, and are then appended to `unknown`.
pub(super) fn parse_with(
    text: &[u8],
    unknown_fields: UnknownFields,
    unknown: &mut Vec<String>,
) -> Result<SecretRequest, Error> {
    let mut tokens = Tokens { rest: text };
    let mut request = SecretRequest::default();
    let mut seen = [false; 5];
    while let Some(token) = tokens.next(FIELDS_ONLY)? {
        let name = if let Token::Word(name) = token { name } else { b"" };
        let Some(field) = Field::VARIANTS.iter().find(|field| <&str>::from(**field).as_bytes() == name) else {
            if unknown_fields == UnknownFields::Reject || name.is_empty() || !tokens.skip_value()? {
                return Err(Error::UnknownField(token.describe()));
            }
            unknown.push(token.describe());
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
        let [first, tail @ ..] = self.rest else { return Ok(None) };
        Ok(Some(match first {
            b'<' | b'>' | b'{' | b'}' | b':' | b'[' | b']' | b';' | b',' | b'/' => {
                self.rest = tail;
                Token::Symbol(*first)
            }
            b'"' | b'\'' => Token::Quoted(self.quoted(field)?),
            _ => {
                let is_word = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_');
                let (word, rest) = self.rest.split_at(self.rest.iter().take_while(is_word).count());
                self.rest = rest;
                if word.is_empty() { return Err(Error::Byte(*first)) } else { Token::Word(word) }
            }
        }))
    }

    fn string(&mut self, field: &'static str) -> Result<String, Error> {
        match self.next(field)? {
            Some(Token::Quoted(bytes)) => String::from_utf8(bytes).map_err(|_| Error::NotUtf8(field)),
            _ => Err(Error::NotAString(field)),
        }
    }

    fn mount_requirement(&mut self) -> Result<MountRequirement, Error> {
        let token = self.next(Field::MountRequirement.into())?;
        let requirement = match token {
            Some(Token::Word(b"ANY")) => Some(MountRequirement::Any),
            Some(Token::Word(b"ENV_VAR")) => Some(MountRequirement::EnvVar),
            Some(Token::Word(b"FILE")) => Some(MountRequirement::File),
            Some(Token::Word(word)) => go_int32(word).map(MountRequirement::from_number),
            _ => None,
        };
        let found = || token.map_or_else(|| "nothing".to_owned(), |token| token.describe());
        requirement.ok_or_else(|| Error::NotAMountRequirement(found()))
    }

    /// Skips a value: a scalar, a message or a list. Returns whether there is one.
    fn skip_value(&mut self) -> Result<bool, Error> {
        let mut open = 0;
        while let Some(token) = self.next(FIELDS_ONLY)? {
            match token {
                Token::Symbol(b':') if open == 0 => continue,
                Token::Symbol(b'{' | b'<' | b'[') => open += 1,
                Token::Symbol(b'}' | b'>' | b']') if open > 0 => open -= 1,
                Token::Symbol(_) if open == 0 => return Ok(false),
                _ => {}
            }
            if open == 0 {
                return Ok(true);
            }
        }
        Ok(false)
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
            while let Some(byte) = tail.get(length).filter(|byte| *byte != quote) {
                length += match byte {
                    b'\n' => return Err(Error::OpenQuote),
                    b'\\' => 2,
                    _ => 1,
                };
            }
            let Some((inner, [_, rest @ ..])) = tail.split_at_checked(length) else { return Err(Error::OpenQuote) };
            unquote(inner, field, &mut joined)?;
            self.rest = rest;
            self.skip_blank();
        }
        Ok(joined)
    }
}

/// Appends the content of a quoted string to `joined`, with escapes resolved.
fn unquote(inner: &[u8], field: &'static str, joined: &mut Vec<u8>) -> Result<(), Error> {
    // Go decodes the characters of a string only if it has an escape.
    if inner.contains(&b'\\') && str::from_utf8(inner).is_err() {
        return Err(Error::NotUtf8(field));
    }
    let mut rest = inner;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (plain, escape) = rest.split_at(at);
        joined.extend_from_slice(plain);
        let escape = escape.get(1..).unwrap_or_default();
        let refused = |escape| Error::Escape(format!("\\{}", String::from_utf8_lossy(escape).escape_debug()), field);
        let (radix, start, end) = match escape.first() {
            Some(b'0'..=b'7') => (8, 0, 3),
            Some(b'x' | b'X') => (16, 1, 3),
            Some(b'u') => (16, 1, 5),
            Some(b'U') => (16, 1, 9),
            _ => (10, 1, 1),
        };
        let (written, tail) = escape.split_at_checked(end).ok_or_else(|| refused(escape))?;
        let mut digits = written.iter().skip(start).map(|digit| char::from(*digit).to_digit(radix));
        let number = digits.try_fold(0, |number, digit| Some(number * radix + digit?));
        match (written, number) {
            ([b'a'], _) => joined.push(0x07),
            ([b'b'], _) => joined.push(0x08),
            ([b'f'], _) => joined.push(0x0c),
            ([b'n'], _) => joined.push(b'\n'),
            ([b'r'], _) => joined.push(b'\r'),
            ([b't'], _) => joined.push(b'\t'),
            ([b'v'], _) => joined.push(0x0b),
            ([kind @ (b'?' | b'\'' | b'"' | b'\\')], _) => joined.push(*kind),
            // Go turns lone surrogates into the replacement character.
            ([b'u' | b'U', ..], Some(number @ ..=0x0010_FFFF)) => {
                let character = char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
                joined.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            ([_, _, ..], Some(number)) => joined.push(u8::try_from(number).map_err(|_| refused(written))?),
            _ => return Err(refused(written)),
        }
        rest = tail;
    }
    joined.extend_from_slice(rest);
    Ok(())
}

/// Parses a number as Go's `strconv.ParseInt(word, 0, 32)`: signs, prefixes 0x, 0o, 0b and 0, underscores between
/// digits.
fn go_int32(word: &[u8]) -> Option<i32> {
    let word = str::from_utf8(word).ok()?.to_ascii_lowercase();
    let (sign, unsigned) = word.split_at(usize::from(word.starts_with(['+', '-'])));
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)].into_iter().find_map(|(prefix, radix)| {
        let digits = unsigned.strip_prefix(prefix).filter(|digits| !digits.is_empty())?;
        // A prefix counts as a digit, after which an underscore may stand.
        Some((["0", digits].concat(), radix))
    });
    let (digits, radix) = prefixed.unwrap_or((unsigned.to_owned(), 10));
    let is_number = |part: &str| !part.is_empty() && part.chars().all(|digit| digit.is_digit(radix));
    let digits = digits.split('_').all(is_number).then(|| digits.replace('_', ""))?;
    i32::from_str_radix(&[sign, &digits].concat(), radix).ok()
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
