//! Pulls: secrets of pods, rejected pods, and failures.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flyte_secrets_policy::answer::Head;
use flyte_secrets_policy::grant::{AUDIENCE, Grant, Granted};
use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_pull::{self as puller, Places};

use super::*;
use crate::kit::cluster::{bound, granted, secret};

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

/// A gateway, and a pod with this grant and the token `good`, and its connection.
async fn start(lines: &str, grant: &Grant) -> (Kit, Client) {
    let mut kit = Kit::new().await;
    serve(&mut kit, lines, grant).await;
    let client = kit.pod().await;
    (kit, client)
}

async fn serve(kit: &mut Kit, lines: &str, grant: &Grant) {
    kit.cluster.object("pods", pod(grant));
    kit.cluster.token("good", AUDIENCE, user("default", "a0", "uid-0"));
    kit.serve(lines).await;
}

async fn pull(client: &Client, token: &str) -> Answer {
    client.with("authorization", &format!("Bearer {token}")).post("/v1/pull").await
}

/// Checks that an answer has the secrets of a grant: the lengths of files and of variables, and all values.
#[track_caller]
fn assert_pulled(answer: &Answer, grant: &Grant, lengths: (&[u64], &[u64]), values: &[u8]) {
    let head = Head::new(grant, lengths.0.iter().copied(), lengths.1.iter().copied()).to_line().unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.body.trim_ascii_start() == [head.as_bytes(), values].concat(), "unexpected secrets");
}

fn name(key: &str) -> String {
    format!("u__org__acme__domain__development__project__snacks__key__{key}")
}

/// The audit line of the pod.
fn line(names: &[String], outcome: &str, code: u16) -> Value {
    json!({
        "audit": "pull", "namespace": "snacks-development", "pod": "a0", "uid": "uid-0", "serviceAccount": "default",
        "node": "node-1", "scope": "acme/development/snacks", "names": names, "outcome": outcome, "code": code,
    })
}

#[tokio::test]
async fn pull_returns_granted_secrets_only() {
    let grant = grant(&["tls.crt", "other"], &["db-password", "tls.crt"]);
    let (kit, client) = start(PODS, &grant).await;
    let mut claims = pod(&grant);
    claims["metadata"]["labels"] = json!({ "organization": "globex", "project": "x", "domain": "y" });
    claims["metadata"]["annotations"] = json!({ "flyte.secrets/s0": "x" });
    kit.cluster.object("pods", claims);
    let organization = "u__org__acme__domain____project____key__other";
    kit.memory.behave(move |asked, _| match asked {
        asked if asked == name("tls.crt") => Ok(Secret::Binary(vec![0, 0xff].into())),
        asked if asked == organization || asked == name("db-password") => text(CANARY),
        _ => Err(Failure::NotFound),
    });
    // A binary value is no variable.
    let message = "secret \"tls.crt\" cannot be a variable: the value is not UTF-8 text; request it as a FILE";
    pull(&client, "good").await.is_failure(422, "InvalidSecretValue", message, &json!({}));

    let grant = self::grant(&["tls.crt", "other"], &["db-password"]);
    kit.cluster.object("pods", pod(&grant));
    let answer = pull(&client, "good").await;
    let length = CANARY.len() as u64;
    assert_pulled(&answer, &grant, (&[2, length], &[length]), &[b"\0\xff", CANARY.repeat(2).as_bytes()].concat());
    let headers = ["content-type", "cache-control", "content-length"].map(|name| answer.header(name).unwrap());
    assert_eq!(headers, ["application/vnd.flyte.secrets.v1", "no-store", &answer.body.len().to_string()]);
    let names = [organization.to_owned(), name("db-password"), name("tls.crt")];
    assert_eq!(kit.audit().await, [line(&names, "InvalidSecretValue", 422), line(&names, "ok", 200)]);
    assert!(!kit.audit.text().contains(CANARY) && !kit.metrics().await.contains(CANARY));
    assert_eq!(kit.metric("secret_gateway_pulls_total{result=\"ok\"}").await, Some(1.0));
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
    let (kit, client) = start(PODS, &granted).await;
    let versioned = |key: &str| [&*name(key), "::AWSPREVIOUS"].concat();
    kit.memory.behave(move |asked, _| {
        let table = [
            (name("whole"), "a"),
            (versioned("old"), "b"),
            (name("rds"), r#"{"password":"c","list":[]}"#),
            (versioned("rds"), r#"{"password":12}"#),
        ];
        table.into_iter().find(|(name, _)| name == asked).map_or(Err(Failure::NotFound), |(_, value)| text(value))
    });
    assert_pulled(&pull(&client, "good").await, &granted, (&[1, 1], &[1, 2]), b"abc12");
    let names = [name("old") + "::AWSPREVIOUS", name("rds"), name("rds") + "::AWSPREVIOUS", name("whole")];
    assert_eq!(kit.audit().await, [line(&names, "ok", 200)]);
    let table = [
        (part("user", "rds", ""), "secret \"rds\" does not have this property"),
        (part("list", "rds", ""), "secret \"rds\" has no string there"),
        (part("a", "whole", ""), "secret \"whole\" is not a JSON object"),
    ];
    for (secret, problem) in table {
        let message = format!("{problem}; store a JSON object with a string under {:?}", secret.key);
        kit.cluster.object("pods", pod(&Grant { variables: vec![secret], ..grant(&[], &[]) }));
        pull(&client, "good").await.is_failure(422, "InvalidSecretValue", &message, &json!({}));
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
        let azure = json!({ "vaultURI": "https://flyte.vault.azure.net", "plainValues": plain });
        let settings = json!({ "embeddedSecretManagerConfig": { "azureConfig": azure } });
        format!("pods: {}", json!({ "listen": "127.0.0.1:0", "settings": settings }))
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
        let (kit, client) = start(&lines(plain), &grant).await;
        kit.memory.answer(text(stored));
        let answer = pull(&client, "good").await;
        if code == 200 {
            assert_pulled(&answer, &grant, (&[value.len() as u64], &[]), value);
        } else {
            assert_eq!(answer.status, code, "{plain} {stored}");
            assert!(answer.text().contains("is not Flyte's") && !answer.text().contains("c4n4ry"), "{answer:?}");
        }
        // A lookup judges what a pull would bring.
        let lookup = kit.get(&path("secretlookups", "flyte.vault.azure.net:1-a")).await;
        assert_eq!(lookup.status, code);
    }
}

#[tokio::test]
async fn invalid_tokens_and_pods_are_rejected() {
    let (kit, client) = start(PODS, &grant(&["a"], &[])).await;
    let rejects = async |token: &str, code: u16, reason: &str, message: &str| {
        pull(&client, token).await.is_failure(code, reason, message, &json!({}));
    };
    for header in ["", "Bearer ", "Basic good", "good"] {
        let answer = client.with("authorization", header).post("/v1/pull").await;
        answer.is_failure(401, "Unauthorized", "missing bearer token", &json!({}));
    }

    let unknown = "invalid token: unknown, expired or for another audience";
    let not_bound = "token is not bound to a pod; expected a projected service account token";
    let gone = "pod of the token not found; it was deleted or replaced";
    let of = |user: Value| json!({ "authenticated": true, "user": user, "audiences": [AUDIENCE] });
    let extra = &user("x", "a0", "uid-0")["extra"];
    kit.cluster.token("audience", "https://kubernetes.default.svc", user("default", "a0", "uid-0"));
    let tokens = [
        ("unknown", json!({ "authenticated": false }), unknown),
        ("expired", json!({ "authenticated": false, "error": "service account token has expired" }), unknown),
        // What an authenticator says that does not know audiences.
        ("any", json!({ "authenticated": true, "user": user("default", "a0", "uid-0") }), unknown),
        ("person", of(json!({ "username": "admin", "extra": extra })), not_bound),
        (
            "unbound",
            of(json!({ "username": "system:serviceaccount:snacks-development:default", "extra": {} })),
            not_bound,
        ),
        ("deleted", of(user("default", "gone", "uid-0")), gone),
        ("reused", of(user("default", "a0", "uid-1")), gone),
    ];
    rejects("never heard of", 401, "Unauthorized", unknown).await;
    rejects("audience", 401, "Unauthorized", unknown).await;
    for (token, status, message) in tokens {
        kit.cluster.token_status(token, AUDIENCE, status);
        rejects(token, 401, "Unauthorized", message).await;
    }

    let rejects_pod = async |reason: &str, message: &str, change: fn(&mut Value)| {
        let mut pod = pod(&grant(&["a"], &[]));
        change(&mut pod);
        kit.cluster.object("pods", pod);
        rejects("good", 403, reason, message).await;
    };
    let ended: [fn(&mut Value); 3] = [
        |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
        |pod| pod["status"]["phase"] = json!("Succeeded"),
        |pod| pod["status"]["phase"] = json!("Failed"),
    ];
    for change in ended {
        rejects_pod("Forbidden", "pod has completed or is being deleted", change).await;
    }
    let no_volume = format!("pod has no volume with a token for audience {AUDIENCE:?}");
    let no_scope = "invalid value \"acme/development/a__b\" of option --scope: expected ORGANIZATION/DOMAIN/PROJECT";
    type Change = fn(&mut Value);
    let no_grant: [(&str, Change); 7] = [
        ("container not found", |pod| pod["spec"]["initContainers"] = json!([{ "name": "other" }])),
        // A grant that the policy does not look for, and so has not judged.
        ("container not found", |pod| pod["spec"]["containers"] = pod["spec"]["initContainers"].take()),
        ("container not found", |pod| pod["spec"]["ephemeralContainers"] = pod["spec"]["initContainers"].take()),
        ("expected command `pull`", |pod| {
            let granted = pod["spec"]["initContainers"][0].take();
            pod["spec"]["initContainers"] = json!([{ "name": "flyte-secrets" }, granted]);
        }),
        (no_scope, |pod| pod["spec"]["initContainers"][0]["args"][6] = json!("acme/development/a__b")),
        ("unknown option \"--x\"", |pod| pod["spec"]["initContainers"][0]["args"] = json!(["pull", "--x"])),
        (&no_volume, |pod| {
            let source = &mut pod["spec"]["volumes"][0]["projected"]["sources"][0];
            source["serviceAccountToken"]["audience"] = json!("other");
        }),
    ];
    for (why, change) in no_grant {
        let message = format!("no valid grant in init container \"flyte-secrets\": {why}");
        rejects_pod("GrantMismatch", &message, change).await;
    }
    let message = "namespace \"snacks-development\" does not match the pod's labels, which require namespace \"other-development\"; correct the labels, or run the task in that namespace";
    rejects_pod("TenantMismatch", message, |pod| {
        let grant = Grant { project: "other".to_owned(), ..grant(&["a"], &[]) };
        pod["spec"]["initContainers"][0]["args"] = json!(grant.to_args());
    })
    .await;
    kit.cluster.object("pods", pod(&grant(&["a"], &[])));
    kit.cluster.token("account", AUDIENCE, user("other", "a0", "uid-0"));
    let message = "service account \"other\" is not in tenancy.serviceAccounts; use another service account, or ask the operator to add it";
    rejects("account", 403, "TenantMismatch", message).await;

    let lines = kit.audit().await;
    let outcomes = |code: u16| lines.iter().filter(move |line| line["code"] == code);
    assert_eq!(outcomes(403).count(), ended.len() + no_grant.len() + 2);
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
    let (kit, client) = start(PODS, &grant(&["a"], &[])).await;
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
    let (kit, client) = start(PODS, &grant(&["a"], &[])).await;
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
        let answer = claiming.send(Method::POST, path, body).await.unwrap();
        assert_eq!((answer.status, &answer.body), (200, &wanted.body), "{path} {body:?}");
    }
    assert_eq!(kit.memory.asked(), [("us-east-2".to_owned(), name("a"))]);
}

#[tokio::test]
async fn pod_listener_ignores_front_proxy_headers() {
    let (kit, client) = start(PODS, &grant(&["a"], &[])).await;
    let client = client.user("system:admin");
    for (method, path, code) in [
        (Method::GET, &*aws("o"), 404),
        (Method::GET, "/metrics", 404),
        (Method::GET, "/v1/pull", 405),
        (Method::POST, "/v1/pull", 401),
        (Method::GET, "/readyz", 200),
    ] {
        assert_eq!(client.send(method.clone(), path, "").await.unwrap().status, code, "{method} {path}");
    }
    // Nor is a pull answered where the API is.
    assert_eq!(pull(&kit.client().await, "good").await.status, 404);
    assert_eq!(kit.memory.calls(), 0);
}

#[tokio::test]
async fn store_failures_name_the_key() {
    let (kit, client) =
        start(&format!("{PODS}reads: {{ retries: 0, breaker: {{ failures: 100 }} }}"), &grant(&["a"], &["b"])).await;
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
    let message = [missing("a"), missing("b")].join("; ");
    pull(&client, "good").await.is_failure(404, "SecretNotFound", &message, &json!({}));
    assert_eq!(kit.audit().await, [line(&[], "SecretNotFound", 404)]);

    let object = format!("us-east-2:{}", name("c"));
    let of = of("awssecrets", &object);
    let forbidden = format!("awssecrets.secret-gateway.flyte.org {object:?} is forbidden: ");
    let table = [
        (Failure::Throttled(Some(Duration::from_secs(3))), 429, "ProviderUnavailable", "", &retry(of.clone(), 3)),
        (Failure::Unreachable("down".to_owned()), 503, "ProviderUnavailable", "", &of),
        (Failure::Slow, 504, "ProviderUnavailable", "", &of),
        (Failure::Forbidden("secretsmanager:GetSecretValue".to_owned()), 403, "AccessDenied", &*forbidden, &of),
        (Failure::BadName("ValidationException".to_owned()), 400, "InvalidSecretRequest", "", &of),
    ];
    kit.cluster.object("pods", pod(&grant(&["c"], &[])));
    for (failure, code, reason, prefix, details) in table {
        let message = format!("secret \"c\": {prefix}{failure}");
        kit.memory.fail(failure);
        pull(&client, "good").await.is_failure(code, reason, &message, details);
    }
    // What may pass goes before what is missing.
    kit.cluster.object("pods", pod(&grant(&["d", "e"], &[])));
    kit.memory.behave(|name, _| match name.ends_with("__e") {
        true => Err(Failure::Unreachable("down".to_owned())),
        false => Err(Failure::NotFound),
    });
    assert_eq!(pull(&client, "good").await.status, 503);
    // An empty value, and a name that the store cannot have.
    kit.memory.answer(text(""));
    kit.cluster.object("pods", pod(&grant(&["f"], &[])));
    let message =
        format!("secret \"f\": invalid value of us-east-2:{}: value is empty; store the secret again", name("f"));
    pull(&client, "good").await.is_failure(422, "InvalidSecretValue", &message, &json!({}));
    kit.cluster.object("pods", pod(&grant(&[], &["g/h"])));
    assert_eq!(pull(&client, "good").await.status, 403);
}

#[tokio::test]
async fn failing_api_server_returns_503() {
    let (kit, client) = start(PODS, &grant(&["a"], &[])).await;
    let says = |why| format!("cannot identify the pod: {why}; retry later");
    let table = [
        (500, says("the API server returned an error")),
        (403, says("the gateway's service account must be allowed to create tokenreviews and get pods")),
    ];
    for (code, message) in table {
        kit.cluster.fail(Some(code));
        pull(&client, "good").await.is_failure(503, "ProviderUnavailable", &message, &retry(json!({}), 1));
    }
    kit.cluster.fail(None);
    assert_eq!(pull(&client, "good").await.status, 200);
}

#[tokio::test]
async fn concurrent_pulls_share_one_provider_call() {
    let (kit, _) = start(&format!("{PODS}reads: {{ timeout: 60s }}"), &grant(&["a"], &["a"])).await;
    kit.memory.hold();
    let mut pulls = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let client = kit.pod().await;
        pulls.spawn(async move { pull(&client, "good").await });
    }
    eventually(async || kit.metric("secret_gateway_pulls_in_flight").await == Some(200.0)).await;
    kit.memory.release();
    let answers = pulls.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    assert_eq!(kit.memory.asked(), [("us-east-2".to_owned(), name("a"))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_started_during_an_outage_get_their_secrets() {
    const PODS_AT_ONCE: usize = 200;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut kit = Kit::new().await;
    let (gateway, ca) = (format!("https://localhost:{port}"), kit.server_authority.certificate.clone());
    let granted = Grant { gateway, ca, ..grant(&["a", "b"], &["c"]) };
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
    eventually(async || failed.load(Ordering::Relaxed) >= PODS_AT_ONCE).await;
    let lines = PODS.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    kit.memory.behave(|name, _| text(&name.to_uppercase()));
    kit.memory.delay(Duration::from_millis(200));
    serve(&mut kit, &lines, &granted).await;
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
    let (kit, client) = start(&format!("{PODS}{limits}"), &grant(&["a"], &[])).await;
    kit.memory.hold();
    let start_pull = |token: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { pull(&client, token).await.status })
    };
    let first = start_pull("good");
    eventually(async || kit.memory.calls() == 1).await;
    let busy = "too many concurrent pulls in this namespace; retry later";
    pull(&client, "good").await.is_failure(429, "TooManyRequests", busy, &retry(json!({}), 1));
    // Each namespace has a limit of its own.
    let mut elsewhere = pod(&Grant { project: "pizza".to_owned(), ..grant(&["z"], &[]) });
    elsewhere["metadata"]["namespace"] = json!("pizza-development");
    kit.cluster.object("pods", elsewhere);
    kit.cluster.token("elsewhere", AUDIENCE, bound("pizza-development", "default", "a0", "uid-0"));
    let other = start_pull("elsewhere");
    eventually(async || kit.memory.calls() == 2).await;
    kit.memory.release();
    assert_eq!((first.await.unwrap(), other.await.unwrap()), (200, 200));

    kit.memory.answer(text(&"x".repeat(101)));
    let table: [(&[&str], &str); 2] = [
        (&["a", "b", "c"], "3 secrets exceed the limit of 2 for each pod"),
        (&["b"], "the pod's secrets exceed the limit of 100 bytes for each pull"),
    ];
    for (files, message) in table {
        kit.cluster.object("pods", pod(&grant(files, &[])));
        pull(&client, "good").await.is_failure(413, "LimitExceeded", message, &json!({}));
    }
}

#[tokio::test]
async fn large_values_are_sent_unchanged() {
    let granted = grant(&["a", "small", "b"], &["c"]);
    let (kit, client) = start(PODS, &granted).await;
    let value = |name: &str| match name.rsplit("__").next() {
        Some("a") => "a".repeat(3 << 20),
        Some("b") => "b".repeat(17 << 10),
        _ => "c".to_owned(),
    };
    kit.memory.behave(move |name, _| text(&value(name)));
    let answer = pull(&client, "good").await;
    let values = ["a", "small", "b", "c"].map(|key| value(&name(key))).concat();
    assert_pulled(&answer, &granted, (&[3 << 20, 1, 17 << 10], &[1]), values.as_bytes());
}

#[tokio::test]
async fn kubernetes_secrets_are_pulled() {
    let pods = "
pods: { listen: 127.0.0.1:0, settings: { embeddedSecretManagerConfig: { nameSchemes: [canonical] } } }
reads: { retries: 0 }
";
    let (kit, client) = start(pods, &grant(&["a"], &["b"])).await;
    let secret = |name: &str, data: Value| secret(&secret_name(name), &data);
    let [a, b] = ["a", "b"].map(name);
    kit.cluster.object("secrets", secret(&a, json!({ &*a: "AP8=" })));
    kit.cluster.object("secrets", secret(&b, json!({ "other": "eA==" })));
    let missing = format!("missing key {b:?} in Secret flyte/{}", secret_name(&b));
    let answer = pull(&client, "good").await;
    let message = format!("secret \"b\": unexpected response from the provider: {missing}");
    assert_eq!((answer.status, &answer.json()["message"]), (503, &json!(message)));
    kit.cluster.object("secrets", secret(&b, json!({ &*b: "eA==" })));
    assert!(pull(&client, "good").await.body.ends_with(b"\n\0\xffx"));
    // No object of the API, which would show them to whoever may read the gateway's.
    assert_eq!(kit.get(&path("secrets", &format!("flyte:{a}"))).await.status, 404);
}
