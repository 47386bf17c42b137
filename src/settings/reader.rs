//! Reads settings from JSON, key by key, and says where what is wrong stands.
//!
//! `null` leaves a key at its default, as in YAML where a key has nothing behind it.

use crate::json::{Cursor, Malformed};
use crate::texts::Texts;

/// Settings that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not of the type that the key wants.
    #[error("settings: {path}: {wanted} wanted")]
    Type {
        /// Keys from the top, joined by dots.
        path: String,
        /// What should stand there.
        wanted: &'static str,
    },
    /// A key that neither Flyte nor this policy knows.
    #[error("settings: {path} is unknown{}", .nearest.map(|name| format!("; {name} was perhaps meant")).unwrap_or_default())]
    UnknownKey {
        /// Keys from the top, joined by dots.
        path: String,
        /// The known key that is written most alike.
        nearest: Option<&'static str>,
    },
    /// The value is of the right type, and still wrong.
    #[error("settings: {path}: {problem}")]
    Value {
        /// Keys from the top, joined by dots.
        path: String,
        /// The fact and the way out.
        problem: String,
    },
}

/// A walk through settings that knows its way back. Texts are borrowed from the settings, or kept.
pub(super) struct Reader<'a> {
    cursor: Cursor<'a>,
    texts: &'a Texts,
    path: Vec<&'a str>,
}

/// What reads the value that comes next, given its key.
type Visitor<'f, 'a> = &'f mut dyn FnMut(&mut Reader<'a>, &'a str) -> Result<(), Error>;

impl<'a> Reader<'a> {
    pub fn new(json: &'a [u8], texts: &'a Texts) -> Self {
        Self { cursor: Cursor::new(json), texts, path: Vec::new() }
    }

    /// Reads an object of `known` keys; `visit` reads the value of each that is there and not `null`.
    pub fn section(&mut self, known: &'static [&'static str], visit: Visitor<'_, 'a>) -> Result<(), Error> {
        self.members(Some(known), visit)
    }

    /// Reads an object of any keys; `visit` reads the value of each that is not `null`.
    pub fn map(&mut self, visit: Visitor<'_, 'a>) -> Result<(), Error> {
        self.members(None, visit)
    }

    fn members(&mut self, known: Option<&'static [&'static str]>, visit: Visitor<'_, 'a>) -> Result<(), Error> {
        if self.cursor.null() {
            return Ok(());
        }
        self.cursor.object().map_err(|wrong| self.wrong(wrong))?;
        while let Some(key) = self.cursor.member().map_err(|wrong| self.wrong(wrong))? {
            let key = self.texts.keep(key.read().map_err(|wrong| self.wrong(wrong))?);
            self.path.push(key);
            if let Some(known) = known.filter(|known| !known.contains(&key)) {
                return Err(Error::UnknownKey { path: self.path(), nearest: nearest(key, known) });
            }
            if !self.cursor.null() {
                visit(self, key)?;
            }
            self.path.pop();
        }
        Ok(())
    }

    pub fn list<T>(&mut self, item: &mut dyn FnMut(&mut Self) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        self.cursor.list().map_err(|wrong| self.wrong(wrong))?;
        while self.cursor.element().map_err(|wrong| self.wrong(wrong))? {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub fn string(&mut self) -> Result<&'a str, Error> {
        let text = self.cursor.text().map_err(|wrong| self.wrong(wrong))?;
        Ok(self.texts.keep(text))
    }

    /// A string, or a number as it is written.
    pub fn string_or_number(&mut self) -> Result<&'a str, Error> {
        match self.cursor.peek() {
            Some(b'-' | b'0'..=b'9') => {
                let digits = self.cursor.scalar().map_err(|wrong| self.wrong(wrong))?;
                Ok(std::str::from_utf8(digits).unwrap_or_default())
            }
            _ => self.string(),
        }
    }

    pub fn boolean(&mut self) -> Result<bool, Error> {
        match self.cursor.scalar() {
            Ok(b"true") => Ok(true),
            Ok(b"false") => Ok(false),
            _ => Err(Error::Type { path: self.path(), wanted: "true or false" }),
        }
    }

    /// One of a few names, in any case; names that are digits may be numbers.
    pub fn named<T: Copy>(&mut self, names: &'static [(&'static str, T)]) -> Result<T, Error> {
        let found = self.string_or_number()?;
        let value = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(found)).map(|(_, value)| *value);
        value.ok_or_else(|| {
            let known: Vec<&'static str> = names.iter().map(|(name, _)| *name).collect();
            let meant = nearest(found, &known).map(|name| format!("; {name} was perhaps meant"));
            self.refused(format!("{found:?} is none of {}{}", known.join(", "), meant.unwrap_or_default()))
        })
    }

    /// Passes over a value that means nothing here.
    pub fn ignore(&mut self) -> Result<(), Error> {
        self.cursor.pass().map_err(|wrong| self.wrong(wrong))
    }

    /// The value that has been read is wrong.
    pub fn refused(&self, problem: String) -> Error {
        Error::Value { path: self.path(), problem }
    }

    fn wrong(&self, Malformed { wanted, .. }: Malformed) -> Error {
        Error::Type { path: self.path(), wanted }
    }

    fn path(&self) -> String {
        match self.path.as_slice() {
            [] => "the section".to_owned(),
            path => path.join("."),
        }
    }
}

/// The name that is written most like `found`, in any case, if one is near enough to have been meant.
fn nearest(found: &str, known: &[&'static str]) -> Option<&'static str> {
    // No name is half as long, and to compare takes as long as both together.
    if found.len() > 64 {
        return None;
    }
    let found = found.to_ascii_lowercase();
    let distance = |name: &str| strsim::levenshtein(&found, &name.to_ascii_lowercase());
    let near = known.iter().map(|name| (distance(name), *name)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, name)| distance * 3 <= name.len() + 1).map(|(_, name)| name)
}
