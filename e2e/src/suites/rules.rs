//! Compares `flyte_secrets_testing::rules` with the API server, for a thousand random pods.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use flyte_secrets_testing::host::{Capabilities, Store};
use flyte_secrets_testing::{generate, rules};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::report::Report;
use crate::world::{TASKS, World};

const PODS: usize = 500;
const AT_ONCE: usize = 8;

pub async fn run(report: &mut Report, world: &World) -> Result<()> {
    report.section("the checker of pods and the API server agree");
    let pods: Vec<Value> = generate::draw(generate::pods::pod(), 1).take(PODS).collect();
    report.check("on 500 pods that are meant to be valid", agree(&world.cluster, pods)).await;
    let flawed: Vec<Value> = generate::draw(generate::pods::flawed_pod(), 2).take(PODS).collect();
    report.check("on 500 pods with flaws", agree(&world.cluster, flawed)).await;
    report.check("on what the policy makes of 500 others", agree(&world.cluster, mutated(world)?)).await;
    Ok(())
}

/// Returns mutated pods.
fn mutated(world: &World) -> Result<Vec<Value>> {
    let mut pods = Vec::new();
    for case in generate::draw(generate::case(), 3) {
        let store: Arc<dyn Capabilities> = Store::new(case.store.clone());
        let answer = world.kubewarden.policy.call("validate", case.payload().as_bytes(), &store)?;
        // Some have numbers that exceed the server's types, which only unknown fields can have.
        let Ok(mut answer) = serde_json::from_slice::<Value>(&answer) else { continue };
        if let Some(pod) = answer.get_mut("mutated_object") {
            pods.push(pod.take());
        }
        if pods.len() == PODS {
            break;
        }
    }
    Ok(pods)
}

async fn agree(cluster: &Cluster, pods: Vec<Value>) -> Result<()> {
    let outcomes: Vec<Result<bool>> =
        stream::iter(pods).map(|pod| one(cluster, pod)).buffer_unordered(AT_ONCE).collect().await;
    let (mut valid, mut invalid, mut differing) = (0, 0, Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(true) => valid += 1,
            Ok(false) => invalid += 1,
            Err(error) => differing.push(format!("{error:#}")),
        }
    }
    ensure!(
        differing.is_empty(),
        "{} of {PODS}, such as\n{}",
        differing.len(),
        differing.iter().take(10).fold(String::new(), |all, it| all + it + "\n")
    );
    anstream::println!("     {valid} valid, {invalid} not");
    Ok(())
}

/// Returns whether both accept a pod, or an error if they differ.
async fn one(cluster: &Cluster, mut pod: Value) -> Result<bool> {
    // Without webhooks, and in a namespace with a service account.
    pod["metadata"]["namespace"] = json!(TASKS);
    if let Some(labels) = pod["metadata"]["labels"].as_object_mut() {
        labels.remove("inject-flyte-secrets");
    }
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.remove("serviceAccountName");
    }
    let found = rules::check(&pod);
    let path = format!("/api/v1/namespaces/{TASKS}/pods?dryRun=All&fieldValidation=Ignore");
    let answer = cluster.admin.post(&path, &pod).await?;
    match (answer.code, found.is_empty()) {
        (201, true) => Ok(true),
        // For example, an invalid quantity cannot be decoded as a Pod.
        (400 | 422, false) => Ok(false),
        (201, false) => bail!("the server takes it, the checker does not: {}\n{pod}", found[0]),
        (code, true) => bail!("the checker takes it, the server does not: {code} {}\n{pod}", answer.body["message"]),
        (code, false) => bail!("refused otherwise: {code} {}; {}", answer.body["message"], found[0]),
    }
}
