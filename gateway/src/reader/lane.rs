//! Calls to one region, project, vault or namespace: concurrency, timeout, retries and circuit breaker. One that hangs does
//! not block another.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use failsafe::failure_policy::{ConsecutiveFailures, consecutive_failures};
use failsafe::{Instrument, StateMachine, backoff};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Failed;
use crate::config;
use crate::metrics::{ByOutcome, ByPlace, InFlight, Metrics};
use crate::names::Kind;
use crate::provider::{Failure, Provider, Value};

/// First and longest backoff between retries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(200));

type Breaker = StateMachine<ConsecutiveFailures<backoff::Constant>, Light>;

pub(super) struct Lane {
    kind: Kind,
    place: String,
    provider: Arc<dyn Provider>,
    budget: Duration,
    retries: ExponentialBuilder,
    /// Permits of calls in flight and of waiting reads.
    entrance: Arc<Semaphore>,
    /// Permits of calls in flight.
    turns: Arc<Semaphore>,
    pause: Duration,
    breaker: Breaker,
    metrics: Arc<Metrics>,
}

/// A permit, held until all calls made with it have ended.
struct Turn(#[expect(dead_code, reason = "held")] [OwnedSemaphorePermit; 2]);

impl Lane {
    pub(super) fn new(
        (kind, place): (Kind, &str),
        provider: Arc<dyn Provider>,
        config: &config::Reads,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let config::Reads { timeout, retries, concurrency, queue, breaker } = config;
        let light = Light(metrics.breaker.get_or_create_owned(&ByPlace { kind, place: place.to_owned() }));
        let policy = consecutive_failures(breaker.failures, backoff::constant(breaker.pause));
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            kind,
            place: place.to_owned(),
            provider,
            budget: *timeout,
            retries: ExponentialBuilder::default()
                .with_jitter()
                .with_min_delay(PAUSES.0)
                .with_max_delay(PAUSES.1)
                .with_max_times(*retries),
            entrance: semaphore(concurrency.saturating_add(*queue)),
            turns: semaphore(*concurrency),
            pause: breaker.pause,
            breaker: StateMachine::new(policy, light),
            metrics: Arc::clone(metrics),
        }
    }

    /// Calls the provider within the timeout.
    pub(super) async fn fetch(&self, secret: &str) -> Result<Value, Failed> {
        let deadline = Instant::now() + self.budget;
        self.is_up()?;
        let turn = self.turn(deadline).await?;
        self.is_up()?;
        let outcome = self.ask(secret, turn, deadline).await;
        match &outcome {
            Err(Failed::Provider(failure)) if is_fault(failure) => self.breaker.on_error(),
            _ => self.breaker.on_success(),
        }
        outcome
    }

    fn is_up(&self) -> Result<(), Failed> {
        let down = || Failed::Down(self.pause.into());
        self.breaker.is_call_permitted().then_some(()).ok_or_else(down)
    }

    /// Waits for a permit, unless the queue is full.
    async fn turn(&self, deadline: Instant) -> Result<Arc<Turn>, Failed> {
        let entered = Arc::clone(&self.entrance).try_acquire_owned().map_err(|_| Failed::Busy)?;
        match timeout_at(deadline, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(Arc::new(Turn([entered, turn]))),
            _ => Err(Failed::Busy),
        }
    }

    async fn ask(&self, secret: &str, turn: Arc<Turn>, deadline: Instant) -> Result<Value, Failed> {
        let _in_flight = InFlight::enter(&self.metrics.provider_in_flight, self.kind);
        let start = Instant::now();
        let call = || self.call(secret, Arc::clone(&turn));
        let retried = call.retry(self.retries).when(may_pass).adjust(|failed, pause| {
            let pause = pause?.max(wanted_pause(failed));
            Instant::now().checked_add(pause).filter(|end| *end < deadline).map(|_| pause)
        });
        let outcome = timeout_at(deadline, retried).await.unwrap_or(Err(Failure::Slow.into()));
        let label = ByOutcome { kind: self.kind, outcome: outcome.as_ref().map_or_else(word, |_| "ok") };
        self.metrics.provider_seconds.get_or_create(&label).observe(start.elapsed().as_secs_f64());
        if let Err(Failed::Provider(failure)) = &outcome
            && is_noteworthy(failure)
        {
            tracing::warn!(kind = self.kind.name(), place = self.place, %failure, "provider call failed");
        }
        outcome
    }

    /// Makes one call, in a task that outlives the caller: it keeps its permit until it ends, and its connection or token
    /// serves the next call.
    async fn call(&self, secret: &str, turn: Arc<Turn>) -> Result<Value, Failed> {
        let (provider, place, secret) = (Arc::clone(&self.provider), self.place.clone(), secret.to_owned());
        let call = tokio::spawn(async move {
            let outcome = provider.fetch(&place, &secret).await;
            drop(turn);
            outcome
        });
        match call.await {
            Ok(outcome) => outcome.map_err(Failed::from),
            Err(error) => {
                tracing::error!(%error, "provider call panicked");
                Err(Failed::Broken)
            }
        }
    }
}

/// Returns whether a retry can succeed.
fn may_pass(failed: &Failed) -> bool {
    matches!(failed, Failed::Provider(Failure::Unreachable(_) | Failure::Throttled(_) | Failure::Conflict(_)))
}

fn wanted_pause(failed: &Failed) -> Duration {
    match failed {
        Failed::Provider(Failure::Throttled(Some(pause))) => *pause,
        _ => Duration::ZERO,
    }
}

/// Returns whether a failure counts for the circuit breaker. Any other response shows that the provider is up, whatever
/// is wrong with one secret.
fn is_fault(failure: &Failure) -> bool {
    matches!(failure, Failure::Unreachable(_) | Failure::Slow)
}

fn is_noteworthy(failure: &Failure) -> bool {
    !matches!(failure, Failure::NotFound | Failure::BadName(_))
}

fn word(failed: &Failed) -> &'static str {
    match failed {
        Failed::Provider(failure) => match failure {
            Failure::NotFound => "not_found",
            Failure::Forbidden(_) => "forbidden",
            Failure::Throttled(_) => "throttled",
            Failure::Unreachable(_) => "unreachable",
            Failure::Slow => "slow",
            Failure::BadName(_) => "bad_name",
            Failure::Conflict(_) => "conflict",
            Failure::Garbage(_) => "garbage",
        },
        _ => "broken",
    }
}

/// State of a circuit breaker as a metric.
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
