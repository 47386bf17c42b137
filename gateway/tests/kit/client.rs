//! Clients like the aggregation layer: HTTP/2 over TLS, all requests on one connection; and older ones.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use secret_gateway::access::tls;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::{Authority, Identity};

/// A complete response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// Checks that it has this JSON, with status 200.
    #[track_caller]
    pub fn is(&self, expected: &Value) {
        assert_eq!((self.status, &self.json()), (200, expected));
    }

    /// Checks that it is this `Status`, with the same HTTP status and `Retry-After`.
    #[track_caller]
    pub fn is_failure(&self, code: u16, reason: &str, message: &str, details: &Value) {
        let mut expected = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        });
        if *details != json!({}) {
            expected["details"] = details.clone();
        }
        let retry_after = details["retryAfterSeconds"].as_u64().map(|seconds| seconds.to_string());
        assert_eq!((self.status, self.json()), (code, expected));
        assert_eq!(self.header("retry-after"), retry_after.as_deref());
    }
}

#[derive(Clone)]
enum Sender {
    Http1(Arc<Mutex<http1::SendRequest<Full<Bytes>>>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// One connection; clones share it.
#[derive(Clone)]
pub struct Client {
    sender: Sender,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Client {
    /// Connects with HTTP/2 over TLS.
    pub async fn connect(address: SocketAddr, trusted: &Authority, identity: Option<&Identity>) -> Result<Self> {
        let stream = handshake(address, trusted, identity, b"h2", rustls::ALL_VERSIONS).await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender: Sender::Http2(sender), headers: Vec::new() })
    }

    /// Connects with HTTP/1 over TLS of one version.
    pub async fn connect_http1(
        address: SocketAddr,
        trusted: &Authority,
        identity: Option<&Identity>,
        version: &'static SupportedProtocolVersion,
    ) -> Result<Self> {
        Self::http1(handshake(address, trusted, identity, b"http/1.1", &[version]).await?).await
    }

    /// Connects with HTTP/1 without TLS.
    pub async fn plain(address: SocketAddr) -> Result<Self> {
        Self::http1(TcpStream::connect(address).await?).await
    }

    async fn http1(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let host = (HeaderName::from_static("host"), HeaderValue::from_static("localhost"));
        Ok(Self { sender: Sender::Http1(Arc::new(Mutex::new(sender))), headers: vec![host] })
    }

    /// The same connection in another user's name.
    pub fn user(&self, name: &str) -> Self {
        self.with("x-remote-user", name)
    }

    /// The same connection with one more header.
    pub fn with(&self, name: &str, value: &str) -> Self {
        self.with_all(name, &[value])
    }

    /// The same connection with a header that has several values.
    pub fn with_all(&self, name: &str, values: &[impl AsRef<str>]) -> Self {
        let mut client = self.clone();
        let name: HeaderName = name.parse().expect("a name");
        client.headers.extend(values.iter().map(|it| (name.clone(), it.as_ref().parse().expect("a value"))));
        client
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "").await.expect("an answer")
    }

    pub async fn post(&self, path: &str) -> Answer {
        self.send(Method::POST, path, "").await.expect("an answer")
    }

    /// Sends a request with a body.
    pub async fn send(&self, method: Method, path: &str, body: &'static str) -> Result<Answer> {
        let uri = if matches!(self.sender, Sender::Http2(_)) { "https://localhost" } else { "" };
        let mut request = Request::builder().method(method).uri(format!("{uri}{path}")).body(Full::from(body))?;
        request.headers_mut().extend(self.headers.iter().cloned());
        let response = match self.sender.clone() {
            Sender::Http1(sender) => {
                let mut sender = sender.lock().await;
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(mut sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes().to_vec();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

/// Opens a connection, and completes the TLS handshake.
pub async fn handshake(
    address: SocketAddr,
    trusted: &Authority,
    identity: Option<&Identity>,
    protocol: &[u8],
    versions: &[&'static SupportedProtocolVersion],
) -> Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.certificate.as_bytes())?)?;
    let config = ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(versions)?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => config.with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes())?],
            PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?,
        )?,
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, stream).await?)
}
