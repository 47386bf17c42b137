//! Who is let in, and that nobody else reaches a provider.

use std::time::Duration;

use axum::http::{Method, Request};
use http_body_util::Empty;
use serde_json::json;

use crate::kit::authority::Authority;
use crate::kit::cluster::{Cluster, Verdict};
use crate::kit::{FRONT_PROXY, Kit, USER, client};
use crate::{aws, eventually, status, status_of};

const NO_CERTIFICATE: &str = "missing client certificate; only the API server's aggregation layer may connect";
const UNTRUSTED: &str = "invalid client certificate: expired, or not issued by the front proxy's authority";
const NOT_ALLOWED: &str = "common name of the client certificate is not in requestheader-allowed-names";

#[tokio::test]
async fn requests_without_the_front_proxys_certificate_get_401() {
    let kit = Kit::start("").await;
    let stranger = Authority::new("front-proxy-ca");
    let callers = [
        (None, NO_CERTIFICATE),
        (Some(stranger.client(FRONT_PROXY)), UNTRUSTED),
        (Some(kit.authority.expired_client(FRONT_PROXY)), UNTRUSTED),
        (Some(kit.authority.server("localhost")), UNTRUSTED),
        (Some(kit.authority.client("somebody-else")), NOT_ALLOWED),
    ];
    for (identity, message) in callers {
        let forged = kit.connect(identity.as_ref()).await.user(USER).with("x-remote-group", "system:masters");
        for path in [aws("key").as_str(), "/apis", "/openapi/v2", "/version", "/metrics", "/nowhere", "/"] {
            let answer = forged.get(path).await;
            assert_eq!((answer.status, answer.json()), (401, status(401, "Unauthorized", message)), "{path}");
        }
        for (method, path) in [(Method::POST, aws("key")), (Method::POST, "/apis".to_owned())] {
            assert_eq!(forged.send(method, &path).await.unwrap().status, 401);
        }
    }
    assert_eq!(kit.memory.calls(), 0);
    assert_eq!(kit.cluster.reviews(), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn requests_without_a_user_name_get_401() {
    let kit = Kit::start("").await;
    let nameless = kit.connect(Some(&kit.authority.client(FRONT_PROXY))).await;
    let answer = nameless.get(&aws("key")).await;
    assert_eq!(answer.json(), status(401, "Unauthorized", "missing user name in the front proxy's headers"));
    assert_eq!(nameless.user("").get(&aws("key")).await.status, 401);
    assert_eq!(kit.memory.calls(), 0);
}

#[tokio::test]
async fn empty_allowed_names_accept_any_certificate_of_the_authority() {
    let kit = Kit::start("access: { refresh: 50ms }").await;
    let somebody = kit.connect(Some(&kit.authority.client("somebody-else"))).await.user(USER);
    assert_eq!(somebody.get(&aws("key")).await.status, 401);
    kit.cluster.trust(&[&kit.authority], &[]);
    eventually(async || somebody.get(&aws("key")).await.status == 200).await;
}

#[tokio::test]
async fn authority_rotation_applies_to_open_connections() {
    let kit = Kit::start("access: { refresh: 50ms }").await;
    let new = Authority::new("front-proxy-ca");
    let (before, after) = (kit.client().await, kit.connect(Some(&new.client(FRONT_PROXY))).await.user(USER));
    assert_eq!((before.get(&aws("key")).await.status, after.get(&aws("key")).await.status), (200, 401));

    kit.cluster.trust(&[&kit.authority, &new], &[FRONT_PROXY]);
    eventually(async || after.get(&aws("key")).await.status == 200).await;
    assert_eq!(before.get(&aws("key")).await.status, 200);

    kit.cluster.trust(&[&new], &[FRONT_PROXY]);
    eventually(async || before.get(&aws("key")).await.status == 401).await;
    assert_eq!(after.get(&aws("key")).await.status, 200);

    // What is known stays while the cluster cannot say it again.
    kit.cluster.forget_config_map();
    eventually(async || kit.metrics().await.contains("reloads_total{result=\"failed\"}")).await;
    assert_eq!(after.get(&aws("key")).await.status, 200);
}

#[tokio::test]
async fn authority_is_watched() {
    let kit = Kit::start("access: { refresh: 1h }").await;
    let new = Authority::new("front-proxy-ca");
    let after = kit.connect(Some(&new.client(FRONT_PROXY))).await.user(USER);
    assert_eq!(after.get(&aws("key")).await.status, 401);
    kit.cluster.trust(&[&new], &[FRONT_PROXY]);
    eventually(async || after.get(&aws("key")).await.status == 200).await;
}

#[tokio::test]
async fn last_common_name_of_a_certificate_counts() {
    let kit = Kit::start("").await;
    let table = [((FRONT_PROXY, "somebody-else"), 401), (("somebody-else", FRONT_PROXY), 200)];
    for ((first, second), status) in table {
        let client = kit.connect(Some(&kit.authority.client_of_two(first, second))).await.user(USER);
        assert_eq!(client.get(&aws("key")).await.status, status, "{first}, {second}");
    }
}

/// What Go's `newExtra` makes of headers.
#[tokio::test]
async fn extra_keys_are_unescaped_as_in_go() {
    let kit = Kit::start_in_with(Cluster::start().await, "", |cluster| {
        cluster.say("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-", "X-Other-", "X-Remote-"]"#);
        cluster.say("requestheader-group-headers", r#"["X-Group", "X-More-Group"]"#);
        cluster.say("requestheader-username-headers", r#"["X-User", "X-Remote-User"]"#);
    })
    .await;
    let client = kit
        .client()
        .await
        .with("x-user", "")
        .with("x-more-group", "second")
        .with("x-group", "first")
        .with("x-group", "")
        .with("x-other-KEY", "of another prefix")
        .with("x-remote-extra-key", "of the first prefix")
        .with("x-remote-extra-empty", "")
        .with("x-remote-extra-%4Aane", "lower case comes before decoding")
        .with("x-remote-extra-half%2", "stays")
        .with("x-remote-extra-mixed%2f%zz", "stays whole");
    assert_eq!(client.get(&aws("key")).await.status, 200);
    let review = kit.cluster.reviews().remove(0);
    assert_eq!((&review["user"], &review["groups"]), (&json!(USER), &json!(["first", "second"])));
    assert_eq!(
        review["extra"],
        json!({
            "key": ["of the first prefix", "of another prefix"],
            "empty": [""],
            "Jane": ["lower case comes before decoding"],
            "half%2": ["stays"],
            "mixed%2f%zz": ["stays whole"],
            "user": [USER],
            "extra-key": ["of the first prefix"],
            "extra-empty": [""],
            "extra-Jane": ["lower case comes before decoding"],
            "extra-half%2": ["stays"],
            "extra-mixed%2f%zz": ["stays whole"],
        })
    );
}

/// Over HTTP/2 and HTTP/1.
async fn with_groups(kit: &Kit, groups: &[String]) -> [client::Answer; 2] {
    let mut request = Request::get(aws("key")).header("host", "localhost").header("x-remote-user", USER);
    for group in groups {
        request = request.header("x-remote-group", group);
    }
    let (identity, version) = (kit.authority.client(FRONT_PROXY), &rustls::version::TLS13);
    let request = request.body(Empty::new()).unwrap();
    let (old, _) = client::old(kit.address, &kit.server_authority, Some(&identity), version, request).await.unwrap();
    [kit.client().await.with_all("x-remote-group", groups).get(&aws("key")).await, old]
}

#[tokio::test]
async fn groups_up_to_one_mebibyte_are_accepted() {
    let kit = Kit::start("").await;
    let groups = |count: usize| (0..count).map(|number| format!("group-{number:0>50}")).collect::<Vec<_>>();
    for count in [150, 300, 10_000] {
        for answer in with_groups(&kit, &groups(count)).await {
            assert_eq!(answer.status, 200, "{count}: {answer:?}");
        }
        let review = kit.cluster.reviews().pop().unwrap();
        assert_eq!(review["groups"], json!(groups(count)));
    }

    let message = "request headers exceed the limit of 1048576 bytes; the user has too many groups";
    for answer in with_groups(&kit, &groups(12_000)).await {
        let wanted = status_of("key", 431, "RequestHeaderFieldsTooLarge", message);
        assert_eq!((answer.status, answer.json()), (431, wanted));
    }
    let line = kit.audit().await.pop().unwrap();
    let fields = (&line["user"], &line["groups"], &line["outcome"], &line["code"]);
    assert_eq!(fields, (&json!(USER), &json!(null), &json!("RequestHeaderFieldsTooLarge"), &json!(431)));
    assert_eq!(kit.cluster.reviews().len(), 3);
}

#[tokio::test]
async fn missing_config_map_prevents_startup() {
    let trust = secret_gateway::access::front_proxy::Trust::load(&Cluster::start().await.client()).await;
    let error = trust.unwrap_err().to_string();
    assert!(error.starts_with("cannot read ConfigMap kube-system/extension-apiserver-authentication"), "{error}");
}

#[tokio::test]
async fn access_review_has_user_groups_and_extra() {
    let kit = Kit::start("").await;
    let client = kit
        .client()
        .await
        .with("x-remote-uid", "42")
        .with("x-remote-group", "system:serviceaccounts")
        .with("x-remote-group", "system:authenticated")
        .with("x-remote-extra-authentication.kubernetes.io%2Fpod-name", "policy-server-0")
        .with("x-remote-extra-scopes", "one")
        .with("x-remote-extra-scopes", "two");
    assert_eq!(client.get(&aws("key")).await.status, 200);
    let review = json!({
        "user": USER,
        "uid": "42",
        "groups": ["system:serviceaccounts", "system:authenticated"],
        "extra": {
            "authentication.kubernetes.io/pod-name": ["policy-server-0"],
            "scopes": ["one", "two"],
        },
        "resourceAttributes": {
            "group": "secret-gateway.flyte.org",
            "version": "v1alpha1",
            "resource": "awssecrets",
            "name": "us-east-2:u__org__key",
            "verb": "get",
        },
    });
    assert_eq!(kit.cluster.reviews(), [review]);
}

#[tokio::test]
async fn denied_users_get_403_before_any_provider_call() {
    let kit = Kit::start("").await;
    kit.cluster.judge(|_| Verdict::Deny("no RBAC policy matched"));
    let answer = kit.client().await.get(&aws("key")).await;
    let message = format!(
        "User \"{USER}\" cannot get resource \"awssecrets\" in API group \"secret-gateway.flyte.org\" at the cluster \
         scope: denied by the cluster (reason: \"no RBAC policy matched\")"
    );
    assert_eq!((answer.status, answer.json()), (403, status_of("key", 403, "Forbidden", &message)));
    assert_eq!(kit.memory.calls(), 0);
}

#[tokio::test]
async fn failed_access_reviews_return_503_and_are_not_cached() {
    let kit = Kit::start("access: { timeout: 400ms }").await;
    let client = kit.client().await;
    let table = [
        (Verdict::Fail(500), "the API server returned an error"),
        (Verdict::Fail(403), "the gateway's service account must be allowed to create subjectaccessreviews"),
        (Verdict::Stall(Duration::from_secs(5)), "timed out waiting for the API server"),
    ];
    for (verdict, why) in table {
        kit.cluster.judge(move |_| verdict.clone());
        let answer = client.get(&aws("key")).await;
        let message = format!("cannot check access: {why}; retry later");
        let mut wanted = status_of("key", 503, "ServiceUnavailable", &message);
        wanted["details"]["retryAfterSeconds"] = json!(1);
        assert_eq!((answer.status, answer.json(), answer.header("retry-after")), (503, wanted, Some("1")));
    }
    assert_eq!(kit.memory.calls(), 0);
    kit.cluster.judge(|_| Verdict::Allow);
    assert_eq!(client.get(&aws("key")).await.status, 200);
}

#[tokio::test]
async fn access_reviews_are_cached_per_user_and_name() {
    let kit = Kit::start("access: { allowedTtl: 300ms, deniedTtl: 300ms }").await;
    kit.cluster.judge(|spec| match spec["user"].as_str() {
        Some(USER) => Verdict::Allow,
        _ => Verdict::Deny(""),
    });
    let client = kit.client().await;
    let other = kit.connect(Some(&kit.authority.client(FRONT_PROXY))).await.user("eve");
    for _ in 0..3 {
        assert_eq!(client.get(&aws("one")).await.status, 200);
        assert_eq!(other.get(&aws("one")).await.status, 403);
    }
    assert_eq!(kit.cluster.reviews().len(), 2);
    assert_eq!(client.get(&aws("two")).await.status, 200);
    assert_eq!(client.with("x-remote-group", "more").get(&aws("one")).await.status, 200);
    assert_eq!(kit.cluster.reviews().len(), 4);

    kit.cluster.judge(|spec| match spec["user"].as_str() {
        Some(USER) => Verdict::Deny(""),
        _ => Verdict::Allow,
    });
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(client.get(&aws("one")).await.status, 403, "although the value is still in memory");
    assert_eq!(other.get(&aws("one")).await.status, 200);
}

#[tokio::test]
async fn metrics_on_the_api_port_require_access() {
    let kit = Kit::start("").await;
    let client = kit.client().await;
    assert!(client.get("/metrics").await.text().ends_with("# EOF\n"));
    assert_eq!(
        kit.cluster.reviews(),
        [json!({
            "user": USER,
            "groups": [],
            "extra": {},
            "nonResourceAttributes": { "path": "/metrics", "verb": "get" },
        })]
    );
    kit.cluster.judge(|_| Verdict::Deny(""));
    let eve = kit.connect(Some(&kit.authority.client(FRONT_PROXY))).await.user("eve");
    let message = "User \"eve\" cannot get path \"/metrics\" at the cluster scope: denied by the cluster \
                   (reason: \"\")";
    assert_eq!(eve.get("/metrics").await.json(), status(403, "Forbidden", message));
}

#[tokio::test]
async fn health_endpoints_need_no_authentication() {
    let kit = Kit::start("").await;
    let stranger = kit.connect(None).await;
    for path in ["/healthz", "/livez", "/readyz"] {
        let answer = stranger.get(path).await;
        assert_eq!((answer.status, answer.text()), (200, "ok"), "{path}");
        let answer = kit.plain(path).await;
        assert_eq!((answer.status, answer.text()), (200, "ok"), "{path}");
    }
    assert_eq!(
        kit.plain("/apis").await.json(),
        status(404, "NotFound", "the server could not find the requested resource")
    );
    assert_eq!(kit.plain(&aws("key")).await.status, 404);
}

#[tokio::test]
async fn http_1_is_served_over_tls_1_2_and_1_3() {
    let kit = Kit::start("").await;
    let identity = kit.authority.client(FRONT_PROXY);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let request = Request::get(aws("key")).header("host", "localhost").header("x-remote-user", USER);
        let request = request.body(Empty::new()).unwrap();
        let address = kit.server.as_ref().unwrap().address;
        let (answer, spoken) =
            client::old(address, &kit.server_authority, Some(&identity), version, request).await.unwrap();
        assert_eq!((answer.status, spoken), (200, Some(version.version)));
    }
}
