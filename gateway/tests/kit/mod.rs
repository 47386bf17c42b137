//! A gateway on loopback with its environment: authorities and certificates, a cluster, a provider in memory, and
//! clients like the API server.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice, clippy::unwrap_used)] // how tests fail
#![allow(dead_code)] // each of its users needs another part

pub mod authority;
pub mod client;
pub mod cluster;
pub mod memory;

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use flyte_secrets_policy::settings::Provider::K8s;
use secret_gateway::config::Config;
use secret_gateway::names::Kind;
use secret_gateway::providers::k8s::Secrets;
use secret_gateway::server::{Parts, Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use authority::{Authority, Identity};
use client::Client;
use cluster::Cluster;
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
    pub server: Option<Server>,
    pub cluster: Cluster,
    pub memory: Arc<Memory>,
    /// Of the front proxy.
    pub authority: Authority,
    /// Of the gateway's certificate.
    pub server_authority: Authority,
    pub audit: Lines,
    pub files: TempDir,
    pub address: std::net::SocketAddr,
    pub metrics_address: std::net::SocketAddr,
    pods_address: Option<std::net::SocketAddr>,
}

impl Kit {
    /// Starts a gateway with additional lines of configuration.
    pub async fn start(lines: &str) -> Self {
        Self::start_in(Cluster::start().await, lines).await
    }

    /// Starts a gateway in an existing cluster, which has no front proxy yet.
    pub async fn start_in(cluster: Cluster, lines: &str) -> Self {
        Self::start_in_with(cluster, lines, |_| {}).await
    }

    /// Starts a gateway in an existing cluster, after a change of the cluster.
    pub async fn start_in_with(cluster: Cluster, lines: &str, prepare: impl Fn(&Cluster)) -> Self {
        Self::start_with(cluster, Memory::default(), Authority::new("gateway-ca"), lines, prepare).await
    }

    /// The same with a provider and an authority of the gateway's certificate that are known before it serves.
    pub async fn start_with(
        cluster: Cluster,
        memory: Memory,
        server_authority: Authority,
        lines: &str,
        prepare: impl Fn(&Cluster),
    ) -> Self {
        let authority = Authority::new("front-proxy-ca");
        cluster.trust(&[&authority], &[FRONT_PROXY]);
        prepare(&cluster);
        let files = TempDir::new().expect("a directory");
        write_certificate(&files, &server_authority.server("localhost"));
        let config = format!("{CONFIG}{lines}\n").replace("DIR", files.path().to_str().expect("a path"));
        let (memory, audit) = (Arc::new(memory), Lines::default());
        let provider = |kind| (kind, Arc::clone(&memory) as Arc<dyn secret_gateway::provider::Provider>);
        let config = Config::parse(&config).expect("a configuration");
        let mut providers: HashMap<_, _> = Kind::stores().map(provider).collect();
        if let Some(k8s) = &config.providers.k8s {
            providers.insert(Kind::Store(K8s), Arc::new(Secrets::open(k8s, cluster.client())));
        }
        let server =
            Server::start(Parts { config, providers, cluster: cluster.client(), audit: Box::new(audit.clone()) })
                .await
                .expect("a server");
        let (address, metrics_address) = (server.address, server.metrics_address.expect("metrics"));
        let pods_address = server.pods_address;
        let server = Some(server);
        Self {
            server,
            cluster,
            memory,
            authority,
            server_authority,
            audit,
            files,
            address,
            metrics_address,
            pods_address,
        }
    }

    /// A connection of the front proxy, which names [`USER`].
    pub async fn client(&self) -> Client {
        self.connect(Some(&self.authority.client(FRONT_PROXY))).await.user(USER)
    }

    /// Opens a connection with this certificate, without a user.
    pub async fn connect(&self, identity: Option<&Identity>) -> Client {
        Client::connect(self.address, &self.server_authority, identity).await.expect("a connection")
    }

    /// Opens a connection to the listener for pods.
    pub async fn pod(&self) -> Client {
        Client::connect(self.pods_address(), &self.server_authority, None).await.expect("a connection")
    }

    /// Returns the address of the listener for pods.
    pub fn pods_address(&self) -> std::net::SocketAddr {
        self.pods_address.expect("a listener for pods")
    }

    /// Starts a read, and waits until the provider is asked for it.
    pub async fn asking(&self, client: &Client, path: &str) -> JoinHandle<client::Answer> {
        let (client, path, before) = (client.clone(), path.to_owned(), self.memory.calls());
        let read = tokio::spawn(async move { client.get(&path).await });
        while self.memory.calls() == before && !read.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        read
    }

    /// Replaces the server's certificate.
    pub fn replace_certificate(&self, identity: &Identity) {
        write_certificate(&self.files, identity);
    }

    /// Gets a document without TLS.
    pub async fn plain(&self, path: &str) -> client::Answer {
        client::plain(self.metrics_address, path).await
    }

    /// Returns metrics from the listener without TLS.
    pub async fn metrics(&self) -> String {
        String::from_utf8(self.plain("/metrics").await.body).expect("text")
    }

    /// Returns the audit lines, after all are written.
    pub async fn audit(&self) -> Vec<Value> {
        while !self.metrics().await.contains("secret_gateway_audit_queued_bytes 0\n") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.audit.read()
    }

    /// Stops the server, and waits for its end.
    pub async fn stop(&mut self) {
        self.server.take().expect("a server").stop().await;
    }
}

fn write_certificate(files: &TempDir, identity: &Identity) {
    std::fs::write(files.path().join("tls.crt"), &identity.certificate).expect("a file");
    std::fs::write(files.path().join("tls.key"), &identity.key).expect("a file");
}

/// Audit lines, in memory.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    held: bool,
}

impl Lines {
    /// Blocks writes, or continues them.
    pub fn hold(&self, held: bool) {
        self.0.0.lock().unwrap().held = held;
        self.0.1.notify_all();
    }

    /// Returns the text.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().bytes.clone()).expect("text")
    }

    /// Returns the lines as JSON, without fields that differ in each run.
    pub fn read(&self) -> Vec<Value> {
        read_lines(&self.text())
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

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let (written, taken) = &*self.0;
        taken.wait_while(written.lock().unwrap(), |written| written.held).unwrap().bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
