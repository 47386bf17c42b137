//! Connections: how long each may take, how many there may be, and that strangers keep nobody else out.

use std::net::SocketAddr;

use axum::http::Request;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::kit::client;

/// Times that a test can wait for.
const SHORT: &str = "limits: { handshakeTimeout: 300ms, headTimeout: 300ms, idleTimeout: 700ms, \
                     unverifiedLifetime: 1500ms }";

/// A listener for pods.
const PODS: &str = "pods: { listen: '127.0.0.1:0', settings: {} }";

/// By when a connection must have ended; the longest time of [`SHORT`], the time to end it, and a machine under load.
const SOON: Duration = Duration::from_secs(8);

/// The preface of HTTP/2 with empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The frame of a head that announces more of it.
const HALF_A_HEAD: &[u8] = b"\0\0\x01\x01\0\0\0\0\x01\x82";

/// Reads until the other end has closed the stream.
async fn closed(mut stream: impl AsyncRead + Unpin) {
    while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
}

#[tokio::test]
async fn incomplete_requests_and_idle_connections_time_out() {
    let kit = Kit::start(&[SHORT, PODS].join("\n")).await;
    let front_proxy = kit.front_proxy();
    let peers = [
        ("stranger", kit.address(), None),
        ("front proxy", kit.address(), Some(&front_proxy)),
        ("pod", kit.pods_address(), None),
    ];
    let handshake = async |address, identity, protocol| {
        let versions = rustls::ALL_VERSIONS;
        client::handshake(address, &kit.server_authority, identity, protocol, versions).await.unwrap()
    };
    let mut waiting = JoinSet::new();
    let mut wait = |what: String, end: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        waiting.spawn(async { (what, timeout(SOON, end).await) });
    };

    let half_a_head = [PREFACE, HALF_A_HEAD].concat();
    let beginnings: [(&str, &[u8], &[u8]); 8] = [
        ("silence over HTTP/2", b"h2", b""),
        ("silence over HTTP/1", b"http/1.1", b""),
        ("half a preface", b"h2", &PREFACE[..20]),
        ("half a preface over HTTP/1", b"http/1.1", b"PRI * HT"),
        ("no settings", b"h2", &PREFACE[..24]),
        ("no request", b"h2", PREFACE),
        ("half a head over HTTP/2", b"h2", &half_a_head),
        ("half a head over HTTP/1", b"http/1.1", b"GET /readyz HTTP/1.1\r\nhost: local"),
    ];
    for (who, address, identity) in peers {
        for (what, protocol, bytes) in beginnings {
            let mut stream = handshake(address, identity, protocol).await;
            stream.write_all(bytes).await.unwrap();
            wait(format!("{what}, {who}"), Box::pin(closed(stream)));
        }
        // Pings are answered by the client's connection itself.
        for requests in [0, 1] {
            let stream = handshake(address, identity, b"h2").await;
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            let connection = tokio::spawn(connection);
            let end = async move {
                for _ in 0..requests {
                    let request = Request::get("https://localhost/readyz").body(Empty::<Bytes>::new()).unwrap();
                    sender.send_request(request).await.unwrap();
                }
                let _ = connection.await;
            };
            wait(format!("pings after {requests} requests, {who}"), Box::pin(end));
        }
    }

    let plain: [(&str, SocketAddr, &[u8]); 7] = [
        ("silence before TLS", kit.address(), b""),
        ("silence before TLS, pod", kit.pods_address(), b""),
        ("half a ClientHello", kit.address(), b"\x16\x03\x01\x02\0\x01"),
        ("half a ClientHello, pod", kit.pods_address(), b"\x16\x03\x01\x02\0\x01"),
        ("silence without TLS", kit.metrics_address(), b""),
        ("half a preface without TLS", kit.metrics_address(), b"PRI * HT"),
        ("half a head without TLS", kit.metrics_address(), b"GET /metrics HTTP/1.1\r\n"),
    ];
    for (what, address, bytes) in plain {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        wait(what.to_owned(), Box::pin(closed(stream)));
    }

    // A ClientHello that never comes to its end, although something always comes.
    for (what, address) in [("slow TLS", kit.address()), ("slow TLS, pod", kit.pods_address())] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let slow = async move {
            let mut written = stream.write_all(b"\x16\x03\x01\x40\0\x01\0\x3f\xfc").await;
            while written.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
                written = stream.write_all(&[0]).await;
            }
        };
        wait(what.to_owned(), Box::pin(slow));
    }

    let outcomes = waiting.join_all().await;
    let open: Vec<_> = outcomes.iter().filter(|(_, end)| end.is_err()).map(|(what, _)| what).collect();
    assert_eq!(open, Vec::<&String>::new(), "still open after {SOON:?}");
}

#[tokio::test]
async fn unverified_connections_have_a_maximum_lifetime() {
    let kit = Kit::start(SHORT).await;
    let (front_proxy, stranger) = (kit.client().await, kit.connect(None).await);
    let start = Instant::now();
    while stranger.send(Method::GET, "/readyz", "").await.is_ok_and(|answer| answer.status == 200) {
        assert!(start.elapsed() < SOON, "still open");
        assert_eq!(front_proxy.get("/readyz").await.status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(start.elapsed() > Duration::from_secs(1), "{:?}", start.elapsed());
    for _ in 0..10 {
        assert_eq!(front_proxy.get(&aws("key")).await.status, 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The API server on a new connection and a probe are served, in a moment.
async fn is_served(kit: &Kit) {
    let served = timeout(SOON, async {
        let api_server = kit.client().await.get(&aws("key")).await.status;
        let probe = kit.connect(None).await.get("/readyz").await.status;
        let metrics = kit.plain("/readyz").await.status;
        (api_server, probe, metrics)
    });
    assert_eq!(served.await.ok(), Some((200, 200, 200)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_unverified_connections_are_evicted() {
    let kit = Kit::start("limits: { connections: 32, unverified: 16 }").await;
    let before = kit.client().await;
    assert_eq!(before.get(&aws("key")).await.status, 200);
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(kit.address()).await.unwrap());
        silent.push(TcpStream::connect(kit.metrics_address()).await.unwrap());
    }
    is_served(&kit).await;

    let mut asked = Vec::new();
    for _ in 0..50 {
        let stranger = kit.connect(None).await;
        assert_eq!(stranger.get("/apis").await.status, 401);
        asked.push(stranger);
    }
    is_served(&kit).await;
    assert_eq!(before.get(&aws("key")).await.status, 200, "the front proxy's connection stays");

    // While they keep coming.
    let address = kit.address();
    let flood = tokio::spawn(async move {
        let mut streams = std::collections::VecDeque::new();
        loop {
            streams.push_back(TcpStream::connect(address).await);
            streams.truncate(500);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    for _ in 0..5 {
        is_served(&kit).await;
    }
    flood.abort();
    let evicted = kit.metric("secret_gateway_connections_evicted_total{listener=\"api\"}").await;
    assert!(evicted >= Some(84.0), "{evicted:?}");
    assert_eq!(before.get(&aws("key")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_sockets_beyond_the_limit_do_not_block_the_api_server() {
    const SOCKETS: usize = 4200;
    let limit = getrlimit(Resource::Nofile);
    let enough = u64::try_from(SOCKETS * 2 + 1000).unwrap();
    if limit.maximum.is_some_and(|maximum| maximum < enough) {
        println!("not run: needs {enough} open files, and the limit is {limit:?}");
        assert!(std::env::var_os("CI").is_none(), "the limit of open files must be {enough} in CI");
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(enough.max(limit.current.unwrap_or(0))), ..limit }).unwrap();
    let kit = Kit::start("").await;
    let mut silent = Vec::new();
    for _ in 0..SOCKETS {
        silent.push(TcpStream::connect(kit.address()).await.unwrap());
    }
    is_served(&kit).await;
    drop(silent);
    assert_eq!(kit.client().await.get(&aws("key")).await.status, 200);
}
