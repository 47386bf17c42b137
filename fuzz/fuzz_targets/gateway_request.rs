//! Any method, path and headers as a request to the gateway's API: without the front proxy's certificate it learns
//! nothing, and a value is only in the object that was authorized, for the user that the front proxy names.

#![no_main]

use axum::http::{HeaderMap, Method};
use flyte_secrets_policy_fuzz::CANARY;
use flyte_secrets_policy_fuzz::gateway::{Gateway, PLACES, PREFIXES, request};
use libfuzzer_sys::fuzz_target;
use secret_gateway::names::Kind;
use serde_json::{Value, json};

thread_local! {
    static GATEWAY: Gateway = Gateway::default();
}

fn user(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all("x-remote-user").iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).find(|name| !name.is_empty())
}

fuzz_target!(|text: &[u8]| {
    if text.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
        return;
    }
    let Some(asked_for) = request(text) else { return };
    let (method, headers) = (asked_for.method().clone(), asked_for.headers().clone());
    let is_health = ["/livez", "/healthz", "/readyz"].contains(&asked_for.uri().path());

    let (answer, seen) = GATEWAY.with(|gateway| gateway.api(false, asked_for));
    assert!(matches!(answer.status, 400 | 401) || answer.status == 200 && is_health, "{answer:?}");
    assert!(seen.reviews.is_empty() && seen.asked.is_empty() && !answer.shows_a_value(), "{seen:?}");

    let Some(asked_for) = request(text) else { return };
    let (answer, seen) = GATEWAY.with(|gateway| gateway.api(true, asked_for));
    assert!(matches!(answer.status, 200 | 400 | 401 | 403 | 404 | 405 | 406 | 431), "{answer:?}");
    assert!(seen.reviews.len() <= 1 && seen.asked.len() <= seen.reviews.len() && seen.lines.len() <= 1, "{seen:?}");
    if answer.status != 200 && method != Method::HEAD {
        answer.check_status();
    }
    if let [review] = seen.reviews.as_slice() {
        assert_eq!(review["user"].as_str(), user(&headers).as_deref(), "{review}");
    }
    if let [(place, name)] = seen.asked.as_slice() {
        let attributes = &seen.reviews[0]["resourceAttributes"];
        assert_eq!((&attributes["name"], &attributes["verb"]), (&json!(format!("{place}:{name}")), &json!("get")));
        // Characters that need no escape in the policy's host, a URL and an audit line.
        let mut bytes = place.bytes().chain(name.bytes());
        assert!(bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_+=.@-:".contains(&byte)), "{seen:?}");
        assert!(PLACES.contains(&&**place) && PREFIXES.iter().any(|prefix| name.starts_with(prefix)), "{seen:?}");
        let line: Value = serde_json::from_str(seen.lines.first().expect("an audit line")).expect("JSON");
        assert_eq!((&line["user"], &line["name"]), (&seen.reviews[0]["user"], &attributes["name"]), "{line}");
    }
    if answer.shows_a_value() {
        let object: Value = serde_json::from_slice(&answer.body).expect("an object is JSON");
        let [(place, name)] = seen.asked.as_slice() else { panic!("a value of nobody: {object}") };
        let kind = object["kind"].as_str().unwrap_or_default();
        assert!(Kind::served().any(|it| it != Kind::Lookup && it.name() == kind), "{object}");
        let wanted = json!({
            "apiVersion": "secret-gateway.flyte.org/v1alpha1",
            "kind": kind,
            "metadata": { "name": format!("{place}:{name}") },
            "stringValue": CANARY,
        });
        assert_eq!(object, wanted);
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
});
