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

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::Value;

use requests::Request;
use text::Style;

/// The complete input of the policy.
#[derive(Clone, Debug)]
pub struct Case {
    /// The pod, with its requests in its annotations.
    pub pod: Value,
    /// The pod's requests by annotation, in the order of their numbers.
    pub requests: Vec<(String, Request)>,
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
        request["object"] = Value::String(text::HOLE.to_owned());
        let payload = serde_json::json!({ "request": request, "settings": self.settings });
        payload.to_string().replacen(&format!("\"{}\"", text::HOLE), pod, 1)
    }
}

/// Generates a pod with secret requests, valid settings, and a store.
pub fn case() -> impl Strategy<Value = Case> {
    let parts = (
        pods::pod().boxed(),
        requests::annotated().boxed(),
        settings::valid().boxed(),
        stores::contents(),
        Style::any(),
    );
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

/// Generates `true` with a probability in percent.
fn rarely(times_in_a_hundred: u32) -> impl Strategy<Value = bool> {
    prop::bool::weighted(f64::from(times_in_a_hundred) / 100.0)
}

/// Returns an object of the members that are present.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
