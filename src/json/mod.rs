//! Where things are in a text of JSON: a cursor that walks it once, and the texts it hands out, borrowed. And a writer.
//!
//! The policy edits a pod by splicing into the text that came in, so it needs positions, which no serde type gives.
//! Values that nobody asks for are passed over without being parsed: only where they end is found. The text comes
//! from the host, which wrote it with a JSON library, so what is passed over is well-formed; if it is not, the
//! answer is not either, and the host refuses it.
//!
//! Knows nothing of pods, requests or settings.

mod scan;
mod writer;

use std::borrow::Cow;
use std::ops::Range;

pub use scan::may_hold;
pub use writer::Writer;

/// The text is not the JSON that was expected.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the JSON that the Kubernetes API yields: {wanted} wanted at byte {at}")]
pub struct Malformed {
    /// Byte offset into the text.
    pub at: usize,
    /// What should have stood there.
    pub wanted: &'static str,
}

/// What is called for each member of an object, with its key, and the cursor in front of its value.
pub type MemberVisitor<'f, 'a> = &'f mut dyn FnMut(&mut Cursor<'a>, &[u8]) -> Result<(), Malformed>;

/// What is called for each element of a list, with the cursor in front of it.
pub type ElementVisitor<'f, 'a> = &'f mut dyn FnMut(&mut Cursor<'a>) -> Result<(), Malformed>;

/// A walk through a text of JSON, from value to value.
///
/// An object is walked by [`Self::members`], a list by [`Self::elements`]; both call back for each value, which must be
/// consumed.
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

    /// The text that is walked.
    pub fn whole(&self) -> &'a [u8] {
        self.text
    }

    /// Where the walk has come to.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Walks an object, says where it stands, and hands out each key when its value comes next. A key that cannot be
    /// read is empty.
    pub fn members(&mut self, visit: MemberVisitor<'_, 'a>) -> Result<Range<usize>, Malformed> {
        let start = self.object()?;
        while let Some(key) = self.member()? {
            match key.plain() {
                Some(plain) => visit(self, plain)?,
                None => visit(self, key.read().unwrap_or_default().as_bytes())?,
            }
        }
        Ok(start..self.at)
    }

    /// Walks a list, says where it stands, and tells when an element comes next.
    pub fn elements(&mut self, visit: ElementVisitor<'_, 'a>) -> Result<Range<usize>, Malformed> {
        let start = self.list()?;
        while self.element()? {
            visit(self)?;
        }
        Ok(start..self.at)
    }

    /// Enters an object and says where it starts; [`Self::member`] yields its keys, and its end.
    pub fn object(&mut self) -> Result<usize, Malformed> {
        self.open(b'{', "an object")
    }

    /// The key of the next member of an object, whose value comes next; `None` at its end, which is left.
    pub fn member(&mut self) -> Result<Option<Text<'a>>, Malformed> {
        if !self.next(b'}')? {
            return Ok(None);
        }
        let key = self.quoted()?;
        match self.peek() {
            Some(b':') => self.at += 1,
            _ => return Err(self.malformed("a colon")),
        }
        Ok(Some(key))
    }

    /// Enters a list and says where it starts.
    pub fn list(&mut self) -> Result<usize, Malformed> {
        self.open(b'[', "a list")
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

    #[inline(always)]
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
        self.quoted()
    }

    #[inline(always)]
    fn quoted(&mut self) -> Result<Text<'a>, Malformed> {
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

    /// Reads a string, and what it means.
    pub fn text(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.string()?.read()
    }

    /// Reads a string and what it means, or `null` as none.
    pub fn text_or_null(&mut self) -> Result<Option<Cow<'a, str>>, Malformed> {
        self.string_or_null()?.map(|text| text.read()).transpose()
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
        let found = self.peek() == Some(b'n') && self.text.get(self.at..).is_some_and(|rest| rest.starts_with(b"null"));
        if found {
            self.at += 4;
        }
        found
    }

    /// The next byte that is not white space, not consumed.
    #[inline(always)]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at) {
                // All white space comes before the other characters of JSON.
                Some(byte) if *byte > b' ' => return Some(*byte),
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
            let Some(found) = scan::quote_or_backslash(self.text, next) else {
                return Err(self.malformed("a string that ends"));
            };
            if self.text.get(found) == Some(&b'"') {
                self.at = found + 1;
                return Ok(escaped);
            }
            escaped = true;
            next = found + 2;
        }
    }

    fn pass_nested(&mut self) -> Result<(), Malformed> {
        match scan::end_of_nested(self.text, self.at) {
            Some(end) => {
                self.at = end;
                Ok(())
            }
            None => Err(Malformed { at: self.text.len(), wanted: "the end of a list or an object" }),
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

/// How many bytes the strings in a text mean, keys of objects left out.
pub fn string_bytes(text: &[u8]) -> usize {
    let mut bytes = 0;
    let mut cursor = Cursor::new(text);
    while let Some(quote) = scan::quote_or_backslash(text, cursor.at) {
        cursor.at = quote;
        let Ok(string) = cursor.string() else { break };
        if cursor.peek() != Some(b':') {
            bytes += string.read().map_or(0, |meant| meant.len());
        }
    }
    bytes
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

    /// Whether the string reads `other`.
    pub fn is(&self, other: &str) -> bool {
        match self.plain() {
            Some(plain) => plain == other.as_bytes(),
            None => self.read().is_ok_and(|text| text == other),
        }
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

/// What a quoted string with escapes means. serde_json says the same; its parser would be a fifth of the wasm.
fn unescape(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut rest = quoted.get(1..quoted.len().saturating_sub(1))?;
    while let Some(found) = rest.iter().position(|byte| *byte == b'\\') {
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
