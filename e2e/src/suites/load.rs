//! Many concurrent pods.

use std::time::Instant;

use anstream::println;
use anyhow::{Result, ensure};
use flyte_secrets_testing::pods::{kubernetes_store, pod, project_name, with};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;

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
    let pods = stream::iter(0..PODS).map(|number| one(world, number)).buffer_unordered(AT_ONCE);
    let mut times: Vec<u128> = pods.try_collect().await?;
    let all = start.elapsed();
    times.sort_unstable();
    let (median, last) = (times[PODS / 2], times[PODS - 1]);
    println!("     {PODS} pods in {all:.1?}: median {median} ms, longest {last} ms");
    Ok(())
}

/// Creates a pod, and returns the time in milliseconds.
async fn one(world: &World, number: usize) -> Result<u128> {
    let start = Instant::now();
    let keys = [number * 3, number * 3 + 1, number * 3 + 2];
    let requests = keys.map(|key| format!("key: 'key{key}' mount_requirement: ENV_VAR"));
    let pod = with(pod(&requests.each_ref().map(String::as_str)), "/metadata/name", json!(format!("load-{number}")));
    let created = world.cluster.admin.admit(TASKS, &pod).await?.ok()?;
    // Later variables are first. The prefix was added with each, and is where it was added last.
    let variable = |key: usize| json!({ "name": format!("_UNION_KEY{key}"), "value": format!("value {key}") });
    let [first, second, third] = keys.map(variable);
    let prefix = json!({ "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" });
    let found = &created["spec"]["containers"][0]["env"];
    ensure!(*found == json!([third, prefix, second, first]), "load-{number}: {found}");
    Ok(start.elapsed().as_millis())
}
