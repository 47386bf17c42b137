//! The host capability against an API server: a small double that answers as one, over plain HTTP.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // how tests fail

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use flyte_secrets_testing::host::Capabilities;
use flyte_secrets_testing::host::live::Live;
use serde_json::{Value, json};

/// Answers discovery of `v1`, one Secret, and 403 for another; everything else is a Status of 404.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let mut lines = BufReader::new(stream.try_clone().expect("a connection")).lines();
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
        let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
        let status = |code: u16, reason: &str| {
            let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason,
                               "reason": reason, "code": code });
            (code, body)
        };
        let (code, body) = match path.as_str() {
            "/api/v1" => (
                200,
                json!({ "kind": "APIResourceList", "groupVersion": "v1", "resources": [{
                "name": "secrets", "singularName": "secret", "namespaced": true, "kind": "Secret", "verbs": ["get"],
            }] }),
            ),
            "/api/v1/namespaces/flyte/secrets/there" => (
                200,
                json!({ "apiVersion": "v1", "kind": "Secret",
                "metadata": { "name": "there", "namespace": "flyte" }, "data": { "k": "dg==" } }),
            ),
            "/api/v1/namespaces/flyte/secrets/forbidden" => status(403, "Forbidden"),
            _ => status(404, "NotFound"),
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).expect("an answer");
    }
}

#[test]
fn a_live_api_server_answers_in_the_hosts_words() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || serve(&listener));
    let config = kube::Config::new(format!("http://{address}").parse().expect("an address"));
    let live = Live::connect(config).expect("an API server");
    let get = |name: &str, kind: &str| {
        let request = json!({ "api_version": "v1", "kind": kind, "name": name, "namespace": "flyte",
                              "disable_cache": true, "field_masks": ["data"] });
        live.call("kubernetes", "get_resource", request.to_string().as_bytes())
    };
    let secret: Value = serde_json::from_slice(&get("there", "Secret").expect("the Secret")).expect("JSON");
    assert_eq!(secret["data"], json!({ "k": "dg==" }));
    let missing = "Cannot find v1/Secret named 'nowhere' inside of namespace 'Some(\"flyte\")'";
    assert_eq!(get("nowhere", "Secret"), Err(missing.to_owned()));
    let forbidden = get("forbidden", "Secret").expect_err("no right");
    assert!(forbidden.contains("code: 403"), "{forbidden}");
    let unknown = get("x", "Unknown").expect_err("no kind");
    assert!(unknown.starts_with("Cannot find resource v1/Unknown"), "{unknown}");
}
