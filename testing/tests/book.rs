//! The book keeps up with the code: settings, messages, links.

#![allow(clippy::expect_used, clippy::panic)] // how tests fail

use std::collections::BTreeSet;

use flyte_secrets_policy::settings::{Settings, parse};
use flyte_secrets_testing::book::settings::{Kind, Reference, reference};
use flyte_secrets_testing::book::{links, messages, settings};
use flyte_secrets_testing::repository;
use serde_json::{Value, json};

fn chapter(path: &str) -> String {
    repository::read(path).unwrap_or_else(|wrong| panic!("{wrong:#}"))
}

fn the_reference() -> Reference {
    reference().unwrap_or_else(|wrong| panic!("the settings' code cannot be read: {wrong:#}"))
}

/// A value below keys.
fn at(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |value, key| json!({ key: value }))
}

/// What is wrong with settings, or whether they are the default ones.
fn parsed(settings: &Value) -> Result<bool, String> {
    let (json, texts) = (settings.to_string(), Texts::default());
    let parsed = parse(json.as_bytes()).map(|it| it == Settings::default());
    parsed.map_err(|wrong| wrong.to_string())
}

#[test]
fn the_reference_is_what_the_code_says() {
    let made = the_reference().chapter().expect("a chapter");
    assert!(
        made == chapter(settings::CHAPTER),
        "{} is of other code; `make settings` makes it anew",
        settings::CHAPTER
    );
}

#[test]
fn every_key_of_the_reference_is_read_as_it_says() {
    let reference = the_reference();
    assert!(reference.keys.len() > 40, "{} keys", reference.keys.len());
    for key in &reference.keys {
        let path = key.path.join(".");
        assert_eq!(parsed(&at(&key.path, key.kind.sample())).err(), None, "{path}");
        let other = if key.kind == Kind::Flag { json!("text") } else { json!(true) };
        let refused = parsed(&at(&key.path, other));
        assert_eq!(refused.is_err(), key.kind != Kind::Anything, "{path}: {refused:?}");
        let mut beside = key.path.clone();
        beside.last_mut().into_iter().for_each(|last| last.push_str("Zz"));
        let free = reference.keys.iter().any(|it| matches!(it.kind, Kind::Map(_)) && beside.starts_with(&it.path));
        assert!(free || parsed(&at(&beside, json!("x"))).is_err_and(|it| it.contains("is unknown")), "{beside:?}");
    }
}

#[test]
fn every_default_of_the_reference_is_the_real_one() {
    let mut told = 0;
    // An image that stands in the settings is not the manager's own, though it is called alike.
    for key in the_reference().keys.iter().filter(|key| !key.path.ends_with(&["sidecarImage".to_owned()])) {
        assert_eq!(parsed(&at(&key.path, key.default.clone())), Ok(true), "{:?}", key.path);
        told += usize::from(!key.default.is_null());
    }
    assert!(told > 15, "{told} defaults");
}

#[test]
fn every_key_that_the_code_knows_is_in_the_reference() {
    let reference = the_reference();
    let listed: BTreeSet<&String> = reference.keys.iter().flat_map(|key| &key.path).collect();
    let known: BTreeSet<&String> = reference.known.iter().flatten().collect();
    assert!(reference.known.len() > 8, "{} lists of keys", reference.known.len());
    assert_eq!(known, listed);
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
