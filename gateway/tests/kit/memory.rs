//! A provider in memory, which counts calls, and can stall and fail.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use secret_gateway::provider::{BoxFuture, Failure, Provider, Value};
use tokio::sync::watch;

/// A value that may appear in responses only.
pub const CANARY: &str = "c4n4ry-\"value\"-7f3a";

/// The result of a call.
pub type Reply = Result<Value, Failure>;

/// Returns a value of text.
pub fn text(value: &str) -> Reply {
    Ok(Value::Text(value.into()))
}

type Behaviour = Arc<dyn Fn(&str, usize) -> Reply + Send + Sync>;

struct Inner {
    behaviour: Behaviour,
    delay: Duration,
    calls: Vec<(String, String)>,
    /// Held by each call that is under way.
    under_way: Arc<()>,
    most_under_way: usize,
}

/// A provider that returns [`CANARY`] for every name by default.
pub struct Memory {
    inner: Mutex<Inner>,
    /// Whether it answers.
    open: watch::Sender<bool>,
}

impl Default for Memory {
    fn default() -> Self {
        let inner = Inner {
            behaviour: Arc::new(|_, _| text(CANARY)),
            delay: Duration::ZERO,
            calls: Vec::new(),
            under_way: Arc::new(()),
            most_under_way: 0,
        };
        Self { inner: Mutex::new(inner), open: watch::Sender::new(true) }
    }
}

impl Memory {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Sets the answers by name and by number of the call, from 0.
    pub fn behave(&self, behaviour: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) {
        self.inner().behaviour = Arc::new(behaviour);
    }

    /// Sets the answer to all calls.
    pub fn answer(&self, reply: Reply) {
        self.behave(move |_, _| reply.clone());
    }

    /// Sets a failure for all calls.
    pub fn fail(&self, failure: Failure) {
        self.answer(Err(failure));
    }

    /// Sets the duration of all calls.
    pub fn delay(&self, delay: Duration) {
        self.inner().delay = delay;
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
        self.inner().calls.len()
    }

    /// Returns the maximum number of concurrent calls.
    pub fn most_under_way(&self) -> usize {
        self.inner().most_under_way
    }

    /// Returns the lookups: place and name.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.inner().calls.clone()
    }
}

impl Provider for Memory {
    fn fetch<'a>(&'a self, place: &'a str, name: &'a str) -> BoxFuture<'a, Reply> {
        let mut inner = self.inner();
        let (reply, delay) = ((inner.behaviour)(name, inner.calls.len()), inner.delay);
        inner.calls.push((place.to_owned(), name.to_owned()));
        let under_way = Arc::clone(&inner.under_way);
        inner.most_under_way = inner.most_under_way.max(Arc::strong_count(&under_way) - 1);
        Box::pin(async move {
            let _under_way = under_way;
            self.open.subscribe().wait_for(|open| *open).await.expect("an open provider");
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            reply
        })
    }
}
