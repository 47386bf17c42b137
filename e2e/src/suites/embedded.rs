//! Embedded from Kubernetes Secrets: permissions of the chart's RBAC, messages without them, and tenancy.

use std::sync::Arc;

use anyhow::{Result, ensure};
use flyte_secrets_policy::names::Scope;
use flyte_secrets_policy::names::kubernetes::{image_pull_name, secret_name};
use flyte_secrets_policy::reason_code::ReasonCode;
use flyte_secrets_testing::golden::same;
use flyte_secrets_testing::host::Capabilities;
use flyte_secrets_testing::pods::{kubernetes_store, pod, project_name, with};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::cluster::{Cluster, named};
use crate::kubewarden;
use crate::live::Live;
use crate::report::Report;
use crate::world::{TASKS, TOKEN, World, arrives, denied};

const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/flyte/rolebindings";

pub async fn run(report: &mut Report, world: &mut World) -> Result<()> {
    world.install_embedded().await?;
    world.hold(&kubernetes_store(&[(&project_name("token"), b"t0ken")])).await?;
    report.section("Embedded from Kubernetes Secrets");
    report.check("the shipped rights are get on Secrets of one namespace", rights(&world.cluster)).await;
    report.check("host calls are answered as in policy-server", host_calls(world)).await;
    report.check("a value arrives", arrives(world)).await;
    report.check("another namespace's labels are refused", other_tenant(world, TASKS, "payments")).await;
    let other = other_tenant(world, "payments-development", "flytesnacks");
    report.check("a pod in another namespace is refused", other).await;
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
    let rights = [
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
    ];
    cluster.has_rights(kubewarden::USER, "", &rights).await
}

/// Checks host calls without limits, as `--demo` makes them: the messages are policy-server's.
async fn host_calls(world: &World) -> Result<()> {
    let caller = world.cluster.account_client("kubewarden", "policy-server")?;
    let live = Live::new(caller.0, Handle::current(), None);
    let name = secret_name(&project_name("token"));
    for (kind, namespace, name, expected) in [
        ("Secret", "flyte", &*name, "\"kind\":\"Secret\""),
        ("Secret", "flyte", "nowhere", "Cannot find v1/Secret named 'nowhere' inside of namespace 'Some(\"flyte\")'"),
        ("Secret", "kube-system", "nowhere", "code: 403"),
        ("Unknown", "flyte", "nowhere", "Cannot find resource v1/Unknown"),
    ] {
        let request = json!({ "api_version": "v1", "kind": kind, "namespace": namespace, "name": name });
        let live = Arc::clone(&live);
        let call = move || live.call("kubernetes", "get_resource", request.to_string().as_bytes());
        let outcome = tokio::task::spawn_blocking(call).await?;
        ensure!(outcome.is_ok() == expected.starts_with('"'), "{kind} {namespace}/{name}: {outcome:?}");
        let said = outcome.map_or_else(|error| error, |object| String::from_utf8_lossy(&object).into_owned());
        ensure!(said.contains(expected), "{kind} {namespace}/{name}: {said}");
    }
    Ok(())
}

/// Checks a pod in this namespace with a label for another project.
async fn other_tenant(world: &World, namespace: &str, project: &str) -> Result<()> {
    world.cluster.namespace(namespace).await?;
    let pod = with(pod(&[TOKEN]), "/metadata/namespace", json!(namespace));
    let pod = with(pod, "/metadata/labels/project", json!(project));
    let answer = world.cluster.admin.create_pod(namespace, &pod).await?;
    let expected = format!(
        "namespace \"{namespace}\" does not match the pod's labels, which require namespace \"{project}-development\"; \
         correct the labels, or run the task in that namespace"
    );
    denied(&answer, ReasonCode::TenantMismatch, &expected)
}

async fn without_right(world: &World) -> Result<()> {
    let admin = &world.cluster.admin;
    let bindings = admin.get(BINDINGS).await?.ok()?;
    let reader = |binding: &&Value| binding["subjects"][0]["name"] == "policy-server";
    let bindings: Vec<&Value> = bindings["items"].as_array().into_iter().flatten().filter(reader).collect();
    ensure!(bindings.len() == 1, "{bindings:?}");
    let name = bindings[0]["metadata"]["name"].as_str().unwrap_or_default();
    let binding = world.cluster.take(BINDINGS, name).await?;
    world.cluster.settle().await;
    let answer = admin.create_pod(TASKS, &pod(&[TOKEN])).await?;
    admin.post(BINDINGS, &binding).await?.ok()?;
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
    world.cluster.apply(&secrets, &named("v1", "Secret", &twin)).await?;
    let created = world.cluster.admin.admit(TASKS, &pod(&[TOKEN])).await?.ok()?;
    world.cluster.admin.delete(&format!("{secrets}/{twin}")).await?.ok()?;
    same(&json!([{ "name": twin }]), &created["spec"]["imagePullSecrets"])
}

async fn no_rights(world: &World) -> Result<()> {
    world.cluster.has_rights(kubewarden::USER, "", &[("get", "secrets", "flyte", false)]).await?;
    let request = "group: 'db' key: 'password' mount_requirement: ENV_VAR env_var: 'PASSWORD'";
    let created = world.cluster.admin.admit(TASKS, &pod(&[request])).await?.ok()?;
    let source = json!({ "secretKeyRef": { "name": "db", "key": "password", "optional": true } });
    let variables = json!([
        { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_FSEC_" },
        { "name": "PASSWORD", "valueFrom": source },
        { "name": "_FSEC_DB_PASSWORD", "valueFrom": source },
    ]);
    same(&variables, &created["spec"]["containers"][0]["env"])
}
