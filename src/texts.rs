//! Texts that are made for one pod, such as paths and variables' names, and live until it is answered: plans borrow
//! them, and are cheap to copy and to compare.

use elsa::FrozenVec;

/// Keeps texts.
#[derive(Default)]
pub struct Texts(FrozenVec<String>);

impl Texts {
    /// Keeps a text.
    pub fn keep(&self, text: String) -> &str {
        self.0.push_get(text)
    }

    /// Keeps what the parts make together.
    pub fn concat(&self, parts: &[&str]) -> &str {
        self.keep(parts.concat())
    }
}
