//! What shipped code must not hold, and how large it may be.

use std::fs;

use flyte_secrets_testing::repository::{files, read};

use crate::support::repository;

fn sources(folder: &str) -> Vec<String> {
    files(folder, ".rs").expect("a folder of sources")
}

#[test]
fn nothing_in_it_can_panic_on_purpose() {
    let files = sources("src");
    assert!(files.len() > 20, "the sources are there");
    for file in files {
        let text = read(&file).expect("a source");
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        for forbidden in [".unwrap()", ".expect(", "panic!", "unreachable!", "todo!", "unsafe {"] {
            let line = shipped.lines().position(|line| line.contains(forbidden));
            assert_eq!(line, None, "{forbidden} in {}", file);
        }
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for file in sources("src").into_iter().chain(sources("testing/src")) {
        let text = read(&file).expect("a source");
        assert!(text.starts_with("//! "), "{}", file);
    }
}

#[test]
fn the_wasm_is_small() {
    let size = fs::metadata(repository("policy.wasm")).expect("`make policy.wasm` builds it").len();
    assert!(size <= 800_000, "{size} bytes");
}
