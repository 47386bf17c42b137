//! The server: listeners, background tasks and shutdown.
//!
//! Knows nothing of requests.

mod listener;

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use futures_util::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use self::listener::{Listener, Verify};
use crate::access::front_proxy::{self, FrontProxy, Peer, Trust};
use crate::access::pods::Identifier;
use crate::access::review::Reviewer;
use crate::access::tls::{self, Certificate};
use crate::api::{self, Gateway, Health, Pulls, Turns};
use crate::audit;
use crate::config::Config;
use crate::metrics::{self, Metrics};
use crate::names::{Kind, Served};
use crate::provider::Provider;
use crate::reader::Reader;
use crate::store::Store;

/// Interval and number of attempts to load the front proxy's authority at startup.
const START: (Duration, usize) = (Duration::from_secs(2), 15);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The certificate cannot be loaded.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The audit log cannot be started.
    #[error("cannot start the audit log's thread: {0}")]
    Audit(std::io::Error),
    /// The policy's settings do not name one store.
    #[error("invalid policy settings: {0}")]
    Settings(#[from] flyte_secrets_policy::settings::Error),
    /// The front proxy's authority cannot be loaded.
    #[error(transparent)]
    FrontProxy(#[from] front_proxy::Error),
}

/// Parts of a server.
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// Providers by kind.
    pub providers: HashMap<Kind, Arc<dyn Provider>>,
    /// Client of the API server.
    pub cluster: kube::Client,
    /// Output of the audit log.
    pub audit: Box<dyn Write + Send>,
}

/// A running server.
pub struct Server {
    /// Address of the API.
    pub address: SocketAddr,
    /// Address of the listener for pods.
    pub pods_address: Option<SocketAddr>,
    /// Address of metrics, without TLS.
    pub metrics_address: Option<SocketAddr>,
    shutdown: crate::config::Shutdown,
    health: Arc<Health>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    background: JoinSet<()>,
}

impl Server {
    /// Starts a server.
    ///
    /// # Errors
    /// An address, the certificate or the front proxy's authority is not available.
    pub async fn start(parts: Parts) -> Result<Self, Error> {
        let Parts { config, providers, cluster, audit } = parts;
        let certificate = Certificate::load(&config.tls)?;
        let tls = Arc::new(certificate.server_config()?);
        let trust = (|| Trust::load(&cluster))
            .retry(ConstantBuilder::default().with_delay(START.0).with_max_times(START.1))
            .notify(|error, _| tracing::warn!(%error, "cannot load the front proxy's authority; retrying"))
            .await?;

        let metrics = Metrics::new();
        let audit = Arc::new(audit::Log::new(audit, Arc::clone(&metrics)).map_err(Error::Audit)?);
        let health = Arc::new(Health::default());
        let reader = Reader::new(&config, providers, Arc::clone(&metrics));
        let gateway = Arc::new(Gateway {
            front_proxy: FrontProxy::new(trust),
            reviewer: Reviewer::new(&config.access, cluster.clone(), Arc::clone(&metrics)),
            served: Served::new(&config),
            reader: reader.clone(),
            metrics: Arc::clone(&metrics),
            audit: Arc::clone(&audit),
            health: Arc::clone(&health),
        });

        let (stop, stopped) = watch::channel(false);
        let mut listeners = JoinSet::new();
        let (socket, address) = listen(config.listen).await?;
        let known = Arc::clone(&gateway);
        let api = Listener {
            name: "api",
            router: api::router(Arc::clone(&gateway)),
            tls: Some(Arc::clone(&tls)),
            verify: Some(Arc::new(move |peer: &Peer| known.front_proxy.verifies(peer))),
            limits: config.limits,
            metrics: Arc::clone(&metrics),
        };
        listeners.spawn(api.serve(socket, stopped.clone(), config.shutdown.grace));
        let pods_address = match &config.pods {
            Some(pods) => {
                let (socket, address) = listen(pods.listen).await?;
                let pulls = Pulls {
                    identifier: Identifier::new(cluster.clone(), pods.audience.clone(), pods.timeout),
                    store: Store::open(pods, Served::new(&config), reader.clone())?,
                    config: pods.clone(),
                    metrics: Arc::clone(&metrics),
                    audit,
                    turns: Turns::default(),
                };
                let listener = Listener {
                    name: "pods",
                    router: api::pulls_router(Arc::new(pulls), Arc::clone(&health)),
                    tls: Some(tls),
                    verify: None,
                    limits: config.limits,
                    metrics: Arc::clone(&metrics),
                };
                listeners.spawn(listener.serve(socket, stopped.clone(), config.shutdown.grace));
                Some(address)
            }
            None => None,
        };
        let metrics_address = match config.metrics_listen {
            Some(wanted) => {
                let (socket, address) = listen(wanted).await?;
                let operation = Listener {
                    name: "metrics",
                    router: api::metrics_router(Arc::clone(&metrics), Arc::clone(&health)),
                    tls: None,
                    verify: None,
                    limits: config.limits,
                    metrics: Arc::clone(&metrics),
                };
                listeners.spawn(operation.serve(socket, stopped, config.shutdown.grace));
                Some(address)
            }
            None => None,
        };

        let mut background = JoinSet::new();
        background.spawn(reader.keep_house());
        background.spawn(refresh_certificate(certificate, config.tls.refresh, Arc::clone(&metrics)));
        background.spawn(follow_authority(gateway, cluster, config.access.refresh));
        tracing::info!(%address, ?pods_address, ?metrics_address, "serving");
        let shutdown = config.shutdown;
        Ok(Self { address, pods_address, metrics_address, shutdown, health, stop, listeners, background })
    }

    /// Shuts down: fails `/readyz`, waits for the delay, stops listening, and waits for requests in flight.
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
        if let Some(expiry) = certificate.expiry() {
            metrics.certificate_expiry.set(expiry);
        }
        tokio::time::sleep(pause).await;
        let outcome = certificate.refresh();
        metrics::reloaded(&metrics, &outcome);
        match outcome {
            Ok(true) => tracing::info!("serving certificate reloaded"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "cannot reload the serving certificate; keeping the current one"),
        }
    }
}

/// Watches the ConfigMap, and restarts the watch without events for a while: its connection may be dead.
async fn follow_authority(gateway: Arc<Gateway>, cluster: kube::Client, silence: Duration) {
    loop {
        let mut watched = pin!(front_proxy::watch(&cluster));
        while let Ok(Some(seen)) = timeout(silence, watched.next()).await {
            let outcome = seen.and_then(|source| gateway.front_proxy.learn(source));
            metrics::reloaded(&gateway.metrics, &outcome);
            match outcome {
                Ok(true) => tracing::info!("front proxy's authority reloaded"),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot reload the front proxy's authority; keeping the current one")
                }
            }
        }
    }
}
