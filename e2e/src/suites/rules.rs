//! Random pods that the API server accepts: it must accept the mutated pods, too.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use flyte_secrets_testing::generate;
use flyte_secrets_testing::host::{Capabilities, Store};
use flyte_secrets_testing::pods::with;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::report::Report;
use crate::world::{TASKS, World, unlabelled};

const PODS: usize = 1000;
const AT_ONCE: usize = 8;

pub async fn run(report: &mut Report, world: &World) -> Result<()> {
    report.section("the API server accepts what the policy makes of a valid pod");
    let pods = async { accepted(&world.cluster, mutated(world)?).await };
    report.check("on 1000 pods at random", pods).await;
    Ok(())
}

/// Returns pods before and after the policy.
fn mutated(world: &World) -> Result<Vec<[Value; 2]>> {
    let mut pods = Vec::new();
    for case in generate::draw(generate::case(), 3) {
        let store: Arc<dyn Capabilities> = Store::new(case.store.clone());
        let answer = world.kubewarden.policy.call("validate", case.payload().as_bytes(), &store)?;
        // Some have numbers that exceed the server's types, which only unknown fields can have.
        let Ok(mut answer) = serde_json::from_slice::<Value>(&answer) else { continue };
        let mutated = answer["mutated_object"].take();
        if mutated.is_object() {
            pods.push([case.pod, mutated]);
        }
        if pods.len() == PODS {
            break;
        }
    }
    Ok(pods)
}

async fn accepted(cluster: &Cluster, pods: Vec<[Value; 2]>) -> Result<()> {
    let checks = stream::iter(pods).map(|pods| one(cluster, pods)).buffer_unordered(AT_ONCE);
    let accepted: Vec<bool> = checks.try_collect().await?;
    let valid = accepted.into_iter().filter(|accepted| *accepted).count();
    anstream::println!("     {valid} of {PODS} were valid before");
    ensure!(valid > PODS / 2, "only {valid} pods were valid before");
    Ok(())
}

/// Returns whether the server accepts a pod before the policy, or an error if it then rejects the mutated pod.
async fn one(cluster: &Cluster, [before, after]: [Value; 2]) -> Result<bool> {
    if post(cluster, before).await?.0 != 201 {
        return Ok(false);
    }
    match post(cluster, after.clone()).await? {
        (201, _) => Ok(true),
        // Limits of a whole pod leave no room for the policy's container.
        (422, message) if message.contains("spec.resources.requests") => Ok(true),
        (code, message) => bail!("{code} {message}\n{after}"),
    }
}

async fn post(cluster: &Cluster, pod: Value) -> Result<(u16, String)> {
    // In a namespace with a service account.
    let mut pod = with(unlabelled(pod), "/metadata/namespace", json!(TASKS));
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.remove("serviceAccountName");
    }
    let path = format!("/api/v1/namespaces/{TASKS}/pods?dryRun=All&fieldValidation=Ignore");
    let answer = cluster.admin.post(&path, &pod).await?;
    Ok((answer.code, answer.body["message"].as_str().unwrap_or_default().to_owned()))
}
