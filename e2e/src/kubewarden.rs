//! Replacement of Kubewarden: a MutatingWebhookConfiguration for a ClusterAdmissionPolicy, and a policy server.
//!
//! Source: `policy_subreconciler_webhook.go` of Kubewarden's controller. It does not set `reinvocationPolicy`, whose
//! default is `Never`.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_testing::engine::Policy;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::authority::Authority;
use crate::cluster::Cluster;
use crate::live::Live;
use crate::serve::{PolicyServer, Served};
use crate::tools::repository;

const POLICIES: &str = "/apis/policies.kubewarden.io/v1/clusteradmissionpolicies";
/// Collection of webhook configurations.
pub const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
/// User name of the default policy server.
pub const USER: &str = "system:serviceaccount:kubewarden:policy-server";
/// Kubewarden's name for the policy of the chart.
pub const WEBHOOK: &str = "clusterwide-flyte-secrets";
/// Kubewarden's namespace.
pub const NAMESPACE: &str = "kubewarden";
const SERVICE: &str = "policy-server-default";
/// The service account of Kubewarden's default policy server.
const ACCOUNT: &str = "policy-server";
/// Port of the webhook. Kubewarden's is 443, which requires root.
const PORT: u16 = 8443;

/// Kubewarden with its default policy server.
pub struct Kubewarden {
    pub policy: Policy,
    authority: Authority,
    listen: SocketAddr,
    served: Option<Running>,
}

struct Running {
    server: PolicyServer,
    now: Served,
}

impl Kubewarden {
    /// Installs the objects of Kubewarden's charts.
    pub async fn install(cluster: &Cluster, policy: Policy) -> Result<Self> {
        cluster.namespace(NAMESPACE).await?;
        cluster.account(NAMESPACE, ACCOUNT).await?;
        let listen = cluster.expose(NAMESPACE, SERVICE, PORT).await?;
        Ok(Self { policy, authority: Authority::new("kubewarden"), listen, served: None })
    }

    /// Serves the policy as it is in the cluster now.
    pub async fn reconcile(&mut self, cluster: &Cluster) -> Result<()> {
        let policy = cluster.admin.get(&format!("{POLICIES}/flyte-secrets")).await?.ok()?;
        let spec = &policy["spec"];
        let read = spec["contextAwareResources"].as_array().cloned().unwrap_or_default();
        declared(&read)?;
        let text = |kind: &Value, key: &str| kind[key].as_str().unwrap_or_default().to_owned();
        let granted = read.iter().map(|kind| (text(kind, "apiVersion"), text(kind, "kind"))).collect();
        // A client with only the permissions of the server's service account.
        let client = cluster.with_token(&cluster.token(NAMESPACE, ACCOUNT).await?)?.0;
        let capabilities = Live::new(client, Handle::current(), granted);
        self.serve(Served { policy: self.policy.clone(), settings: spec["settings"].clone(), capabilities }).await?;
        cluster.apply(WEBHOOKS, &self.webhook(spec)).await?;
        self.report(cluster, "active").await
    }

    /// Sets the status of the policy in the cluster.
    pub async fn report(&self, cluster: &Cluster, status: &str) -> Result<()> {
        let status = json!({
            "apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicy",
            "metadata": { "name": "flyte-secrets" }, "status": { "policyStatus": status },
        });
        cluster.apply_status(POLICIES, &status).await
    }

    /// Serves the policy with other settings than those in the cluster.
    pub async fn with_settings(&mut self, settings: &Value) -> Result<()> {
        let now = self.served.as_ref().context("the policy is not served yet")?.now.clone();
        self.serve(Served { settings: settings.clone(), ..now }).await
    }

    /// Returns the settings of the served policy.
    pub fn settings(&self) -> Value {
        self.served.as_ref().map(|running| running.now.settings.clone()).unwrap_or_default()
    }

    /// Returns the requests reviewed since the last call.
    pub fn reviewed(&self) -> Vec<Value> {
        self.served.as_ref().map(|running| running.server.reviewed()).unwrap_or_default()
    }

    /// Returns the policy's response to a reviewed request.
    pub async fn answer(&self, request: Value) -> Result<Value> {
        let Served { policy, settings, capabilities } =
            self.served.as_ref().context("the policy is not served yet")?.now.clone();
        let validate = move || policy.validate(&request, &settings, &capabilities);
        Ok(tokio::task::spawn_blocking(validate).await??.0)
    }

    async fn serve(&mut self, now: Served) -> Result<()> {
        if let Err(error) = now.policy.validate_settings(&now.settings, &now.capabilities)? {
            bail!("invalid settings of the policy: {error}");
        }
        match &mut self.served {
            Some(running) => {
                running.server.serve(now.clone());
                running.now = now;
            }
            None => {
                let listener =
                    TcpListener::bind(self.listen).with_context(|| format!("cannot listen on {}", self.listen))?;
                let own = self.authority.server(&format!("{SERVICE}.{NAMESPACE}.svc"));
                let server = PolicyServer::start(listener, WEBHOOK, (&own.certificate, &own.key), now.clone()).await?;
                self.served = Some(Running { server, now });
            }
        }
        Ok(())
    }

    fn webhook(&self, spec: &Value) -> Value {
        let outside = json!({ "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [NAMESPACE] });
        let mut namespaces = vec![outside];
        namespaces.extend(spec["namespaceSelector"]["matchExpressions"].as_array().into_iter().flatten().cloned());
        let service = json!({
            "namespace": NAMESPACE, "name": SERVICE, "path": format!("/validate/{WEBHOOK}"), "port": PORT,
        });
        let authority = STANDARD.encode(&self.authority.certificate);
        let mut webhook = json!({
            "name": format!("{WEBHOOK}.kubewarden.admission"),
            "clientConfig": { "service": service, "caBundle": authority },
            "namespaceSelector": { "matchExpressions": namespaces },
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        });
        for field in [
            "rules",
            "failurePolicy",
            "matchPolicy",
            "objectSelector",
            "matchConditions",
            "sideEffects",
            "timeoutSeconds",
        ] {
            if let Some(value) = spec.get(field) {
                webhook[field] = value.clone();
            }
        }
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": WEBHOOK, "labels": { "app.kubernetes.io/part-of": "kubewarden" } },
            "webhooks": [webhook],
        })
    }
}

/// Checks that the policy's metadata declares the resources that the manifest grants.
fn declared(read: &[Value]) -> Result<()> {
    let metadata: Value = serde_yaml::from_str(&std::fs::read_to_string(repository("policy-metadata.yml"))?)?;
    let declared = metadata["contextAwareResources"].as_array().context("the metadata declares no resources")?;
    for kind in read {
        ensure!(declared.contains(kind), "{kind} is granted, but policy-metadata.yml does not declare it");
    }
    Ok(())
}
