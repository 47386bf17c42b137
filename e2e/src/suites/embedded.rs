//! Embedded from Kubernetes Secrets: permissions of the chart's RBAC, messages without them, and tenancy.

use anyhow::{Result, ensure};
use flyte_secrets_policy::names::Scope;
use flyte_secrets_policy::names::kubernetes::image_pull_name;
use flyte_secrets_policy::reason_code::ReasonCode;
use flyte_secrets_testing::golden::same;
use flyte_secrets_testing::pods::{kubernetes_store, pod, project_name};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kubewarden;
use crate::report::Report;
use crate::world::{TASKS, TOKEN, World, arrives, denied};

const BINDING: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/flyte/rolebindings";

pub async fn run(report: &mut Report, world: &mut World) -> Result<()> {
    world.install_embedded().await?;
    world.hold(&kubernetes_store(&[(&project_name("token"), b"t0ken")])).await?;
    report.section("Embedded from Kubernetes Secrets");
    report.check("the shipped rights are get on Secrets of one namespace", rights(&world.cluster)).await;
    report.check("a value arrives", arrives(world)).await;
    report.check("another namespace's labels are refused", other_tenant(world)).await;
    report.check("a pod in another namespace is refused", other_namespace(world)).await;
    report.check("without the right: 503, and the verb", without_right(world)).await;
    report.check("without the grant: 503, and where it stands", without_grant(world)).await;
    world.install("k8s", &json!({})).await?;
    report.check("image pull secrets, with the rights of the example", image_pull_secrets(world)).await;
    world.install("sidecars", &json!({})).await?;
    report.check("managers that do not fetch need no right", no_rights(world)).await;
    Ok(())
}

/// Checks the permissions of the policy server's service account by SubjectAccessReviews.
async fn rights(cluster: &Cluster) -> Result<()> {
    for (verb, resource, namespace, allowed) in [
        ("get", "secrets", "flyte", true),
        ("list", "secrets", "flyte", false),
        ("watch", "secrets", "flyte", false),
        ("update", "secrets", "flyte", false),
        ("delete", "secrets", "flyte", false),
        ("get", "configmaps", "flyte", false),
        ("get", "secrets", TASKS, false),
        ("get", "secrets", "kube-system", false),
        ("get", "secrets", "kubewarden", false),
        ("get", "secrets", "", false),
        ("create", "pods", TASKS, false),
    ] {
        let attributes = json!({ "verb": verb, "resource": resource, "namespace": namespace });
        let found = cluster.may(kubewarden::USER, &attributes).await?;
        ensure!(found == allowed, "{verb} {resource} in {namespace:?}: {found}");
    }
    Ok(())
}

async fn other_tenant(world: &World) -> Result<()> {
    let mut pod = pod(&[TOKEN]);
    pod["metadata"]["labels"]["project"] = json!("payments");
    let answer = world.cluster.admin.create_pod(TASKS, &pod).await?;
    let expected = "namespace \"flytesnacks-development\" does not match the pod's labels, which require namespace \
                    \"payments-development\"; correct the labels, or run the task in that namespace";
    denied(&answer, ReasonCode::TenantMismatch, expected)
}

async fn other_namespace(world: &World) -> Result<()> {
    world.cluster.namespace("payments-development").await?;
    let mut pod = pod(&[TOKEN]);
    pod["metadata"]["namespace"] = json!("payments-development");
    let answer = world.cluster.admin.create_pod("payments-development", &pod).await?;
    let expected = "namespace \"payments-development\" does not match the pod's labels, which require namespace \
                    \"flytesnacks-development\"; correct the labels, or run the task in that namespace";
    denied(&answer, ReasonCode::TenantMismatch, expected)
}

async fn without_right(world: &World) -> Result<()> {
    let admin = &world.cluster.admin;
    let bindings = admin.get(BINDING).await?.ok()?;
    let reader = |binding: &&Value| binding["subjects"][0]["name"] == "policy-server";
    let bindings: Vec<&Value> = bindings["items"].as_array().into_iter().flatten().filter(reader).collect();
    ensure!(bindings.len() == 1, "{bindings:?}");
    let mut binding = bindings[0].clone();
    let name = binding["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    admin.delete(&format!("{BINDING}/{name}")).await?.ok()?;
    world.cluster.settle().await;
    let answer = admin.create_pod(TASKS, &pod(&[TOKEN])).await?;
    if let Some(metadata) = binding["metadata"].as_object_mut() {
        metadata.retain(|key, _| matches!(key.as_str(), "name" | "labels" | "annotations"));
    }
    admin.post(BINDING, &binding).await?.ok()?;
    world.cluster.settle().await;
    let expected = "Secret flyte/7cf0cf8930fcddcc3a30328d706e13ec could not be read: \
                    forbidden for the policy server's service account; ask the operator to grant the verb get on it";
    denied(&answer, ReasonCode::AccessDenied, expected)?;
    arrives(world).await
}

async fn without_grant(world: &mut World) -> Result<()> {
    let grants = "/apis/policies.kubewarden.io/v1/clusteradmissionpolicies/flyte-secrets";
    let admin = world.cluster.admin.clone();
    let mut policy = admin.get(grants).await?.ok()?;
    let granted = std::mem::replace(&mut policy["spec"]["contextAwareResources"], json!([]));
    let mut policy = admin.put(grants, &policy).await?.ok()?;
    world.kubewarden.reconcile(&world.cluster).await?;
    let answer = admin.create_pod(TASKS, &pod(&[TOKEN])).await?;
    policy["spec"]["contextAwareResources"] = granted;
    admin.put(grants, &policy).await?.ok()?;
    world.kubewarden.reconcile(&world.cluster).await?;
    let expected = "Secret flyte/7cf0cf8930fcddcc3a30328d706e13ec could not be read: \
                    the policy has no access to this resource; ask the operator to allow the host capability \
                    kubernetes/get_resource and to list the resource in contextAwareResources";
    denied(&answer, ReasonCode::AccessDenied, expected)?;
    arrives(world).await
}

async fn image_pull_secrets(world: &World) -> Result<()> {
    let scope = Scope { organization: "acme", domain: "development", project: "flytesnacks" };
    let twin = image_pull_name(scope, "token");
    let secrets = format!("/api/v1/namespaces/{TASKS}/secrets");
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": twin } });
    world.cluster.apply(&secrets, &secret).await?;
    let created = world.cluster.admin.create_pod(TASKS, &pod(&[TOKEN])).await?.ok()?;
    world.cluster.admin.delete_pod(TASKS, "task-1").await?;
    world.cluster.admin.delete(&format!("{secrets}/{twin}")).await?.ok()?;
    same(&json!([{ "name": twin }]), &created["spec"]["imagePullSecrets"])
}

async fn no_rights(world: &World) -> Result<()> {
    let secrets = json!({ "verb": "get", "resource": "secrets", "namespace": "flyte" });
    ensure!(!world.cluster.may(kubewarden::USER, &secrets).await?, "it may read Secrets");
    let request = "group: 'db' key: 'password' mount_requirement: ENV_VAR env_var: 'PASSWORD'";
    let created = world.cluster.admin.create_pod(TASKS, &pod(&[request])).await?.ok()?;
    world.cluster.admin.delete_pod(TASKS, "task-1").await?;
    let source = json!({ "secretKeyRef": { "name": "db", "key": "password", "optional": true } });
    let variables = json!([
        { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_FSEC_" },
        { "name": "PASSWORD", "valueFrom": source },
        { "name": "_FSEC_DB_PASSWORD", "valueFrom": source },
    ]);
    same(&variables, &created["spec"]["containers"][0]["env"])
}
