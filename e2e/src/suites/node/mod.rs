//! Pods that start: each is created through the policy, runs on the node, and compares what it received with the
//! stores. Does not know how the policy delivers values.

mod canary;
mod pull;
mod startup;
mod task;
mod tasks;

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::node::{self, Node};
use crate::report::Report;
use crate::world::World;
use task::{Change, Outcome, Task};
use tasks::{DEVELOPMENT, PRODUCTION};

/// Timeout of a pod that starts with many others.
const PATIENCE: Duration = Duration::from_secs(180);

pub async fn run(report: &mut Report, world: &mut World, node: &Node) -> Result<()> {
    world.install("k8s", &values(&json!({}))).await?;
    world.hold(&tasks::store()).await?;
    restrict(world).await?;
    let user_namespaces = user_namespaces(world).await?;
    start(report, world, "pods", tasks::all(user_namespaces)).await?;
    if !user_namespaces {
        report.skip(tasks::OWN_USERS, "the container runtime has no user namespaces; runc has them from 1.2 on");
    }
    start(report, world, "pods that do not start", tasks::not_started()).await?;
    start(report, world, "many pods at once", tasks::many()).await?;
    pull::run(report, world, node).await?;
    canary::run(report, world, node).await?;
    startup::run(report, world, node).await
}

/// Returns the chart's values for settings of Embedded.
fn values(embedded: &Value) -> Value {
    // Many pods share few CPUs.
    let resources = json!({ "requests": { "cpu": "10m", "memory": "10Mi" } });
    let mut settings = json!({
        "embeddedSecretManagerConfig": {
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
    json!({ "policy": { "settings": settings, "imagePullSecretNamespaces": [] } })
}

/// Installs the chart with `delivery: Pull` and a store.
async fn install_pull(world: &mut World, node: &Node, store: &Value) -> Result<()> {
    let mut embedded = store.clone();
    embedded["delivery"] = json!("Pull");
    world.install("k8s", &values(&embedded)).await?;
    node.network.lead_to(world.gateway.as_ref().and_then(|gateway| gateway.pods));
    Ok(())
}

/// Starts all tasks, and reports the result of each.
async fn start(report: &mut Report, world: &mut World, section: &str, tasks: Vec<Task>) -> Result<()> {
    report.section(section);
    let base = world.kubewarden.settings();
    let mut started = Vec::new();
    for task in tasks.into_iter().filter(|task| report.selects(task.name())) {
        let settings = task.settings(base.clone());
        if settings != world.kubewarden.settings() {
            world.kubewarden.with_settings(&settings).await?;
        }
        let (since, created) = (Instant::now(), create(world, &task).await);
        started.push((task, since, created));
    }
    world.kubewarden.with_settings(&base).await?;
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
        report.record(task.name(), time, outcome.with_context(|| task.requests()));
    }
    Ok(())
}

/// Creates the pod of a task, and returns its name unless it is rejected as expected.
async fn create(world: &World, task: &Task) -> Result<Option<String>> {
    let pod = task.pod();
    let (namespace, pods) = (task.namespace(), format!("/api/v1/namespaces/{}/pods", task.namespace()));
    let dry_run = async |pod: &Value| world.cluster.admin.post(&format!("{pods}?dryRun=All"), pod).await;
    let pod = if task.is_mutated_twice() {
        let mut once = dry_run(&pod).await?.ok()?;
        if let Some(metadata) = once["metadata"].as_object_mut() {
            metadata.retain(|key, _| matches!(key.as_str(), "name" | "namespace" | "labels" | "annotations"));
        }
        once
    } else {
        pod
    };
    match task.outcome() {
        Outcome::Rejected(code, words) => {
            let answer = dry_run(&pod).await?;
            has_all(answer.refused(code)?, words)?;
            Ok(None)
        }
        Outcome::Admitted => dry_run(&pod).await?.ok().map(|_| None),
        _ => {
            let created = world.cluster.admin.create_pod(namespace, &pod).await?.ok()?;
            Ok(Some(created["metadata"]["name"].as_str().context("the pod has no name")?.to_owned()))
        }
    }
}

fn has_all(message: &str, words: &[&str]) -> Result<()> {
    let missing: Vec<_> = words.iter().filter(|word| !message.contains(*word)).collect();
    ensure!(missing.is_empty(), "{message:?} lacks {missing:?}");
    Ok(())
}

async fn finish(world: &World, task: &Task, name: &str) -> Result<()> {
    let outcome = ends(world, task, name).await;
    let outcome = match outcome {
        Ok(()) => Ok(()),
        Err(error) => Err(error.context(story(world, task.namespace(), name).await?)),
    };
    world.cluster.admin.delete_pod(task.namespace(), name).await?;
    outcome
}

/// Waits for the expected outcome of a pod.
async fn ends(world: &World, task: &Task, name: &str) -> Result<()> {
    let namespace = task.namespace();
    let is_told = async |word: &str| Ok(told(world, namespace, name).await?.iter().any(|said| said == word));
    if let Some(Change { once, namespace, secret, data }) = task.change() {
        until(&format!("the pod says {once}"), async || is_told(once).await).await?;
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": secret }, "data": data });
        world.cluster.apply(&format!("/api/v1/namespaces/{namespace}/secrets"), &secret).await?;
    }
    if let Outcome::Waits(reason) = task.outcome() {
        return until(&format!("the pod says {reason}"), async || is_told(reason).await).await;
    }
    let pod = ended(world, namespace, name).await?;
    if let Outcome::Fails(container, words) = task.outcome() {
        let status = statuses(&pod).find(|status| status["name"] == container).context("no such container")?;
        let end = &status["state"]["terminated"];
        ensure!(pod["status"]["phase"] == "Failed" && end["exitCode"] == 1, "{container}: {}", status["state"]);
        if let Some(message) = end["message"].as_str() {
            return has_all(message, words);
        }
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/log?container={container}");
        return has_all(&world.cluster.admin.get(&path).await?.ok()?.to_string(), words);
    }
    ensure!(pod["status"]["phase"] == "Succeeded", "the pod failed");
    let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
    ensure!(*restarts == task.restarts(), "the container was restarted {restarts} times");
    Ok(())
}

/// Returns a pod after it has ended.
async fn ended(world: &World, namespace: &str, name: &str) -> Result<Value> {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    let mut pod = Value::Null;
    let ended = async || {
        pod = world.cluster.admin.get(&path).await?.ok()?;
        Ok(matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")))
    };
    until("the pod ends", ended).await?;
    Ok(pod)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !holds().await? {
        if start.elapsed() > PATIENCE {
            bail!("{what}: not after {PATIENCE:?}");
        }
        sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// Returns a pod's phase, the reasons of its events, and those for which its containers wait.
async fn told(world: &World, namespace: &str, name: &str) -> Result<Vec<String>> {
    let pod = world.cluster.admin.get(&format!("/api/v1/namespaces/{namespace}/pods/{name}")).await?.ok()?;
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
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    let pod = world.cluster.admin.get(&path).await?.ok()?;
    let mut lines = vec![format!("{namespace}/{name}: {}", pod["status"]["phase"])];
    for status in statuses(&pod) {
        let container = status["name"].as_str().unwrap_or_default();
        lines.push(format!("  {container}: {}", status["state"]));
        let log = world.cluster.admin.get(&format!("{path}/log?container={container}&tailLines=20")).await?;
        if let (200, Some(text)) = (log.code, log.body.as_str()) {
            lines.extend(text.lines().map(|line| format!("    {line}")));
        }
    }
    for event in events(world, namespace, name).await? {
        lines.push(format!("  {}: {}", event["reason"], event["message"]));
    }
    Ok(lines.join("\n"))
}

/// Enforces the restricted standard of Pod Security in a namespace.
async fn restrict(world: &World) -> Result<()> {
    for namespace in [DEVELOPMENT, PRODUCTION] {
        world.cluster.namespace(namespace).await?;
    }
    let enforced = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": PRODUCTION, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
    });
    world.cluster.apply("/api/v1/namespaces", &enforced).await
}

/// Whether the node reports that its container runtime supports user namespaces.
async fn user_namespaces(world: &World) -> Result<bool> {
    let node = world.cluster.admin.get(&format!("/api/v1/nodes/{}", node::NAME)).await?.ok()?;
    let handlers = node["status"]["runtimeHandlers"].as_array().into_iter().flatten();
    Ok(handlers.filter(|handler| handler["features"]["userNamespaces"] == true).count() > 0)
}
