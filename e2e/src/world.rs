//! Environment of the checks: the cluster, Kubewarden, the chart, the gateway and the clouds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use flyte_secrets_policy::reason_code::ReasonCode;
use flyte_secrets_testing::engine::Policy;
use flyte_secrets_testing::golden::same;
use flyte_secrets_testing::host::{Capabilities, Store};
use flyte_secrets_testing::pods::{pod, with};
use serde_json::{Value, json};

use crate::clouds::Clouds;
use crate::cluster::{Answer, Cluster, named};
use crate::control_plane::ControlPlane;
use crate::gateway::{self, Gateway};
use crate::kubewarden::{Kubewarden, WEBHOOK, WEBHOOKS};
use crate::process;
use crate::tools::repository;

/// Namespace of the pods in `testing`.
pub const TASKS: &str = "flytesnacks-development";
/// Secret request of most pods. Its value is `t0ken` in all stores.
pub const TOKEN: &str = "key: 'token' mount_requirement: ENV_VAR";
/// Name of the Helm release.
pub const RELEASE: &str = "flyte-secrets";

/// Values in addition to the chart's examples: an unprivileged port; no cache, because tests change the clouds; and no
/// objects of kinds that are not installed.
const OWN: &str = "gateway.service.port=8443,gateway.config.cache.ttl=1ms,gateway.config.cache.negativeTtl=1ms,\
                   gateway.serviceMonitor.enabled=false,gateway.prometheusRule.enabled=false,\
                   gateway.tls.certManager.enabled=false,flyte.tenancy=false,\
                   delivery=Auto";
/// Values for a namespace for each tenant, without creators.
const TENANCY: &str = "policy.settings.tenancy.namespaceTemplate={{ project }}-{{ domain }}";
/// Label of the Secrets of a store.
const HELD: &str = "e2e-store";

/// The environment of the suites.
pub struct World {
    pub folder: PathBuf,
    pub cluster: Cluster,
    pub kubewarden: Kubewarden,
    pub clouds: Clouds,
    pub gateway: Option<Gateway>,
    /// The own control plane, which ends last.
    pub own: Option<ControlPlane>,
}

impl World {
    /// Starts a control plane, or uses the cluster of KUBECONFIG, which reaches this machine at E2E_ADDRESS.
    pub async fn start(folder: &Path, policy: Policy) -> Result<Self> {
        let address = std::env::var("E2E_ADDRESS").ok().map(|address| address.parse()).transpose();
        let address = address.context("E2E_ADDRESS is no IP address")?;
        let (own, kubeconfig) = match std::env::var_os("KUBECONFIG") {
            Some(given) => (None, given.into()),
            None => {
                let own = ControlPlane::start(folder).await?;
                let kubeconfig = own.kubeconfig.clone();
                (Some(own), kubeconfig)
            }
        };
        let cluster = Cluster::connect(&kubeconfig, address).await?;
        let crds = repository("e2e/crds");
        process::run("kubectl", &kubeconfig, &["apply", "--filename", &crds.to_string_lossy()]).await?;
        let clouds = Clouds::start(folder).await?;
        for namespace in [TASKS, "flytesnacks-production", gateway::NAMESPACE] {
            cluster.namespace(namespace).await?;
        }
        let kubewarden = Kubewarden::install(&cluster, policy).await?;
        Ok(Self { folder: folder.to_owned(), cluster, kubewarden, clouds, gateway: None, own })
    }

    /// Installs or upgrades the chart with the values of an example and additional ones.
    pub async fn install(&mut self, example: &str, values: &Value) -> Result<()> {
        let (own, file) = (self.folder.join("values.json"), repository(&format!("deploy/chart/ci/{example}.yaml")));
        std::fs::write(&own, values.to_string())?;
        let files = [file.to_string_lossy(), own.to_string_lossy()];
        self.upgrade(&["--set", OWN, "--set-literal", TENANCY, "--values", &files[0], "--values", &files[1]]).await
    }

    /// Installs or upgrades the chart with more arguments of helm.
    pub async fn upgrade(&mut self, arguments: &[&str]) -> Result<()> {
        let chart = repository("deploy/chart");
        let upgrade = ["upgrade", "--install", RELEASE, &chart.to_string_lossy(), "--namespace", gateway::NAMESPACE];
        self.helm(&[&upgrade[..], arguments].concat()).await?;
        let deployment = "/apis/apps/v1/namespaces/flyte/deployments/secret-gateway";
        self.gateway = None;
        if self.cluster.admin.get(deployment).await?.code == 200 {
            let gateway = Gateway::start(&self.folder, &self.cluster, &self.clouds).await?;
            self.gateway = Some(gateway);
        }
        self.kubewarden.reconcile(&self.cluster).await
    }

    /// Runs helm as administrator, and returns its output.
    pub async fn helm(&self, arguments: &[&str]) -> Result<String> {
        process::run("helm", &self.cluster.kubeconfig, arguments).await
    }

    /// Installs the chart with Embedded from Kubernetes Secrets only.
    pub async fn install_embedded(&mut self) -> Result<()> {
        let settings = json!({
            "secretManagerTypes": ["Embedded"],
            "embeddedSecretManagerConfig": { "imagePullSecrets": { "enabled": false } },
        });
        self.install("k8s", &json!({ "policy": { "settings": settings, "imagePullSecretNamespaces": [] } })).await
    }

    /// Replaces the secrets of the clouds and the cluster by a store in the format of the golden cases.
    pub async fn hold(&self, store: &Value) -> Result<()> {
        self.clouds.hold(store).await?;
        let all = self.cluster.admin.get(&format!("/api/v1/secrets?labelSelector={HELD}")).await?.ok()?;
        for secret in all["items"].as_array().into_iter().flatten() {
            let text = |key: &str| secret["metadata"][key].as_str().unwrap_or_default();
            let path = format!("/api/v1/namespaces/{}/secrets/{}", text("namespace"), text("name"));
            self.cluster.admin.delete(&path).await?.ok()?;
        }
        for (namespace, secrets) in store["K8s"].as_object().into_iter().flatten() {
            self.cluster.namespace(namespace).await?;
            for (name, data) in secrets.as_object().into_iter().flatten() {
                let mut secret = with(named("v1", "Secret", name), "/data", data.clone());
                secret["metadata"]["labels"] = json!({ HELD: "" });
                self.cluster.apply(&format!("/api/v1/namespaces/{namespace}/secrets"), &secret).await?;
            }
        }
        Ok(())
    }

    /// Removes everything from a cluster of the caller.
    pub async fn leave(mut self) -> Result<()> {
        self.gateway = None;
        if self.own.is_some() {
            return Ok(());
        }
        let admin = &self.cluster.admin;
        // First, because otherwise no pod with the label could be created.
        admin.delete(&format!("{WEBHOOKS}/{WEBHOOK}")).await?;
        self.helm(&["uninstall", RELEASE, "--namespace", gateway::NAMESPACE]).await?;
        for path in self.cluster.made() {
            admin.delete(&path).await?;
        }
        Ok(())
    }
}

/// Returns the message with which the API server reports that the policy rejected a pod.
fn rejection(message: &str) -> String {
    format!("admission webhook \"{WEBHOOK}.kubewarden.admission\" denied the request: {message}")
}

/// Returns code and message with which the API server reports the policy's rejection of a pod with a store.
pub fn refusal(world: &World, pod: &Value, store: &Value) -> Result<(u16, String)> {
    let store: Arc<dyn Capabilities> = Store::new(store.clone());
    let response = world.kubewarden.policy.create_pod(pod, &world.kubewarden.settings(), &store)?;
    ensure!(!response.accepted(), "the policy does not refuse it");
    Ok((response.code().try_into()?, rejection(response.message())))
}

/// Checks that the policy rejected the secret `token` with this code and this reason of Embedded.
pub fn denied(answer: &Answer, code: ReasonCode, reason: &str) -> Result<()> {
    let secret = "secret \"token\" (annotation flyte.secrets/s0) cannot be injected";
    let expected = rejection(&format!("{code}: {secret}: Embedded: {reason}"));
    same(&json!(expected), &json!(answer.refused(code.http_status())?))
}

/// Checks that a pod with [`TOKEN`] gets its value.
pub async fn arrives(world: &World) -> Result<()> {
    delivered(&world.cluster.admin.admit(TASKS, &pod(&[TOKEN])).await?.ok()?)
}

/// Checks that a pod has the value of [`TOKEN`].
pub fn delivered(pod: &Value) -> Result<()> {
    same(&token_variables(), &pod["spec"]["containers"][0]["env"])
}

/// Returns the variables for [`TOKEN`].
pub fn token_variables() -> Value {
    json!([{ "name": "_UNION_TOKEN", "value": "t0ken" }, { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" }])
}

/// Returns a pod with the API server's defaults, created without the label for webhooks.
pub async fn stored(cluster: &Cluster, pod: &Value) -> Result<Value> {
    Ok(bare(cluster.admin.dry_run(TASKS, &unlabelled(pod.clone())).await?.ok()?))
}

/// Returns a pod without the label for webhooks.
pub fn unlabelled(mut pod: Value) -> Value {
    if let Some(labels) = pod["metadata"]["labels"].as_object_mut() {
        labels.remove("inject-flyte-secrets");
    }
    pod
}

/// Returns a pod without fields that differ on each creation, and without the label.
pub fn bare(pod: Value) -> Value {
    let mut pod = unlabelled(pod);
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        for key in ["creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"] {
            metadata.remove(key);
        }
    }
    pod["status"] = Value::Null;
    pod
}
