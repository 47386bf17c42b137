//! Files, and standard input.

use std::io::Read;

use flyte_secrets_explain::source::Source;

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {0}: {1}")]
pub struct Error(String, std::io::Error);

/// Reads a file, or standard input for `-`.
pub fn read(path: &str) -> Result<Source, Error> {
    let mut text = String::new();
    let (name, read) = match path {
        "-" => ("standard input", std::io::stdin().read_to_string(&mut text).map(|_| text)),
        path => (path, std::fs::read_to_string(path)),
    };
    let name = name.to_owned();
    match read {
        Ok(text) => Ok(Source { name, text }),
        Err(error) => Err(Error(name, error)),
    }
}
