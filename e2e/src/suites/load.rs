//! Many concurrent pods.

use std::time::Instant;

use anstream::println;
use anyhow::{Result, ensure};
use flyte_secrets_testing::pods::{kubernetes_store, pod, project_name};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::report::Report;
use crate::world::{TASKS, World};

const PODS: usize = 200;
const AT_ONCE: usize = 16;

pub async fn run(report: &mut Report, world: &mut World) -> Result<()> {
    world.install_embedded().await?;
    let names: Vec<String> = (0..PODS * 3).map(|number| project_name(&format!("key{number}"))).collect();
    let values: Vec<String> = (0..PODS * 3).map(|number| format!("value {number}")).collect();
    let store: Vec<(&str, &[u8])> =
        names.iter().zip(&values).map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    world.hold(&kubernetes_store(&store)).await?;
    report.section("load");
    report.check("200 pods with 3 secrets each, 16 at a time", many(world)).await;
    world.hold(&json!({})).await
}

async fn many(world: &World) -> Result<()> {
    let start = Instant::now();
    let outcomes: Vec<(u128, Result<()>)> = stream::iter(0..PODS)
        .map(|number| async move {
            let start = Instant::now();
            let outcome = one(world, number).await;
            (start.elapsed().as_millis(), outcome)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let all = start.elapsed();
    let mut times: Vec<u128> = outcomes.iter().map(|(time, _)| *time).collect();
    times.sort_unstable();
    let failed: Vec<String> =
        outcomes.into_iter().filter_map(|(_, outcome)| Some(outcome.err()?.to_string())).collect();
    let (median, last) = (times[PODS / 2], times[PODS - 1]);
    println!("     {PODS} pods in {all:.1?}: median {median} ms, longest {last} ms, {} failed", failed.len());
    for number in 0..PODS {
        world.cluster.admin.delete_pod(TASKS, &format!("load-{number}")).await?;
    }
    ensure!(failed.is_empty(), "{}", failed[0]);
    Ok(())
}

async fn one(world: &World, number: usize) -> Result<()> {
    let keys = [number * 3, number * 3 + 1, number * 3 + 2];
    let requests = keys.map(|key| format!("key: 'key{key}' mount_requirement: ENV_VAR"));
    let mut pod = pod(&requests.each_ref().map(String::as_str));
    pod["metadata"]["name"] = json!(format!("load-{number}"));
    let created = world.cluster.admin.create_pod(TASKS, &pod).await?.ok()?;
    let variables = keys.map(|key| json!({ "name": format!("_UNION_KEY{key}"), "value": format!("value {key}") }));
    // Later variables are first. The prefix was added with each, and is where it was added last.
    let [first, second, third] = variables;
    let prefix = json!({ "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" });
    let found: &Value = &created["spec"]["containers"][0]["env"];
    ensure!(*found == json!([third, prefix, second, first]), "load-{number}: {found}");
    Ok(())
}
