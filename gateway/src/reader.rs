//! Reads a secret: from memory if it is there and fresh, else from its provider, and once for all who wait for it.
//!
//! Knows neither HTTP nor who asks. What a provider may cost is the business of `reader::lane`.

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

/// What an entry weighs beside its name and value: keys, pointers, the cache's own lists.
const OVERHEAD: usize = 512;

/// How often the cache looks for what has expired when nobody reads.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Why there is no value.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failed {
    /// In the provider's words.
    #[error(transparent)]
    Provider(#[from] Failure),
    /// Too many reads of the provider at once.
    #[error("too many concurrent reads of this provider; retry later")]
    Busy,
    /// The place has failed repeatedly.
    #[error("circuit breaker open after repeated failures; retrying in {0}")]
    Down(humantime::Duration),
    /// Nothing is configured for the kind or the place.
    #[error("no provider configured for this name")]
    Unserved,
    /// A defect of the gateway.
    #[error("internal error; see the gateway's log")]
    Broken,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// It was remembered.
    Cache,
    /// Another request had asked the provider already.
    Shared,
    /// The provider was asked, or would have been.
    Provider,
}

impl Source {
    /// In one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Shared => "shared",
            Self::Provider => "provider",
        }
    }
}

/// An answer.
pub struct Read {
    /// The value, or why there is none.
    pub outcome: Result<Arc<Value>, Failed>,
    /// Where it came from.
    pub source: Source,
}

/// What is remembered: failures other than "no such secret" are not.
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

/// Reads secrets. Clones are handles to the same one.
#[derive(Clone)]
pub struct Reader {
    cache: Cache<Name, Entry>,
    /// By kind and place.
    lanes: Arc<HashMap<Kind, HashMap<String, Lane>>>,
    metrics: Arc<Metrics>,
}

impl Reader {
    /// A reader with nothing in memory.
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

    /// Reads a secret. If the caller goes away, those who wait for the same secret still get it.
    pub async fn read(&self, name: &Name) -> Read {
        let (outcome, source) = match self.cache.get(name).await {
            Some(entry) => (entry.open(), Source::Cache),
            None => self.join(name.clone()).await,
        };
        self.metrics.reads.get_or_create(&BySource { kind: name.kind, source: source.word() }).inc();
        Read { outcome, source }
    }

    /// Asks the provider, or waits for who asks already, in a task of its own that outlives the caller.
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

    /// Drops, and thereby wipes, what has expired, also when nobody reads. Never ends.
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

/// Bounded in bytes by weight, and in entries by the least weight that each has.
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
