//! Reinvocation: a second webhook edits pods, and the API server calls the policy again. Kubewarden does not enable
//! this. If an operator does, the second evaluation keeps what the first one added.

use std::net::TcpListener;

use anyhow::{Result, ensure};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_testing::golden::same;
use flyte_secrets_testing::pods::{kubernetes_store, pod, project_name, with};
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::cluster::named;
use crate::kubewarden::{NAMESPACE, WEBHOOK, WEBHOOKS};
use crate::report::Report;
use crate::serve;
use crate::world::{TASKS, World, bare, stored};

/// Name of the second webhook, which sorts after the policy's.
const OTHER: &str = "zz-sidecars";
const REQUESTS: [&str; 4] = [
    "key: 'token' mount_requirement: ENV_VAR",
    "key: 'tls.crt' mount_requirement: FILE env_var: 'CERTIFICATE'",
    "group: 'db' key: 'password' mount_requirement: ENV_VAR",
    "group: 'arn:aws:secretsmanager:eu-west-1:1:secret:a' key: 'b' mount_requirement: FILE",
];

pub async fn run(report: &mut Report, world: &mut World) -> Result<()> {
    world.install_embedded().await?;
    let managers = json!(["Embedded", "AWS", "K8s"]);
    world.kubewarden.with_settings(&with(world.kubewarden.settings(), "/secretManagerTypes", managers))?;
    let values: [(&str, &[u8]); 2] = [(&project_name("token"), b"t0ken"), (&project_name("tls.crt"), &[0, 159, 255])];
    world.hold(&kubernetes_store(&values)).await?;
    report.section("a webhook after ours");
    let once = bare(world.cluster.admin.admit(TASKS, &pod(&REQUESTS)).await?.ok()?);

    let (authority, listen) = (Authority::new(OTHER), world.cluster.expose(NAMESPACE, OTHER, 8443).await?);
    let own = authority.server(&format!("{OTHER}.{NAMESPACE}.svc"));
    serve::https(TcpListener::bind(listen)?, &own, Router::new().route("/", post(edit))).await?;
    reinvoked(world, "IfNeeded").await?;
    configure(world, &authority).await?;
    let task = &once["spec"]["containers"][0];
    let mut sidecar = sidecar();
    sidecar["env"] = task["env"].clone();
    sidecar["volumeMounts"] = task["volumeMounts"].clone();
    let expected = with(once.clone(), "/metadata/labels/mesh", json!("on"));
    let expected = with(expected, "/spec/containers", json!([task, sidecar]));
    report
        .check("it labels pods and adds a container: ours runs twice, for that one, too", twice(world, &expected))
        .await;
    world.cluster.admin.delete(&format!("{WEBHOOKS}/{OTHER}")).await?.ok()?;
    reinvoked(world, "Never").await
}

fn sidecar() -> Value {
    json!({ "name": "mesh", "image": "mesh:1" })
}

/// Answers a review of a pod with a label and a container, once.
async fn edit(Json(review): Json<Value>) -> Json<Value> {
    let (uid, pod) = (&review["request"]["uid"], &review["request"]["object"]);
    let mut response = json!({ "uid": uid, "allowed": true });
    if pod["metadata"]["labels"]["mesh"].is_null() {
        let patch = json!([
            { "op": "add", "path": "/metadata/labels/mesh", "value": "on" },
            { "op": "add", "path": "/spec/containers/-", "value": sidecar() },
        ]);
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(patch.to_string()));
    }
    Json(json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response }))
}

/// Sets `reinvocationPolicy` of the policy's webhook.
async fn reinvoked(world: &World, policy: &str) -> Result<()> {
    let path = format!("{WEBHOOKS}/{WEBHOOK}");
    let mut configuration = world.cluster.admin.get(&path).await?.ok()?;
    let before = configuration["webhooks"][0]["reinvocationPolicy"].clone();
    ensure!(policy == "Never" || before == "Never", "the shipped policy yields the reinvocation policy {before}");
    configuration["webhooks"][0]["reinvocationPolicy"] = json!(policy);
    world.cluster.admin.put(&path, &configuration).await?.ok()?;
    world.cluster.settle().await;
    Ok(())
}

async fn configure(world: &World, authority: &Authority) -> Result<()> {
    let service = json!({ "namespace": NAMESPACE, "name": OTHER, "path": "/", "port": 8443 });
    let webhook = json!({
        "name": format!("{OTHER}.example.com"),
        "clientConfig": { "service": service, "caBundle": STANDARD.encode(&authority.certificate) },
        "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"] }],
        "objectSelector": { "matchLabels": { "inject-flyte-secrets": "true" } },
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    });
    let mut configuration = named("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", OTHER);
    configuration["webhooks"] = json!([webhook]);
    world.cluster.apply(WEBHOOKS, &configuration).await?;
    world.cluster.settle().await;
    Ok(())
}

async fn twice(world: &World, expected: &Value) -> Result<()> {
    world.kubewarden.reviewed();
    let created = world.cluster.admin.admit(TASKS, &pod(&REQUESTS)).await?.ok()?;
    let reviews = world.kubewarden.reviewed();
    ensure!(reviews.len() == 2, "ours was asked {} times: {reviews:?}", reviews.len());
    same(&stored(&world.cluster, expected).await?, &bare(created))
}
