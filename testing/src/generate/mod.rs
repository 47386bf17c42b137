//! Pods, requests, settings and stores at random, as proptest strategies: what a cluster lets through, what is near to
//! what the policy adds, and what an attacker would try.
//!
//! | module | makes |
//! |---|---|
//! | [`pods`] | pods that an API server accepts |
//! | [`requests`] | requests for secrets, and their annotations |
//! | [`settings`] | settings that validate, and some that do not |
//! | [`stores`] | what the stores hold for a pod's requests |
//! | [`text`] | JSON in spellings that no library writes |
//!
//! Knows what the policy's input looks like, and nothing of what the policy makes of it.

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

/// Everything that one answer of the policy depends on.
#[derive(Clone, Debug)]
pub struct Case {
    /// The pod, with its requests in its annotations.
    pub pod: Value,
    /// What the pod asks for, by annotation, in the order of their numbers.
    pub requests: Vec<(String, Request)>,
    /// The policy's settings.
    pub settings: Value,
    /// What the stores hold, for [`crate::host::Store`].
    pub store: Value,
    /// How the payload is written.
    pub style: Style,
}

impl Case {
    /// The payload of `validate`.
    pub fn payload(&self) -> String {
        self.payload_with(&self.style.write(&self.pod))
    }

    /// The same for another pod, as text.
    pub fn payload_with(&self, pod: &str) -> String {
        let mut request = crate::engine::creation(&self.pod);
        request["object"] = Value::String(text::HOLE.to_owned());
        let payload = serde_json::json!({ "request": request, "settings": self.settings });
        payload.to_string().replacen(&format!("\"{}\"", text::HOLE), pod, 1)
    }
}

/// A pod that asks for secrets, settings that validate, and a store.
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

/// Values of a strategy, the same for the same seed; without end.
pub fn draw<S: Strategy>(strategy: S, seed: u64) -> impl Iterator<Item = S::Value> {
    let config = Config { rng_seed: RngSeed::Fixed(seed), ..Config::default() };
    let mut runner = TestRunner::new(config);
    std::iter::from_fn(move || strategy.new_tree(&mut runner).ok().map(|tree| tree.current()))
}

/// One of a few texts.
fn of(texts: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop::sample::select(texts).prop_map(str::to_owned)
}

/// `true` once in a while.
fn rarely(times_in_a_hundred: u32) -> impl Strategy<Value = bool> {
    prop::bool::weighted(f64::from(times_in_a_hundred) / 100.0)
}

/// An object of the members that are there.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
