//! A provider in memory, which counts calls, and can stall and fail.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use secret_gateway::provider::{BoxFuture, Failure, Provider, Value};
use tokio::sync::watch;

/// A value that may appear in responses only.
pub const CANARY: &str = "c4n4ry-\"value\"-7f3a";

/// A result with its delay.
pub type Reply = (Duration, Result<Value, Failure>);

type Behaviour = Arc<dyn Fn(&str, usize) -> Reply + Send + Sync>;

/// A value of text.
pub fn text(value: &str) -> Value {
    Value::Text(value.into())
}

struct Inner {
    behaviour: Behaviour,
    calls: Vec<(String, String)>,
    under_way: usize,
    most_under_way: usize,
}

/// A provider that returns [`CANARY`] for every name by default.
pub struct Memory {
    inner: Mutex<Inner>,
    /// Whether it records lookups.
    keeps_calls: bool,
    /// Whether it answers.
    open: watch::Sender<bool>,
}

impl Default for Memory {
    fn default() -> Self {
        let behaviour = Arc::new(|_: &str, _: usize| (Duration::ZERO, Ok(text(CANARY))));
        let inner = Inner { behaviour, calls: Vec::new(), under_way: 0, most_under_way: 0 };
        Self { inner: Mutex::new(inner), keeps_calls: true, open: watch::Sender::new(true) }
    }
}

impl Memory {
    /// Returns a provider that does not record lookups.
    pub fn forgetful() -> Self {
        Self { keeps_calls: false, ..Self::default() }
    }

    /// Sets the answers by name and by number of the call, from 0.
    pub fn behave(&self, behaviour: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) {
        self.inner.lock().unwrap().behaviour = Arc::new(behaviour);
    }

    /// Sets the answer to all calls.
    pub fn answer(&self, after: Duration, outcome: Result<Value, Failure>) {
        self.behave(move |_, _| (after, outcome.clone()));
    }

    /// Sets a failure for all calls.
    pub fn fail(&self, failure: Failure) {
        self.answer(Duration::ZERO, Err(failure));
    }

    /// Holds all calls until [`Memory::release`].
    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    /// Answers held calls.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// Returns the number of calls.
    pub fn calls(&self) -> usize {
        self.inner.lock().unwrap().calls.len()
    }

    /// Returns the maximum number of concurrent calls.
    pub fn most_under_way(&self) -> usize {
        self.inner.lock().unwrap().most_under_way
    }

    /// Returns the lookups: place and name.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.inner.lock().unwrap().calls.clone()
    }
}

impl Provider for Memory {
    fn fetch<'a>(&'a self, place: &'a str, name: &'a str) -> BoxFuture<'a, Result<Value, Failure>> {
        let (after, outcome) = {
            let mut inner = self.inner.lock().unwrap();
            let number = inner.calls.len();
            if self.keeps_calls {
                inner.calls.push((place.to_owned(), name.to_owned()));
            }
            inner.under_way += 1;
            inner.most_under_way = inner.most_under_way.max(inner.under_way);
            (inner.behaviour)(name, number)
        };
        let under_way = UnderWay(&self.inner);
        Box::pin(async move {
            let _under_way = under_way;
            self.open.subscribe().wait_for(|open| *open).await.expect("an open provider");
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            outcome
        })
    }
}

/// A call in flight.
struct UnderWay<'a>(&'a Mutex<Inner>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().under_way -= 1;
    }
}
