//! Pulls: secrets of pods, rejected pods, and failures.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Method;
use flyte_secrets_policy::answer::Head;
use flyte_secrets_policy::grant::{AUDIENCE, Grant, Granted};
use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_pull::{self as puller, Places};
use http_body_util::Empty;
use secret_gateway::provider::{Failure, Value as Secret};
use serde_json::{Value, json};

use crate::kit::Kit;
use crate::kit::authority::Authority;
use crate::kit::client::{self, Answer, Client};
use crate::kit::cluster::{Cluster, bound, granted};
use crate::kit::memory::{CANARY, Memory, text};
use crate::status;

/// A store and tenants.
const PODS: &str = "
pods:
  listen: 127.0.0.1:0
  settings:
    embeddedSecretManagerConfig: { awsConfig: { region: us-east-2 }, nameSchemes: [canonical] }
    tenancy: { namespaceTemplate: '{{ project }}-{{ domain }}', serviceAccounts: [default] }
";

fn grant(files: &[&str], variables: &[&str]) -> Grant {
    let own = |keys: &[&str]| keys.iter().map(|key| Granted::whole(key)).collect();
    Grant {
        gateway: "https://localhost".to_owned(),
        ca: "pem".to_owned(),
        organization: "acme".to_owned(),
        domain: "development".to_owned(),
        project: "snacks".to_owned(),
        patience: Duration::from_secs(60),
        refresh: None,
        files: own(files),
        variables: own(variables),
    }
}

fn pod(grant: &Grant) -> Value {
    granted("snacks-development", "uid-0", &grant.to_args())
}

fn user(name: &str, pod: &str, uid: &str) -> Value {
    bound("snacks-development", name, pod, uid)
}

/// A gateway, and a pod with this grant and the token `good`.
async fn start(lines: &str, grant: &Grant) -> Kit {
    let kit = Kit::start(lines).await;
    kit.cluster.object("pods", pod(grant));
    kit.cluster.token("good", AUDIENCE, user("default", "a0", "uid-0"));
    kit
}

async fn pull(client: &Client, token: &str) -> Answer {
    let client = client.with("authorization", &format!("Bearer {token}"));
    client.send(Method::POST, "/v1/pull").await.expect("an answer")
}

fn name(key: &str) -> String {
    format!("u__org__acme__domain__development__project__snacks__key__{key}")
}

/// The audit line of the pod.
fn line(names: &[String], outcome: &str, code: u16) -> Value {
    json!({
        "audit": "pull",
        "namespace": "snacks-development",
        "pod": "a0",
        "uid": "uid-0",
        "serviceAccount": "default",
        "node": "node-1",
        "scope": "acme/development/snacks",
        "names": names,
        "outcome": outcome,
        "code": code,
    })
}

#[tokio::test]
async fn pull_returns_granted_secrets_only() {
    let grant = grant(&["tls.crt", "other"], &["db-password", "tls.crt"]);
    let kit = start(PODS, &grant).await;
    let mut claims = pod(&grant);
    claims["metadata"]["labels"] = json!({ "organization": "globex", "project": "x", "domain": "y" });
    claims["metadata"]["annotations"] = json!({ "flyte.secrets/s0": "x" });
    kit.cluster.object("pods", claims);
    let organization = "u__org__acme__domain____project____key__other";
    kit.memory.behave(move |asked, _| match asked {
        asked if asked == name("tls.crt") => (Duration::ZERO, Ok(Secret::Binary(vec![0, 0xff].into()))),
        asked if asked == organization => (Duration::ZERO, Ok(text(CANARY))),
        asked if asked == name("db-password") => (Duration::ZERO, Ok(text(CANARY))),
        _ => (Duration::ZERO, Err(Failure::NotFound)),
    });
    // A binary value is no variable.
    let client = kit.pod().await;
    let answer = pull(&client, "good").await;
    let message = "secret \"tls.crt\" cannot be a variable: the value is not UTF-8 text; request it as a FILE";
    assert_eq!((answer.status, answer.json()), (422, status(422, "InvalidSecretValue", message)));

    let grant = self::grant(&["tls.crt", "other"], &["db-password"]);
    kit.cluster.object("pods", pod(&grant));
    let answer = pull(&client, "good").await;
    let length = CANARY.len() as u64;
    let head = Head::new(&grant, [2, length], [length]).to_line().unwrap();
    let body = [head.as_bytes(), b"\0\xff", CANARY.as_bytes(), CANARY.as_bytes()].concat();
    assert_eq!((answer.status, answer.body.trim_ascii_start()), (200, body.as_slice()));
    let headers = ["content-type", "cache-control", "content-length"].map(|name| answer.header(name).unwrap());
    assert_eq!(headers, ["application/vnd.flyte.secrets.v1", "no-store", &answer.body.len().to_string()]);
    let names = [organization.to_owned(), name("db-password"), name("tls.crt")];
    assert_eq!(kit.audit().await, [line(&names, "InvalidSecretValue", 422), line(&names, "ok", 200)]);
    assert!(!kit.audit.text().contains(CANARY) && !kit.metrics().await.contains(CANARY));
    assert!(kit.metrics().await.contains("secret_gateway_pulls_total{result=\"ok\"} 1\n"));
}

#[tokio::test]
async fn pull_returns_properties_and_versions() {
    let part = |key: &str, group: &str, version: &str| Granted {
        key: key.to_owned(),
        group: group.to_owned(),
        version: version.to_owned(),
    };
    let mut granted = grant(&["whole"], &[]);
    granted.files.push(part("old", "", "AWSPREVIOUS"));
    granted.variables = vec![part("password", "rds", ""), part("password", "rds", "AWSPREVIOUS")];
    let kit = start(PODS, &granted).await;
    let versioned = |key: &str| [&*name(key), "::AWSPREVIOUS"].concat();
    kit.memory.behave(move |asked, _| {
        let table = [
            (name("whole"), "a"),
            (versioned("old"), "b"),
            (name("rds"), r#"{"password":"c","list":[]}"#),
            (versioned("rds"), r#"{"password":12}"#),
        ];
        let known = table.into_iter().find(|(name, _)| name == asked);
        (Duration::ZERO, known.map(|(_, value)| text(value)).ok_or(Failure::NotFound))
    });
    let client = kit.pod().await;
    let answer = pull(&client, "good").await;
    let head = Head::new(&granted, [1, 1], [1, 2]).to_line().unwrap();
    assert_eq!((answer.status, answer.body.trim_ascii_start()), (200, &*[head.as_bytes(), b"abc12"].concat()));
    let names = [name("old") + "::AWSPREVIOUS", name("rds"), name("rds") + "::AWSPREVIOUS", name("whole")];
    assert_eq!(kit.audit().await, [line(&names, "ok", 200)]);
    for (secret, code, message) in [
        (
            part("user", "rds", ""),
            422,
            "secret \"rds\" does not have this property; store a JSON object with a string under \"user\"",
        ),
        (
            part("list", "rds", ""),
            422,
            "secret \"rds\" has no string there; store a JSON object with a string under \"list\"",
        ),
        (
            part("a", "whole", ""),
            422,
            "secret \"whole\" is not a JSON object; store a JSON object with a string under \"a\"",
        ),
    ] {
        kit.cluster.object("pods", pod(&Grant { variables: vec![secret], ..grant(&[], &[]) }));
        let answer = pull(&client, "good").await;
        assert_eq!((answer.status, answer.json()), (code, status(code, "InvalidSecretValue", message)));
    }
    for version in ["blue", "a/b"] {
        kit.cluster.object("pods", pod(&Grant { files: vec![part("whole", "", version)], ..grant(&[], &[]) }));
        let expected = if version == "blue" { 404 } else { 403 };
        assert_eq!(pull(&client, "good").await.status, expected, "{version}");
    }
}

#[tokio::test]
async fn plain_azure_values_are_served_if_enabled() {
    let lines = |plain: bool| {
        format!(
            "
pods:
  listen: 127.0.0.1:0
  settings:
    embeddedSecretManagerConfig: {{ azureConfig: {{ vaultURI: 'https://flyte.vault.azure.net', plainValues: {plain} }} }}
"
        )
    };
    let table: [(bool, &str, u16, &[u8]); 5] = [
        (true, "plain", 200, b"plain"),
        (true, r#"{"value":"packed"}"#, 200, b"packed"),
        (false, "plain", 422, b""),
        (false, r#"{"type":"BINARY","value":"AP8="}"#, 200, b"\0\xff"),
        (false, CANARY, 422, b""),
    ];
    for (plain, stored, code, value) in table {
        let grant = grant(&["k"], &[]);
        let kit = start(&lines(plain), &grant).await;
        kit.memory.answer(Duration::ZERO, Ok(text(stored)));
        let answer = pull(&kit.pod().await, "good").await;
        assert_eq!(answer.status, code, "{plain} {stored}");
        if code == 200 {
            let head = Head::new(&grant, [value.len() as u64], []).to_line().unwrap();
            assert_eq!(answer.body.trim_ascii_start(), [head.as_bytes(), value].concat());
        } else {
            assert!(answer.text().contains("is not Flyte's") && !answer.text().contains("c4n4ry"), "{answer:?}");
        }
        // A lookup judges what a pull would bring.
        let path = "/apis/secret-gateway.flyte.org/v1alpha1/secretlookups/flyte.vault.azure.net:1-a";
        assert_eq!(kit.client().await.get(path).await.status, code);
    }
}

#[tokio::test]
async fn invalid_tokens_and_pods_are_rejected() {
    let kit = start(PODS, &grant(&["a"], &[])).await;
    let cluster = &kit.cluster;
    let own = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut pod = pod(&grant(&["a"], &[]));
        pod["metadata"]["name"] = json!(name);
        change(&mut pod);
        cluster.object("pods", pod);
        cluster.token(name, AUDIENCE, user("default", name, "uid-0"));
    };
    cluster.token("audience", "https://kubernetes.default.svc", user("default", "a0", "uid-0"));
    cluster.token("person", AUDIENCE, json!({ "username": "admin", "extra": user("x", "a0", "uid-0")["extra"] }));
    let unbound = json!({ "username": "system:serviceaccount:snacks-development:default", "extra": {} });
    cluster.token("unbound", AUDIENCE, unbound);
    cluster.token("deleted", AUDIENCE, user("default", "gone", "uid-0"));
    let expired = json!({ "authenticated": false, "error": "service account token has expired" });
    cluster.token_status("expired", AUDIENCE, expired);
    // What an authenticator says that does not know audiences.
    let any = json!({ "authenticated": true, "user": user("default", "a0", "uid-0") });
    cluster.token_status("any audience", AUDIENCE, any);
    cluster.token("reused", AUDIENCE, user("default", "a0", "uid-1"));
    cluster.token("account", AUDIENCE, user("other", "a0", "uid-0"));
    own("terminating", &|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    own("finished", &|pod| pod["status"]["phase"] = json!("Succeeded"));
    own("failed", &|pod| pod["status"]["phase"] = json!("Failed"));
    own("plain", &|pod| pod["spec"]["initContainers"] = json!([{ "name": "other" }]));
    // A grant that the policy does not look for, and so has not judged.
    own("container", &|pod| {
        pod["spec"]["containers"] = pod["spec"]["initContainers"].take();
    });
    own("ephemeral", &|pod| {
        pod["spec"]["ephemeralContainers"] = pod["spec"]["initContainers"].take();
    });
    own("second", &|pod| {
        let granted = pod["spec"]["initContainers"][0].take();
        pod["spec"]["initContainers"] = json!([{ "name": "flyte-secrets" }, granted]);
    });
    own("scope", &|pod| pod["spec"]["initContainers"][0]["args"][6] = json!("acme/development/a__b"));
    own("malformed", &|pod| pod["spec"]["initContainers"][0]["args"] = json!(["pull", "--x"]));
    let other =
        json!([{ "projected": { "sources": [{ "serviceAccountToken": { "audience": "other", "path": "token" } }] } }]);
    own("volume", &|pod| pod["spec"]["volumes"] = other.clone());
    let tenant = Grant { project: "other".to_owned(), ..grant(&["a"], &[]) }.to_args();
    own("tenant", &|pod| pod["spec"]["initContainers"][0]["args"] = json!(tenant));

    let (unauthorized, forbidden) = ((401, "Unauthorized"), (403, "Forbidden"));
    let (grant_mismatch, tenant_mismatch) = ((403, "GrantMismatch"), (403, "TenantMismatch"));
    let unknown = "invalid token: unknown, expired or for another audience";
    let gone = "pod of the token not found; it was deleted or replaced";
    let ended = "pod has completed or is being deleted";
    let no_grant = "no valid grant in init container \"flyte-secrets\": ";
    let table = [
        ("unknown", unauthorized, unknown.to_owned()),
        ("audience", unauthorized, unknown.to_owned()),
        ("expired", unauthorized, unknown.to_owned()),
        ("any audience", unauthorized, unknown.to_owned()),
        ("person", unauthorized, "token is not bound to a pod; expected a projected service account token".to_owned()),
        ("unbound", unauthorized, "token is not bound to a pod; expected a projected service account token".to_owned()),
        ("deleted", unauthorized, gone.to_owned()),
        ("reused", unauthorized, gone.to_owned()),
        ("terminating", forbidden, ended.to_owned()),
        ("finished", forbidden, ended.to_owned()),
        ("failed", forbidden, ended.to_owned()),
        ("volume", grant_mismatch, format!("{no_grant}pod has no volume with a token for audience {AUDIENCE:?}")),
        ("plain", grant_mismatch, format!("{no_grant}container not found")),
        ("container", grant_mismatch, format!("{no_grant}container not found")),
        ("ephemeral", grant_mismatch, format!("{no_grant}container not found")),
        ("second", grant_mismatch, format!("{no_grant}expected command `pull`")),
        (
            "scope",
            grant_mismatch,
            format!("{no_grant}invalid value \"acme/development/a__b\" of option --scope: expected ORGANIZATION/DOMAIN/PROJECT"),
        ),
        ("malformed", grant_mismatch, format!("{no_grant}unknown option \"--x\"")),
        (
            "tenant",
            tenant_mismatch,
            "namespace \"snacks-development\" does not match the pod's labels, which require namespace \"other-development\"; correct the labels, or run the task in that namespace"
                .to_owned(),
        ),
        (
            "account",
            tenant_mismatch,
            "service account \"other\" is not in tenancy.serviceAccounts; use another service account, or ask the operator to add it"
                .to_owned(),
        ),
    ];
    let client = kit.pod().await;
    for (token, (code, reason), message) in &table {
        let answer = pull(&client, token).await;
        assert_eq!((answer.status, answer.json()), (*code, status(*code, reason, message)), "{token}");
    }
    for header in ["", "Bearer ", "Basic good", "good"] {
        let answer = client.with("authorization", header).send(Method::POST, "/v1/pull").await.unwrap();
        assert_eq!(answer.json(), status(401, "Unauthorized", "missing bearer token"), "{header:?}");
    }
    let lines = kit.audit().await;
    let outcomes = |code: u16| lines.iter().filter(move |line| line["code"] == code);
    let known = table.iter().filter(|(_, (code, _), _)| *code == 403).count();
    assert_eq!(outcomes(403).count(), known);
    // Of tokens that are no pod's, few lines are written.
    assert!((1..6).contains(&outcomes(401).count()), "{lines:?}");
    for line in &lines {
        let known = match line["code"].as_u64() {
            Some(403) => ["Forbidden", "GrantMismatch", "TenantMismatch"].as_slice(),
            _ => &["Unauthorized"],
        };
        assert!(known.contains(&line["outcome"].as_str().unwrap()) && line["names"] == json!([]), "{line}");
    }
    assert_eq!(kit.memory.calls(), 0);
}

#[tokio::test]
async fn token_and_pod_are_checked_on_each_pull() {
    let kit = start(PODS, &grant(&["a"], &[])).await;
    let client = kit.pod().await;
    assert_eq!(pull(&client, "good").await.status, 200);
    // Granted something else: by a pod of the same name, which has another uid.
    let mut other = pod(&grant(&["b"], &[]));
    other["metadata"]["uid"] = json!("uid-1");
    kit.cluster.object("pods", other);
    assert_eq!(pull(&client, "good").await.status, 401);
    kit.cluster.remove("pods", "snacks-development", "a0");
    assert_eq!(pull(&client, "good").await.status, 401);
    kit.cluster.object("pods", pod(&grant(&["a"], &[])));
    assert_eq!(pull(&client, "good").await.status, 200);
    kit.cluster.token_status("good", AUDIENCE, json!({ "authenticated": false }));
    assert_eq!(pull(&client, "good").await.status, 401);
    assert_eq!(kit.memory.asked(), [("us-east-2".to_owned(), name("a"))]);
}

#[tokio::test]
async fn body_query_and_other_headers_are_ignored() {
    let kit = start(PODS, &grant(&["a"], &[])).await;
    let client = kit.pod().await;
    let wanted = pull(&client, "good").await;
    let claims = [
        ("x-remote-user", "system:serviceaccount:other:default"),
        ("x-forwarded-for", "10.0.0.1"),
        ("content-type", "application/json"),
        ("accept", "text/html"),
    ];
    let claiming =
        claims.iter().fold(client.with("authorization", "bearer good"), |it, (name, value)| it.with(name, value));
    let scope = r#"{"scope":"acme/development/other","files":["b"],"pod":"a1","namespace":"other"}"#;
    for (path, body) in [("/v1/pull", scope), ("/v1/pull", "\0\u{ff}"), ("/v1/pull?pod=a1&namespace=other&file=b", "")]
    {
        let answer = claiming.send_body(Method::POST, path, body).await.unwrap();
        assert_eq!((answer.status, &answer.body), (200, &wanted.body), "{path} {body:?}");
    }
    assert_eq!(kit.memory.asked(), [("us-east-2".to_owned(), name("a"))]);
}

#[tokio::test]
async fn http_1_is_served() {
    let kit = start(PODS, &grant(&["a"], &[])).await;
    let wanted = pull(&kit.pod().await, "good").await.body;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let request = axum::http::Request::post("/v1/pull").header("host", "localhost");
        let request = request.header("authorization", "Bearer good").body(Empty::new()).unwrap();
        let (answer, _) = client::old(kit.pods_address(), &kit.server_authority, None, version, request).await.unwrap();
        assert_eq!((answer.status, &answer.body), (200, &wanted));
    }
}

#[tokio::test]
async fn pod_listener_ignores_front_proxy_headers() {
    let kit = start(PODS, &grant(&["a"], &[])).await;
    let client = kit.pod().await.user("system:admin");
    let object = "/apis/secret-gateway.flyte.org/v1alpha1/awssecrets/us-east-2:u__org__o";
    for (method, path, code) in [
        (Method::GET, object, 404),
        (Method::GET, "/metrics", 404),
        (Method::GET, "/v1/pull", 405),
        (Method::POST, "/v1/pull", 401),
        (Method::GET, "/readyz", 200),
    ] {
        assert_eq!(client.send(method.clone(), path).await.unwrap().status, code, "{method} {path}");
    }
    // Nor is a pull answered where the API is.
    let answer = kit.client().await.with("authorization", "Bearer good").send(Method::POST, "/v1/pull").await.unwrap();
    assert_eq!(answer.status, 404);
    assert_eq!(kit.memory.calls(), 0);
}

#[tokio::test]
async fn store_failures_name_the_key() {
    let kit =
        start(&format!("{PODS}reads: {{ retries: 0, breaker: {{ failures: 100 }} }}"), &grant(&["a"], &["b"])).await;
    let client = kit.pod().await;
    let looked_up = |key: &str| {
        let name = |scope| format!("u__org__acme__{scope}__key__{key} (AWSSecret in us-east-2)");
        ["domain__development__project__snacks", "domain__development__project__", "domain____project__"]
            .map(name)
            .join(", ")
    };
    let missing = |key: &str| {
        format!("secret {key:?}: not found; looked up {}; store it under one of these names", looked_up(key))
    };
    kit.memory.fail(Failure::NotFound);
    let answer = pull(&client, "good").await;
    let message = [missing("a"), missing("b")].join("; ");
    assert_eq!((answer.status, answer.json()), (404, status(404, "SecretNotFound", &message)));
    assert_eq!(kit.audit().await, [line(&[], "SecretNotFound", 404)]);

    let table = [
        (Failure::Throttled(Some(Duration::from_secs(3))), 429, "ProviderUnavailable", Some("3")),
        (Failure::Unreachable("down".to_owned()), 503, "ProviderUnavailable", None),
        (Failure::Slow, 504, "ProviderUnavailable", None),
        (Failure::Forbidden("secretsmanager:GetSecretValue".to_owned()), 403, "AccessDenied", None),
        (Failure::BadName("ValidationException".to_owned()), 400, "InvalidSecretRequest", None),
    ];
    let object = format!("us-east-2:{}", name("c"));
    let forbidden = format!("awssecrets.secret-gateway.flyte.org {object:?} is forbidden: ");
    for (failure, code, reason, retry_after) in table {
        let prefix = if code == 403 { &*forbidden } else { "" };
        let message = format!("secret \"c\": {prefix}{failure}");
        kit.cluster.object("pods", pod(&grant(&["c"], &[])));
        kit.memory.fail(failure);
        let answer = pull(&client, "good").await;
        let mut wanted = status(code, reason, &message);
        let details = json!({ "name": object, "group": "secret-gateway.flyte.org", "kind": "awssecrets" });
        wanted["details"] = details;
        if let Some(seconds) = retry_after {
            wanted["details"]["retryAfterSeconds"] = json!(seconds.parse::<u64>().unwrap());
        }
        assert_eq!((answer.status, answer.header("retry-after"), answer.json()), (code, retry_after, wanted));
    }
    // What may pass goes before what is missing.
    kit.cluster.object("pods", pod(&grant(&["d", "e"], &[])));
    kit.memory.behave(|name, _| match name.ends_with("__e") {
        true => (Duration::ZERO, Err(Failure::Unreachable("down".to_owned()))),
        false => (Duration::ZERO, Err(Failure::NotFound)),
    });
    assert_eq!(pull(&client, "good").await.status, 503);
    // An empty value, and a name that the store cannot have.
    kit.memory.answer(Duration::ZERO, Ok(text("")));
    kit.cluster.object("pods", pod(&grant(&["f"], &[])));
    let message =
        format!("secret \"f\": invalid value of us-east-2:{}: value is empty; store the secret again", name("f"));
    assert_eq!(pull(&client, "good").await.json(), status(422, "InvalidSecretValue", &message));
    kit.cluster.object("pods", pod(&grant(&[], &["g/h"])));
    assert_eq!(pull(&client, "good").await.status, 403);
}

#[tokio::test]
async fn failing_api_server_returns_503() {
    let kit = start(PODS, &grant(&["a"], &[])).await;
    let client = kit.pod().await;
    let says = |why| format!("cannot identify the pod: {why}; retry later");
    let table = [
        (500, says("the API server returned an error")),
        (403, says("the gateway's service account must be allowed to create tokenreviews and get pods")),
    ];
    for (code, message) in table {
        kit.cluster.fail(Some(code));
        let answer = pull(&client, "good").await;
        let mut wanted = status(503, "ProviderUnavailable", &message);
        wanted["details"] = json!({ "retryAfterSeconds": 1 });
        assert_eq!((answer.status, answer.header("retry-after"), answer.json()), (503, Some("1"), wanted));
    }
    kit.cluster.fail(None);
    assert_eq!(pull(&client, "good").await.status, 200);
}

#[tokio::test]
async fn concurrent_pulls_share_one_provider_call() {
    let kit = start(&format!("{PODS}reads: {{ timeout: 60s }}"), &grant(&["a"], &["a"])).await;
    kit.memory.hold();
    let mut pulls = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let client = kit.pod().await;
        pulls.spawn(async move { pull(&client, "good").await });
    }
    crate::eventually(async || kit.metrics().await.contains("secret_gateway_pulls_in_flight 200\n")).await;
    kit.memory.release();
    let answers = pulls.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    assert_eq!(kit.memory.asked(), [("us-east-2".to_owned(), name("a"))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_started_during_an_outage_get_their_secrets() {
    const PODS_AT_ONCE: usize = 200;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let authority = Authority::new("gateway-ca");
    let granted = Grant {
        gateway: format!("https://localhost:{port}"),
        ca: authority.certificate.clone(),
        patience: Duration::from_secs(60),
        ..grant(&["a", "b"], &["c"])
    };
    let roots = tempfile::TempDir::new().unwrap();
    let mut pullers = tokio::task::JoinSet::new();
    let failed = Arc::new(AtomicUsize::new(0));
    for number in 0..PODS_AT_ONCE {
        let places = Places::under(&roots.path().join(number.to_string()));
        for folder in [&places.files, &places.env, &places.token.parent().unwrap().to_owned()] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(&places.token, "good").unwrap();
        let (granted, failed) = (granted.clone(), Arc::clone(&failed));
        pullers.spawn_blocking(move || {
            let gateway = puller::request::Gateway::new(&granted).unwrap();
            let log = |_: &str| _ = failed.fetch_add(1, Ordering::Relaxed);
            puller::run::run(&gateway, &granted, &places, &log).unwrap();
            let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
            (read(places.files.join("a")), read(places.files.join("b")), read(places.env_file()))
        });
    }
    crate::eventually(async || failed.load(Ordering::Relaxed) >= PODS_AT_ONCE).await;
    let lines = PODS.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let memory = Memory::default();
    memory.behave(|name, _| (Duration::from_millis(200), Ok(text(&name.to_uppercase()))));
    let kit = Kit::start_with(Cluster::start().await, memory, authority, &lines, |cluster| {
        cluster.object("pods", pod(&granted));
        cluster.token("good", AUDIENCE, user("default", "a0", "uid-0"));
    })
    .await;
    let [a, b, c] = ["a", "b", "c"].map(|key| name(key).to_uppercase());
    let wanted = (a, b, format!("v0='{c}'\n"));
    let got = pullers.join_all().await;
    assert!(got.len() == PODS_AT_ONCE && got.iter().all(|got| *got == wanted), "{:?}", got.first());
    let mut asked = kit.memory.asked();
    asked.sort();
    assert_eq!(asked, ["a", "b", "c"].map(|key| ("us-east-2".to_owned(), name(key))), "one call for each secret");
}

#[tokio::test]
async fn pull_limits() {
    let limits = "  pullsPerNamespace: 1\n  maxSecrets: 2\n  maxBytes: 100\n";
    let kit = start(&format!("{PODS}{limits}"), &grant(&["a"], &[])).await;
    let client = kit.pod().await;
    kit.memory.hold();
    let first = tokio::spawn({
        let client = client.clone();
        async move { pull(&client, "good").await }
    });
    crate::eventually(async || kit.memory.calls() == 1).await;
    let mut busy = status(429, "TooManyRequests", "too many concurrent pulls in this namespace; retry later");
    busy["details"] = json!({ "retryAfterSeconds": 1 });
    assert_eq!(pull(&client, "good").await.json(), busy);
    // Each namespace has a limit of its own.
    let mut elsewhere = pod(&Grant { project: "pizza".to_owned(), ..grant(&["z"], &[]) });
    elsewhere["metadata"]["namespace"] = json!("pizza-development");
    kit.cluster.object("pods", elsewhere);
    kit.cluster.token("elsewhere", AUDIENCE, bound("pizza-development", "default", "a0", "uid-0"));
    let other = tokio::spawn({
        let client = client.clone();
        async move { pull(&client, "elsewhere").await }
    });
    crate::eventually(async || kit.memory.calls() == 2).await;
    kit.memory.release();
    assert_eq!((first.await.unwrap().status, other.await.unwrap().status), (200, 200));

    let too_large = |message| status(413, "LimitExceeded", message);
    kit.cluster.object("pods", pod(&grant(&["a", "b", "c"], &[])));
    assert_eq!(pull(&client, "good").await.json(), too_large("3 secrets exceed the limit of 2 for each pod"));
    kit.memory.answer(Duration::ZERO, Ok(text(&"x".repeat(101))));
    kit.cluster.object("pods", pod(&grant(&["b"], &[])));
    let message = "the pod's secrets exceed the limit of 100 bytes for each pull";
    assert_eq!(pull(&client, "good").await.json(), too_large(message));
}

#[tokio::test]
async fn large_values_are_sent_unchanged() {
    let kit = start(PODS, &grant(&["a", "small", "b"], &["c"])).await;
    let value = |name: &str| match name.rsplit("__").next() {
        Some("a") => "a".repeat(3 << 20),
        Some("b") => "b".repeat(17 << 10),
        _ => "c".to_owned(),
    };
    kit.memory.behave(move |name, _| (Duration::ZERO, Ok(text(&value(name)))));
    let answer = pull(&kit.pod().await, "good").await;
    let granted = grant(&["a", "small", "b"], &["c"]);
    let head = Head::new(&granted, [3 << 20, 1, 17 << 10], [1]).to_line().unwrap();
    let wanted = [head, value("a"), value("small"), value("b"), value("c")].concat();
    assert_eq!(answer.status, 200);
    assert!(answer.body.trim_ascii_start() == wanted.as_bytes());
}

#[tokio::test]
async fn kubernetes_secrets_are_pulled() {
    let pods = "
pods: { listen: 127.0.0.1:0, settings: { embeddedSecretManagerConfig: { nameSchemes: [canonical] } } }
reads: { retries: 0 }
";
    let kit = start(pods, &grant(&["a"], &["b"])).await;
    let secret = |name: &str, data: Value| {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "namespace": "flyte", "name": secret_name(name) },
            "data": data,
        })
    };
    let [a, b] = ["a", "b"].map(name);
    kit.cluster.object("secrets", secret(&a, json!({ &*a: "AP8=" })));
    kit.cluster.object("secrets", secret(&b, json!({ "other": "eA==" })));
    let client = kit.pod().await;
    let answer = pull(&client, "good").await;
    let object = secret_name(&b);
    let message =
        format!("secret \"b\": unexpected response from the provider: missing key {b:?} in Secret flyte/{object}");
    assert_eq!((answer.status, &answer.json()["message"]), (503, &json!(message)));
    kit.cluster.object("secrets", secret(&b, json!({ &*b: "eA==" })));
    assert!(pull(&client, "good").await.body.ends_with(b"\n\0\xffx"));
    // No object of the API, which would show them to whoever may read the gateway's.
    let path = format!("/apis/secret-gateway.flyte.org/v1alpha1/secrets/flyte:{a}");
    assert_eq!(kit.client().await.get(&path).await.status, 404);
}
