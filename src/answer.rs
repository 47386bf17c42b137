//! The gateway's response to a pull: a head, which is one line of JSON, then all values unencoded, in the head's order.
//!
//! ```text
//! {"files":[{"name":"tls.crt","bytes":1127}],"variables":[{"name":"v0","bytes":7}]}⏎
//! …1127 bytes……7 bytes…
//! ```
//!
//! The gateway sends values from its cache, and the puller writes them as they are. Spaces are allowed before the head.

use serde::{Deserialize, Serialize};

use crate::from_json;
use crate::grant::Grant;

/// Path on the gateway's listener for pods; the request has no body.
pub const PATH: &str = "/v1/pull";

/// Content type of the response.
pub const CONTENT_TYPE: &str = "application/vnd.flyte.secrets.v1";

/// Maximum length of the head with its line feed.
pub const HEAD_LIMIT: usize = 1024 * 1024;

/// The values that follow, with their lengths.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Head {
    /// Files, by their names.
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
    /// Returns the head of the response to `grant`, with the lengths of its files and variables.
    pub fn new(grant: &Grant, files: impl IntoIterator<Item = u64>, variables: impl IntoIterator<Item = u64>) -> Self {
        let entry = |(name, bytes)| Entry { name, bytes };
        Self {
            files: grant.files.iter().map(|granted| granted.key.clone()).zip(files).map(entry).collect(),
            variables: grant.named_variables().map(|(name, _)| name).zip(variables).map(entry).collect(),
        }
    }

    /// Whether these are exactly the values of a grant.
    pub fn answers(&self, grant: &Grant) -> bool {
        let variables = grant.named_variables().map(|(name, _)| name);
        self.files.iter().map(|entry| &entry.name).eq(grant.files.iter().map(|granted| &granted.key))
            && self.variables.iter().map(|entry| entry.name.clone()).eq(variables)
    }

    /// Returns the head as a line, with its line feed.
    ///
    /// # Errors
    /// None for strings and numbers.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(|line| line + "\n")
    }

    /// Parses a head, if the line is one.
    pub fn parse(line: &[u8]) -> Option<Self> {
        from_json(line)
    }
}
