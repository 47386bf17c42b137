//! A server on loopback whose answers a test chooses, also none or a truncated one.

use std::io::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::authority::Identity;

/// A request.
pub type Asked = Request<Bytes>;

/// A header, or nothing.
pub fn header<'a>(asked: &'a Asked, name: &str) -> &'a str {
    asked.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
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
    json_with(status, "content-type", "text/html", "<html>nothing of it</html>")
}

type Respond = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;
type Log = Arc<Mutex<Vec<String>>>;

/// The server; ends when it is dropped.
pub struct Double {
    pub port: u16,
    /// `METHOD path` of each request.
    asked: Log,
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

    pub async fn https(identity: &Identity, respond: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self::start(Some(Arc::new(config).into()), Arc::new(respond)).await
    }

    async fn start(tls: Option<TlsAcceptor>, respond: Respond) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Log::default();
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
        Self { port, asked, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What has been asked so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, respond: &Respond, log: &Log) {
    let service = service_fn(|request: Request<Incoming>| async move {
        let (head, body) = request.into_parts();
        let asked = Request::from_parts(head, body.collect().await.map_err(Error::other)?.to_bytes());
        log.lock().unwrap().push(format!("{} {}", asked.method(), asked.uri().path()));
        answer(respond(&asked)).await
    });
    // Whoever hangs up early, does.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(mut answer: Answer) -> Result<Response<Body>, Error> {
    while let Answer::Late(time, late) = answer {
        tokio::time::sleep(time).await;
        answer = *late;
    }
    let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(match answer {
        Answer::Full(status, headers, body) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), [json], body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Answer::Late(..) | Answer::Stall => std::future::pending().await,
        Answer::Cut => return Err(Error::other("cut")),
        Answer::CutBody => {
            let half = stream::iter([Ok("{\"half\": \""), Err("cut")]);
            ([json, (CONTENT_LENGTH, 1000.into())], Body::from_stream(half)).into_response()
        }
    })
}

/// A port of loopback at which nobody listens.
pub async fn nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}
