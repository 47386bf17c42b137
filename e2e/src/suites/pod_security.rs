//! Additions of the policy in namespaces that enforce the restricted standard of Pod Security.

use anyhow::{Result, ensure};
use flyte_secrets_testing::pods::{kubernetes_store, pod};
use serde_json::{Value, json};

use crate::cluster::Answer;
use crate::report::Report;
use crate::world::World;

const NAMESPACE: &str = "flytesnacks-staging";
const NAME: &str = "u__org__acme__domain__staging__project__flytesnacks__key__token";
const REQUESTS: [(&str, &str); 5] = [
    ("K8s", "group: 'db' key: 'password' mount_requirement: FILE"),
    ("Embedded", "key: 'token' mount_requirement: FILE"),
    ("AWS", "group: 'arn:aws:secretsmanager:eu-west-1:1:secret:a' key: 'b' mount_requirement: FILE"),
    ("GCP", "group: 'projects/p/secrets/a' group_version: '1' mount_requirement: FILE"),
    ("Azure", "group: 'https://acme-kv.vault.azure.net/secrets/a' mount_requirement: FILE"),
];

pub async fn run(report: &mut Report, world: &mut World) -> Result<()> {
    world.install_embedded().await?;
    world.hold(&kubernetes_store(&[(NAME, b"t0ken")])).await?;
    world.cluster.namespace(NAMESPACE).await?;
    let enforced = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": NAMESPACE, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
    });
    world.cluster.apply("/api/v1/namespaces", &enforced).await?;
    let base = world.kubewarden.settings();
    report.section("Pod Security");
    for (manager, request) in REQUESTS {
        let mut settings = base.clone();
        settings["secretManagerTypes"] = json!([manager]);
        world.kubewarden.with_settings(&settings).await?;
        let accepted = async { create(world, &[request]).await?.ok().map(drop) };
        report.check(&format!("a restricted pod with a file of {manager}"), accepted).await;
    }
    let mut settings = base.clone();
    settings["embeddedSecretManagerConfig"]["fileMountInitContainer"]["securityContext"] = json!({});
    world.kubewarden.with_settings(&settings).await?;
    report.check("rejected without our security context, which shows that it is enforced", refused(world)).await;
    world.kubewarden.with_settings(&base).await
}

async fn refused(world: &World) -> Result<()> {
    let answer = create(world, &["key: 'token' mount_requirement: FILE"]).await?;
    let message = answer.refused(403)?;
    ensure!(message.contains("PodSecurity") && message.contains("init-embedded-secret"), "{message}");
    Ok(())
}

/// Creates a pod that passes the standard without the policy's additions.
async fn create(world: &World, requests: &[&str]) -> Result<Answer> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All");
    world.cluster.admin.post(&path, &restricted(pod(requests))).await
}

fn restricted(mut pod: Value) -> Value {
    pod["metadata"]["namespace"] = json!(NAMESPACE);
    pod["metadata"]["labels"]["domain"] = json!("staging");
    pod["spec"]["containers"][0]["securityContext"] = json!({
        "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "runAsNonRoot": true,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    pod
}
