//! The book keeps up with the code.
//!
//! | module | holds |
//! |---|---|
//! | [`messages`] | messages of policy, gateway and chart, each of which the chapter on troubleshooting must have |
//! | [`links`] | links between the repository's Markdown files |

#![allow(clippy::expect_used, clippy::panic)] // how tests fail

mod links;
mod messages;

use flyte_secrets_testing::repository;

fn chapter(path: &str) -> String {
    repository::read(path).unwrap_or_else(|wrong| panic!("{wrong:#}"))
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

#[test]
fn no_link_is_dead() {
    let (looked_at, dead) = links::dead().expect("the repository can be read");
    assert!(looked_at > 100, "only {looked_at} links are found");
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}
