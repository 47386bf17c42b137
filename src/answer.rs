//! What the gateway answers to a pull: a head, one line of JSON, then all values as they are, in the head's order.
//!
//! ```text
//! {"files":[{"name":"tls.crt","bytes":1127}],"variables":[{"name":"v0","bytes":7}]}⏎
//! …1127 bytes……7 bytes…
//! ```
//!
//! Nothing is encoded: the gateway sends values as it remembers them, and the puller writes what it reads. Spaces may stand
//! before the head.

use serde::{Deserialize, Serialize};

use crate::from_json;
use crate::grant::Grant;

/// Where the gateway's pod listener answers; the request has no body.
pub const PATH: &str = "/v1/pull";

/// The answer's content type.
pub const CONTENT_TYPE: &str = "application/vnd.flyte.secrets.v1";

/// The longest head with its line feed.
pub const HEAD_LIMIT: usize = 1024 * 1024;

/// What follows, and how long each value is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Head {
    /// Files, by the names that they get.
    pub files: Vec<Entry>,
    /// Variables, by their names in the env file.
    pub variables: Vec<Entry>,
}

/// One value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

impl Head {
    /// Returns the head of an answer to `grant`, with the lengths of its files and of its variables.
    pub fn new(grant: &Grant, files: impl IntoIterator<Item = u64>, variables: impl IntoIterator<Item = u64>) -> Self {
        let entry = |(name, bytes)| Entry { name, bytes };
        Self {
            files: grant.files.iter().map(|granted| granted.key.clone()).zip(files).map(entry).collect(),
            variables: grant.named_variables().map(|(name, _)| name).zip(variables).map(entry).collect(),
        }
    }

    /// Whether these are the values of a grant, all of them and no others.
    pub fn answers(&self, grant: &Grant) -> bool {
        let names = |entries: &[Entry]| entries.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
        names(&self.files).iter().eq(grant.files.iter().map(|granted| &granted.key))
            && names(&self.variables).into_iter().eq(grant.named_variables().map(|(name, _)| name))
    }

    /// Returns the head as it is sent, with its line feed.
    ///
    /// # Errors
    /// None that strings and numbers could have.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(|line| line + "\n")
    }

    /// Reads a head, if it is one.
    pub fn parse(line: &[u8]) -> Option<Self> {
        from_json(line)
    }
}
