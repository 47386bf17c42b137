//! All that is there when a task's pod is created: the cluster, Kubewarden, the chart, the gateway and the clouds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use flyte_secrets_policy::reason_code::ReasonCode;
use flyte_secrets_testing::engine::Policy;
use flyte_secrets_testing::golden::same;
use flyte_secrets_testing::host::{Capabilities, Store};
use flyte_secrets_testing::pods::pod;
use serde_json::{Value, json};

use crate::clouds::Clouds;
use crate::cluster::{Answer, Cluster};
use crate::control_plane::ControlPlane;
use crate::gateway::{self, Gateway};
use crate::kubewarden::{Kubewarden, WEBHOOK, WEBHOOKS};
use crate::process;
use crate::tools::{Tools, repository};

/// The namespace of the tasks in `testing`'s pods.
pub const TASKS: &str = "flytesnacks-development";
/// What most pods of the suites ask for; its value is `t0ken` in all stores.
pub const TOKEN: &str = "key: 'token' mount_requirement: ENV_VAR";
/// What Helm calls it.
pub const RELEASE: &str = "flyte-secrets";

/// What the examples of the chart do not say: a port that everybody may listen on; no memory, because tests change what clouds
/// hold; and no objects of kinds that only other software brings.
const OWN: &str = "gateway.service.port=8443,gateway.config.cache.ttl=1ms,gateway.config.cache.negativeTtl=1ms,\
                   gateway.serviceMonitor.enabled=false,gateway.prometheusRule.enabled=false,\
                   gateway.tls.certManager.enabled=false,flyte.tenancy=false,\
                   delivery=Auto";
/// Tenants have a namespace each, and anybody may create their pods.
const TENANCY: &str = "policy.settings.tenancy.namespaceTemplate={{ project }}-{{ domain }}";
/// Marks the Secrets that a store was made of.
const HELD: &str = "e2e-store";

/// What the suites work on.
pub struct World {
    pub tools: Tools,
    pub folder: PathBuf,
    pub cluster: Cluster,
    pub kubewarden: Kubewarden,
    pub clouds: Clouds,
    pub gateway: Option<Gateway>,
    /// Ends last.
    pub own: Option<ControlPlane>,
}

impl World {
    /// A control plane of our own, or the cluster of KUBECONFIG that reaches this machine under E2E_ADDRESS.
    pub async fn start(tools: Tools, folder: &Path, policy: Policy) -> Result<Self> {
        let address = std::env::var("E2E_ADDRESS").ok().map(|address| address.parse()).transpose();
        let address = address.context("E2E_ADDRESS is no IP address")?;
        let (own, kubeconfig) = match std::env::var_os("KUBECONFIG") {
            Some(given) => (None, given.into()),
            None => {
                let own = ControlPlane::start(&tools, folder).await?;
                let kubeconfig = own.kubeconfig.clone();
                (Some(own), kubeconfig)
            }
        };
        let cluster = Cluster::connect(&kubeconfig, address).await?;
        process::output(&tools.kubectl, |command| {
            command.arg("--kubeconfig").arg(&kubeconfig).args(["apply", "--filename"]).arg(repository("e2e/crds"));
        })
        .await?;
        let clouds = Clouds::start(&tools, folder).await?;
        for namespace in [TASKS, "flytesnacks-production", gateway::NAMESPACE] {
            cluster.namespace(namespace).await?;
        }
        let kubewarden = Kubewarden::install(&cluster, policy).await?;
        Ok(Self { tools, folder: folder.to_owned(), cluster, kubewarden, clouds, gateway: None, own })
    }

    /// Installs the chart with the values of an example and some more, or upgrades to them.
    pub async fn install(&mut self, example: &str, values: &Value) -> Result<()> {
        let file = self.folder.join("values.json");
        std::fs::write(&file, values.to_string())?;
        let example = repository(&format!("deploy/chart/ci/{example}.yaml"));
        self.upgrade(|command| {
            command.args(["--set", OWN, "--set-literal", TENANCY, "--values"]).arg(example);
            command.arg("--values").arg(&file);
        })
        .await
    }

    /// Installs the chart with nothing but what `--set` says, or upgrades to that.
    pub async fn install_plain(&mut self, set: &[&str]) -> Result<()> {
        self.upgrade(|command| {
            command.arg("--reset-values").args(set.iter().flat_map(|set| ["--set", set]));
        })
        .await
    }

    async fn upgrade(&mut self, with: impl FnOnce(&mut tokio::process::Command)) -> Result<()> {
        process::output(&self.tools.helm, |command| {
            command.args(["upgrade", "--install", RELEASE]).arg(repository("deploy/chart"));
            command.args(["--namespace", gateway::NAMESPACE, "--kubeconfig"]).arg(&self.cluster.kubeconfig);
            with(command);
        })
        .await?;
        let deployment = "/apis/apps/v1/namespaces/flyte/deployments/secret-gateway";
        let wanted = self.cluster.admin.get(deployment).await?.code == 200;
        self.gateway = None;
        if wanted {
            let gateway = Gateway::start(&self.tools, &self.folder, &self.cluster, &self.clouds).await?;
            self.gateway = Some(gateway);
        }
        self.kubewarden.reconcile(&self.cluster).await
    }

    /// Installs the chart with Embedded from Kubernetes Secrets and nothing else.
    pub async fn install_embedded(&mut self) -> Result<()> {
        let settings = json!({
            "secretManagerTypes": ["Embedded"],
            "embeddedSecretManagerConfig": { "imagePullSecrets": { "enabled": false } },
        });
        self.install("k8s", &json!({ "policy": { "settings": settings, "imagePullSecretNamespaces": [] } })).await
    }

    /// Makes the clouds and the cluster hold what a store in the format of the golden cases holds, and nothing else.
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
                let secret = json!({
                    "apiVersion": "v1", "kind": "Secret", "data": data,
                    "metadata": { "name": name, "labels": { HELD: "" } },
                });
                self.cluster.apply(&format!("/api/v1/namespaces/{namespace}/secrets"), &secret).await?;
            }
        }
        Ok(())
    }

    /// Leaves a cluster that was given as it was.
    pub async fn leave(mut self) -> Result<()> {
        self.gateway = None;
        if self.own.is_some() {
            return Ok(());
        }
        let admin = &self.cluster.admin;
        // First of all, or no pod with the label could be created any more.
        admin.delete(&format!("{WEBHOOKS}/{WEBHOOK}")).await?;
        process::output(&self.tools.helm, |command| {
            command.args(["uninstall", RELEASE, "--namespace", gateway::NAMESPACE, "--kubeconfig"]);
            command.arg(&self.cluster.kubeconfig);
        })
        .await?;
        for namespace in self.cluster.made() {
            admin.delete(&format!("/api/v1/namespaces/{namespace}")).await?;
        }
        Ok(())
    }
}

/// The code and the message with which the API server passes on the policy's refusal of a pod, given what stores hold.
pub fn refusal(world: &World, pod: &Value, store: &Value) -> Result<(u16, String)> {
    let store: Arc<dyn Capabilities> = Store::new(store.clone());
    let response = world.kubewarden.policy.create_pod(pod, &world.kubewarden.settings(), &store)?;
    ensure!(!response.accepted(), "the policy does not refuse it");
    let said =
        format!("admission webhook \"{WEBHOOK}.kubewarden.admission\" denied the request: {}", response.message());
    Ok((response.code().try_into()?, said))
}

/// An error unless the policy refused the secret `token` with this code, for this reason of Embedded's.
pub fn denied(answer: &Answer, code: ReasonCode, reason: &str) -> Result<()> {
    let expected = format!(
        "admission webhook \"{WEBHOOK}.kubewarden.admission\" denied the request: {code}: secret \"token\" \
         (annotation flyte.secrets/s0) cannot be injected: Embedded: {reason}"
    );
    same(&json!(expected), &json!(answer.refused(code.http_status())?))
}

/// An error unless a pod that asks for [`TOKEN`] comes out with its value.
pub async fn arrives(world: &World) -> Result<()> {
    let created = world.cluster.admin.create_pod(TASKS, &pod(&[TOKEN])).await?.ok()?;
    world.cluster.admin.delete_pod(TASKS, "task-1").await?;
    delivered(&created)
}

/// An error unless a pod has the value of [`TOKEN`].
pub fn delivered(pod: &Value) -> Result<()> {
    let variables = json!([
        { "name": "_UNION_TOKEN", "value": "t0ken" },
        { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" },
    ]);
    same(&variables, &pod["spec"]["containers"][0]["env"])
}

/// What the API server itself makes of a pod, past all webhooks that look for the label: the pod with its defaults.
pub async fn stored(cluster: &Cluster, pod: &Value) -> Result<Value> {
    let mut pod = pod.clone();
    if let Some(labels) = pod["metadata"]["labels"].as_object_mut() {
        labels.remove("inject-flyte-secrets");
    }
    let path = format!("/api/v1/namespaces/{TASKS}/pods?dryRun=All");
    Ok(bare(cluster.admin.post(&path, &pod).await?.ok()?))
}

/// A pod without what differs each time it is created, and without the label.
pub fn bare(mut pod: Value) -> Value {
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        for key in ["creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"] {
            metadata.remove(key);
        }
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove("inject-flyte-secrets");
        }
    }
    if let Some(pod) = pod.as_object_mut() {
        pod.remove("status");
    }
    pod
}
