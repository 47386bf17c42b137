//! Certificates that change, what operators see, and the end.

use std::collections::BTreeSet;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::*;
use crate::kit::authority::Identity;
use crate::kit::client::handshake;
use crate::kit::read_lines;

#[tokio::test]
async fn serving_certificate_is_reloaded() {
    let kit = Kit::start("").await;
    let shown = async || {
        let stream = handshake(kit.address(), &kit.server_authority, None, b"h2", rustls::ALL_VERSIONS).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let expiry = async || kit.metric("secret_gateway_certificate_expiry_timestamp_seconds").await;
    let before = kit.client().await;
    // The year 4096, and then 2050.
    assert_eq!(expiry().await, Some(67_090_118_400.0));
    let new = kit.server_authority.server_until("localhost", 2050);
    let wanted = CertificateDer::from_pem_slice(new.certificate.as_bytes()).unwrap();
    assert_ne!(shown().await, wanted);
    kit.replace_certificate(&new);
    eventually(async || shown().await == wanted).await;
    eventually(async || expiry().await == Some(2_524_608_000.0)).await;
    assert_eq!(before.get(&aws("key")).await.status, 200, "connections that are open stay");

    // A key that is not the certificate's, and no certificate at all.
    let other = kit.server_authority.server("localhost");
    let mixed = Identity { certificate: other.certificate, key: new.key.clone() };
    let empty = Identity { certificate: String::new(), key: new.key };
    for broken in [mixed, empty] {
        kit.replace_certificate(&broken);
        let failures = async || kit.metric("secret_gateway_reloads_total{result=\"failed\"}").await;
        let known = failures().await;
        eventually(async || failures().await > known).await;
        assert_eq!(shown().await, wanted);
    }
}

#[tokio::test]
async fn reads_are_audited() {
    let kit = Kit::start("reads: { retries: 0 }").await;
    let client = kit.client().await.with("x-remote-group", "system:authenticated");
    client.get(&aws("key")).await;
    client.get(&aws("key")).await;
    kit.memory.fail(Failure::NotFound);
    client.get(&aws("other")).await;
    client.get(&aws("other")).await;
    client.get(&path("azuresecrets", "elsewhere:1-o")).await;
    client.get(&path("gcpsecrets", &"x".repeat(5000))).await;
    let forged = kit.connect(Some(&kit.authority.client("somebody"))).await.user("forged");
    forged.get(&aws("key")).await;
    client.get("/apis").await;

    let line = |user: Option<&str>, name: &str, source: Option<&str>, outcome: &str, code: u16| {
        let mut line = json!({
            "audit": "read", "user": user, "kind": "AWSSecret", "name": name, "place": user.map(|_| "us-east-2"),
            "source": source, "cached": source == Some("cache"), "outcome": outcome, "code": code,
        });
        if user.is_some() {
            line["groups"] = json!(["system:authenticated"]);
        }
        line
    };
    let (key, other) = ("us-east-2:u__org__key", "us-east-2:u__org__other");
    let mut elsewhere = line(Some(USER), "elsewhere:1-o", None, "Forbidden", 403);
    (elsewhere["kind"], elsewhere["place"]) = (json!("AzureSecret"), json!("elsewhere"));
    let mut long = line(Some(USER), &"x".repeat(1024), None, "BadRequest", 400);
    (long["kind"], long["place"]) = (json!("GCPSecret"), json!(null));
    assert_eq!(
        kit.audit().await,
        [
            line(Some(USER), key, Some("provider"), "ok", 200),
            line(Some(USER), key, Some("cache"), "ok", 200),
            line(Some(USER), other, Some("provider"), "NotFound", 404),
            line(Some(USER), other, Some("cache"), "NotFound", 404),
            elsewhere,
            long,
            line(None, key, None, "Unauthorized", 401),
        ]
    );
}

#[tokio::test]
async fn unauthenticated_requests_are_counted_and_sampled() {
    let kit = Kit::start("").await;
    let (stranger, forged) = (kit.connect(None).await, kit.connect(Some(&kit.authority.client("somebody"))).await);
    for _ in 0..100 {
        assert_eq!(stranger.get(&aws("key")).await.status, 401);
        assert_eq!(forged.user(USER).get("/apis").await.status, 401);
    }
    let lines = kit.audit().await;
    assert!((1..20).contains(&lines.len()), "{}", lines.len());
    let counted = |reason: &str| format!("secret_gateway_unauthenticated_total{{reason=\"{reason}\"}}");
    assert_eq!(kit.metric(&counted("no_certificate")).await, Some(100.0));
    assert_eq!(kit.metric(&counted("not_allowed")).await, Some(100.0));

    // The next one that is written says how many were not.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    stranger.get(&aws("key")).await;
    kit.get(&aws("key")).await;
    eventually(async || kit.audit().await.len() == lines.len() + 2).await;
    let written = kit.audit().await;
    let unlogged: u64 = written.iter().filter_map(|line| line["unlogged"].as_u64()).sum();
    assert_eq!(unlogged, 101 - (u64::try_from(lines.len()).unwrap() + 1));
    assert_eq!(written.last().unwrap()["user"], USER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::await_holding_lock)] // which blocks the audit log's writer
async fn blocked_audit_log_does_not_block_reads() {
    let kit = Kit::start("").await;
    let client = kit.client().await.with("x-remote-group", &"g".repeat(64 << 10));
    let held = kit.audit.0.lock().unwrap();
    let reads = async {
        for _ in 0..300 {
            assert_eq!(client.get(&aws("key")).await.status, 200);
        }
    };
    let taken = tokio::time::timeout(Duration::from_secs(60), reads).await;
    drop(held);
    assert_eq!(taken, Ok(()), "a reader waits for the audit log");
    let lost = kit.metric("secret_gateway_audit_lost_total").await.unwrap();
    assert!((100.0..300.0).contains(&lost), "the queue is bounded in bytes: {lost}");
    eventually(async || kit.audit.text().contains("\"audit\":\"lost\"")).await;
    eventually(async || kit.metric("secret_gateway_audit_queued_bytes").await == Some(0.0)).await;
    let lines: Vec<Value> = kit.audit.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: f64 = lines.iter().filter_map(|line| line["lines"].as_f64()).sum();
    let written = lines.iter().filter(|line| line["audit"] == "read").count();
    assert_eq!((told, lost + f64::from(u32::try_from(written).unwrap())), (lost, 300.0));
}

#[tokio::test]
async fn metrics_count_by_kind_and_outcome() {
    let kit = Kit::start("reads: { retries: 0 }").await;
    kit.get(&aws("key")).await;
    kit.get(&aws("key")).await;
    kit.memory.fail(Failure::Slow);
    kit.get(&aws("slow")).await;
    let metrics = kit.metrics().await;
    let wanted = [
        "secret_gateway_requests_total{kind=\"AWSSecret\",outcome=\"ok\"} 2",
        "secret_gateway_requests_total{kind=\"AWSSecret\",outcome=\"Timeout\"} 1",
        "secret_gateway_reads_total{kind=\"AWSSecret\",source=\"cache\"} 1",
        "secret_gateway_reads_total{kind=\"AWSSecret\",source=\"provider\"} 2",
        "secret_gateway_request_seconds_count{kind=\"AWSSecret\"} 3",
        "secret_gateway_provider_seconds_count{kind=\"AWSSecret\",outcome=\"ok\"} 1",
        "secret_gateway_provider_seconds_count{kind=\"AWSSecret\",outcome=\"slow\"} 1",
        "secret_gateway_in_flight{kind=\"AWSSecret\"} 0",
        "secret_gateway_provider_in_flight{kind=\"AWSSecret\"} 0",
        "secret_gateway_access_reviews_total{result=\"allowed\"} 2",
    ];
    for line in wanted {
        assert!(metrics.lines().any(|it| it == line), "{line} in\n{metrics}");
    }
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(kit.plain("/metrics").await.header("content-type"), Some(content_type));
}

#[tokio::test]
async fn dashboard_and_readme_name_existing_metrics() {
    let kit = Kit::start("pods: { listen: '127.0.0.1:0', settings: {} }").await;
    assert_eq!(kit.pod().await.post("/v1/pull").await.status, 401);
    kit.get(&aws("key")).await;
    assert_eq!(kit.connect(None).await.get("/apis").await.status, 401);
    eventually(async || kit.metrics().await.contains("reloads_total")).await;
    let metrics = kit.metrics().await;
    let there: BTreeSet<String> =
        metrics.lines().filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split(' ').next()?.to_owned())).collect();
    let told = |text: &str| {
        let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        let names = words.filter(|word| word.starts_with("secret_gateway_"));
        let bare = |name: &str| {
            let suffix = ["_total", "_bucket", "_count"].into_iter().find_map(|suffix| name.strip_suffix(suffix));
            suffix.unwrap_or(name).to_owned()
        };
        names.map(bare).collect::<BTreeSet<_>>()
    };
    let dashboard = include_str!("../../dashboard.json");
    assert!(serde_json::from_str::<Value>(dashboard).unwrap()["panels"].is_array());
    let shown = told(dashboard);
    assert!(shown.is_subset(&there) && shown.len() > 5, "{shown:?} of {there:?}");
    assert_eq!(told(include_str!("../../README.md")), there, "the README has all metrics");
}

/// Text and bytes, that arrive and that fail: what was read is in no line, no metric and no Status.
#[tokio::test]
async fn values_appear_only_in_responses() {
    let kit = Kit::start("reads: { retries: 0, breaker: { failures: 100 } }").await;
    let client = kit.client().await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut told = String::new();
    for (name, value) in [("text", text(CANARY)), ("bytes", Ok(Secret::Binary(CANARY.as_bytes().to_vec().into())))] {
        told += &format!("{value:?}");
        kit.memory.answer(value);
        assert_eq!(client.get(&aws(name)).await.status, 200);
        told += client.with("accept", table).get(&aws(name)).await.text();
    }
    kit.memory.fail(Failure::Garbage("bad CRC32C".to_owned()));
    told += client.get(&aws("garbage")).await.text();
    told += &kit.metrics().await;
    told += &kit.audit.text();
    assert!(told.contains("us-east-2:u__org__garbage"), "{told}");
    // Neither plain nor in Base64.
    assert!(!told.contains("c4n4ry") && !told.contains("YzRuNHJ5"), "{told}");
    // Names are for the audit log alone.
    assert!(!kit.metrics().await.contains("u__org__"));
}

#[tokio::test]
async fn shutdown_fails_readyz_first_and_drains_requests() {
    let mut kit = Kit::start("shutdown: { delay: 400ms, grace: 5s }").await;
    kit.memory.delay(Duration::from_millis(900));
    let (late, under_way) = (kit.client().await, kit.asking(&aws("key")).await);
    let (address, start) = (kit.address(), Instant::now());
    let stopping = tokio::spawn(kit.stop());
    eventually(async || late.get("/readyz").await.status == 503).await;
    assert_eq!(late.get("/readyz").await.text(), "[-]shutdown failed: the server is stopping\n");
    assert_eq!(late.get("/livez").await.status, 200);
    assert_eq!(late.get("/apis").await.status, 200, "it still serves until the cluster has heard of it");

    let answer = under_way.await.unwrap();
    assert_eq!((answer.status, answer.json()["stringValue"].as_str()), (200, Some(CANARY)));
    stopping.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens");
    assert_eq!(read_lines(&kit.audit.text()).len(), 1);
}

#[tokio::test]
async fn shutdown_grace_period_is_enforced() {
    let mut kit = Kit::start("reads: { timeout: 60s }\nshutdown: { delay: 0s, grace: 200ms }").await;
    kit.memory.delay(Duration::from_secs(60));
    let client = kit.client().await;
    let under_way = tokio::spawn(async move { client.send(Method::GET, &aws("key"), "").await });
    while kit.memory.calls() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    kit.stop().await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(under_way.await.unwrap().is_err());
}
