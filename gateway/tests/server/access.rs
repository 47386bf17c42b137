//! Who is let in, and that nobody else reaches a provider.

use super::*;
use crate::kit::FRONT_PROXY;
use crate::kit::authority::Authority;
use crate::kit::cluster::{Cluster, Verdict};

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
        (Some(kit.authority.client_until(&[FRONT_PROXY], 2020)), UNTRUSTED),
        (Some(kit.authority.server("localhost")), UNTRUSTED),
        (Some(kit.authority.client("somebody-else")), NOT_ALLOWED),
        // The last common name counts.
        (Some(kit.authority.client_until(&[FRONT_PROXY, "somebody-else"], 4096)), NOT_ALLOWED),
    ];
    for (identity, message) in callers {
        let forged = kit.connect(identity.as_ref()).await.user(USER).with("x-remote-group", "system:masters");
        for path in [aws("key").as_str(), "/apis", "/openapi/v2", "/version", "/metrics", "/nowhere", "/"] {
            for answer in [forged.get(path).await, forged.post(path).await] {
                answer.is_failure(401, "Unauthorized", message, &json!({}));
            }
        }
    }
    assert_eq!(kit.memory.calls(), 0);
    assert_eq!(kit.cluster.reviews(), Vec::<Value>::new());
    let last = kit.authority.client_until(&["somebody-else", FRONT_PROXY], 4096);
    assert_eq!(kit.connect(Some(&last)).await.user(USER).get(&aws("key")).await.status, 200);
}

#[tokio::test]
async fn requests_without_a_user_name_get_401() {
    let kit = Kit::start("").await;
    let nameless = kit.connect(Some(&kit.front_proxy())).await;
    for client in [&nameless, &nameless.user("")] {
        let message = "missing user name in the front proxy's headers";
        client.get(&aws("key")).await.is_failure(401, "Unauthorized", message, &json!({}));
    }
    assert_eq!(kit.memory.calls(), 0);
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
async fn authority_and_allowed_names_are_watched() {
    let kit = Kit::start("access: { refresh: 1h }").await;
    let new = Authority::new("front-proxy-ca");
    let somebody = kit.connect(Some(&kit.authority.client("somebody-else"))).await.user(USER);
    let after = kit.connect(Some(&new.client(FRONT_PROXY))).await.user(USER);
    for client in [&somebody, &after] {
        assert_eq!(client.get(&aws("key")).await.status, 401);
    }
    // Without names, any certificate of the authority is accepted.
    kit.cluster.trust(&[&kit.authority], &[]);
    eventually(async || somebody.get(&aws("key")).await.status == 200).await;
    assert_eq!(after.get(&aws("key")).await.status, 401);
    kit.cluster.trust(&[&new], &[FRONT_PROXY]);
    eventually(async || after.get(&aws("key")).await.status == 200).await;
}

/// What Go's `newExtra` makes of headers.
#[tokio::test]
async fn extra_keys_are_unescaped_as_in_go() {
    let mut kit = Kit::new().await;
    kit.cluster.say("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-", "X-Other-", "X-Remote-"]"#);
    kit.cluster.say("requestheader-group-headers", r#"["X-Group", "X-More-Group"]"#);
    kit.cluster.say("requestheader-username-headers", r#"["X-User", "X-Remote-User"]"#);
    kit.serve("").await;
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
    let extra = json!({
        "key": ["of the first prefix", "of another prefix"], "empty": [""],
        "Jane": ["lower case comes before decoding"], "half%2": ["stays"], "mixed%2f%zz": ["stays whole"],
        "user": [USER], "extra-key": ["of the first prefix"], "extra-empty": [""],
        "extra-Jane": ["lower case comes before decoding"], "extra-half%2": ["stays"],
        "extra-mixed%2f%zz": ["stays whole"],
    });
    assert_eq!(review["extra"], extra);
}

/// Over HTTP/1, as the front proxy in the user's name.
async fn http1(kit: &Kit, version: &'static rustls::SupportedProtocolVersion) -> Client {
    let client = Client::connect_http1(kit.address(), &kit.server_authority, Some(&kit.front_proxy()), version).await;
    client.unwrap().user(USER)
}

#[tokio::test]
async fn http_1_is_served_over_tls_1_2_and_1_3() {
    let kit = Kit::start("").await;
    for version in rustls::ALL_VERSIONS {
        assert_eq!(http1(&kit, version).await.get(&aws("key")).await.status, 200);
    }
}

#[tokio::test]
async fn groups_up_to_one_mebibyte_are_accepted() {
    let kit = Kit::start("access: { timeout: 60s }").await;
    let groups = |count: usize| (0..count).map(|number| format!("group-{number:0>50}")).collect::<Vec<_>>();
    let read = async |count: usize| -> [Answer; 2] {
        let read = async |client: Client| client.with_all("x-remote-group", &groups(count)).get(&aws("key")).await;
        [read(kit.client().await).await, read(http1(&kit, &rustls::version::TLS13).await).await]
    };
    for count in [150, 300, 10_000] {
        assert_eq!(read(count).await.map(|answer| answer.status), [200, 200], "{count}");
        assert_eq!(kit.cluster.reviews().pop().unwrap()["groups"], json!(groups(count)));
    }

    let message = "request headers exceed the limit of 1048576 bytes; the user has too many groups";
    for answer in read(12_000).await {
        answer.is_failure(431, "RequestHeaderFieldsTooLarge", message, &of_aws("key"));
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
        "extra": { "authentication.kubernetes.io/pod-name": ["policy-server-0"], "scopes": ["one", "two"] },
        "resourceAttributes": {
            "group": "secret-gateway.flyte.org", "version": "v1alpha1", "resource": "awssecrets",
            "name": "us-east-2:u__org__key", "verb": "get",
        },
    });
    assert_eq!(kit.cluster.reviews(), [review]);
}

#[tokio::test]
async fn denied_users_get_403_before_any_provider_call() {
    let kit = Kit::start("").await;
    kit.cluster.judge(|_| Verdict::Deny("no RBAC policy matched"));
    let message = format!(
        "User \"{USER}\" cannot get resource \"awssecrets\" in API group \"secret-gateway.flyte.org\" at the cluster \
         scope: denied by the cluster (reason: \"no RBAC policy matched\")"
    );
    kit.get(&aws("key")).await.is_failure(403, "Forbidden", &message, &of_aws("key"));
    // Who may not read learns nothing of which names are served.
    let elsewhere = kit.get(&path("awssecrets", "ap-south-1:u__org__key")).await.json();
    assert_eq!(elsewhere["message"], message);
    assert_eq!(kit.memory.calls(), 0);
}

#[tokio::test]
async fn failed_access_reviews_return_503_and_are_not_cached() {
    let kit = Kit::start("access: { timeout: 400ms }").await;
    let table = [
        (Verdict::Fail(500), "the API server returned an error"),
        (Verdict::Fail(403), "the gateway's service account must be allowed to create subjectaccessreviews"),
        (Verdict::Stall(Duration::from_secs(5)), "timed out waiting for the API server"),
    ];
    for (verdict, why) in table {
        kit.cluster.judge(move |_| verdict.clone());
        let message = format!("cannot check access: {why}; retry later");
        let answer = kit.get(&aws("key")).await;
        answer.is_failure(503, "ServiceUnavailable", &message, &retry(of_aws("key"), 1));
    }
    assert_eq!(kit.memory.calls(), 0);
    kit.cluster.judge(|_| Verdict::Allow);
    assert_eq!(kit.get(&aws("key")).await.status, 200);
}

#[tokio::test]
async fn access_reviews_are_cached_per_user_and_name() {
    let kit = Kit::start("access: { allowedTtl: 300ms, deniedTtl: 300ms }").await;
    kit.cluster.judge(|spec| match spec["user"].as_str() {
        Some(USER) => Verdict::Allow,
        _ => Verdict::Deny(""),
    });
    let client = kit.client().await;
    let other = kit.client_of("eve").await;
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
    assert!(kit.get("/metrics").await.text().ends_with("# EOF\n"));
    let review = json!({
        "user": USER, "groups": [], "extra": {},
        "nonResourceAttributes": { "path": "/metrics", "verb": "get" },
    });
    assert_eq!(kit.cluster.reviews(), [review]);
    kit.cluster.judge(|_| Verdict::Deny(""));
    let eve = kit.client_of("eve").await;
    let message =
        "User \"eve\" cannot get path \"/metrics\" at the cluster scope: denied by the cluster (reason: \"\")";
    eve.get("/metrics").await.is_failure(403, "Forbidden", message, &json!({}));
}

#[tokio::test]
async fn health_endpoints_need_no_authentication() {
    let kit = Kit::start("").await;
    let stranger = kit.connect(None).await;
    for path in ["/healthz", "/livez", "/readyz"] {
        for answer in [stranger.get(path).await, kit.plain(path).await] {
            assert_eq!((answer.status, answer.text()), (200, "ok"), "{path}");
        }
    }
    for path in ["/apis", &aws("key")] {
        let message = "the server could not find the requested resource";
        kit.plain(path).await.is_failure(404, "NotFound", message, &json!({}));
    }
}
