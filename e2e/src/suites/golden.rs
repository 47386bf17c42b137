//! Recorded cases through the API server, for every manager, with its own validation.
//!
//! Ephemeral containers are omitted, because the server accepts them through a subresource only. The server adds
//! defaults, so the recorded pod is created as well, without the webhook, and both results are compared.

use anyhow::{Context, Result, ensure};
use flyte_secrets_testing::golden::{as_recorded, normal, same};
use flyte_secrets_testing::repository;
use serde_json::{Value, json};

use crate::report::Report;
use crate::world::{TASKS, World, bare, refusal, stored};

pub async fn run(report: &mut Report, world: &mut World) -> Result<()> {
    let text = repository::read("tests/golden/pods.jsonl")?;
    let cases: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    // The chart is installed for each store. Other settings do not affect anything outside of the policy.
    let mut stores: Vec<(&str, Value)> = cases.iter().map(store).collect();
    stores.sort_by_key(|(example, values)| (example.to_string(), values.to_string()));
    stores.dedup();
    for (example, values) in stores {
        report.section(&format!("recorded cases, chart with {example}.yaml"));
        let namespace = &values["policy"]["settings"]["embeddedSecretManagerConfig"]["k8sConfig"]["namespace"];
        if let Some(namespace) = namespace.as_str() {
            world.cluster.namespace(namespace).await?;
        }
        world.install(example, &values).await?;
        for case in cases.iter().filter(|case| store(case) == (example, values.clone())) {
            let name = case["name"].as_str().unwrap_or_default();
            if let Some(why) = impossible(case) {
                report.skip(name, &why);
                continue;
            }
            world.hold(&case["store"]).await?;
            world.kubewarden.with_settings(&as_recorded(&case["settings"]))?;
            report.check(name, one(world, case)).await;
        }
    }
    Ok(())
}

/// Returns the chart's example for a case, and additional values.
fn store(case: &Value) -> (&'static str, Value) {
    let embedded = &case["settings"]["embeddedSecretManagerConfig"];
    let example = match embedded["type"].as_str() {
        Some("AWS") => "aws",
        Some("GCP") => "gcp",
        Some("Azure") => "azure",
        _ => "k8s",
    };
    let place = ["awsConfig", "gcpConfig", "azureConfig", "k8sConfig"].into_iter();
    let place = place.filter_map(|key| Some((key.to_owned(), embedded.get(key)?.clone()))).collect::<Value>();
    (example, json!({ "policy": { "settings": { "embeddedSecretManagerConfig": place } } }))
}

/// Returns why a case cannot be tested: recorded stores have names that clouds do not allow.
fn impossible(case: &Value) -> Option<String> {
    let mut names = case["store"]["GCP"].as_object()?.keys();
    let bad = names.find(|name| !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    bad.map(|name| format!("Secret Manager has no names such as {name}"))
}

async fn one(world: &World, case: &Value) -> Result<()> {
    let cluster = &world.cluster;
    let name = case["pod"]["metadata"]["name"].as_str().context("a pod without a name")?;
    let down = case["store"].to_string().contains(r#"{"error":"#);
    let pod = creatable(&case["pod"]);
    let creating = cluster.admin.admit(TASKS, &pod);
    let created = if down { world.clouds.moto.paused(creating).await?? } else { creating.await? };
    if case["rejected"] == json!(true) {
        // The store does not contain the behavior of a cloud that is down.
        match down {
            true => drop(created.refused(503)?),
            false => {
                let (code, message) = refusal(world, &case["pod"], &case["store"])?;
                same(&json!(message), &json!(created.refused(code)?))?;
            }
        }
        ensure!(cluster.admin.pod(TASKS, name).await.is_err(), "refused, and there all the same");
        return Ok(());
    }
    let found = bare(created.ok()?);
    same(&normal(&stored(cluster, &creatable(&case["mutated"])).await?), &normal(&found))
}

fn creatable(pod: &Value) -> Value {
    let mut pod = pod.clone();
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.remove("ephemeralContainers");
    }
    pod
}
