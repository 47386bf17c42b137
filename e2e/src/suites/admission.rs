//! The policy as seen by clients of the API server: accepted pods, rejections, warnings, dry runs, and pods of
//! Deployments and Jobs.

use anyhow::{Context, Result, bail, ensure};
use flyte_secrets_testing::golden::same;
use flyte_secrets_testing::pods::{kubernetes_store, pod, project_name};
use serde_json::{Value, json};

use crate::cluster::{Answer, Caller};
use crate::report::Report;
use crate::world::{TASKS, TOKEN, World, bare, refusal, stored};

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
    report.check("a Deployment's pod", workload(world, Workload::DEPLOYMENT)).await;
    report.check("a Job's pod", workload(world, Workload::JOB)).await;
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
    let created = create(&world.cluster.admin, &pod).await?;
    ensure!(created.warnings.is_empty(), "{:?}", created.warnings);
    same(&stored(&world.cluster, &pod).await?, &bare(created.ok()?))
}

/// Creates a pod and deletes it.
async fn create(caller: &Caller, pod: &Value) -> Result<Answer> {
    let created = caller.create_pod(TASKS, pod).await?;
    if created.code < 300 {
        caller.delete_pod(TASKS, created.body["metadata"]["name"].as_str().context("no name")?).await?;
    }
    Ok(created)
}

async fn refused(world: &World, requests: &[&str], labels: &Value, code: u16) -> Result<()> {
    let pod = labelled(pod(requests), labels);
    let (expected, said) = refusal(world, &pod, &kubernetes_store(&[(&project_name("token"), b"t0ken")]))?;
    ensure!(expected == code, "the policy refuses it with {expected}: {said}");
    let answer = create(&world.cluster.admin, &pod).await?;
    same(&json!(said), &json!(answer.refused(code)?))
}

async fn warned(world: &World) -> Result<()> {
    let mut odd = pod(&[TOKEN]);
    odd["metadata"]["annotations"]["flyte.secrets/source"] = json!("x");
    let answer = create(&world.cluster.admin, &odd).await?;
    ensure!(answer.warnings.len() == 1, "{:?}", answer.warnings);
    ensure!(answer.warnings[0].contains("flyte.secrets/source"), "{:?}", answer.warnings);
    answer.ok().map(drop)
}

async fn dry_run(world: &World) -> Result<()> {
    let pod = pod(&[TOKEN]);
    world.kubewarden.reviewed();
    let path = format!("/api/v1/namespaces/{TASKS}/pods");
    let dry = world.cluster.admin.post(&format!("{path}?dryRun=All"), &pod).await?.ok()?;
    let reviews = world.kubewarden.reviewed();
    ensure!(reviews.len() == 1 && reviews[0]["dryRun"] == true, "{reviews:?}");
    ensure!(world.cluster.admin.get(&format!("{path}/task-1")).await?.code == 404, "the pod is there");
    let wet = create(&world.cluster.admin, &pod).await?.ok()?;
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

/// A workload, and the controller that creates its pods.
struct Workload {
    collection: &'static str,
    api_version: &'static str,
    kind: &'static str,
    /// Owner of the pods: kind and API version.
    owner: (&'static str, &'static str),
    controller: &'static str,
    restart: &'static str,
}

impl Workload {
    const DEPLOYMENT: Self = Self {
        collection: "/apis/apps/v1/namespaces/flytesnacks-development/deployments",
        api_version: "apps/v1",
        kind: "Deployment",
        owner: ("apps/v1", "ReplicaSet"),
        controller: "replicaset-controller",
        restart: "Always",
    };
    const JOB: Self = Self {
        collection: "/apis/batch/v1/namespaces/flytesnacks-development/jobs",
        api_version: "batch/v1",
        kind: "Job",
        owner: ("batch/v1", "Job"),
        controller: "job-controller",
        restart: "OnFailure",
    };
}

/// Creates a pod as the controller does from a stored template: with a generated name, an owner, and the controller's
/// service account.
async fn workload(world: &World, workload: Workload) -> Result<()> {
    let Workload { collection, api_version, kind, owner, controller, restart } = workload;
    let mut template = pod(&[TOKEN]);
    template["spec"]["restartPolicy"] = json!(restart);
    let mut metadata = template["metadata"].clone();
    metadata.as_object_mut().context("no metadata")?.retain(|key, _| key == "labels" || key == "annotations");
    let mut spec = json!({ "template": { "metadata": metadata, "spec": template["spec"] } });
    if kind == "Deployment" {
        spec["selector"] = json!({ "matchLabels": { "project": "flytesnacks" } });
    }
    let object = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "train" }, "spec": spec });
    let object = world.cluster.admin.post(collection, &object).await?.ok()?;
    world.cluster.admin.delete(&format!("{collection}/train")).await?;
    let uid = &object["metadata"]["uid"];
    let template = &object["spec"]["template"];
    let reference = json!({
        "apiVersion": owner.0, "kind": owner.1, "name": "train", "uid": uid, "controller": true,
        "blockOwnerDeletion": true,
    });
    let mut pod =
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"] });
    pod["metadata"]["generateName"] = json!("train-");
    pod["metadata"]["ownerReferences"] = json!([reference]);
    let account = format!("system:serviceaccount:kube-system:{controller}");
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
    let controller = world.cluster.impersonate(&account, &groups)?;
    let created = controller.create_pod(TASKS, &pod).await?.ok()?;
    let name = created["metadata"]["name"].as_str().context("no name")?.to_owned();
    world.cluster.admin.delete_pod(TASKS, &name).await?;
    let mut expected = pod;
    let environment = json!([
        { "name": "_UNION_TOKEN", "value": "t0ken" },
        { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" },
    ]);
    expected["spec"]["containers"][0]["env"] = environment;
    expected["metadata"]["name"] = json!(name);
    match stored(&world.cluster, &expected).await {
        Ok(expected) => same(&expected, &bare(created)),
        Err(error) => bail!("the expected pod is invalid: {error:#}"),
    }
}
