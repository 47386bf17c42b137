//! Any headers, any arguments of the pod's init container, and any body as a pull: the body changes nothing, and the
//! response has what was granted.

#![no_main]

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use flyte_secrets_policy::answer::{Head, PATH};
use flyte_secrets_policy::grant::Grant;
use flyte_secrets_policy_fuzz::gateway::{Gateway, PREFIXES, TOKEN, headers};
use flyte_secrets_policy_fuzz::{CANARY, cut};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static GATEWAY: Gateway = Gateway::default();
}

fn pull(headers: &HeaderMap, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = PATH.parse().expect("a path");
    request.headers_mut().clone_from(headers);
    request
}

fuzz_target!(|bytes: &[u8]| {
    if bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
        return;
    }
    let (said, rest) = cut(bytes);
    let (args, body) = cut(rest);
    let headers = headers(said.split(|byte| *byte == b'\n'));
    let Ok(args) = std::str::from_utf8(args) else { return };
    let args: Vec<String> = args.split('\n').map(str::to_owned).collect();

    let send = |body| GATEWAY.with(|gateway| gateway.pull(args.clone(), pull(&headers, body)));
    let (answer, seen) = send(Body::empty());
    let (again, _) = send(Body::from(body.to_vec()));
    assert_eq!(again, answer, "the body changes the answer");

    assert!(matches!(answer.status, 200 | 401 | 403 | 404 | 413 | 422), "{answer:?}");
    if answer.status != 200 {
        answer.check_status();
        assert!(!answer.shows_a_value(), "{answer:?}");
        return;
    }
    let token = headers["authorization"].to_str().expect("text");
    assert!(token.split_once(' ').is_some_and(|(_, token)| token == TOKEN), "{token}");
    let grant = Grant::parse(&args).expect("a grant");
    let line = answer.body.iter().position(|byte| *byte == b'\n').expect("a head");
    let (head, values) = answer.body.split_at(line + 1);
    assert!(Head::parse(head).expect("a head").answers(&grant), "{answer:?}");
    let count = grant.files.len() + grant.variables.len();
    assert_eq!(values, CANARY.repeat(count).as_bytes());
    assert!(seen.asked.iter().all(|(place, name)| place == "us-east-2" && name.starts_with(PREFIXES[0])), "{seen:?}");
    assert_eq!(seen.lines.len(), 1);
});
