//! The secret gateway with the ConfigMap, certificate and service account of the chart.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::clouds::Clouds;
use crate::cluster::Cluster;
use crate::process::{self, Process};
use crate::tools::program;

/// Namespace, and name of the Deployment, Service, ConfigMap and service account.
pub const NAMESPACE: &str = "flyte";
const NAME: &str = "secret-gateway";
const API_SERVICE: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.secret-gateway.flyte.org";

/// The gateway, running or not.
pub struct Gateway {
    pub address: SocketAddr,
    /// Address of the listener for pods, if the chart enables it.
    pub pods: Option<SocketAddr>,
    /// Address of metrics.
    pub metrics: SocketAddr,
    folder: PathBuf,
    identity: Vec<(&'static str, String)>,
    process: Option<Process>,
}

impl Gateway {
    /// Starts the gateway with the chart's configuration, and the doubles of clouds as endpoints.
    pub async fn start(folder: &Path, cluster: &Cluster, clouds: &Clouds) -> Result<Self> {
        let folder = folder.join("gateway");
        std::fs::create_dir_all(&folder)?;
        let address = cluster.serve_as(NAMESPACE, NAME).await?;
        let object = async |kind: &str, name: &str| {
            let path = format!("/api/v1/namespaces/{NAMESPACE}/{kind}/{name}");
            cluster.admin.get(&path).await?.ok()
        };
        let config = object("configmaps", NAME).await?;
        let config = config["data"]["config.yaml"].as_str().context("the ConfigMap has no config.yaml")?;
        let certificate = object("secrets", &format!("{NAME}-tls")).await?;
        for file in ["tls.crt", "tls.key"] {
            let data = certificate["data"][file].as_str().with_context(|| format!("the Secret has no {file}"))?;
            std::fs::write(folder.join(file), STANDARD.decode(data)?)?;
        }
        let mut config: Value = serde_yaml::from_str(config)?;
        config["listen"] = json!(address);
        config["tls"] = json!({ "certFile": folder.join("tls.crt"), "keyFile": folder.join("tls.key") });
        config["access"]["kubeconfig"] = json!(cluster.kubeconfig_for(&folder, NAMESPACE, NAME).await?);
        let k8s = config["providers"]["k8s"].take();
        config["providers"] = clouds.providers();
        if k8s.is_object() {
            config["providers"]["k8s"] = k8s;
        }
        let metrics = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
        config["metricsListen"] = json!(metrics);
        let pods = match config["pods"].is_object() {
            true => Some(cluster.serve_as(NAMESPACE, "secret-gateway-pods").await?),
            false => None,
        };
        if let Some(listen) = pods {
            config["pods"]["listen"] = json!(listen);
        }
        std::fs::write(folder.join("config.yaml"), serde_yaml::to_string(&config)?)?;
        let identity = clouds.identity();
        let mut gateway = Self { address, pods, metrics, folder, identity, process: None };
        gateway.resume(cluster).await?;
        Ok(gateway)
    }

    /// Starts the gateway again, and waits until the API server uses it.
    pub async fn resume(&mut self, cluster: &Cluster) -> Result<()> {
        let mut process = Process::start(&self.folder, NAME, &program("E2E_BUILD", NAME)?, |command| {
            command.arg("--config").arg(self.folder.join("config.yaml")).env_remove("KUBECONFIG");
            command.envs(self.identity.iter().map(|(name, value)| (name, value)));
        })?;
        // The condition can be of the previous process, so a request must succeed, too.
        let answers = async || {
            let kinds = cluster.admin.get("/apis/secret-gateway.flyte.org/v1alpha1").await;
            kinds.is_ok_and(|answer| answer.code == 200) && available(cluster).await == Some(true)
        };
        process.until(answers).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Kills the gateway.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Returns its audit lines and log.
    pub fn output(&self) -> String {
        self.process.as_ref().map(Process::output).unwrap_or_default()
    }
}

/// Whether the APIService is available.
pub async fn available(cluster: &Cluster) -> Option<bool> {
    let service = cluster.admin.get(API_SERVICE).await.ok()?.ok().ok()?;
    let conditions = service["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == "Available")?;
    Some(condition["status"] == "True")
}
