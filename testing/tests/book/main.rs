//! Tests that the book agrees with the code.
//!
//! * [`messages`]: every message of the policy, the gateway, the puller, the chart and the command line is documented
//! * [`links`]: links between the repository's Markdown files

#![allow(clippy::expect_used, clippy::panic)] // how tests fail

mod links;
mod messages;

use flyte_secrets_testing::repository;

fn text(path: &str) -> String {
    repository::read(path).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn every_message_is_documented() {
    let (troubleshooting, command_line) = ("docs/src/troubleshooting.md", "cli/README.md");
    let table = [
        (messages::of_the_policy(), troubleshooting, 120),
        (messages::errors_in(&["gateway/src"]), troubleshooting, 30),
        (messages::of_the_chart(), troubleshooting, 10),
        (messages::errors_in(&["pull/src"]), troubleshooting, 5),
        (messages::errors_in(&["cli/src", "explain/src"]), command_line, 15),
    ];
    for (messages, page, at_least) in table {
        let messages = messages.expect("messages");
        assert!(messages.len() >= at_least, "found only {} messages for {page}: {messages:?}", messages.len());
        let missing = messages::missing(&messages, &text(page));
        let lines: Vec<String> = missing.iter().map(|it| format!("{}: {:?}", it.file, it.text)).collect();
        assert!(missing.is_empty(), "missing in {page}:\n{}", lines.join("\n"));
    }
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
    let (count, broken) = links::broken().expect("the repository can be read");
    assert!(count > 100, "found only {count} links");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
