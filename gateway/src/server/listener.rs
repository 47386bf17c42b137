//! A listener and its connections: limits, timeouts and shutdown.
//!
//! Knows nothing of requests. Unverified peers cannot exhaust connections: some are reserved for verified peers, and at
//! the limit a new connection evicts an idle one, of the address with the most of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use prometheus_client::metrics::counter::Counter;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use crate::access::front_proxy::Peer;
use crate::config::Limits;
use crate::metrics::{ByListener, Metrics};

/// Limits of HTTP for one peer.
struct Allowance {
    /// Concurrent streams of an HTTP/2 connection.
    streams: u32,
    /// Maximum size of request headers in bytes.
    head: u32,
    /// Maximum number of headers over HTTP/1. hyper reserves memory for them; beyond 24,576 names it panics.
    headers: usize,
}

/// All callers of an API server share a few connections, and users can have thousands of groups. What is beyond the
/// gateway's own limit for a head still has to come in to be answered with a Status.
const VERIFIED: Allowance = Allowance { streams: 1000, head: 4 << 20, headers: 20_000 };

/// A probe, a scraper, a pod.
const UNVERIFIED: Allowance = Allowance { streams: 32, head: 64 << 10, headers: 100 };

/// Returns whether a peer is verified.
pub type Verify = Arc<dyn Fn(&Peer) -> bool + Send + Sync>;

/// A listener.
pub struct Listener {
    /// Name in metrics and in the log.
    pub name: &'static str,
    /// Handles requests, which have their connection's [`Peer`] as an extension.
    pub router: Router,
    /// TLS; plain HTTP without it.
    pub tls: Option<Arc<ServerConfig>>,
    /// Verifies peers; none is verified without it.
    pub verify: Option<Verify>,
    /// Limits of connections.
    pub limits: Limits,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

impl Listener {
    /// Serves until it is stopped, and then until no request is in flight or the grace period is over.
    pub async fn serve(self, socket: TcpListener, mut stopped: watch::Receiver<bool>, grace: Duration) {
        let listener = Arc::new(self);
        let places = Places::new(&listener);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                _ = stopped.changed() => break,
                accepted = socket.accept() => accepted,
            };
            let (stream, from) = match accepted {
                Ok((stream, address)) => (stream, address.ip()),
                Err(error) => {
                    // Out of file descriptors, most likely: a moment helps, a loop does not.
                    tracing::warn!(%error, listener = listener.name, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let place = tokio::select! {
                _ = stopped.changed() => break,
                place = places.enter(from) => place,
            };
            connections.spawn(Arc::clone(&listener).connection(stream, place, stopped.clone()));
        }
        drop(socket);
        let ending = async { while connections.join_next().await.is_some() {} };
        if timeout(grace, ending).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "shutdown grace period exceeded; closing connections with requests in flight"
            );
        }
        connections.shutdown().await;
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, place: Place, stopped: watch::Receiver<bool>) {
        // Responses are small, and a caller waits for each.
        let _ = stream.set_nodelay(true);
        let evicted = Arc::clone(&place.evicted);
        tokio::select! {
            () = evicted.notified() => tracing::debug!(listener = self.name, "connection evicted to make room for another"),
            () = self.secure(stream, place, stopped) => {}
        }
    }

    async fn secure(&self, stream: TcpStream, place: Place, mut stopped: watch::Receiver<bool>) {
        let Some(tls) = &self.tls else {
            return self.http(stream, Peer::default(), false, place, stopped).await;
        };
        let handshake = timeout(self.limits.handshake_timeout, TlsAcceptor::from(Arc::clone(tls)).accept(stream));
        let handshake = tokio::select! {
            () = told(&mut stopped) => return,
            handshake = handshake => handshake,
        };
        match handshake {
            Ok(Ok(stream)) => {
                let (_, session) = stream.get_ref();
                let peer = Peer::new(session.peer_certificates().unwrap_or_default());
                let speaks_h2 = session.alpn_protocol() == Some(b"h2");
                self.http(stream, peer, speaks_h2, place, stopped).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake timed out"),
        }
    }

    async fn http<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: I,
        peer: Peer,
        speaks_h2: bool,
        mut place: Place,
        mut stopped: watch::Receiver<bool>,
    ) {
        let Limits { head_timeout, unverified_lifetime, .. } = self.limits;
        let peer = Arc::new(peer);
        let is_verified = || self.verify.as_ref().is_some_and(|verify| verify(&peer));
        let allowance = if is_verified() {
            place.reserve();
            VERIFIED
        } else {
            UNVERIFIED
        };

        let (router, requests) = (self.router.clone(), Arc::clone(&place.requests));
        let extension = Arc::clone(&peer);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let under_way = UnderWay::new(&requests);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Arc::clone(&extension));
            let mut router = router.clone();
            async move {
                let _under_way = under_way;
                <Router as Service<_>>::call(&mut router, request).await as Result<Response<Body>, Infallible>
            }
        });
        // The version is that of TLS: to read it off the first bytes knows no timer.
        let builder = self.builder(&allowance);
        let builder = if speaks_h2 { builder.http2_only() } else { builder.http1_only() };
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));

        let mut expiry = Instant::now() + unverified_lifetime;
        let outcome = loop {
            let silence = place.requests.silent_until(&self.limits);
            let now = tokio::select! {
                outcome = connection.as_mut() => break Some(outcome),
                () = told(&mut stopped) => {
                    connection.as_mut().graceful_shutdown();
                    break Some(connection.await);
                }
                () = sleep_until(silence.min(expiry)) => Instant::now(),
            };
            if now >= expiry && is_verified() {
                expiry = now + unverified_lifetime;
            }
            if now >= expiry || now >= place.requests.silent_until(&self.limits) {
                connection.as_mut().graceful_shutdown();
                break timeout(head_timeout, connection).await.ok();
            }
        };
        if let Some(Err(error)) = outcome {
            tracing::debug!(%error, "connection failed");
        }
    }

    fn builder(&self, allowance: &Allowance) -> auto::Builder<TokioExecutor> {
        let Limits { head_timeout, .. } = self.limits;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_headers(allowance.headers)
            .max_buf_size(usize::try_from(allowance.head).unwrap_or(usize::MAX));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(allowance.streams)
            .max_header_list_size(allowance.head)
            .keep_alive_interval(head_timeout)
            .keep_alive_timeout(head_timeout);
        builder
    }
}

/// Waits until the server is stopped.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// The requests of one connection.
struct Requests(Mutex<Seen>);

struct Seen {
    under_way: usize,
    any: bool,
    last: Instant,
}

impl Requests {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the connection times out without another request.
    fn silent_until(&self, limits: &Limits) -> Instant {
        match *self.seen() {
            Seen { under_way: 1.., .. } => Instant::now() + limits.idle_timeout,
            Seen { any: true, last, .. } => last + limits.idle_timeout,
            Seen { last: opened, .. } => opened + limits.head_timeout,
        }
    }
}

/// A request in flight.
struct UnderWay(Arc<Requests>);

impl UnderWay {
    fn new(requests: &Arc<Requests>) -> Self {
        let mut seen = requests.seen();
        seen.under_way += 1;
        seen.any = true;
        Self(Arc::clone(requests))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut seen = self.0.seen();
        seen.under_way -= 1;
        seen.last = Instant::now();
    }
}

/// Connection slots of a listener.
struct Places {
    unverified: usize,
    strangers: Mutex<Strangers>,
    /// Notified when an unverified connection ends.
    left: Notify,
    reserved: Arc<Semaphore>,
    evictions: Counter,
}

#[derive(Default)]
struct Strangers {
    /// By order of arrival.
    held: BTreeMap<u64, Stranger>,
    next: u64,
}

struct Stranger {
    from: IpAddr,
    requests: Arc<Requests>,
    evicted: Arc<Notify>,
}

impl Places {
    fn new(listener: &Listener) -> Arc<Self> {
        let Limits { connections, unverified, .. } = listener.limits;
        let reserved = connections.saturating_sub(unverified).min(Semaphore::MAX_PERMITS);
        let label = ByListener { listener: listener.name };
        Arc::new(Self {
            unverified,
            strangers: Mutex::default(),
            left: Notify::new(),
            reserved: Arc::new(Semaphore::new(reserved)),
            evictions: listener.metrics.evictions.get_or_create_owned(&label),
        })
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a slot for a new connection. Waits only if all unverified connections have requests in flight.
    async fn enter(self: &Arc<Self>, from: IpAddr) -> Place {
        loop {
            if let Some(place) = self.take(from) {
                return place;
            }
            self.left.notified().await;
        }
    }

    fn take(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let mut strangers = self.strangers();
        if strangers.held.len() >= self.unverified {
            strangers.evict()?;
            self.evictions.inc();
        }
        let requests = Arc::new(Requests(Mutex::new(Seen { under_way: 0, any: false, last: Instant::now() })));
        let (number, evicted) = (strangers.next, Arc::new(Notify::new()));
        strangers.next += 1;
        strangers
            .held
            .insert(number, Stranger { from, requests: Arc::clone(&requests), evicted: Arc::clone(&evicted) });
        Some(Place { places: Arc::clone(self), number, requests, evicted, reserved: None })
    }

    fn leave(&self, number: u64) {
        if self.strangers().held.remove(&number).is_some() {
            self.left.notify_one();
        }
    }
}

impl Strangers {
    /// Evicts the oldest idle connection of the address with the most idle ones.
    fn evict(&mut self) -> Option<()> {
        let mut idle: HashMap<IpAddr, (usize, Reverse<u64>)> = HashMap::new();
        for (number, stranger) in &self.held {
            if stranger.requests.seen().under_way == 0 {
                idle.entry(stranger.from).or_insert((0, Reverse(*number))).0 += 1;
            }
        }
        let (_, Reverse(oldest)) = idle.into_values().max()?;
        self.held.remove(&oldest)?.evicted.notify_one();
        Some(())
    }
}

/// Slot of one connection.
struct Place {
    places: Arc<Places>,
    number: u64,
    requests: Arc<Requests>,
    evicted: Arc<Notify>,
    reserved: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Moves to a slot reserved for verified peers, if one is free.
    fn reserve(&mut self) {
        if let Ok(permit) = Arc::clone(&self.places.reserved).try_acquire_owned() {
            self.reserved = Some(permit);
            self.places.leave(self.number);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.leave(self.number);
    }
}
