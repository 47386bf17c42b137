//! A server on loopback that answers as it is told: also not at all, or half.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

type Fault = std::io::Error;

/// A request.
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Asked {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Status, headers, body.
    Full(u16, Vec<(&'static str, String)>, String),
    /// After a while.
    Late(Duration, Box<Answer>),
    /// Nothing, ever.
    Stall,
    /// The connection ends without a word.
    Cut,
    /// The connection ends within the body.
    CutBody,
}

/// JSON without more.
pub fn json(status: u16, body: impl ToString) -> Answer {
    Answer::Full(status, Vec::new(), body.to_string())
}

/// JSON with a header.
pub fn json_with(status: u16, name: &'static str, value: &str, body: impl ToString) -> Answer {
    Answer::Full(status, vec![(name, value.to_owned())], body.to_string())
}

/// What a proxy between here and there may say.
pub fn html(status: u16) -> Answer {
    Answer::Full(status, vec![("content-type", "text/html".to_owned())], "<html>nothing of it</html>".to_owned())
}

type Respond = dyn Fn(&Asked) -> Answer + Send + Sync;

/// The server; ends when it is dropped.
pub struct Double {
    pub address: SocketAddr,
    /// `METHOD path` of each request.
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Double {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Double {
    pub async fn http(respond: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(respond)).await
    }

    pub async fn https(authority: &Authority, respond: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(Some(authority.acceptor()), Arc::new(respond)).await
    }

    async fn start(tls: Option<TlsAcceptor>, respond: Arc<Respond>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, respond, log) = (tls.clone(), Arc::clone(&respond), Arc::clone(&log));
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, &respond, &log).await,
                        // A client that does not trust the certificate hangs up.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &respond, &log).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, asked, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has been asked so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, respond: &Arc<Respond>, log: &Arc<Mutex<Vec<String>>>) {
    let service = service_fn(|request: Request<Incoming>| async move {
        let (head, body) = request.into_parts();
        let asked = Asked {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            body: body.collect().await.map_err(Fault::other)?.to_bytes(),
        };
        log.lock().unwrap().push(format!("{} {}", asked.method, asked.path));
        let mut answer = respond(&asked);
        while let Answer::Late(time, late) = answer {
            tokio::time::sleep(time).await;
            answer = *late;
        }
        match answer {
            Answer::Full(status, headers, body) => {
                let mut response = Response::builder().status(status);
                if !headers.iter().any(|(name, _)| *name == CONTENT_TYPE) {
                    response = response.header(CONTENT_TYPE, "application/json");
                }
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                response.body(Full::from(body).map_err(never).boxed()).map_err(Fault::other)
            }
            Answer::Late(..) | Answer::Stall => std::future::pending().await,
            Answer::Cut => Err(Fault::other("cut")),
            Answer::CutBody => {
                let response =
                    Response::builder().header(CONTENT_TYPE, "application/json").header(CONTENT_LENGTH, 1000);
                response.body(BoxBody::new(Half::First)).map_err(Fault::other)
            }
        }
    });
    // Whoever hangs up early, does.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn never(never: Infallible) -> Fault {
    match never {}
}

/// A body that breaks off.
enum Half {
    First,
    Broken,
}

impl Body for Half {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = self.get_mut();
        Poll::Ready(Some(match std::mem::replace(this, Self::Broken) {
            Self::First => Ok(Frame::data(Bytes::from_static(b"{\"half\": \""))),
            Self::Broken => Err(Fault::other("cut")),
        }))
    }
}

/// Whose certificate a double over TLS shows: its own, for localhost.
pub struct Authority {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        Self { pem: own.cert.pem(), certificate: own.cert.der().clone(), key: own.signing_key.serialize_der() }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], PrivatePkcs8KeyDer::from(self.key.clone()).into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A port of loopback at which nobody listens.
pub async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
