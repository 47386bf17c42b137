//! Tests of the puller: a gateway with TLS on loopback, and the content of folders afterwards.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)] // how tests fail

mod double;
mod files;
mod process;
mod pulls;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use flyte_secrets_policy::grant::{Grant, Granted};
use flyte_secrets_pull::Places;
use tempfile::TempDir;

use double::Gateway;

/// A container with a token and a grant, and its gateway.
struct Container {
    gateway: Gateway,
    grant: Grant,
    places: Places,
    root: TempDir,
}

impl Container {
    /// Returns one that is granted these secrets as files and as variables.
    fn new(answers: Vec<Vec<u8>>, files: &[&str], variables: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let places = Places::under(root.path());
        for folder in [&places.files, &places.env, places.token.parent().unwrap()] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(&places.token, "the-token\n").unwrap();
        let gateway = Gateway::start(answers);
        let own = |keys: &[&str]| keys.iter().map(|key| Granted::whole(key)).collect();
        let grant = Grant {
            gateway: gateway.address.clone(),
            ca: gateway.ca.clone(),
            organization: "acme".to_owned(),
            domain: "development".to_owned(),
            project: "snacks".to_owned(),
            patience: Duration::from_secs(20),
            refresh: None,
            files: own(files),
            variables: own(variables),
        };
        Self { gateway, grant, places, root }
    }
}

/// The files of a folder: name, mode and contents.
fn listing(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let entry = |entry: Result<fs::DirEntry, _>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        (name, (mode, fs::read(&path).unwrap()))
    };
    fs::read_dir(folder).unwrap().map(entry).collect()
}

fn expected(files: &[(&str, u32, &[u8])]) -> BTreeMap<String, (u32, Vec<u8>)> {
    files.iter().map(|(name, mode, contents)| ((*name).to_owned(), (*mode, contents.to_vec()))).collect()
}
