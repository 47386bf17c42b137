//! Time that a pull adds to the start of a pod.

use std::time::{Duration, Instant};

use anstream::println;
use anyhow::{Context, Result, ensure};
use flyte_secrets_policy::grant::CONTAINER;
use serde_json::json;
use tokio::time::sleep;

use super::task::Task;
use super::tasks::{DEVELOPMENT, EMBEDDED, store};
use super::{create, install_pull, values};
use crate::node::Node;
use crate::report::Report;
use crate::world::World;

const PODS: usize = 20;
const NAME: &str = "one variable by Value and by Pull, 20 pods each";

pub async fn run(report: &mut Report, world: &mut World, node: &Node) -> Result<()> {
    report.section("time from creation of a pod to its end");
    if report.selects(NAME) {
        report.check(NAME, compare(world, node)).await;
    }
    Ok(())
}

async fn compare(world: &mut World, node: &Node) -> Result<()> {
    world.install("k8s", &values(&json!({}))).await?;
    world.hold(&store()).await?;
    let value = median(world, false).await?;
    install_pull(world, node, &json!({})).await?;
    let pull = median(world, true).await?;
    println!("     median by Value {} ms, by Pull {} ms", value.as_millis(), pull.as_millis());
    Ok(())
}

/// Returns the median time of pods that start one after the other.
async fn median(world: &World, pulls: bool) -> Result<Duration> {
    let mut times = Vec::new();
    for number in 0..PODS {
        let task =
            Task::new(&format!("start {number}"), DEVELOPMENT, EMBEDDED, &["key: 'token' mount_requirement: ENV_VAR"])
                .variable("_UNION_TOKEN", "t0ken");
        let start = Instant::now();
        let name = create(world, &task).await?.context("it was not created")?;
        let path = format!("/api/v1/namespaces/{DEVELOPMENT}/pods/{name}");
        let pod = loop {
            let pod = world.cluster.admin.get(&path).await?.ok()?;
            match pod["status"]["phase"].as_str() {
                Some("Succeeded") => break pod,
                Some("Failed") => anyhow::bail!("the pod failed: {}", pod["status"]),
                _ => sleep(Duration::from_millis(20)).await,
            }
            ensure!(start.elapsed() < super::PATIENCE, "the pod has not ended");
        };
        times.push(start.elapsed());
        ensure!((pod["spec"]["initContainers"][0]["name"] == CONTAINER) == pulls, "delivered otherwise");
        world.cluster.admin.delete_pod(DEVELOPMENT, &name).await?;
    }
    times.sort_unstable();
    times.get(PODS / 2).copied().context("no times")
}
