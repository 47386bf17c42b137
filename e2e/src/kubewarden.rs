//! Replacement of Kubewarden: a MutatingWebhookConfiguration for a ClusterAdmissionPolicy, and a policy server.
//!
//! Source: `policy_subreconciler_webhook.go` of Kubewarden's controller. It does not set `reinvocationPolicy`, whose
//! default is `Never`.

use std::net::TcpListener;

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_testing::engine::Policy;
use flyte_secrets_testing::repository;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::authority::Authority;
use crate::cluster::{Cluster, named};
use crate::live::Live;
use crate::serve::{self, Shared};

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
    served: Shared,
}

impl Kubewarden {
    /// Installs the objects of Kubewarden's charts, and starts the policy server.
    pub async fn install(cluster: &Cluster, policy: Policy) -> Result<Self> {
        cluster.namespace(NAMESPACE).await?;
        cluster.account(NAMESPACE, ACCOUNT).await?;
        let listen = cluster.expose(NAMESPACE, SERVICE, PORT).await?;
        let listener = TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
        let authority = Authority::new("kubewarden");
        let served = Shared::new(policy.clone());
        let path = format!("/validate/{WEBHOOK}");
        let router = Router::new().route(&path, post(serve::review)).with_state(served.clone());
        serve::https(listener, &authority.server(&format!("{SERVICE}.{NAMESPACE}.svc")), router).await?;
        Ok(Self { policy, authority, served })
    }

    /// Serves the policy as it is in the cluster now.
    pub async fn reconcile(&self, cluster: &Cluster) -> Result<()> {
        let policy = cluster.admin.get(&format!("{POLICIES}/flyte-secrets")).await?.ok()?;
        let spec = &policy["spec"];
        let metadata = repository::yaml("policy-metadata.yml")?;
        let declared = metadata["contextAwareResources"].as_array().context("the metadata declares no resources")?;
        let mut granted = Vec::new();
        for kind in spec["contextAwareResources"].as_array().into_iter().flatten() {
            ensure!(declared.contains(kind), "{kind} is granted, but policy-metadata.yml does not declare it");
            granted.push(serde_json::from_value(kind.clone())?);
        }
        // A client with only the permissions of the server's service account.
        let client = cluster.with_token(&cluster.token(NAMESPACE, ACCOUNT, &json!({})).await?)?.0;
        self.served.lock().capabilities = Live::new(client, Handle::current(), Some(granted));
        self.with_settings(&spec["settings"])?;
        cluster.apply(WEBHOOKS, &self.webhook(spec)).await?;
        self.report(cluster, "active").await
    }

    /// Sets the status of the policy in the cluster.
    pub async fn report(&self, cluster: &Cluster, status: &str) -> Result<()> {
        let mut policy = named("policies.kubewarden.io/v1", "ClusterAdmissionPolicy", "flyte-secrets");
        policy["status"] = json!({ "policyStatus": status });
        cluster.apply_status(POLICIES, &policy).await
    }

    /// Serves the policy with other settings than those in the cluster.
    pub fn with_settings(&self, settings: &Value) -> Result<()> {
        let mut served = self.served.lock();
        if served.settings != *settings {
            if let Err(error) = self.policy.validate_settings(settings, &served.capabilities)? {
                bail!("invalid settings of the policy: {error}");
            }
            served.settings = settings.clone();
        }
        Ok(())
    }

    /// Returns the settings of the served policy.
    pub fn settings(&self) -> Value {
        self.served.lock().settings.clone()
    }

    /// Returns the requests reviewed since the last call.
    pub fn reviewed(&self) -> Vec<Value> {
        std::mem::take(&mut self.served.lock().reviewed)
    }

    /// Returns the policy's response to a reviewed request.
    pub async fn answer(&self, request: Value) -> Result<Value> {
        Ok(self.served.validate(request).await?.0)
    }

    fn webhook(&self, spec: &Value) -> Value {
        let outside = json!({ "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [NAMESPACE] });
        let mut namespaces = vec![outside];
        namespaces.extend(spec["namespaceSelector"]["matchExpressions"].as_array().into_iter().flatten().cloned());
        let path = format!("/validate/{WEBHOOK}");
        let service = json!({ "namespace": NAMESPACE, "name": SERVICE, "path": path, "port": PORT });
        let mut webhook = json!({
            "name": format!("{WEBHOOK}.kubewarden.admission"),
            "clientConfig": { "service": service, "caBundle": STANDARD.encode(&self.authority.certificate) },
            "namespaceSelector": { "matchExpressions": namespaces },
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        });
        for (field, value) in spec.as_object().into_iter().flatten() {
            let copied = matches!(
                field.as_str(),
                "rules"
                    | "failurePolicy"
                    | "matchPolicy"
                    | "objectSelector"
                    | "matchConditions"
                    | "sideEffects"
                    | "timeoutSeconds"
            );
            if copied {
                webhook[field] = value.clone();
            }
        }
        let mut object = named("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", WEBHOOK);
        object["metadata"]["labels"] = json!({ "app.kubernetes.io/part-of": "kubewarden" });
        object["webhooks"] = json!([webhook]);
        object
    }
}
