//! Texts that are made for one pod, such as paths and variables' names, and live until it is answered: requests and
//! plans borrow them, and are cheap to copy and to compare.

use std::borrow::Cow;

use bumpalo::collections::String;
use bumpalo::Bump;

/// What a message shows of a text that anybody wrote: the beginning.
pub fn cut(text: &str) -> &str {
    text.char_indices().nth(256).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Keeps texts, side by side and all at once.
#[derive(Debug, Default)]
pub struct Texts(Bump);

impl Texts {
    /// Keeps bytes.
    pub fn bytes(&self, bytes: &[u8]) -> &[u8] {
        self.0.alloc_slice_copy(bytes)
    }

    /// Keeps a text that nobody else does.
    pub fn keep<'a>(&'a self, text: Cow<'a, str>) -> &'a str {
        match text {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => self.0.alloc_str(&text),
        }
    }

    /// Keeps what the parts make together.
    pub fn concat(&self, parts: &[&str]) -> &str {
        self.join(parts).into_bump_str()
    }

    /// Likewise, in lower case.
    pub fn lower(&self, parts: &[&str]) -> &str {
        let mut text = self.join(parts);
        text.make_ascii_lowercase();
        text.into_bump_str()
    }

    /// Likewise, in upper case.
    pub fn upper(&self, parts: &[&str]) -> &str {
        let mut text = self.join(parts);
        text.make_ascii_uppercase();
        text.into_bump_str()
    }

    fn join(&self, parts: &[&str]) -> String<'_> {
        let mut text = String::with_capacity_in(parts.iter().map(|part| part.len()).sum(), &self.0);
        parts.iter().for_each(|part| text.push_str(part));
        text
    }
}
