//! Additions of the policy in namespaces that enforce the restricted standard of Pod Security.

use anyhow::{Result, ensure};
use flyte_secrets_testing::pods::{kubernetes_store, pod, with};
use serde_json::json;

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
    world.cluster.restrict(NAMESPACE).await?;
    let base = world.kubewarden.settings();
    report.section("Pod Security");
    for (manager, request) in REQUESTS {
        world.kubewarden.with_settings(&with(base.clone(), "/secretManagerTypes", json!([manager])))?;
        let accepted = async { create(world, request).await?.ok().map(drop) };
        report.check(&format!("a restricted pod with a file of {manager}"), accepted).await;
    }
    let context = "/embeddedSecretManagerConfig/fileMountInitContainer/securityContext";
    world.kubewarden.with_settings(&with(base.clone(), context, json!({})))?;
    report.check("rejected without our security context, which shows that it is enforced", refused(world)).await;
    world.kubewarden.with_settings(&base)
}

async fn refused(world: &World) -> Result<()> {
    let answer = create(world, "key: 'token' mount_requirement: FILE").await?;
    let message = answer.refused(403)?;
    ensure!(message.contains("PodSecurity") && message.contains("init-embedded-secret"), "{message}");
    Ok(())
}

/// Creates a pod that passes the standard without the policy's additions.
async fn create(world: &World, request: &str) -> Result<Answer> {
    let mut pod = pod(&[request]);
    pod["metadata"]["namespace"] = json!(NAMESPACE);
    pod["metadata"]["labels"]["domain"] = json!("staging");
    pod["spec"]["containers"][0]["securityContext"] = json!({
        "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "runAsNonRoot": true,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    world.cluster.admin.dry_run(NAMESPACE, &pod).await
}
