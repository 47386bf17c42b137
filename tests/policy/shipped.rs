//! What shipped code must not hold, and how large it may be.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::repository;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|it| it == "rs"));
    files.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

#[test]
fn nothing_in_it_can_panic_on_purpose() {
    let files = sources(&repository("src"));
    assert!(files.len() > 20, "the sources are there");
    for file in files {
        let text = fs::read_to_string(&file).expect("a source");
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        for forbidden in [".unwrap()", ".expect(", "panic!", "unreachable!", "todo!", "unsafe"] {
            let line = shipped.lines().position(|line| line.contains(forbidden));
            assert_eq!(line, None, "{forbidden} in {}", file.display());
        }
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for file in sources(&repository("src")).into_iter().chain(sources(&repository("testing/src"))) {
        let text = fs::read_to_string(&file).expect("a source");
        assert!(text.starts_with("//! "), "{}", file.display());
    }
}

#[test]
fn the_wasm_is_small() {
    let size = fs::metadata(repository("policy.wasm")).expect("`make policy.wasm` builds it").len();
    assert!(size <= 234_000, "{size} bytes");
}
