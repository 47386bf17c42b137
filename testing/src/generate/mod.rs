//! Random pods, requests, settings and stores, as proptest strategies: valid ones, ones similar to the policy's
//! additions, and attacks.
//!
//! | module | generates |
//! |---|---|
//! | [`pods`] | pods that an API server accepts |
//! | [`requests`] | secret requests and their annotations |
//! | [`settings`] | valid settings, and some invalid ones |
//! | [`stores`] | contents of the stores for a pod's requests |
//! | [`text`] | JSON in unusual spellings |
//!
//! Knows the policy's input, and not its behavior.

pub mod pods;
pub mod requests;
pub mod settings;
pub mod stores;
pub mod text;

use flyte_secrets_policy::secret_request::SecretRequest;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Map, Value, json};

use text::Style;

/// The complete input of the policy.
#[derive(Clone, Debug)]
pub struct Case {
    /// The pod, with its requests in its annotations.
    pub pod: Value,
    /// The pod's requests by annotation, in the order of their numbers.
    pub requests: Vec<(String, SecretRequest)>,
    /// The policy's settings.
    pub settings: Value,
    /// Contents of the stores, for [`crate::host::Store`].
    pub store: Value,
    /// Spelling of the payload.
    pub style: Style,
}

impl Case {
    /// Returns the payload of `validate`.
    pub fn payload(&self) -> String {
        self.payload_with(&self.style.write(&self.pod))
    }

    /// Returns the payload for another pod, as text.
    pub fn payload_with(&self, pod: &str) -> String {
        let mut request = crate::engine::creation(&self.pod);
        request["object"] = json!(text::HOLE);
        let payload = json!({ "request": request, "settings": self.settings });
        payload.to_string().replacen(&format!("\"{}\"", text::HOLE), pod, 1)
    }
}

/// Generates a pod with secret requests, valid settings, and a store.
pub fn case() -> impl Strategy<Value = Case> {
    let parts = (pods::pod(), requests::annotated(), settings::valid(), stores::contents(), Style::any());
    parts.prop_map(|(mut pod, requests, settings, contents, style)| {
        requests::annotate(&mut pod, &requests);
        let store = stores::store(&pod, &requests, &settings, &contents);
        Case { pod, requests, settings, store, style }
    })
}

/// Returns values of a strategy, the same for the same seed, without end.
pub fn draw<S: Strategy>(strategy: S, seed: u64) -> impl Iterator<Item = S::Value> {
    let config = Config { rng_seed: RngSeed::Fixed(seed), ..Config::default() };
    let mut runner = TestRunner::new(config);
    std::iter::from_fn(move || strategy.new_tree(&mut runner).ok().map(|tree| tree.current()))
}

/// Generates one of the texts.
fn of(texts: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop::sample::select(texts).prop_map(str::to_owned)
}

/// Generates one of the elements of a list.
fn one_of(list: Value) -> impl Strategy<Value = Value> {
    prop::sample::select(list.as_array().cloned().unwrap_or_default())
}

/// Generates `true` with a probability in percent.
fn rarely(percent: u32) -> impl Strategy<Value = bool> {
    prop::bool::weighted(f64::from(percent) / 100.0)
}

/// Generates objects with the members of all parts, which are objects. Boxed, because nested strategies exhaust a
/// thread's stack.
fn object<const N: usize>(parts: [BoxedStrategy<Value>; N]) -> BoxedStrategy<Value> {
    let parts = Vec::from(parts).prop_map(|parts| {
        let members = parts.into_iter().filter_map(|part| match part {
            Value::Object(members) => Some(members),
            _ => None,
        });
        Value::Object(members.flatten().collect::<Map<_, _>>())
    });
    parts.boxed()
}

/// Generates a part of an object with a probability in percent, else `{}`.
fn maybe(percent: u32, part: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop_oneof![100 - percent => Just(json!({})), percent => part].boxed()
}

/// Generates a part of an object: one member, with a probability in percent.
fn member<S>(name: &'static str, percent: u32, value: S) -> BoxedStrategy<Value>
where
    S: Strategy<Value: Into<Value>> + 'static,
{
    maybe(percent, value.prop_map(move |value| json!({ name: value.into() })))
}

/// Generates a part of an object: sometimes a field that no one knows.
fn unknown() -> BoxedStrategy<Value> {
    member("x-new", 10, text::odd())
}
