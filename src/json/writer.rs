//! Writing JSON.

use super::scan;

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

    /// Makes room for so many bytes more.
    pub fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
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

    /// A member's key, a name of ours that needs no escape; its value comes next.
    pub fn key(&mut self, key: &'static str) -> &mut Self {
        self.separate();
        self.0.push(b'"');
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
        self
    }

    /// A string.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.separate();
        self.0.push(b'"');
        let mut rest = text.as_bytes();
        while let Some((plain, [special, tail @ ..])) = scan::special(rest, 0).and_then(|at| rest.split_at_checked(at))
        {
            self.0.extend_from_slice(plain);
            self.escape(*special);
            rest = tail;
        }
        self.0.extend_from_slice(rest);
        self.0.push(b'"');
        self
    }

    /// A member whose value is a string.
    pub fn member(&mut self, key: &'static str, value: &str) -> &mut Self {
        self.key(key).string(value)
    }

    /// A member of a map: both its key and its value are any string.
    pub fn entry(&mut self, key: &str, value: &str) -> &mut Self {
        self.string(key);
        self.0.push(b':');
        self.string(value)
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

    /// A piece of a value, as it is: the pieces together make it up.
    pub fn fragment(&mut self, json: &[u8]) -> &mut Self {
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
