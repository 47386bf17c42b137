//! Prometheus metrics. Labels are kinds, configured places and outcomes: never names, users or values.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::names::Kind;

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl EncodeLabelValue for Kind {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        self.name().encode(encoder)
    }
}

/// Labels: a kind.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct ByKind {
    /// The kind.
    pub kind: Kind,
}

/// Labels: a kind and an outcome.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct ByOutcome {
    /// The kind.
    pub kind: Kind,
    /// One of a fixed set.
    pub outcome: &'static str,
}

/// Labels: a kind and the source of the response.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct BySource {
    /// The kind.
    pub kind: Kind,
    /// `cache`, `shared` or `provider`.
    pub source: &'static str,
}

/// Labels: a kind and a configured place.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct ByPlace {
    /// The kind.
    pub kind: Kind,
    /// The place.
    pub place: String,
}

/// Labels: a listener.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct ByListener {
    /// `api`, `pods` or `metrics`.
    pub listener: &'static str,
}

/// Labels: why a request is unauthenticated.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct ByReason {
    /// One of a fixed set.
    pub reason: &'static str,
}

/// Labels: a result.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct ByResult {
    /// One of a fixed set.
    pub result: &'static str,
}

/// Histogram buckets from a cached read to the timeout.
#[derive(Clone, Debug)]
pub struct Latency;

impl MetricConstructor<Histogram> for Latency {
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.2, 2.0])
    }
}

/// All metrics.
pub struct Metrics {
    registry: Registry,
    /// Reads answered.
    pub requests: Family<ByOutcome, Counter>,
    /// Duration of reads.
    pub request_seconds: Family<ByKind, Histogram, Latency>,
    /// Reads in flight.
    pub in_flight: Family<ByKind, Gauge>,
    /// Reads by source of the response.
    pub reads: Family<BySource, Counter>,
    /// Duration of provider calls, including retries.
    pub provider_seconds: Family<ByOutcome, Histogram, Latency>,
    /// Provider calls in flight.
    pub provider_in_flight: Family<ByKind, Gauge>,
    /// State of the circuit breaker: 0 closed, 1 half-open, 2 open.
    pub breaker: Family<ByPlace, Gauge>,
    /// Cache entries.
    pub cache_entries: Gauge,
    /// Size of the cache.
    pub cache_bytes: Gauge<u64, AtomicU64>,
    /// SubjectAccessReviews by result.
    pub reviews: Family<ByResult, Counter>,
    /// Unauthenticated requests.
    pub unauthenticated: Family<ByReason, Counter>,
    /// Audit lines lost, because standard output was too slow or failed.
    pub audit_lost: Counter,
    /// Bytes of audit lines waiting to be written.
    pub audit_queued_bytes: Gauge,
    /// Expiry of the serving certificate, in seconds since 1970.
    pub certificate_expiry: Gauge,
    /// Idle connections of unverified peers closed to make room.
    pub evictions: Family<ByListener, Counter>,
    /// Pulls answered.
    pub pulls: Family<ByResult, Counter>,
    /// Duration of pulls.
    pub pull_seconds: Histogram,
    /// Pulls in flight.
    pub pulls_in_flight: Gauge,
    /// Reloads of certificates and authorities: `unchanged`, `changed`, `failed`.
    pub reloads: Family<ByResult, Counter>,
}

impl Metrics {
    /// Returns all metrics at zero.
    pub fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("secret_gateway"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(Latency),
            in_flight: Family::default(),
            reads: Family::default(),
            provider_seconds: Family::new_with_constructor(Latency),
            provider_in_flight: Family::default(),
            breaker: Family::default(),
            cache_entries: Gauge::default(),
            cache_bytes: Gauge::default(),
            reviews: Family::default(),
            unauthenticated: Family::default(),
            audit_lost: Counter::default(),
            audit_queued_bytes: Gauge::default(),
            certificate_expiry: Gauge::default(),
            evictions: Family::default(),
            pulls: Family::default(),
            pull_seconds: Latency.new_metric(),
            pulls_in_flight: Gauge::default(),
            reloads: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Reads answered", metrics.requests.clone());
        registry.register("request_seconds", "Time until a read was answered", metrics.request_seconds.clone());
        registry.register("in_flight", "Reads in flight", metrics.in_flight.clone());
        registry.register("reads", "Reads by source of the answer", metrics.reads.clone());
        registry.register(
            "provider_seconds",
            "Time until a provider answered, including retries",
            metrics.provider_seconds.clone(),
        );
        registry.register("provider_in_flight", "Provider calls in flight", metrics.provider_in_flight.clone());
        registry.register(
            "breaker",
            "State of the circuit breaker: 0 closed, 1 half-open, 2 open",
            metrics.breaker.clone(),
        );
        registry.register("cache_entries", "Entries in the cache", metrics.cache_entries.clone());
        registry.register("cache_bytes", "Size of the cache in bytes", metrics.cache_bytes.clone());
        registry.register("access_reviews", "SubjectAccessReviews by result", metrics.reviews.clone());
        registry.register("unauthenticated", "Unauthenticated requests", metrics.unauthenticated.clone());
        registry.register("audit_lost", "Audit lines lost", metrics.audit_lost.clone());
        registry.register(
            "audit_queued_bytes",
            "Bytes of audit lines waiting to be written",
            metrics.audit_queued_bytes.clone(),
        );
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "Expiry of the serving certificate, in seconds since 1970",
            metrics.certificate_expiry.clone(),
        );
        registry.register(
            "connections_evicted",
            "Idle connections of unverified peers closed to make room",
            metrics.evictions.clone(),
        );
        registry.register("pulls", "Pulls answered", metrics.pulls.clone());
        registry.register("pull_seconds", "Time until a pull was answered", metrics.pull_seconds.clone());
        registry.register("pulls_in_flight", "Pulls in flight", metrics.pulls_in_flight.clone());
        registry.register("reloads", "Reloads of certificates and authorities by result", metrics.reloads.clone());
        Arc::new(metrics)
    }

    /// Returns the metrics in the text format of OpenMetrics.
    ///
    /// # Errors
    /// None when writing to a string.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut encoded = String::new();
        text::encode(&mut encoded, &self.registry)?;
        Ok(encoded)
    }
}

/// Increments a gauge while it lives.
pub struct InFlight(Gauge);

impl InFlight {
    /// Increments the gauge of a kind.
    pub fn enter(gauge: &Family<ByKind, Gauge>, kind: Kind) -> Self {
        let gauge = gauge.get_or_create_owned(&ByKind { kind });
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts a reload.
pub fn reloaded<E>(metrics: &Metrics, outcome: &Result<bool, E>) {
    let result = match outcome {
        Ok(true) => "changed",
        Ok(false) => "unchanged",
        Err(_) => "failed",
    };
    metrics.reloads.get_or_create(&ByResult { result }).inc();
}

/// Sets a gauge to an unsigned number.
pub fn set(gauge: &Gauge, number: u64) {
    gauge.inner().store(i64::try_from(number).unwrap_or(i64::MAX), Ordering::Relaxed);
}
