//! Reads a secret from the cache, or from its provider with one call for all concurrent readers.
//!
//! Knows neither HTTP nor callers. Timeouts, retries and limits are in `reader::lane`.

mod lane;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use crate::config::{self, Config};
use crate::metrics::{self, BySource, Metrics};
use crate::names::{Kind, Name};
use crate::provider::{Failure, Provider, Value};
use lane::Lane;

/// Overhead of a cache entry in bytes: keys, pointers, the cache's own lists.
const OVERHEAD: usize = 512;

/// Interval at which expired entries are evicted without reads.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Why a read failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failed {
    /// The provider call failed.
    #[error(transparent)]
    Provider(#[from] Failure),
    /// Too many concurrent reads.
    #[error("too many concurrent reads of this provider; retry later")]
    Busy,
    /// The circuit breaker is open.
    #[error("circuit breaker open after repeated failures; retrying in {0}")]
    Down(humantime::Duration),
    /// No provider is configured for the kind or the place.
    #[error("no provider configured for this name")]
    Unserved,
    /// A bug in the gateway.
    #[error("internal error; see the gateway's log")]
    Broken,
}

/// Source of a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The cache.
    Cache,
    /// A concurrent request's provider call.
    Shared,
    /// A provider call.
    Provider,
}

impl Source {
    /// Returns the name in metrics and audit lines.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Shared => "shared",
            Self::Provider => "provider",
        }
    }
}

/// Result of a read.
pub struct Read {
    /// The value, or why there is none.
    pub outcome: Result<Arc<Value>, Failed>,
    /// Its source.
    pub source: Source,
}

/// A cache entry. Failures other than "not found" are not cached.
#[derive(Clone)]
enum Entry {
    Value(Arc<Value>),
    Missing,
}

impl Entry {
    fn open(self) -> Result<Arc<Value>, Failed> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Missing => Err(Failure::NotFound.into()),
        }
    }
}

struct Lifetime {
    value: Duration,
    missing: Duration,
}

impl Expiry<Name, Entry> for Lifetime {
    fn expire_after_create(&self, _: &Name, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(match entry {
            Entry::Value(_) => self.value,
            Entry::Missing => self.missing,
        })
    }
}

/// Reads secrets. Clones share the cache.
#[derive(Clone)]
pub struct Reader {
    cache: Cache<Name, Entry>,
    /// By kind and place.
    lanes: Arc<HashMap<Kind, HashMap<String, Lane>>>,
    metrics: Arc<Metrics>,
}

impl Reader {
    /// Returns a reader with an empty cache.
    pub fn new(config: &Config, providers: HashMap<Kind, Arc<dyn Provider>>, metrics: Arc<Metrics>) -> Self {
        let lanes = |(kind, provider): (Kind, Arc<dyn Provider>)| {
            let lane = |place: &String| {
                let lane = Lane::new((kind, place), Arc::clone(&provider), &config.reads, &metrics);
                (place.clone(), lane)
            };
            (kind, config.providers.places(kind).iter().map(lane).collect())
        };
        let lanes = Arc::new(providers.into_iter().map(lanes).collect());
        Self { cache: cache(&config.cache), lanes, metrics }
    }

    /// Reads a secret. Concurrent readers of the same secret share the call, also when the first one is canceled.
    pub async fn read(&self, name: &Name) -> Read {
        let (outcome, source) = match self.cache.get(name).await {
            Some(entry) => (entry.open(), Source::Cache),
            None => self.join(name.clone()).await,
        };
        self.metrics.reads.get_or_create(&BySource { kind: name.kind, source: source.word() }).inc();
        Read { outcome, source }
    }

    /// Calls the provider or joins a call in flight, in a task that outlives the caller.
    async fn join(&self, name: Name) -> (Result<Arc<Value>, Failed>, Source) {
        let reader = self.clone();
        let task = tokio::spawn(async move {
            let mut source = Source::Shared;
            let init = async {
                source = Source::Provider;
                reader.fetch(&name).await
            };
            let outcome = reader.cache.try_get_with_by_ref(&name, init).await;
            (outcome.map_err(|failed| Failed::clone(&failed)).and_then(Entry::open), source)
        });
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "read panicked");
            (Err(Failed::Broken), Source::Provider)
        })
    }

    async fn fetch(&self, name: &Name) -> Result<Entry, Failed> {
        let lane = self.lanes.get(&name.kind).and_then(|lanes| lanes.get(&name.place)).ok_or(Failed::Unserved)?;
        match lane.fetch(&name.secret).await {
            Ok(value) => Ok(Entry::Value(Arc::new(value))),
            Err(Failed::Provider(Failure::NotFound)) => Ok(Entry::Missing),
            Err(failed) => Err(failed),
        }
    }

    /// Evicts expired entries, which wipes them, until it is canceled.
    pub async fn keep_house(self) {
        let mut clock = tokio::time::interval(HOUSEKEEPING);
        loop {
            clock.tick().await;
            self.cache.run_pending_tasks().await;
            metrics::set(&self.metrics.cache_entries, self.cache.entry_count());
            self.metrics.cache_bytes.set(self.cache.weighted_size());
        }
    }
}

/// Returns a cache bounded in bytes by weight, and in entries by a minimum weight.
fn cache(config: &config::Cache) -> Cache<Name, Entry> {
    let least = u32::try_from(config.max_bytes / config.max_entries).unwrap_or(u32::MAX);
    let weigh = move |name: &Name, entry: &Entry| {
        let value = match entry {
            Entry::Value(value) => value.len(),
            Entry::Missing => 0,
        };
        let bytes = OVERHEAD + name.place.len() + name.secret.len() + value;
        u32::try_from(bytes).unwrap_or(u32::MAX).max(least)
    };
    Cache::builder()
        .max_capacity(config.max_bytes)
        .weigher(weigh)
        .eviction_policy(EvictionPolicy::lru())
        .expire_after(Lifetime { value: config.ttl, missing: config.negative_ttl })
        .build()
}
