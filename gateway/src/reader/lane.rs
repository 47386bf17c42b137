//! The way to one provider: how many may be on it, how long each may take, what is tried again, and when a place is
//! left alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use failsafe::failure_policy::{ConsecutiveFailures, consecutive_failures};
use failsafe::{Instrument, StateMachine, backoff};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::Failed;
use crate::config::{self, Config};
use crate::metrics::{ByOutcome, ByPlace, InFlight, Metrics};
use crate::names::{Kind, Name};
use crate::provider::{Failure, Provider, Value};

/// The first pause before a provider is asked again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(200));

type Breaker = StateMachine<ConsecutiveFailures<backoff::Constant>, Light>;

pub(super) struct Lane {
    kind: Kind,
    provider: Arc<dyn Provider>,
    budget: Duration,
    retries: ExponentialBuilder,
    /// Those who are asking or wait for their turn.
    entrance: Semaphore,
    /// Those who are asking.
    turns: Semaphore,
    pause: Duration,
    breakers: HashMap<String, Breaker>,
    metrics: Arc<Metrics>,
}

impl Lane {
    pub(super) fn new(kind: Kind, provider: Arc<dyn Provider>, config: &Config, metrics: &Arc<Metrics>) -> Self {
        let config::Reads { timeout, retries, concurrency, queue, breaker } = &config.reads;
        let places = config.providers.places(kind).iter();
        let breaker_of = |place: &String| {
            let light = Light(metrics.breaker.get_or_create_owned(&ByPlace { kind, place: place.clone() }));
            let policy = consecutive_failures(breaker.failures, backoff::constant(breaker.pause));
            (place.clone(), StateMachine::new(policy, light))
        };
        Self {
            kind,
            provider,
            budget: *timeout,
            retries: ExponentialBuilder::default()
                .with_jitter()
                .with_min_delay(PAUSES.0)
                .with_max_delay(PAUSES.1)
                .with_max_times(*retries),
            entrance: Semaphore::new(concurrency.saturating_add(*queue).min(Semaphore::MAX_PERMITS)),
            turns: Semaphore::new((*concurrency).min(Semaphore::MAX_PERMITS)),
            pause: breaker.pause,
            breakers: places.map(breaker_of).collect(),
            metrics: Arc::clone(metrics),
        }
    }

    /// Asks the provider within the budget.
    pub(super) async fn fetch(&self, name: &Name) -> Result<Value, Failed> {
        let deadline = Instant::now() + self.budget;
        let breaker = self.breakers.get(&name.place).ok_or(Failed::Unserved)?;
        let _turns = self.turn(deadline).await?;
        if !breaker.is_call_permitted() {
            return Err(Failed::Down { place: self.kind.place(), pause: self.pause });
        }
        let outcome = self.ask(name, deadline).await;
        match &outcome {
            Err(failure) if is_fault(failure) => breaker.on_error(),
            _ => breaker.on_success(),
        }
        Ok(outcome?)
    }

    /// Waits for a turn, if there is a place to wait.
    async fn turn(&self, deadline: Instant) -> Result<[SemaphorePermit<'_>; 2], Failed> {
        let entered = self.entrance.try_acquire().map_err(|_| Failed::Busy)?;
        match timeout_at(deadline, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok([entered, turn]),
            _ => Err(Failed::Busy),
        }
    }

    async fn ask(&self, name: &Name, deadline: Instant) -> Result<Value, Failure> {
        let _in_flight = InFlight::enter(&self.metrics.provider_in_flight, self.kind);
        let start = Instant::now();
        let fetch = || self.provider.fetch(&name.place, &name.secret);
        let retried = fetch.retry(self.retries).when(may_pass).adjust(|failure, pause| {
            let pause = pause?.max(wanted_pause(failure));
            (Instant::now() + pause < deadline).then_some(pause)
        });
        let outcome = timeout_at(deadline, retried).await.unwrap_or(Err(Failure::Slow));
        let label = ByOutcome { kind: self.kind, outcome: outcome.as_ref().map_or_else(word, |_| "ok") };
        self.metrics.provider_seconds.get_or_create(&label).observe(start.elapsed().as_secs_f64());
        if let Err(failure) = &outcome
            && is_noteworthy(failure)
        {
            tracing::warn!(kind = self.kind.name(), place = name.place, %failure, "a provider has failed");
        }
        outcome
    }
}

/// Whether asking again can help.
fn may_pass(failure: &Failure) -> bool {
    matches!(failure, Failure::Unreachable(_) | Failure::Throttled(_))
}

fn wanted_pause(failure: &Failure) -> Duration {
    match failure {
        Failure::Throttled(Some(pause)) => *pause,
        _ => Duration::ZERO,
    }
}

/// Whether it is the place that fails, and not this one read.
fn is_fault(failure: &Failure) -> bool {
    matches!(failure, Failure::Unreachable(_) | Failure::Slow | Failure::Garbage(_))
}

fn is_noteworthy(failure: &Failure) -> bool {
    !matches!(failure, Failure::NotFound | Failure::BadName(_))
}

fn word(failure: &Failure) -> &'static str {
    match failure {
        Failure::NotFound => "not_found",
        Failure::Forbidden(_) => "forbidden",
        Failure::Throttled(_) => "throttled",
        Failure::Unreachable(_) => "unreachable",
        Failure::Slow => "slow",
        Failure::BadName(_) => "bad_name",
        Failure::Garbage(_) => "garbage",
    }
}

/// A breaker's state as a metric.
struct Light(Gauge);

impl Instrument for Light {
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        self.0.set(2);
    }

    fn on_half_open(&self) {
        self.0.set(1);
    }

    fn on_closed(&self) {
        self.0.set(0);
    }
}
