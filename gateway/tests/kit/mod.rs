//! A gateway on loopback with its environment: authorities and certificates, a cluster, a provider in memory, and
//! clients like the API server.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice, clippy::unwrap_used)] // how tests fail
#![allow(dead_code)] // each of its users needs another part

pub mod authority;
pub mod client;
pub mod cluster;
pub mod double;
pub mod lines;
pub mod memory;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flyte_secrets_policy::settings::Provider::K8s;
use secret_gateway::config::Config;
use secret_gateway::names::Kind;
use secret_gateway::provider::Provider;
use secret_gateway::providers::k8s::Secrets;
use secret_gateway::server::{Parts, Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use authority::{Authority, Identity};
use client::{Answer, Client};
use cluster::Cluster;
use lines::Lines;
use memory::Memory;

/// The common name that the cluster allows.
pub const FRONT_PROXY: &str = "front-proxy-client";
/// The user that the front proxy names.
pub const USER: &str = "system:serviceaccount:kubewarden:policy-server-default";

/// Configuration with all places and no delays, to which tests add lines.
const CONFIG: &str = "
listen: 127.0.0.1:0
metricsListen: 127.0.0.1:0
tls: { certFile: DIR/tls.crt, keyFile: DIR/tls.key, refresh: 50ms }
providers:
  aws: { regions: [us-east-2, eu-west-1] }
  gcp: { projects: [flyte] }
  azure: { vaults: [flyte.vault.azure.net] }
  k8s: { namespaces: [flyte] }
";

/// A gateway with its environment.
pub struct Kit {
    pub cluster: Cluster,
    pub memory: Arc<Memory>,
    /// Of the front proxy.
    pub authority: Authority,
    /// Of the gateway's certificate.
    pub server_authority: Authority,
    pub audit: Lines,
    /// With `tls.crt` and `tls.key`.
    pub files: TempDir,
    server: Option<Server>,
    /// Of [`Kit::get`].
    connection: OnceCell<Client>,
}

impl Kit {
    /// Starts a gateway with additional lines of configuration.
    pub async fn start(lines: &str) -> Self {
        let mut kit = Self::new().await;
        kit.serve(lines).await;
        kit
    }

    /// Returns the environment, before a gateway is started in it.
    pub async fn new() -> Self {
        let kit = Self {
            cluster: Cluster::start().await,
            memory: Arc::default(),
            authority: Authority::new("front-proxy-ca"),
            server_authority: Authority::new("gateway-ca"),
            audit: Lines::default(),
            files: TempDir::new().expect("a directory"),
            server: None,
            connection: OnceCell::new(),
        };
        kit.cluster.trust(&[&kit.authority], &[FRONT_PROXY]);
        kit.replace_certificate(&kit.server_authority.server("localhost"));
        kit
    }

    /// Starts the gateway with additional lines of configuration.
    pub async fn serve(&mut self, lines: &str) {
        let config = format!("{CONFIG}{lines}\n").replace("DIR", self.files.path().to_str().expect("a path"));
        let config = Config::parse(&config).expect("a configuration");
        let memory = |kind| (kind, Arc::clone(&self.memory) as Arc<dyn Provider>);
        let mut providers: HashMap<_, _> = Kind::stores().map(memory).collect();
        if let Some(k8s) = &config.providers.k8s {
            providers.insert(Kind::Store(K8s), Arc::new(Secrets::open(k8s, self.cluster.client())));
        }
        let audit = Box::new(self.audit.clone());
        let parts = Parts { config, providers, cluster: self.cluster.client(), audit };
        self.server = Some(Server::start(parts).await.expect("a server"));
    }

    pub fn address(&self) -> SocketAddr {
        self.server.as_ref().expect("a server").address
    }

    pub fn metrics_address(&self) -> SocketAddr {
        self.server.as_ref().expect("a server").metrics_address.expect("metrics")
    }

    pub fn pods_address(&self) -> SocketAddr {
        self.server.as_ref().expect("a server").pods_address.expect("a listener for pods")
    }

    /// Returns the certificate of the front proxy.
    pub fn front_proxy(&self) -> Identity {
        self.authority.client(FRONT_PROXY)
    }

    /// Gets a document as [`USER`], on the same connection each time.
    pub async fn get(&self, path: &str) -> Answer {
        self.connection.get_or_init(|| self.client()).await.get(path).await
    }

    /// Opens a connection of the front proxy, which names [`USER`].
    pub async fn client(&self) -> Client {
        self.client_of(USER).await
    }

    /// Opens a connection of the front proxy, which names this user.
    pub async fn client_of(&self, user: &str) -> Client {
        self.connect(Some(&self.front_proxy())).await.user(user)
    }

    /// Opens a connection with this certificate, without a user.
    pub async fn connect(&self, identity: Option<&Identity>) -> Client {
        Client::connect(self.address(), &self.server_authority, identity).await.expect("a connection")
    }

    /// Opens a connection to the listener for pods.
    pub async fn pod(&self) -> Client {
        Client::connect(self.pods_address(), &self.server_authority, None).await.expect("a connection")
    }

    /// Starts a read on a new connection, and waits until the provider is asked for it.
    pub async fn asking(&self, path: &str) -> JoinHandle<Answer> {
        let (client, path, before) = (self.client().await, path.to_owned(), self.memory.calls());
        let read = tokio::spawn(async move { client.get(&path).await });
        while self.memory.calls() == before && !read.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        read
    }

    /// Replaces the server's certificate.
    pub fn replace_certificate(&self, identity: &Identity) {
        std::fs::write(self.files.path().join("tls.crt"), &identity.certificate).expect("a file");
        std::fs::write(self.files.path().join("tls.key"), &identity.key).expect("a file");
    }

    /// Gets a document without TLS.
    pub async fn plain(&self, path: &str) -> Answer {
        Client::plain(self.metrics_address()).await.expect("a connection").get(path).await
    }

    /// Returns metrics from the listener without TLS.
    pub async fn metrics(&self) -> String {
        self.plain("/metrics").await.text().to_owned()
    }

    /// Returns a number of the metrics, by its name and labels.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        self.metrics().await.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Returns the audit lines, after all are written.
    pub async fn audit(&self) -> Vec<Value> {
        while self.metric("secret_gateway_audit_queued_bytes").await != Some(0.0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        read_lines(&self.audit.text())
    }

    /// Stops the server; the future ends with it.
    pub fn stop(&mut self) -> impl Future<Output = ()> + use<> {
        self.server.take().expect("a server").stop()
    }
}

/// Parses audit lines as JSON, without fields that differ in each run.
pub fn read_lines(text: &str) -> Vec<Value> {
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        let fields = line.as_object_mut().expect("an object");
        let time = fields.remove("time").expect("a time");
        humantime::parse_rfc3339(time.as_str().expect("text")).expect("a time of RFC 3339");
        assert!(fields.remove("durationMs").expect("a duration").as_f64().expect("a number") >= 0.0);
        line
    };
    text.lines().map(line).collect()
}
