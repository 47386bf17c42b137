//! The policy as seen by clients of the API server: accepted pods, rejections, warnings, dry runs, and pods of
//! Deployments and Jobs.

use anyhow::{Context, Result, ensure};
use flyte_secrets_testing::golden::same;
use flyte_secrets_testing::pods::{kubernetes_store, pod, project_name};
use serde_json::{Value, json};

use crate::report::Report;
use crate::world::{TASKS, TOKEN, World, bare, refusal, stored, token_variables};

pub async fn run(report: &mut Report, world: &mut World) -> Result<()> {
    world.install_embedded().await?;
    world.hold(&kubernetes_store(&[(&project_name("token"), b"t0ken")])).await?;
    report.section("what a client sees");
    let world = &*world;
    report.check("a pod that asks for nothing is as it was", nothing(world, json!({}))).await;
    let unlabelled = json!({ "inject-flyte-secrets": "false" });
    report.check("a pod without the label is as it was", nothing(world, unlabelled)).await;
    for (name, requests, labels, code) in [
        ("a request that cannot be read", vec!["key: 'x"], json!({}), 400),
        ("no such secret", vec!["key: 'nowhere'"], json!({}), 400),
        ("one of two", vec![TOKEN, "key: 'nowhere'"], json!({}), 400),
        ("no key", vec!["group: 'g'"], json!({}), 400),
        ("a label is missing", vec![TOKEN], json!({ "project": "" }), 400),
        ("another tenant's label", vec![TOKEN], json!({ "project": "other" }), 403),
    ] {
        report.check(&format!("refused: {name}"), refused(world, &requests, &labels, code)).await;
    }
    report.check("warnings reach the client", warned(world)).await;
    report.check("a dry run changes the pod and keeps nothing", dry_run(world)).await;
    report.check("an update is not reviewed", updated(world)).await;
    let selector = json!({ "selector": { "matchLabels": { "project": "flytesnacks" } } });
    let deployment = workload(world, ("apps/v1", "Deployment"), selector, "Always", "ReplicaSet");
    report.check("a Deployment's pod", deployment).await;
    report.check("a Job's pod", workload(world, ("batch/v1", "Job"), json!({}), "OnFailure", "Job")).await;
    Ok(())
}

fn labelled(mut pod: Value, labels: &Value) -> Value {
    for (name, value) in labels.as_object().into_iter().flatten() {
        pod["metadata"]["labels"][name] = value.clone();
    }
    pod
}

async fn nothing(world: &World, labels: Value) -> Result<()> {
    let asked: &[&str] = if labels == json!({}) { &[] } else { &[TOKEN] };
    let pod = labelled(pod(asked), &labels);
    let created = world.cluster.admin.admit(TASKS, &pod).await?;
    ensure!(created.warnings.is_empty(), "{:?}", created.warnings);
    same(&stored(&world.cluster, &pod).await?, &bare(created.ok()?))
}

async fn refused(world: &World, requests: &[&str], labels: &Value, code: u16) -> Result<()> {
    let pod = labelled(pod(requests), labels);
    let (expected, said) = refusal(world, &pod, &kubernetes_store(&[(&project_name("token"), b"t0ken")]))?;
    ensure!(expected == code, "the policy refuses it with {expected}: {said}");
    let answer = world.cluster.admin.admit(TASKS, &pod).await?;
    same(&json!(said), &json!(answer.refused(code)?))
}

async fn warned(world: &World) -> Result<()> {
    let mut odd = pod(&[TOKEN]);
    odd["metadata"]["annotations"]["flyte.secrets/source"] = json!("x");
    let answer = world.cluster.admin.admit(TASKS, &odd).await?;
    ensure!(answer.warnings.len() == 1, "{:?}", answer.warnings);
    ensure!(answer.warnings[0].contains("flyte.secrets/source"), "{:?}", answer.warnings);
    answer.ok().map(drop)
}

async fn dry_run(world: &World) -> Result<()> {
    let pod = pod(&[TOKEN]);
    world.kubewarden.reviewed();
    let dry = world.cluster.admin.dry_run(TASKS, &pod).await?.ok()?;
    let reviews = world.kubewarden.reviewed();
    ensure!(reviews.len() == 1 && reviews[0]["dryRun"] == true, "{reviews:?}");
    ensure!(world.cluster.admin.pod(TASKS, "task-1").await.is_err(), "the pod is there");
    let wet = world.cluster.admin.admit(TASKS, &pod).await?.ok()?;
    ensure!(wet["spec"]["containers"][0]["env"][0]["value"] == "t0ken", "{}", wet["spec"]);
    same(&bare(wet), &bare(dry))
}

async fn updated(world: &World) -> Result<()> {
    let admin = &world.cluster.admin;
    let mut pod = admin.create_pod(TASKS, &pod(&[TOKEN])).await?.ok()?;
    world.kubewarden.reviewed();
    pod["metadata"]["labels"]["project"] = json!("other");
    let path = format!("/api/v1/namespaces/{TASKS}/pods/task-1");
    let updated = admin.put(&path, &pod).await?.ok()?;
    admin.delete_pod(TASKS, "task-1").await?;
    ensure!(world.kubewarden.reviewed().is_empty(), "it was reviewed");
    same(&bare(pod), &bare(updated))
}

/// Creates a pod as the controller of `owner` does from a workload's stored template: with a generated name, an owner,
/// and the controller's service account.
async fn workload(
    world: &World,
    (api_version, kind): (&str, &str),
    mut spec: Value,
    restart: &str,
    owner: &str,
) -> Result<()> {
    let collection = format!("/apis/{api_version}/namespaces/{TASKS}/{}s", kind.to_lowercase());
    let controller = format!("{}-controller", owner.to_lowercase());
    let mut template = pod(&[TOKEN]);
    template["spec"]["restartPolicy"] = json!(restart);
    let (labels, annotations) = (&template["metadata"]["labels"], &template["metadata"]["annotations"]);
    let metadata = json!({ "labels": labels, "annotations": annotations });
    spec["template"] = json!({ "metadata": metadata, "spec": template["spec"] });
    let object = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "train" }, "spec": spec });
    let object = world.cluster.admin.post(&collection, &object).await?.ok()?;
    world.cluster.admin.delete(&format!("{collection}/train")).await?;
    let template = &object["spec"]["template"];
    let mut pod =
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"] });
    pod["metadata"]["generateName"] = json!("train-");
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": api_version, "kind": owner, "name": "train", "uid": object["metadata"]["uid"], "controller": true,
        "blockOwnerDeletion": true,
    }]);
    let created = world.cluster.account_client("kube-system", &controller)?.admit(TASKS, &pod).await?.ok()?;
    let mut expected = pod;
    expected["spec"]["containers"][0]["env"] = token_variables();
    expected["metadata"]["name"] = created["metadata"]["name"].clone();
    let expected = stored(&world.cluster, &expected).await.context("the expected pod is invalid")?;
    same(&expected, &bare(created))
}
