//! Where things are in a text of JSON: a cursor that walks it once, and the texts it hands out, borrowed. And a writer.
//!
//! The policy edits a pod by splicing into the text that came in, so it needs positions, which no serde type gives.
//! Values that nobody asks for are passed over without being parsed: only where they end is found. The text comes
//! from the host, which wrote it with a JSON library, so what is passed over is well-formed; if it is not, the
//! answer is not either, and the host refuses it.
//!
//! Knows nothing of pods, requests or settings.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2};

/// The text is not the JSON that was expected.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the JSON that the Kubernetes API yields: {wanted} wanted at byte {at}")]
pub struct Malformed {
    /// Byte offset into the text.
    pub at: usize,
    /// What should have stood there.
    pub wanted: &'static str,
}

/// A walk through a text of JSON, from value to value.
///
/// An object is walked by [`Self::object`], then [`Self::member`] until it yields no key, a list by [`Self::list`] and
/// [`Self::element`]; after each key and in each element exactly one value must be consumed.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    /// Whether an object or a list has just been opened, so that no comma stands before what comes.
    opened: bool,
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, opened: false }
    }

    /// Starts at the value that stands at `span` of `text`; positions stay those of the whole text.
    pub fn at(text: &'a [u8], span: &Range<usize>) -> Self {
        Self { text: text.get(..span.end).unwrap_or(text), at: span.start, opened: false }
    }

    /// The whole text.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Where the walk has come to.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Enters an object and says where it starts.
    pub fn object(&mut self) -> Result<usize, Malformed> {
        self.open(b'{', "an object")
    }

    /// Enters a list and says where it starts.
    pub fn list(&mut self) -> Result<usize, Malformed> {
        self.open(b'[', "a list")
    }

    /// The key of the next member of an object, whose value comes next; `None` at its end, which is left.
    pub fn member(&mut self) -> Result<Option<Text<'a>>, Malformed> {
        if !self.next(b'}')? {
            return Ok(None);
        }
        let key = self.string()?;
        match self.peek() {
            Some(b':') => self.at += 1,
            _ => return Err(self.malformed("a colon")),
        }
        Ok(Some(key))
    }

    /// Whether another element of a list comes next; if not, the list is left.
    pub fn element(&mut self) -> Result<bool, Malformed> {
        self.next(b']')
    }

    fn open(&mut self, bracket: u8, wanted: &'static str) -> Result<usize, Malformed> {
        if self.peek() != Some(bracket) {
            return Err(self.malformed(wanted));
        }
        self.opened = true;
        self.at += 1;
        Ok(self.at - 1)
    }

    fn next(&mut self, close: u8) -> Result<bool, Malformed> {
        let opened = std::mem::take(&mut self.opened);
        match self.peek() {
            Some(found) if found == close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if opened => Ok(true),
            Some(b',') => {
                self.at += 1;
                match self.peek() {
                    Some(found) if found == close => Err(self.malformed("what the comma promises")),
                    _ => Ok(true),
                }
            }
            _ => Err(self.malformed("a comma or the end")),
        }
    }

    /// Reads a string.
    pub fn string(&mut self) -> Result<Text<'a>, Malformed> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed("a string"));
        }
        let start = self.at;
        let escaped = self.pass_string()?;
        match self.text.get(start..self.at) {
            Some(quoted) => Ok(Text { quoted, start, escaped }),
            None => Err(self.malformed("a string")),
        }
    }

    /// Reads a string, or `null` as none.
    pub fn string_or_null(&mut self) -> Result<Option<Text<'a>>, Malformed> {
        match self.null() {
            true => Ok(None),
            false => self.string().map(Some),
        }
    }

    /// A number, `true`, `false` or `null` as it is written.
    pub fn scalar(&mut self) -> Result<&'a [u8], Malformed> {
        self.peek();
        let start = self.at;
        self.pass_scalar()?;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Passes over one value of any kind.
    pub fn pass(&mut self) -> Result<(), Malformed> {
        self.skip().map(drop)
    }

    /// Passes over one value of any kind and says where it stands.
    pub fn skip(&mut self) -> Result<Range<usize>, Malformed> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => {
                self.pass_string()?;
            }
            Some(b'{' | b'[') => self.pass_nested()?,
            _ => self.pass_scalar()?,
        }
        Ok(start..self.at)
    }

    /// True, and consumed, if the next value is `null`.
    pub fn null(&mut self) -> bool {
        self.peek();
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(b"null"));
        if found {
            self.at += 4;
        }
        found
    }

    /// The next byte that is not white space, not consumed.
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// From the opening quote to after the closing one; true if there was an escape in between.
    fn pass_string(&mut self) -> Result<bool, Malformed> {
        let mut escaped = false;
        let mut next = self.at + 1;
        loop {
            let rest = self.text.get(next..).unwrap_or_default();
            let Some(found) = memchr2(b'"', b'\\', rest) else {
                return Err(self.malformed("a string that ends"));
            };
            next += found + 1;
            if rest.get(found) == Some(&b'"') {
                self.at = next;
                return Ok(escaped);
            }
            escaped = true;
            next += 1;
        }
    }

    fn pass_nested(&mut self) -> Result<(), Malformed> {
        let mut depth = 0_usize;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.pass_string()?;
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return Err(self.malformed("the end of a list or an object")),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn pass_scalar(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while let Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'-' | b'.') = self.text.get(self.at) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.malformed("a value"));
        }
        Ok(())
    }

    fn malformed(&self, wanted: &'static str) -> Malformed {
        Malformed { at: self.at, wanted }
    }
}

/// A string as it stands in the text: quoted, escapes and all.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    quoted: &'a [u8],
    start: usize,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// Where it stands in the text, quotes and all.
    pub fn span(&self) -> Range<usize> {
        self.start..self.start + self.quoted.len()
    }

    /// The bytes between the quotes, if they mean themselves; `None` when there are escapes among them.
    pub fn plain(&self) -> Option<&'a [u8]> {
        match self.quoted {
            [b'"', inner @ .., b'"'] if !self.escaped => Some(inner),
            _ => None,
        }
    }

    /// The bytes that are meant; none if they cannot be read. For comparing with names that are known.
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        match self.plain() {
            Some(plain) => Cow::Borrowed(plain),
            None => Cow::Owned(self.read().map(|text| text.into_owned().into_bytes()).unwrap_or_default()),
        }
    }

    /// Whether the string reads `other`.
    pub fn is(&self, other: &str) -> bool {
        self.bytes() == other.as_bytes()
    }

    /// The string that is meant. Fails on escapes that JSON does not have, lone surrogates, and bytes that are not
    /// UTF-8.
    pub fn read(&self) -> Result<Cow<'a, str>, Malformed> {
        let text = match self.plain() {
            Some(plain) => std::str::from_utf8(plain).ok().map(Cow::Borrowed),
            None => unescape(self.quoted).and_then(|bytes| String::from_utf8(bytes).ok()).map(Cow::Owned),
        };
        text.ok_or(Malformed { at: self.start, wanted: "a string of Unicode characters" })
    }
}

/// Writes JSON, with commas where they belong.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// What has been written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// What has been written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Opens an object.
    pub fn object(&mut self) -> &mut Self {
        self.separate();
        self.0.push(b'{');
        self
    }

    /// Opens a list.
    pub fn list(&mut self) -> &mut Self {
        self.separate();
        self.0.push(b'[');
        self
    }

    /// Ends an object.
    pub fn end_object(&mut self) -> &mut Self {
        self.0.push(b'}');
        self
    }

    /// Ends a list.
    pub fn end_list(&mut self) -> &mut Self {
        self.0.push(b']');
        self
    }

    /// A member's key; its value comes next.
    pub fn key(&mut self, key: &str) -> &mut Self {
        self.string(key);
        self.0.push(b':');
        self
    }

    /// A string.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.separate();
        self.0.push(b'"');
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
            let (plain, special) = rest.split_at(at);
            self.0.extend_from_slice(plain);
            if let [byte, tail @ ..] = special {
                self.escape(*byte);
                rest = tail;
            }
        }
        self.0.extend_from_slice(rest);
        self.0.push(b'"');
        self
    }

    /// A member whose value is a string.
    pub fn member(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key).string(value)
    }

    /// A list of strings.
    pub fn strings(&mut self, texts: &[impl AsRef<str>]) -> &mut Self {
        self.list();
        for text in texts {
            self.string(text.as_ref());
        }
        self.end_list()
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.raw(if value { b"true" } else { b"false" })
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, json: &[u8]) -> &mut Self {
        self.separate();
        self.0.extend_from_slice(json);
        self
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => {
                let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
                self.0.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
                return;
            }
        };
        self.0.extend_from_slice(&[b'\\', short]);
    }

    /// What came before tells whether a comma is due.
    fn separate(&mut self) {
        if !matches!(self.0.last(), None | Some(b'{' | b'[' | b':' | b',')) {
            self.0.push(b',');
        }
    }
}

/// What a quoted string with escapes means. serde_json says the same; its parser would be a fifth of the wasm.
fn unescape(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut rest = quoted.get(1..quoted.len().saturating_sub(1))?;
    while let Some(found) = memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at_checked(found)?;
        bytes.extend_from_slice(plain);
        let (kind, tail) = escape.get(1..)?.split_first()?;
        rest = tail;
        bytes.push(match kind {
            b'"' | b'\\' | b'/' => *kind,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (character, tail) = unicode(rest)?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = tail;
                continue;
            }
            _ => return None,
        });
    }
    bytes.extend_from_slice(rest);
    Some(bytes)
}

/// The character after `\u`, which two escapes make if it is beyond the basic plane.
fn unicode(text: &[u8]) -> Option<(char, &[u8])> {
    let unit = |text: &[u8]| {
        let digits = text.get(..4)?.iter().map(|digit| char::from(*digit).to_digit(16));
        digits.into_iter().try_fold(0, |unit, digit| Some(unit << 4 | digit?))
    };
    let (first, tail) = (unit(text)?, text.get(4..)?);
    match char::from_u32(first) {
        Some(character) => Some((character, tail)),
        None => {
            let second = unit(tail.strip_prefix(b"\\u")?)?;
            char::decode_utf16([u16::try_from(first).ok()?, u16::try_from(second).ok()?])
                .next()?
                .ok()
                .zip(tail.get(6..))
        }
    }
}

/// Whether `needle`, plain ASCII with a slash in it, can be part of a string in `text`. Never false when it is, however
/// it is escaped.
pub fn may_hold(text: &[u8], needle: &[u8]) -> bool {
    // Slashes are rare in pods, and finding one byte is what SIMD does best.
    let before = memchr(b'/', needle).unwrap_or_default();
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| memchr(b'/', rest)) {
        let slash = from + found;
        let start = slash.wrapping_sub(before);
        if text.get(start..start.wrapping_add(needle.len())) == Some(needle) {
            return true;
        }
        from = slash + 1;
    }
    // Only `\u…` and `\/` can stand for a character of a plain ASCII needle.
    let mut rest = text;
    while let Some(found) = memchr(b'\\', rest) {
        match rest.get(found + 1) {
            Some(b'u' | b'/') => return true,
            _ => rest = rest.get(found + 2..).unwrap_or_default(),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_over_every_kind_of_value() {
        for value in ["\"a\\\"]}\"", "{\"a\":[{}, \"}\"]}", "[]", "-1.5e+7", "true", "null", "{\"\\\\\":1}"] {
            let text = format!(" {value} ,");
            let span = Cursor::new(text.as_bytes()).skip();
            assert_eq!(span, Ok(1..1 + value.len()), "{value}");
        }
    }

    fn keys(text: &str) -> Result<Vec<String>, Malformed> {
        let mut cursor = Cursor::new(text.as_bytes());
        let mut keys = Vec::new();
        cursor.object()?;
        while let Some(key) = cursor.member()? {
            keys.push(key.read()?.into_owned());
            cursor.skip()?;
        }
        Ok(keys)
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let table: [(&str, Malformed); 7] = [
            ("", Malformed { at: 0, wanted: "an object" }),
            ("[", Malformed { at: 0, wanted: "an object" }),
            ("{\"a\" 1}", Malformed { at: 5, wanted: "a colon" }),
            ("{\"a\":1 \"b\"", Malformed { at: 7, wanted: "a comma or the end" }),
            ("{\"a\":[1", Malformed { at: 7, wanted: "the end of a list or an object" }),
            ("{\"a\":1,}", Malformed { at: 7, wanted: "what the comma promises" }),
            ("{,\"a\":1}", Malformed { at: 1, wanted: "a string" }),
        ];
        for (text, wrong) in table {
            assert_eq!(keys(text), Err(wrong), "{text}");
        }
        assert_eq!(keys(" { \"a\" : {} , \"b\":[ ]}"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(keys("{}"), Ok(vec![]));
    }

    #[test]
    fn depth_costs_no_stack() {
        let text = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(Cursor::new(text.as_bytes()).skip(), Ok(0..200_000));
    }

    #[test]
    fn strings_mean_what_serde_json_says() {
        for quoted in [
            r#""""#,
            r#""a""#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""\u00e9\u4e2d\ud83d\ude00x""#,
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\ud83d\u0041""#,
            r#""\ude00\ud83d""#,
            r#""\u12""#,
            r#""\u+123""#,
            r#""\x41""#,
            r#""a\u0000b""#,
            r#""é\n""#,
        ] {
            let read = Cursor::new(quoted.as_bytes()).string().and_then(|text| text.read());
            assert_eq!(read.ok().map(Cow::into_owned), serde_json::from_str::<String>(quoted).ok(), "{quoted}");
        }
    }

    #[test]
    fn strings_are_written_as_serde_json_reads_them() {
        let every: String = (0..0x250).filter_map(char::from_u32).chain("中😀".chars()).collect();
        let mut writer = Writer::default();
        writer.object().key("a").list().string(&every).string("").end_list().member("b", "\"\\/").end_object();
        let read: serde_json::Value = serde_json::from_slice(writer.bytes()).unwrap();
        assert_eq!(read, serde_json::json!({ "a": [every, ""], "b": "\"\\/" }));
    }

    #[test]
    fn escapes_hide_nothing() {
        let table = [
            ("{\"a/b\"}", true),
            ("a/", false),
            ("/b", false),
            ("//a/a/b", true),
            ("{\"\\u0061/b\"}", true),
            ("\"\\\\a\\n/b\"", false),
            ("\"a\\/b\"", true),
        ];
        for (text, held) in table {
            assert_eq!(may_hold(text.as_bytes(), b"a/b"), held, "{text}");
        }
        assert_eq!(keys(r#"{"\u0061":1,"b":2}"#), Ok(vec!["a".to_owned(), "b".to_owned()]));
    }
}
