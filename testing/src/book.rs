//! The book in `docs`: the chapter that is made of the code, and whether the others keep up with it.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | the reference of the settings, made of `src/settings` |
//! | [`messages`] | what the code can say, to be found in the chapter on troubleshooting |
//! | [`links`] | whether links between the repository's Markdown files lead anywhere |
//!
//! Reads sources and text; runs no policy.

pub mod links;
pub mod messages;
pub mod settings;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A place in the repository, from its root.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(repository(path)).with_context(|| format!("cannot read {path}"))
}

/// All files with this ending below a folder of the repository, as paths from its root, in order. What builds leave
/// and hidden folders are passed over.
fn files(folder: &str, ending: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(repository(folder)).with_context(|| format!("cannot read {folder}"))?;
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
