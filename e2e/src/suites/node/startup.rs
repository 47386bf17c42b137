//! Time that a pull adds to the start of a pod.

use std::time::{Duration, Instant};

use anstream::println;
use anyhow::{Context, Result, ensure};
use flyte_secrets_policy::grant::CONTAINER;
use serde_json::{Value, json};

use super::secrets::{env, store};
use super::task::Task;
use super::tasks::EMBEDDED;
use super::{DEVELOPMENT, create, install};
use crate::node::Node;
use crate::process;
use crate::report::Report;
use crate::world::World;

const PODS: usize = 20;

pub async fn run(report: &mut Report, world: &mut World, node: &Node) -> Result<()> {
    report.section("time from creation of a pod to its end");
    report.check("one variable by Value and by Pull, 20 pods each", compare(world, node)).await;
    Ok(())
}

async fn compare(world: &mut World, node: &Node) -> Result<()> {
    world.hold(&store()).await?;
    let mut medians = Vec::new();
    for delivery in ["Value", "Pull"] {
        install(world, node, delivery, &json!({})).await?;
        medians.push(median(world, delivery == "Pull").await?.as_millis());
    }
    println!("     medians by Value and by Pull, in ms: {medians:?}");
    Ok(())
}

/// Returns the median time of pods that start one after the other.
async fn median(world: &World, pulls: bool) -> Result<Duration> {
    let admin = &world.cluster.admin;
    let mut times = Vec::new();
    for number in 0..PODS {
        let task = Task::new(&format!("start {number}"), DEVELOPMENT, EMBEDDED, &[env("token")]);
        let (start, mut pod) = (Instant::now(), Value::Null);
        let name = create(world, &task).await?.context("it was not created")?;
        process::until("the pod ends", Duration::from_millis(20), Duration::from_secs(180), async || {
            pod = admin.pod(DEVELOPMENT, &name).await?;
            ensure!(pod["status"]["phase"] != "Failed", "the pod failed: {}", pod["status"]);
            Ok(pod["status"]["phase"] == "Succeeded")
        })
        .await?;
        times.push(start.elapsed());
        ensure!((pod["spec"]["initContainers"][0]["name"] == CONTAINER) == pulls, "delivered otherwise");
        admin.delete_pod(DEVELOPMENT, &name).await?;
    }
    times.sort_unstable();
    times.get(PODS / 2).copied().context("no times")
}
