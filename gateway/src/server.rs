//! The server as a whole: sockets, TLS, what goes on in the background, and how it ends.
//!
//! Knows nothing of what is answered.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use backon::{ConstantBuilder, Retryable};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use crate::access::front_proxy::{self, FrontProxy, Peer, Trust};
use crate::access::review::Reviewer;
use crate::access::tls::{self, Certificate};
use crate::api::{self, Gateway, Health};
use crate::audit;
use crate::config::Config;
use crate::metrics::{self, Metrics};
use crate::names::{Kind, Served};
use crate::provider::Provider;
use crate::reader::Reader;

/// How long a client may take for its handshake, or for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections at once. The aggregation layer needs few, for it multiplexes.
const CONNECTIONS: usize = 4096;

/// Streams of one HTTP/2 connection; behind an API server, all callers share a few connections.
const STREAMS: u32 = 1000;

/// How often, and how many times, the front proxy's authority is asked for at the start.
const START: (Duration, usize) = (Duration::from_secs(2), 15);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot listen.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// It has no certificate.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// It does not know the front proxy.
    #[error(transparent)]
    FrontProxy(#[from] front_proxy::Error),
}

/// What a server is made of.
pub struct Parts {
    /// What the operator wants.
    pub config: Config,
    /// Where values come from.
    pub providers: HashMap<Kind, Arc<dyn Provider>>,
    /// Whom to ask about callers.
    pub cluster: kube::Client,
    /// Where it is written who read what.
    pub audit: audit::Log,
}

/// A server that serves.
pub struct Server {
    /// Where the API is.
    pub address: SocketAddr,
    /// Where metrics are, without TLS.
    pub metrics_address: Option<SocketAddr>,
    shutdown: crate::config::Shutdown,
    health: Arc<Health>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    background: JoinSet<()>,
}

impl Server {
    /// Starts to serve.
    ///
    /// # Errors
    /// If it cannot listen, or lacks its certificate or the front proxy's authority.
    pub async fn start(parts: Parts) -> Result<Self, Error> {
        let Parts { config, providers, cluster, audit } = parts;
        let certificate = Certificate::load(&config.tls)?;
        let tls = Arc::new(certificate.server_config()?);
        let trust = (|| Trust::load(&cluster))
            .retry(ConstantBuilder::default().with_delay(START.0).with_max_times(START.1))
            .notify(|error, _| tracing::warn!(%error, "the front proxy's authority is not known yet"))
            .await?;

        let metrics = Metrics::new();
        let health = Arc::new(Health::default());
        let reader = Reader::new(&config, providers, Arc::clone(&metrics));
        let gateway = Arc::new(Gateway {
            front_proxy: FrontProxy::new(trust),
            reviewer: Reviewer::new(&config.access, cluster.clone(), Arc::clone(&metrics)),
            served: Served::new(&config),
            reader: reader.clone(),
            metrics: Arc::clone(&metrics),
            audit,
            health: Arc::clone(&health),
        });

        let (stop, stopped) = watch::channel(false);
        let mut listeners = JoinSet::new();
        let (listener, address) = listen(config.listen).await?;
        let endpoint = Endpoint { router: api::router(Arc::clone(&gateway)), tls: Some(tls) };
        listeners.spawn(serve(listener, endpoint, stopped.clone(), config.shutdown.grace));
        let metrics_address = match config.metrics_listen {
            Some(wanted) => {
                let (listener, address) = listen(wanted).await?;
                let router = api::metrics_router(Arc::clone(&metrics), Arc::clone(&health));
                let endpoint = Endpoint { router, tls: None };
                listeners.spawn(serve(listener, endpoint, stopped, config.shutdown.grace));
                Some(address)
            }
            None => None,
        };

        let mut background = JoinSet::new();
        background.spawn(reader.keep_house());
        background.spawn(refresh_certificate(certificate, config.tls.refresh, Arc::clone(&metrics)));
        background.spawn(refresh_authority(gateway, cluster, config.access.refresh));
        tracing::info!(%address, ?metrics_address, "serving");
        let shutdown = config.shutdown;
        Ok(Self { address, metrics_address, shutdown, health, stop, listeners, background })
    }

    /// Says that no more requests are wanted, waits until the cluster has heard it, stops to listen, and waits for
    /// requests under way.
    pub async fn stop(mut self) {
        self.health.stop();
        tokio::time::sleep(self.shutdown.delay).await;
        self.stop.send_replace(true);
        while self.listeners.join_next().await.is_some() {}
        self.background.shutdown().await;
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |error| Error::Listen(address, error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

async fn refresh_certificate(certificate: Arc<Certificate>, pause: Duration, metrics: Arc<Metrics>) {
    loop {
        tokio::time::sleep(pause).await;
        let outcome = certificate.refresh();
        metrics::reloaded(&metrics, &outcome);
        match outcome {
            Ok(true) => tracing::info!("the server's certificate has changed"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the server keeps its old certificate"),
        }
    }
}

async fn refresh_authority(gateway: Arc<Gateway>, cluster: kube::Client, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let outcome = gateway.front_proxy.refresh(&cluster).await;
        metrics::reloaded(&gateway.metrics, &outcome);
        match outcome {
            Ok(true) => tracing::info!("the front proxy's authority has changed"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the front proxy's old authority stays"),
        }
    }
}

/// What answers on a socket.
#[derive(Clone)]
struct Endpoint {
    router: Router,
    tls: Option<Arc<ServerConfig>>,
}

/// Serves until it is told to stop, and then until nothing is under way, or the grace has passed.
async fn serve(listener: TcpListener, endpoint: Endpoint, mut stopped: watch::Receiver<bool>, grace: Duration) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepting = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            _ = stopped.changed() => break,
            accepted = accepting => match accepted {
                (place, Ok((stream, _))) => (place, stream),
                (_, Err(error)) => {
                    // Out of file descriptors, most likely: a moment helps, a loop does not.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        while connections.try_join_next().is_some() {}
        let (endpoint, watcher) = (endpoint.clone(), graceful.watcher());
        connections.spawn(async move {
            let _place = place;
            endpoint.connection(stream, watcher).await;
        });
    }
    drop(listener);
    if timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "the grace has passed with requests under way");
    }
    connections.shutdown().await;
}

impl Endpoint {
    async fn connection(self, stream: TcpStream, watcher: hyper_util::server::graceful::Watcher) {
        // Answers are small, and somebody waits for each.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls else {
            return http(stream, self.router, Peer::default(), watcher).await;
        };
        match timeout(PATIENCE, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(Ok(stream)) => {
                let peer = Peer::new(stream.get_ref().1.peer_certificates().unwrap_or_default());
                http(stream, self.router, peer, watcher).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a handshake has failed"),
            Err(_) => tracing::debug!("a handshake took too long"),
        }
    }
}

async fn http<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: I,
    router: Router,
    peer: Peer,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let peer = Arc::new(peer);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(&peer));
        let mut router = router.clone();
        async move { <Router as Service<_>>::call(&mut router, request).await as Result<Response<Body>, Infallible> }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS).keep_alive_interval(PATIENCE);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection has ended early");
    }
}
