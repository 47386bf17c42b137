//! Pulls: written files, retries, and failures.

use std::cell::RefCell;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use flyte_secrets_pull::request::Gateway;
use flyte_secrets_pull::run;

use crate::double::{body, http, status};
use crate::{Container, expected, listing};

/// Pulls; its outcome in words, and what was logged without the lengths of pauses.
fn pull(Container { grant, places, .. }: &Container) -> (Result<usize, String>, Vec<String>) {
    let lines = RefCell::new(Vec::new());
    let log = |line: &str| lines.borrow_mut().push(line.split("; retrying in").next().unwrap().to_owned());
    let outcome = run::run(&Gateway::new(grant).unwrap(), grant, places, &log).map_err(|error| error.to_string());
    (outcome, lines.into_inner())
}

#[test]
fn granted_secrets_are_written() {
    let big: Vec<u8> = (0..64u32 << 20).map(|number| number.to_le_bytes()[1] ^ 0x5a).collect();
    let (files, variables) = (
        [("tls.crt", &b"\0\xff\r\n"[..]), ("big", &big), ("empty", b"")],
        [("v0", &b"two\nlines"[..]), ("v1", b"x=$y")],
    );
    let answer = http(200, "", &body(&files, &variables));
    let container = Container::new(vec![answer], &["tls.crt", "big", "empty"], &["db password", "other"]);
    assert_eq!(pull(&container), (Ok(4), vec![]));
    let Container { gateway, places, .. } = container;
    assert!(listing(&places.files) == expected(&files.map(|(name, contents)| (name, 0o444, contents))));
    assert_eq!(listing(&places.env), expected(&[("env", 0o400, b"v0='two\nlines'\nv1='x=$y'\n")]));
    let mut head: Vec<_> = gateway.requests()[0].trim().lines().map(str::to_owned).collect();
    head.sort();
    let (host, version) = (gateway.address.trim_start_matches("https://"), env!("CARGO_PKG_VERSION"));
    let end = format!("content-length: 0, host: {host}, user-agent: flyte-secrets-pull/{version}");
    let start = "POST /v1/pull HTTP/1.1, accept: */*, authorization: Bearer the-token";
    assert_eq!(head.join(", "), format!("{start}, {end}"));
}

#[test]
fn transient_failures_are_retried() {
    let good = http(200, "", &body(&[("a", b"x")], &[]));
    let answers = vec![
        Vec::new(),
        status(503, "retry-after: 1\r\n", "ServiceUnavailable", "the provider is down\u{1b}[0m"),
        status(429, "", "TooManyRequests", "busy"),
        http(504, "", b"<html>"),
        good[..good.len() - 1].to_vec(),
        good,
    ];
    let container = Container::new(answers, &["a"], &[]);
    let (outcome, lines) = pull(&container);
    assert_eq!(outcome, Ok(1));
    let wanted = [
        "attempt 1 failed: cannot reach the secret gateway: ",
        "attempt 2 failed: 503 ServiceUnavailable: the provider is down [0m",
        "attempt 3 failed: 429 TooManyRequests: busy",
        "attempt 4 failed: 504 : no Status in the response",
        "attempt 5 failed: incomplete response: ",
    ];
    assert_eq!(lines.len(), wanted.len(), "{lines:?}");
    for (line, wanted) in lines.iter().zip(wanted) {
        assert!(line.starts_with(wanted), "{line:?}");
    }
    assert_eq!(listing(&container.places.files), expected(&[("a", 0o444, b"x")]));
}

#[test]
fn permanent_failures_are_not_retried() {
    let ok = |files: &[(&str, &[u8])], variables: &[(&str, &[u8])]| http(200, "", &body(files, variables));
    let one = |value: &[u8]| ok(&[("a", b"x")], &[("v0", value)]);
    let longer = [body(&[("a", b"x")], &[("v0", b"y")]), b"z".to_vec()].concat();
    const OTHER: &str = "unexpected response from the secret gateway: does not match the grant";
    let table = [
        (status(401, "", "Unauthorized", "no such pod"), "401 Unauthorized: no such pod"),
        (status(403, "", "Forbidden", "tenancy"), "403 Forbidden: tenancy"),
        (status(404, "", "NotFound", "looked up n"), "404 NotFound: looked up n"),
        (one(b""), "secret \"k\" cannot be a variable: the value is empty"),
        (
            one(b"it's"),
            "secret \"k\" cannot be a variable: the value contains a single quote, which Kubernetes' env files cannot hold; \
             request it as a FILE",
        ),
        (
            one(&[b'x'; 128 * 1024]),
            "secret \"k\" cannot be a variable: the value is larger than 130816 bytes; request it as a FILE",
        ),
        (ok(&[("../a", b"x")], &[("v0", b"y")]), OTHER),
        (ok(&[("a", b"x")], &[]), OTHER),
        (ok(&[("a", b"x"), ("b", b"x")], &[("v0", b"y")]), OTHER),
        (ok(&[("a", b"x")], &[("v1", b"y")]), OTHER),
        (http(200, "", &longer), "unexpected response from the secret gateway: longer than its head says"),
        (http(200, "", b"{}\n"), "unexpected response from the secret gateway: invalid head"),
        (http(307, "location: https://localhost:1/\r\n", b""), "307 : no Status in the response"),
    ];
    for (answer, wanted) in table {
        let container = Container::new(vec![answer], &["a"], &["k"]);
        assert_eq!(pull(&container), (Err(wanted.to_owned()), vec![]));
        let Container { gateway, places, .. } = container;
        assert_eq!((listing(&places.files), listing(&places.env)), (expected(&[]), expected(&[])), "{wanted}");
        assert_eq!(gateway.requests().len(), 1, "{wanted}");
    }
}

#[test]
fn pauses_have_jitter_and_respect_retry_after() {
    let busy = |headers| status(503, headers, "ServiceUnavailable", "down");
    let headers = ["", "retry-after: 2\r\n", "retry-after: soon\r\n", "retry-after: 18446744073709551615\r\n"];
    let Container { grant, places, root: _root, .. } = Container::new(headers.map(busy).to_vec(), &["a"], &[]);
    let lines = RefCell::new(Vec::new());
    let log = |line: &str| lines.borrow_mut().push((Instant::now(), line.to_owned()));
    let failure = run::run(&Gateway::new(&grant).unwrap(), &grant, &places, &log).unwrap_err().to_string();
    let end = Instant::now();
    // A minute, which is what the last one comes to, is beyond the grant's patience.
    assert_eq!(failure, "timed out after 20s: 503 ServiceUnavailable: down");
    let lines = lines.into_inner();
    let ranges = [0.2..=0.5, 2.0..=2.0, 1.0..=2.0];
    assert_eq!(lines.len(), ranges.len(), "{lines:?}");
    let next = lines.iter().map(|(at, _)| *at).skip(1).chain([end]);
    for ((range, (at, line)), next) in ranges.into_iter().zip(&lines).zip(next) {
        let pause: f64 = line.rsplit(' ').next().unwrap().trim_end_matches('s').parse().unwrap();
        assert!(range.contains(&pause), "{line}");
        assert!((next - *at).as_secs_f64() >= pause - 0.1, "{line}");
    }
}

#[test]
fn untrusted_gateway_gets_no_token() {
    let [mut container, other] =
        [(); 2].map(|()| Container::new(vec![http(200, "", &body(&[("a", b"x")], &[]))], &["a"], &[]));
    container.grant.ca = other.gateway.ca;
    container.grant.patience = Duration::from_secs(1);
    let error = pull(&container).0.unwrap_err();
    let expected = "timed out after 1s: cannot reach the secret gateway: io: invalid peer certificate: ";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(container.gateway.requests(), Vec::<String>::new());
    for ca in ["", "no PEM", "-----BEGIN CERTIFICATE-----\n?"] {
        container.grant.ca = ca.to_owned();
        assert!(Gateway::new(&container.grant).is_err(), "{ca:?}");
    }
}

#[test]
fn missing_token_is_reported() {
    let container = Container::new(vec![Vec::new()], &["a"], &[]);
    let token = &container.places.token;
    fs::remove_file(token).unwrap();
    let problem = "No such file or directory (os error 2)";
    assert_eq!(pull(&container).0, Err(format!("cannot read service account token {}: {problem}", token.display())));
}

#[test]
fn refresh_replaces_changed_files() {
    let old = body(&[("a", b"old"), ("b", b"same")], &[]);
    let new = body(&[("a", b"new"), ("b", b"same")], &[]);
    let answers = vec![http(200, "", &old), status(403, "", "Forbidden", "no longer"), http(200, "", &new)];
    let Container { grant, places, root: _root, .. } = Container::new(answers, &["a", "b"], &[]);
    let (sender, lines) = std::sync::mpsc::channel();
    let in_background = places.clone();
    thread::spawn(move || {
        let places = in_background;
        let log = |line: &str| _ = sender.send((line.to_owned(), places.ready().exists()));
        run::refresh(&Gateway::new(&grant).unwrap(), &grant, &places, Duration::from_millis(300), &log).unwrap();
    });
    let next = || lines.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(next(), ("pulled 2 as files and 0 as variables; 2 files written".to_owned(), false));
    assert_eq!(next(), ("cannot refresh secrets: 403 Forbidden: no longer".to_owned(), true));
    assert_eq!(listing(&places.files), expected(&[("a", 0o444, b"old"), ("b", 0o444, b"same")]));
    assert_eq!(next(), ("pulled 2 as files and 0 as variables; 1 files written".to_owned(), true));
    assert_eq!(listing(&places.files), expected(&[("a", 0o444, b"new"), ("b", 0o444, b"same")]));
}
