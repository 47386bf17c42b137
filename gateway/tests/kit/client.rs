//! Clients like the aggregation layer: HTTP/2 over TLS, all requests on one connection.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use secret_gateway::access::tls;
use serde_json::Value;
use tokio::net::TcpStream;
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
}

async fn read(response: Response<Incoming>) -> Result<Answer> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes().to_vec();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

/// One connection; clones share it.
#[derive(Clone)]
pub struct Client {
    sender: http2::SendRequest<Full<Bytes>>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Certificate of the server.
    pub server: CertificateDer<'static>,
}

impl Client {
    pub async fn connect(address: SocketAddr, trusted: &Authority, identity: Option<&Identity>) -> Result<Self> {
        let stream = handshake(address, trusted, identity, b"h2", rustls::ALL_VERSIONS).await?;
        let server = stream.get_ref().1.peer_certificates().context("no certificate")?[0].clone();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, headers: Vec::new(), server })
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
        self.send(Method::GET, path).await.expect("an answer")
    }

    pub async fn send(&self, method: Method, path: &str) -> Result<Answer> {
        self.send_body(method, path, "").await
    }

    /// The same with a body.
    pub async fn send_body(&self, method: Method, path: &str, body: &'static str) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(format!("https://localhost{path}"));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut sender = self.sender.clone();
        sender.ready().await?;
        read(sender.send_request(request.body(Full::from(body))?).await?).await
    }
}

/// A connection of HTTP/1.1, with TLS of one version, and one request on it.
pub async fn old(
    address: SocketAddr,
    trusted: &Authority,
    identity: Option<&Identity>,
    version: &'static SupportedProtocolVersion,
    request: Request<Empty<Bytes>>,
) -> Result<(Answer, Option<ProtocolVersion>)> {
    let stream = handshake(address, trusted, identity, b"http/1.1", &[version]).await?;
    let version = stream.get_ref().1.protocol_version();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok((read(sender.send_request(request).await?).await?, version))
}

/// One request without TLS.
pub async fn plain(address: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new()).expect("a request");
    read(sender.send_request(request).await.expect("an answer")).await.expect("a body")
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
