//! Files of the repository, by paths relative to its root.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// Returns the absolute path of a file or folder.
pub fn path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Reads a text file.
///
/// # Errors
/// The file cannot be read.
pub fn read(file: &str) -> Result<String> {
    std::fs::read_to_string(path(file)).with_context(|| format!("cannot read {file}"))
}

/// Reads a file of YAML or JSON.
///
/// # Errors
/// The file cannot be read or parsed.
pub fn yaml(file: &str) -> Result<Value> {
    serde_yaml::from_str(&read(file)?).with_context(|| format!("{file} is not YAML"))
}

/// Returns all files with this suffix below a folder, sorted, except hidden folders and output of builds.
///
/// # Errors
/// A folder cannot be read.
pub fn files(folder: &str, ending: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(path(folder)).with_context(|| format!("cannot read {folder}"))?;
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && !matches!(name.as_str(), "target" | "node_modules") {
                found.extend(files(&path, ending)?);
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
