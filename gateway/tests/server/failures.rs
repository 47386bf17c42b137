//! Each way in which a provider fails, with the Status that callers get.

use super::*;

#[tokio::test]
async fn provider_failures_map_to_status() {
    let kit = Kit::start("reads: { retries: 0, breaker: { failures: 100 } }").await;
    let throttled = "throttled by the provider; retry later";
    let unavailable = "ServiceUnavailable";
    let of = |name: &str| format!("awssecrets.secret-gateway.flyte.org \"us-east-2:u__org__{name}\"");
    let missing = format!("{} not found", of("0"));
    let denied = format!("{} is forbidden: access denied by the provider: secretsmanager:GetSecretValue", of("1"));
    let modified = "secret is being modified: Conflict (status 409); retry later";
    let garbage = "unexpected response from the provider: bad CRC32C";
    let table = [
        (Failure::NotFound, (404, "NotFound", &*missing), None),
        (Failure::Forbidden("secretsmanager:GetSecretValue".into()), (403, "Forbidden", &denied), None),
        (Failure::Throttled(Some(Duration::from_millis(2500))), (429, "TooManyRequests", throttled), Some(3)),
        (Failure::Throttled(Some(Duration::MAX)), (429, "TooManyRequests", throttled), Some(60)),
        (Failure::Throttled(None), (429, "TooManyRequests", throttled), Some(1)),
        (Failure::Unreachable("refused".into()), (503, unavailable, "provider unavailable: refused"), None),
        (Failure::Conflict("Conflict (status 409)".into()), (503, unavailable, modified), Some(1)),
        (Failure::Slow, (504, "Timeout", "timed out waiting for the provider"), None),
        (Failure::BadName("no slashes".into()), (400, "BadRequest", "name rejected by the provider: no slashes"), None),
        (Failure::Garbage("bad CRC32C".into()), (503, unavailable, garbage), None),
    ];
    for (number, (failure, (code, reason, message), after)) in table.into_iter().enumerate() {
        kit.memory.fail(failure);
        let name = number.to_string();
        let details = after.map_or_else(|| of_aws(&name), |seconds| retry(of_aws(&name), seconds));
        kit.get(&aws(&name)).await.is_failure(code, reason, message, &details);
    }
}

#[tokio::test]
async fn hanging_provider_returns_504_within_the_timeout() {
    let kit = Kit::start("reads: { timeout: 300ms }").await;
    kit.memory.delay(Duration::from_secs(60));
    let start = Instant::now();
    let answer = kit.get(&aws("key")).await;
    let took = start.elapsed();
    answer.is_failure(504, "Timeout", "timed out waiting for the provider", &of_aws("key"));
    assert!((300..1000).contains(&took.as_millis()), "{took:?}");
    kit.memory.delay(Duration::ZERO);
    assert_eq!(kit.get(&aws("key")).await.status, 200);
}

#[tokio::test]
async fn unreachable_provider_is_retried() {
    let kit = Kit::start("").await;
    kit.memory.behave(|_, call| match call {
        0 | 1 => Err(Failure::Unreachable("reset".into())),
        2 => Err(Failure::Throttled(Some(Duration::from_millis(50)))),
        _ => text("here"),
    });
    assert_eq!(kit.get(&aws("key")).await.json()["stringValue"], "here");
    assert_eq!(kit.memory.calls(), 4);
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    let kit = Kit::start("reads: { breaker: { failures: 100 } }").await;
    let failures = [
        Failure::NotFound,
        Failure::Forbidden(String::new()),
        Failure::BadName(String::new()),
        Failure::Garbage(String::new()),
        // Longer than the budget.
        Failure::Throttled(Some(Duration::from_secs(30))),
    ];
    for (number, failure) in failures.into_iter().enumerate() {
        kit.memory.fail(failure.clone());
        let start = Instant::now();
        assert_ne!(kit.get(&aws(&number.to_string())).await.status, 200);
        assert_eq!(kit.memory.calls(), number + 1, "{failure}");
        assert!(start.elapsed() < Duration::from_millis(1000), "{failure}: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn retries_end_with_the_timeout() {
    let kit = Kit::start("reads: { timeout: 400ms, retries: 1000, breaker: { failures: 100 } }").await;
    kit.memory.fail(Failure::Unreachable("down".into()));
    let start = Instant::now();
    assert_eq!(kit.get(&aws("key")).await.status, 503);
    assert!(start.elapsed() < Duration::from_millis(1000), "{:?}", start.elapsed());
    assert!((2..10).contains(&kit.memory.calls()), "{}", kit.memory.calls());
}
