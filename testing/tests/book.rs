//! The book keeps up with the code, and so does what is made of it: settings, messages, links.

#![allow(clippy::expect_used, clippy::panic)] // how tests fail

use flyte_secrets_testing::book::{links, messages};
use flyte_secrets_testing::{codegen, repository};

fn chapter(path: &str) -> String {
    repository::read(path).unwrap_or_else(|wrong| panic!("{wrong:#}"))
}

#[test]
fn generated_files_are_what_the_types_say() {
    for (file, text) in codegen::files().expect("the files that others are made of") {
        assert!(text.lines().count() > 20, "{file} is nearly empty:\n{text}");
        assert!(text == chapter(file), "{file} is out of date; run `make generate`");
    }
}

fn assert_all_told(messages: &[messages::Message], at_least: usize) {
    assert!(messages.len() >= at_least, "only {} messages are found", messages.len());
    let missing = messages::missing(messages, &chapter(messages::CHAPTER));
    let lines: Vec<String> = missing.iter().map(|it| format!("{}: {:?}", it.file, it.text)).collect();
    assert!(missing.is_empty(), "{} does not tell of\n{}", messages::CHAPTER, lines.join("\n"));
}

#[test]
fn troubleshooting_has_every_message_of_the_policy() {
    assert_all_told(&messages::of_the_policy().expect("the policy's messages"), 120);
}

#[test]
fn troubleshooting_has_every_message_of_the_gateway() {
    assert_all_told(&messages::of_the_gateway().expect("the gateway's messages"), 30);
}

#[test]
fn troubleshooting_has_every_message_of_the_chart() {
    assert_all_told(&messages::of_the_chart().expect("the chart's messages"), 10);
}

/// The threat model names tests as `file::name`; any file of that name will do.
#[test]
fn the_threat_model_names_tests_that_exist() {
    let model = chapter("SECURITY.md");
    let named = model.lines().filter_map(|row| row.strip_suffix(" |")?.rsplit_once(" | ")).map(|(_, tests)| tests);
    let sources = ["tests", "src", "gateway/tests", "pull/tests"]
        .map(|folder| repository::files(folder, ".rs").expect("sources"));
    let mut count = 0;
    for name in named.flat_map(|tests| tests.split('`')).filter(|code| code.contains("::")) {
        let (file, test) = name.split_once("::").expect("a module and a test");
        let exists = sources
            .iter()
            .flatten()
            .any(|source| source.ends_with(&format!("/{file}.rs")) && chapter(source).contains(&format!("fn {test}(")));
        assert!(exists, "SECURITY.md names the test {name}, which does not exist");
        count += 1;
    }
    assert!(count > 70, "only {count} tests are found");
}

#[test]
fn no_link_is_dead() {
    let (looked_at, dead) = links::dead().expect("the repository can be read");
    assert!(looked_at > 100, "only {looked_at} links are found");
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}
