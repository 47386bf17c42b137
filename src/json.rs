//! Where things are in a text of JSON: a cursor that walks it once, and the texts it hands out, borrowed.
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
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Starts at the value that stands at `span` of `text`; positions stay those of the whole text.
    pub fn at(text: &'a [u8], span: &Range<usize>) -> Self {
        Self { text: text.get(..span.end).unwrap_or(text), at: span.start }
    }

    /// Walks the members of an object. `visit` gets each key and must consume its value: exactly one of
    /// [`Self::object`], [`Self::array`], [`Self::string`] or [`Self::skip`].
    pub fn object<E: From<Malformed>>(
        &mut self,
        mut visit: impl FnMut(&mut Self, Text<'a>) -> Result<(), E>,
    ) -> Result<Range<usize>, E> {
        self.list(b'{', b'}', "an object", |cursor| {
            let key = cursor.string()?;
            if cursor.peek() != Some(b':') {
                return Err(cursor.malformed("a colon").into());
            }
            cursor.at += 1;
            visit(cursor, key)
        })
    }

    /// Walks the elements of an array; `visit` must consume one value each time, as for [`Self::object`].
    pub fn array<E: From<Malformed>>(
        &mut self,
        visit: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<Range<usize>, E> {
        self.list(b'[', b']', "a list", visit)
    }

    fn list<E: From<Malformed>>(
        &mut self,
        open: u8,
        close: u8,
        wanted: &'static str,
        mut visit: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<Range<usize>, E> {
        if self.peek() != Some(open) {
            return Err(self.malformed(wanted).into());
        }
        let start = self.at;
        self.at += 1;
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(start..self.at);
        }
        loop {
            visit(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(found) if found == close => break,
                _ => return Err(self.malformed("a comma or the end of the list").into()),
            }
        }
        self.at += 1;
        Ok(start..self.at)
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
        let wanted = "a string of Unicode characters";
        match self.plain().map(std::str::from_utf8) {
            Some(Ok(text)) => Ok(Cow::Borrowed(text)),
            Some(Err(_)) => Err(Malformed { at: self.start, wanted }),
            None => serde_json::from_slice(self.quoted).map(Cow::Owned).map_err(|_| Malformed { at: self.start, wanted }),
        }
    }
}

/// Whether `needle`, plain ASCII, can be part of a string in `text`. Never false when it is, however it is escaped.
pub fn may_hold(text: &[u8], needle: &[u8]) -> bool {
    if memchr::memmem::find(text, needle).is_some() {
        return true;
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

    #[test]
    fn says_what_is_wrong_and_where() {
        let table: [(&str, Malformed); 6] = [
            ("", Malformed { at: 0, wanted: "an object" }),
            ("[", Malformed { at: 0, wanted: "an object" }),
            ("{\"a\" 1}", Malformed { at: 5, wanted: "a colon" }),
            ("{\"a\":1 \"b\"", Malformed { at: 7, wanted: "a comma or the end of the list" }),
            ("{\"a\":[1", Malformed { at: 7, wanted: "the end of a list or an object" }),
            ("{\"a\":1,}", Malformed { at: 7, wanted: "a string" }),
        ];
        for (text, wrong) in table {
            let found = Cursor::new(text.as_bytes()).object(|cursor, _| cursor.skip().map(drop));
            assert_eq!(found, Err(wrong), "{text}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let text = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(Cursor::new(text.as_bytes()).skip(), Ok(0..200_000));
    }

    #[test]
    fn escapes_hide_nothing() {
        let table =
            [("{\"flyte\"}", true), ("{\"fly\\u0074e\"}", true), ("\"\\\\flyt\\n\"", false), ("\"a\\/b\"", true)];
        for (text, held) in table {
            assert_eq!(may_hold(text.as_bytes(), b"flyte"), held, "{text}");
        }
        let mut seen = Vec::new();
        let _ = Cursor::new(br#"{"\u0061":1,"b":2}"#).object(|cursor, key| {
            seen.push((key.is("a"), key.is("b")));
            cursor.skip().map(drop)
        });
        assert_eq!(seen, [(true, false), (false, true)]);
    }
}
