//! A provider in memory, which counts, stalls and fails as it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use secret_gateway::provider::{BoxFuture, Failure, Provider, Value};
use tokio::sync::watch;

/// What must appear nowhere but in an answer.
pub const CANARY: &str = "c4n4ry-\"value\"-7f3a";

/// An answer, and how long it takes.
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

/// Answers every name with [`CANARY`], until it is told otherwise.
pub struct Memory {
    inner: Mutex<Inner>,
    /// Whether it keeps what it was asked for.
    keeps_calls: bool,
    /// Whether it answers at all.
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
    /// One that does not keep what it was asked for, and needs no memory for it.
    pub fn forgetful() -> Self {
        Self { keeps_calls: false, ..Self::default() }
    }

    /// From now on answers a name, and the number of the call (from 0, of all calls), with this.
    pub fn behave(&self, behaviour: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) {
        self.inner.lock().unwrap().behaviour = Arc::new(behaviour);
    }

    /// From now on answers each call with this.
    pub fn answer(&self, after: Duration, outcome: Result<Value, Failure>) {
        self.behave(move |_, _| (after, outcome.clone()));
    }

    /// From now on fails at once.
    pub fn fail(&self, failure: Failure) {
        self.answer(Duration::ZERO, Err(failure));
    }

    /// From now on answers nothing, until it is told to again.
    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    /// Answers all that wait.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// How often it was asked.
    pub fn calls(&self) -> usize {
        self.inner.lock().unwrap().calls.len()
    }

    /// How many calls it had at once, at most.
    pub fn most_under_way(&self) -> usize {
        self.inner.lock().unwrap().most_under_way
    }

    /// What it was asked for.
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

/// A call, until it has really ended.
struct UnderWay<'a>(&'a Mutex<Inner>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().under_way -= 1;
    }
}
