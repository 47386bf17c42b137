//! Pods that start: each is created through the policy, runs on the node, and compares what it received with the
//! stores. Does not know how the policy delivers values.

mod canary;
mod pull;
mod secrets;
mod task;
mod tasks;

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use flyte_secrets_testing::pods::with;
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::cluster::{has_all, named};
use crate::node::{self, Node};
use crate::process;
use crate::report::Report;
use crate::world::World;
use task::{Change, Outcome, Task};

/// Namespaces of tasks; the second one enforces the restricted standard of Pod Security.
const DEVELOPMENT: &str = "flytesnacks-development";
const PRODUCTION: &str = "flytesnacks-production";
/// The namespace of Embedded's Secrets, where Flyte 2 runs its tasks.
const STORE: &str = "flyte";

pub async fn run(report: &mut Report, world: &mut World, node: &Node) -> Result<()> {
    install(world, node, "Auto", &json!({})).await?;
    world.hold(&secrets::store()).await?;
    world.cluster.restrict(PRODUCTION).await?;
    let user_namespaces = user_namespaces(world).await?;
    start(report, world, "pods", tasks::all(user_namespaces)).await?;
    if !user_namespaces {
        report.skip(tasks::OWN_USERS, "the container runtime has no user namespaces; runc has them from 1.2 on");
    }
    start(report, world, "pods that do not start", tasks::not_started()).await?;
    start(report, world, "many pods at once", tasks::many("pod", secrets::MANY)).await?;
    pull::run(report, world, node).await?;
    canary::run(report, world, node).await
}

/// Installs the chart with a delivery of Embedded and more of its settings.
async fn install(world: &mut World, node: &Node, delivery: &str, embedded: &Value) -> Result<()> {
    // Many pods share few CPUs.
    let resources = json!({ "requests": { "cpu": "10m", "memory": "10Mi" } });
    let mut settings = json!({
        "embeddedSecretManagerConfig": {
            "delivery": delivery,
            "fileMountInitContainer": { "image": node::BUSYBOX, "resources": resources },
            "imagePullSecrets": { "enabled": false },
            "pull": { "image": node::PULL, "imagePullPolicy": "Never", "resources": resources },
        },
        "awsSecretManager": { "resources": resources },
        "gcpSecretManager": { "resources": resources },
        "azureSecretManager": { "resources": resources },
    });
    for (key, value) in embedded.as_object().into_iter().flatten() {
        settings["embeddedSecretManagerConfig"][key] = value.clone();
    }
    world.install("k8s", &json!({ "policy": { "settings": settings, "imagePullSecretNamespaces": [] } })).await?;
    node.network.lead_to(world.gateway.as_ref().and_then(|gateway| gateway.pods));
    Ok(())
}

/// Starts all tasks, and reports the result of each.
async fn start(report: &mut Report, world: &mut World, section: &str, tasks: Vec<Task>) -> Result<()> {
    report.section(section);
    let base = world.kubewarden.settings();
    let mut started = Vec::new();
    for task in tasks.into_iter().filter(|task| report.selects(&task.name)) {
        world.kubewarden.with_settings(&task.settings(base.clone()))?;
        let (since, created) = (Instant::now(), create(world, &task).await);
        started.push((task, since, created));
    }
    world.kubewarden.with_settings(&base)?;
    let all = started.len().max(1);
    let world = &*world;
    let finish = async |(task, since, created): (Task, Instant, Result<Option<String>>)| {
        let outcome = match created {
            Ok(Some(name)) => finish(world, &task, &name).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        (task, since.elapsed(), outcome)
    };
    let mut finished = pin!(stream::iter(started).map(finish).buffered(all));
    while let Some((task, time, outcome)) = finished.next().await {
        report.record(&task.name, time, outcome.with_context(|| task.requests.join("\n")));
    }
    Ok(())
}

/// Creates the pod of a task, and returns its name unless it is rejected as expected.
async fn create(world: &World, task: &Task) -> Result<Option<String>> {
    let admin = &world.cluster.admin;
    let pod = if task.twice { mutated(world, task).await? } else { task.pod() };
    match task.outcome {
        Outcome::Rejected(code, words) => {
            admin.dry_run(task.namespace, &pod).await?.refused_for(code, words)?;
            Ok(None)
        }
        Outcome::Admitted => admin.dry_run(task.namespace, &pod).await?.ok().map(|_| None),
        _ => {
            let created = admin.create_pod(task.namespace, &pod).await?.ok()?;
            Ok(Some(created["metadata"]["name"].as_str().context("the pod has no name")?.to_owned()))
        }
    }
}

/// Returns the mutated pod of a task, to create it as if written by hand.
async fn mutated(world: &World, task: &Task) -> Result<Value> {
    let mut pod = world.cluster.admin.dry_run(task.namespace, &task.pod()).await?.ok()?;
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.retain(|key, _| matches!(key.as_str(), "name" | "namespace" | "labels" | "annotations"));
    }
    Ok(pod)
}

/// Waits for the expected outcome of a pod, and deletes it.
async fn finish(world: &World, task: &Task, name: &str) -> Result<()> {
    let outcome = ends(world, task, name).await;
    world.cluster.admin.delete_pod(task.namespace, name).await?;
    outcome
}

/// Waits for the expected outcome of a pod.
async fn ends(world: &World, task: &Task, name: &str) -> Result<()> {
    match ends_as_expected(world, task, name).await {
        Err(error) => Err(error.context(story(world, task.namespace, name).await?)),
        Ok(()) => Ok(()),
    }
}

async fn ends_as_expected(world: &World, task: &Task, name: &str) -> Result<()> {
    let is_told = async |word: &str| Ok(told(world, task.namespace, name).await?.iter().any(|said| said == word));
    if let Some(Change { once, namespace, secret, data }) = &task.change {
        until(&format!("the pod says {once}"), async || is_told(once).await).await?;
        let secret = with(named("v1", "Secret", secret), "/data", data.clone());
        world.cluster.apply(&format!("/api/v1/namespaces/{namespace}/secrets"), &secret).await?;
    }
    if let Outcome::Waits(reason) = task.outcome {
        return until(&format!("the pod says {reason}"), async || is_told(reason).await).await;
    }
    let pod = ended(world, task.namespace, name).await?;
    if let Outcome::Fails(container, words) = task.outcome {
        return match failed(&pod, container)? {
            Some(message) => has_all(message, words),
            None => has_all(&world.cluster.admin.log(task.namespace, name, container).await?, words),
        };
    }
    ensure!(pod["status"]["phase"] == "Succeeded", "the pod failed");
    let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
    ensure!(*restarts == task.restarts, "the container was restarted {restarts} times");
    Ok(())
}

/// Checks that a pod failed with exit code 1 of a container, and returns the termination message.
fn failed<'a>(pod: &'a Value, container: &str) -> Result<Option<&'a str>> {
    let status = statuses(pod).find(|status| status["name"] == container).context("no such container")?;
    let end = &status["state"]["terminated"];
    ensure!(pod["status"]["phase"] == "Failed" && end["exitCode"] == 1, "{container}: {}", status["state"]);
    Ok(end["message"].as_str())
}

/// Returns a pod after it has ended.
async fn ended(world: &World, namespace: &str, name: &str) -> Result<Value> {
    let mut pod = Value::Null;
    until("the pod ends", async || {
        pod = world.cluster.admin.pod(namespace, name).await?;
        Ok(matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")))
    })
    .await?;
    Ok(pod)
}

/// Waits for a condition of a pod that starts with many others.
async fn until(what: &str, holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    process::until(what, Duration::from_millis(500), Duration::from_secs(180), holds).await
}

/// Returns a pod's phase, the reasons of its events, and those for which its containers wait.
async fn told(world: &World, namespace: &str, name: &str) -> Result<Vec<String>> {
    let pod = world.cluster.admin.pod(namespace, name).await?;
    let waiting = statuses(&pod).map(|status| status["state"]["waiting"]["reason"].clone());
    let events = events(world, namespace, name).await?.into_iter().map(|event| event["reason"].clone());
    let phase = pod["status"]["phase"].clone();
    Ok(waiting.chain(events).chain([phase]).filter_map(|reason| Some(reason.as_str()?.to_owned())).collect())
}

fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["initContainerStatuses", "containerStatuses"].map(|list| &pod["status"][list]);
    lists.into_iter().flat_map(|list| list.as_array().into_iter().flatten())
}

async fn events(world: &World, namespace: &str, name: &str) -> Result<Vec<Value>> {
    let path = format!("/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.name={name}");
    let mut events = world.cluster.admin.get(&path).await?.ok()?;
    Ok(events["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

/// Returns the states of a pod's containers, its events and its logs.
async fn story(world: &World, namespace: &str, name: &str) -> Result<String> {
    let pod = world.cluster.admin.pod(namespace, name).await?;
    let mut lines = vec![format!("{namespace}/{name}: {}", pod["status"]["phase"])];
    for status in statuses(&pod) {
        let container = status["name"].as_str().unwrap_or_default();
        lines.push(format!("  {container}: {}", status["state"]));
        // A container that did not start has none.
        let log = world.cluster.admin.log(namespace, name, container).await.unwrap_or_default();
        let skipped = log.lines().count().saturating_sub(20);
        lines.extend(log.lines().skip(skipped).map(|line| format!("    {line}")));
    }
    for event in events(world, namespace, name).await? {
        lines.push(format!("  {}: {}", event["reason"], event["message"]));
    }
    Ok(lines.join("\n"))
}

/// Whether the node reports that its container runtime supports user namespaces.
async fn user_namespaces(world: &World) -> Result<bool> {
    let node = world.cluster.admin.get(&format!("/api/v1/nodes/{}", node::NAME)).await?.ok()?;
    let mut handlers = node["status"]["runtimeHandlers"].as_array().into_iter().flatten();
    Ok(handlers.any(|handler| handler["features"]["userNamespaces"] == true))
}
