//! Tests that the book agrees with the code.
//!
//! * [`messages`]: every message of the policy, the gateway, the puller, the chart and the command line is documented
//! * [`links`]: links between the repository's Markdown files

#![allow(clippy::expect_used, clippy::panic)] // how tests fail

mod links;
mod messages;

use flyte_secrets_testing::repository;

const TROUBLESHOOTING: &str = "docs/src/troubleshooting.md";

fn text(path: &str) -> String {
    repository::read(path).unwrap_or_else(|error| panic!("{error:#}"))
}

fn assert_documented(page: &str, messages: &[messages::Message], at_least: usize) {
    assert!(messages.len() >= at_least, "found only {} messages", messages.len());
    let missing = messages::missing(messages, &text(page));
    let lines: Vec<String> = missing.iter().map(|it| format!("{}: {:?}", it.file, it.text)).collect();
    assert!(missing.is_empty(), "missing in {page}:\n{}", lines.join("\n"));
}

#[test]
fn troubleshooting_has_every_message_of_the_policy() {
    assert_documented(TROUBLESHOOTING, &messages::of_the_policy().expect("the policy's messages"), 120);
}

#[test]
fn troubleshooting_has_every_message_of_the_gateway() {
    assert_documented(TROUBLESHOOTING, &messages::errors_in(&["gateway/src"]).expect("the gateway's messages"), 30);
}

#[test]
fn troubleshooting_has_every_message_of_the_chart() {
    assert_documented(TROUBLESHOOTING, &messages::of_the_chart().expect("the chart's messages"), 10);
}

#[test]
fn troubleshooting_has_every_message_of_the_puller() {
    assert_documented(TROUBLESHOOTING, &messages::errors_in(&["pull/src"]).expect("the puller's messages"), 5);
}

#[test]
fn command_line_has_every_error_of_the_command_line() {
    let errors = messages::errors_in(&["cli/src", "explain/src"]).expect("the command line's messages");
    assert_documented("cli/README.md", &errors, 15);
}

/// The threat model names tests as `file::name`, for any file of that name.
#[test]
fn the_threat_model_names_tests_that_exist() {
    let model = text("SECURITY.md");
    let named = model.lines().filter_map(|row| row.strip_suffix(" |")?.rsplit_once(" | ")).map(|(_, tests)| tests);
    let sources = ["tests", "src", "gateway/tests", "pull/tests"]
        .map(|folder| repository::files(folder, ".rs").expect("sources"));
    let mut count = 0;
    for name in named.flat_map(|tests| tests.split('`')).filter(|code| code.contains("::")) {
        let (file, test) = name.split_once("::").expect("a module and a test");
        let exists = sources
            .iter()
            .flatten()
            .any(|source| source.ends_with(&format!("/{file}.rs")) && text(source).contains(&format!("fn {test}(")));
        assert!(exists, "SECURITY.md names the test {name}, which does not exist");
        count += 1;
    }
    assert!(count > 70, "found only {count} tests");
}

#[test]
fn links_are_valid() {
    let (looked_at, dead) = links::dead().expect("the repository can be read");
    assert!(looked_at > 100, "found only {looked_at} links");
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}
