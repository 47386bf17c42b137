//! Cache, shared calls, limits and circuit breakers: how often the provider is called.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::*;
use crate::kit::memory::Reply;

/// Times that hold on a machine under load.
const PATIENT: &str = "access: { timeout: 60s }\nreads: { timeout: 60s, concurrency: 64 }";

/// Starts reads of names of AWS on several connections.
async fn start_all(kit: &Kit, names: impl Iterator<Item = usize>) -> JoinSet<u16> {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(kit.client().await);
    }
    names
        .zip(clients.iter().cycle())
        .map(|(name, client)| {
            let client = client.clone();
            async move { client.get(&aws(&name.to_string())).await.status }
        })
        .collect()
}

/// Counts their statuses.
async fn counted(reads: JoinSet<u16>) -> BTreeMap<u16, usize> {
    reads.join_all().await.into_iter().fold(BTreeMap::new(), |mut counts, status| {
        *counts.entry(status).or_default() += 1;
        counts
    })
}

/// Reads one name two thousand times concurrently, before the provider answers, which then it does once.
async fn two_thousand_reads_are_one_call(reply: Reply, status: u16) {
    let kit = Kit::start(PATIENT).await;
    kit.memory.answer(reply);
    kit.memory.hold();
    let reads = start_all(&kit, [0; 2000].into_iter()).await;
    let in_flight = "secret_gateway_in_flight{kind=\"AWSSecret\"}";
    eventually(async || kit.metric(in_flight).await == Some(2000.0)).await;
    eventually(async || kit.memory.calls() > 0).await;
    // Those who came last are on their way from the review to the cache.
    tokio::time::sleep(Duration::from_millis(500)).await;
    kit.memory.release();
    assert_eq!((counted(reads).await, kit.memory.calls()), (BTreeMap::from([(status, 2000)]), 1));
    assert_eq!(kit.cluster.reviews().len(), 1);
    let calls = "secret_gateway_reads_total{kind=\"AWSSecret\",source=\"provider\"}";
    assert_eq!(kit.metric(calls).await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_reads_share_one_provider_call() {
    two_thousand_reads_are_one_call(text(CANARY), 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_reads_share_one_failure() {
    two_thousand_reads_are_one_call(Err(Failure::Forbidden("it".into())), 403).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provider_calls_stay_within_concurrency() {
    let kit = Kit::start(PATIENT).await;
    kit.memory.delay(Duration::from_millis(5));
    let outcomes = counted(start_all(&kit, (0..2000).map(|number| number % 500)).await).await;
    assert_eq!((outcomes, kit.memory.calls()), (BTreeMap::from([(200, 2000)]), 500));
    assert!((2..=64).contains(&kit.memory.most_under_way()), "{}", kit.memory.most_under_way());
}

#[tokio::test]
async fn values_are_cached_for_their_ttl() {
    let kit = Kit::start("cache: { ttl: 400ms }").await;
    kit.memory.behave(|_, call| text(&format!("version {call}")));
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let asked = Instant::now();
        let version = kit.get(&aws("key")).await.json()["stringValue"].as_str().unwrap().to_owned();
        if seen.last().is_none_or(|(last, _)| *last != version) {
            seen.push((version, asked));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let versions: Vec<_> = seen.iter().map(|(version, _)| version.as_str()).collect();
    assert_eq!(versions, ["version 0", "version 1", "version 2"]);
    assert_eq!(kit.memory.calls(), 3);
    let pauses = seen.windows(2).map(|pair| pair[1].1 - pair[0].1);
    assert!(pauses.into_iter().all(|pause| pause >= Duration::from_millis(380)), "asked before its time: {seen:?}");
}

#[tokio::test]
async fn expired_values_are_not_served_during_outages() {
    let kit = Kit::start("cache: { ttl: 200ms }").await;
    assert_eq!(kit.get(&aws("key")).await.status, 200);
    kit.memory.fail(Failure::Unreachable("down".into()));
    assert_eq!(kit.get(&aws("key")).await.status, 200);
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(kit.get(&aws("key")).await.status, 503);
}

#[tokio::test]
async fn not_found_is_cached_for_the_negative_ttl() {
    let kit = Kit::start("cache: { negativeTtl: 200ms }").await;
    kit.memory.fail(Failure::NotFound);
    for _ in 0..3 {
        assert_eq!(kit.get(&aws("key")).await.status, 404);
    }
    assert_eq!(kit.memory.calls(), 1);
    kit.memory.answer(text("new"));
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(kit.get(&aws("key")).await.json()["stringValue"], "new");
    assert_eq!(kit.memory.calls(), 2);
}

/// Nor are they cached, and neither are failures of the place.
#[tokio::test]
async fn failures_of_one_secret_do_not_open_the_breaker() {
    let kit = Kit::start("cache: { negativeTtl: 0s }\nreads: { retries: 0, breaker: { failures: 3 } }").await;
    let of_one_secret = [
        Failure::Garbage(String::new()),
        Failure::Conflict(String::new()),
        Failure::NotFound,
        Failure::Forbidden(String::new()),
        Failure::Throttled(None),
        Failure::BadName(String::new()),
    ];
    let failures = of_one_secret.into_iter().flat_map(|failure| std::iter::repeat_n(failure, 5));
    let failures = failures.chain([Failure::Unreachable(String::new()), Failure::Slow]);
    for (number, failure) in failures.enumerate() {
        kit.memory.fail(failure);
        assert_ne!(kit.get(&aws("key")).await.status, 200);
        assert_eq!(kit.memory.calls(), number + 1);
    }
    kit.memory.answer(text("here"));
    assert_eq!(kit.get(&aws("key")).await.status, 200);
}

#[tokio::test]
async fn cache_is_bounded_in_entries_and_bytes() {
    let value = "v".repeat(10_000);
    let table = [("cache: { maxEntries: 10 }", "v", 10.0), ("cache: { maxBytes: 100000 }", value.as_str(), 9.0)];
    for (lines, value, most) in table {
        let kit = Kit::start(lines).await;
        kit.memory.answer(text(value));
        for number in 0..100 {
            assert_eq!(kit.get(&aws(&number.to_string())).await.status, 200);
        }
        let entries = async || kit.metric("secret_gateway_cache_entries").await.unwrap();
        eventually(async || (1.0..=most).contains(&entries().await)).await;
        // The latest are those that are kept.
        assert_eq!(kit.get(&aws("99")).await.status, 200);
        assert_eq!(kit.memory.calls(), 100);
    }
}

#[tokio::test]
async fn canceled_reads_do_not_cancel_shared_calls() {
    let kit = Kit::start("").await;
    kit.memory.delay(Duration::from_millis(400));
    let (leaving, client) = (kit.asking(&aws("key")).await, kit.client().await);
    let staying = tokio::spawn(async move { client.get(&aws("key")).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    assert_eq!(staying.await.unwrap().json()["stringValue"], CANARY);
    assert_eq!(kit.memory.calls(), 1);
    let outcomes: Vec<_> = kit.audit().await.iter().map(|line| json!([line["outcome"], line["code"]])).collect();
    assert_eq!(outcomes, [json!(["Canceled", 499]), json!(["ok", 200])]);
}

#[tokio::test]
async fn canceled_reads_still_fill_the_cache() {
    let kit = Kit::start("").await;
    kit.memory.delay(Duration::from_millis(200));
    let leaving = kit.asking(&aws("key")).await;
    leaving.abort();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(kit.get(&aws("key")).await.json()["stringValue"], CANARY);
    assert_eq!(kit.memory.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_beyond_the_queue_get_429() {
    let kit = Kit::start("reads: { concurrency: 2, queue: 3, timeout: 5s }").await;
    kit.memory.delay(Duration::from_millis(500));
    let outcomes = counted(start_all(&kit, 0..20).await).await;
    assert_eq!((outcomes, kit.memory.calls()), (BTreeMap::from([(200, 5), (429, 15)]), 5));

    // With nobody under way there is room again; other kinds had it all the time.
    assert_eq!(kit.get(&aws("0")).await.status, 200);
}

#[tokio::test]
async fn breaker_opens_after_repeated_failures_and_recovers() {
    let kit = Kit::start("reads: { retries: 0, breaker: { failures: 3, pause: 400ms } }").await;
    let breaker = async || kit.metric("secret_gateway_breaker{kind=\"AWSSecret\",place=\"us-east-2\"}").await;
    kit.memory.fail(Failure::Unreachable("down".into()));
    assert_eq!(breaker().await, Some(0.0));
    for _ in 0..3 {
        assert_eq!(kit.get(&aws("key")).await.status, 503);
    }
    assert_eq!(breaker().await, Some(2.0));
    let answer = kit.get(&aws("key")).await;
    let message = "circuit breaker open after repeated failures; retrying in 400ms";
    answer.is_failure(503, "ServiceUnavailable", message, &retry(of_aws("key"), 1));
    assert_eq!(kit.memory.calls(), 3);
    let elsewhere = kit.get(&path("awssecrets", "eu-west-1:u__org__key")).await;
    assert_eq!(elsewhere.json()["message"], "provider unavailable: down");
    assert_eq!(kit.memory.calls(), 4, "another region is asked");

    // Still down: one failure is enough for the next pause.
    tokio::time::sleep(Duration::from_millis(450)).await;
    for _ in 0..3 {
        assert_eq!(kit.get(&aws("key")).await.status, 503);
    }
    assert_eq!(kit.memory.calls(), 5);
    assert_eq!(breaker().await, Some(2.0));

    kit.memory.answer(text("up"));
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(kit.get(&aws("key")).await.json()["stringValue"], "up");
    assert_eq!(breaker().await, Some(0.0));
}

#[tokio::test]
async fn hanging_region_does_not_block_another() {
    let kit = Kit::start("reads: { concurrency: 1, queue: 0, timeout: 5s }").await;
    kit.memory.hold();
    let hanging = kit.asking(&aws("key")).await;
    let start = Instant::now();
    let answer = kit.get(&aws("two")).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let message = "too many concurrent reads of this provider; retry later";
    answer.is_failure(429, "TooManyRequests", message, &retry(of_aws("two"), 1));
    let region = kit.asking(&path("awssecrets", "eu-west-1:u__org__key")).await;
    let provider = kit.asking(&path("gcpsecrets", "flyte:u__org__key")).await;
    kit.memory.release();
    for read in [hanging, region, provider] {
        assert_eq!(read.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn abandoned_calls_stay_within_concurrency() {
    let kit = Kit::start("reads: { timeout: 100ms, concurrency: 2, retries: 0, breaker: { failures: 1000 } }").await;
    kit.memory.hold();
    for number in 0..10 {
        assert_ne!(kit.get(&aws(&number.to_string())).await.status, 200);
    }
    assert_eq!(kit.memory.most_under_way(), 2);
}
