//! Places in which a value is found after a pod has started with it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::grant::CONTAINER;
use flyte_secrets_policy::names::{Scope, azure};
use flyte_secrets_testing::golden::same;
use flyte_secrets_testing::pods::{kubernetes_store, project_name};
use memchr::memmem;
use serde_json::{Value, json};

use super::task::{Outcome, Task};
use super::tasks::{DEVELOPMENT, EMBEDDED, STORE};
use super::{create, ends, install_pull, story, values};
use crate::clouds::REGION;
use crate::node::Node;
use crate::report::Report;
use crate::world::World;

const REQUESTS: &[&str] = &["key: 'canary' mount_requirement: ENV_VAR", "key: 'canary' mount_requirement: FILE"];
const POD: &str = "the pod";
const ETCD: &str = "etcd";
const AUDIT: &str = "the API server's audit log";
const DRY_RUN: &str = "the answer to --dry-run=server";
const ANSWER: &str = "the policy's answer";
const GATEWAY: &str = "the gateway's log";
const METRICS: &str = "the gateway's metrics";
const PULLER: &str = "the puller's log";
const MESSAGES: &str = "termination messages";

/// Places of a value with `Value`.
const BY_VALUE: [&str; 5] = [POD, ETCD, AUDIT, DRY_RUN, ANSWER];

pub async fn run(report: &mut Report, world: &mut World, node: &Node) -> Result<()> {
    report.section("where a value is found");
    for (provider, embedded) in providers() {
        for delivery in ["Value", "Reference", "Pull"] {
            if delivery == "Reference" && provider != "K8s" {
                continue;
            }
            let expected: &[&str] = if delivery == "Value" { &BY_VALUE } else { &[] };
            let name = match delivery {
                "Value" => format!("{provider} by Value: in {}", BY_VALUE.join(", ")),
                _ => format!("{provider} by {delivery}: nowhere"),
            };
            if report.selects(&name) {
                let canary = canary(delivery, provider);
                let searched = search(world, node, provider, &embedded, delivery, &canary, Outcome::Succeeds);
                report.check(&name, async { same(&json!(expected), &json!(searched.await?)) }).await;
            }
        }
    }
    let name = "K8s by Pull, a variable with a quote: nowhere";
    if report.selects(name) {
        let fails = Outcome::Fails(CONTAINER, &["canary"]);
        let embedded = json!({ "type": "K8s", "lookup": "Off" });
        let searched = search(world, node, "K8s", &embedded, "Pull", "can't-be-a-variable-5f1d93b7", fails);
        report.check(name, async { same(&json!([]), &json!(searched.await?)) }).await;
    }
    Ok(())
}

fn providers() -> Vec<(&'static str, Value)> {
    vec![
        ("K8s", json!({ "type": "K8s" })),
        ("AWS", json!({ "type": "AWS", "awsConfig": { "region": REGION } })),
        ("GCP", json!({ "type": "GCP", "gcpConfig": { "project": "acme-prod" } })),
        ("Azure", json!({ "type": "Azure", "azureConfig": { "vaultURI": "https://acme-kv.vault.azure.net/" } })),
    ]
}

/// Returns a unique value, whose base64 has no padding.
fn canary(delivery: &str, provider: &str) -> String {
    format!("canary-{:->9}-{:->5}-5f1d93b7e2c8a64z", delivery.to_lowercase(), provider.to_lowercase())
}

/// Returns a store with the canary.
fn store(provider: &str, canary: &str) -> Result<Value> {
    let name = project_name("canary");
    Ok(match provider {
        "K8s" => kubernetes_store(&[(&name, canary.as_bytes())]),
        "Azure" => {
            let scope = Scope { organization: "acme", domain: "development", project: "flytesnacks" };
            let name = azure::encode(scope, "canary")?;
            let packed = json!({ "type": "STRING", "value": canary }).to_string();
            json!({ "Azure": { name: { "stringValue": packed } } })
        }
        cloud => json!({ cloud: { name: { "stringValue": canary } } }),
    })
}

/// Starts a pod with the canary, and returns the places in which it is found.
async fn search(
    world: &mut World,
    node: &Node,
    provider: &str,
    embedded: &Value,
    delivery: &str,
    canary: &str,
    outcome: Outcome,
) -> Result<Vec<&'static str>> {
    if delivery == "Pull" {
        install_pull(world, node, embedded).await?;
    } else {
        let mut embedded = embedded.clone();
        embedded["delivery"] = json!("Value");
        world.install("k8s", &values(&embedded)).await?;
    }
    world.hold(&store(provider, canary)?).await?;
    let mut namespace = DEVELOPMENT;
    if delivery == "Reference" {
        let mut settings = world.kubewarden.settings();
        settings["embeddedSecretManagerConfig"]["delivery"] = json!("Reference");
        settings["tenancy"]["namespaceTemplate"] = json!(STORE);
        world.kubewarden.with_settings(&settings).await?;
        namespace = STORE;
    }
    let name = format!("canary by {delivery} from {provider}");
    let task = Task::new(&name, namespace, EMBEDDED, REQUESTS)
        .variable("_UNION_CANARY", canary)
        .file("canary", canary)
        .ends(outcome);
    let log = world.own.as_ref().context("no control plane of our own")?.audit_log.clone();
    let logged = std::fs::metadata(&log)?.len();
    world.kubewarden.reviewed();
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let dry_run = world.cluster.admin.post(&format!("{pods}?dryRun=All"), &task.pod()).await?.ok()?;
    let name = create(world, &task).await?.context("it was not created")?;
    if let Err(error) = ends(world, &task, &name).await {
        return Err(error.context(story(world, namespace, &name).await?));
    }
    let mut places = vec![(DRY_RUN, dry_run.to_string().into_bytes())];
    for request in world.kubewarden.reviewed() {
        places.push((ANSWER, world.kubewarden.answer(request).await?.to_string().into_bytes()));
    }
    ensure!(places.len() == 3, "the policy was asked {} times", places.len() - 1);
    let pod = world.cluster.admin.get(&format!("{pods}/{name}")).await?.ok()?;
    let messages: Vec<&Value> = super::statuses(&pod).map(|status| &status["state"]["terminated"]["message"]).collect();
    places.push((MESSAGES, json!(messages).to_string().into_bytes()));
    places.push((POD, pod.to_string().into_bytes()));
    if delivery == "Pull" {
        let log = world.cluster.admin.get(&format!("{pods}/{name}/log?container={CONTAINER}")).await?.ok()?;
        ensure!(log.as_str().is_some_and(|log| log.contains("pull")), "the puller has no log: {log}");
        places.push((PULLER, log.to_string().into_bytes()));
    }
    places.push((ETCD, etcd(world, provider, namespace, &name).await?));
    let audit = std::fs::read(&log)?.split_off(usize::try_from(logged)?);
    ensure!(memmem::find(&audit, name.as_bytes()).is_some(), "the audit log does not know the pod");
    places.push((AUDIT, audit));
    if let Some(gateway) = &world.gateway {
        places.push((GATEWAY, gateway.output().into_bytes()));
        let metrics = reqwest::get(format!("http://{}/metrics", gateway.metrics)).await?.error_for_status()?;
        places.push((METRICS, metrics.bytes().await?.to_vec()));
    }
    world.cluster.admin.delete_pod(namespace, &name).await?;
    let forms = [canary.to_owned(), STANDARD.encode(canary), hex::encode(canary)];
    let holds = |bytes: &[u8]| forms.iter().any(|form| memmem::find(bytes, form.as_bytes()).is_some());
    let found: BTreeSet<&str> = places.iter().filter(|(_, bytes)| holds(bytes)).map(|(place, _)| *place).collect();
    let order = [POD, ETCD, AUDIT, DRY_RUN, ANSWER, GATEWAY, METRICS, PULLER, MESSAGES];
    Ok(order.into_iter().filter(|place| found.contains(place)).collect())
}

/// Returns the content of etcd except Secrets; for values of clouds, also the bytes of its files.
async fn etcd(world: &World, provider: &str, namespace: &str, pod: &str) -> Result<Vec<u8>> {
    let plane = world.own.as_ref().context("no control plane of our own")?;
    // The range of all keys.
    let range = json!({ "key": "AA==", "range_end": "AA==" });
    let request = reqwest::Client::new().post(format!("{}/v3/kv/range", plane.etcd)).json(&range);
    let answer: Value = request.send().await?.error_for_status()?.json().await?;
    let (mut bytes, mut known) = (Vec::new(), false);
    for pair in answer["kvs"].as_array().context("etcd has no keys")? {
        let decoded = |field: &str| STANDARD.decode(pair[field].as_str().unwrap_or_default());
        let key = decoded("key")?;
        known |= key == format!("/registry/pods/{namespace}/{pod}").as_bytes();
        if !key.starts_with(b"/registry/secrets/") {
            bytes.extend(decoded("value")?);
        }
    }
    ensure!(known, "etcd does not know the pod");
    if provider != "K8s" {
        files(&world.folder.join("etcd"), &mut bytes)?;
    }
    Ok(bytes)
}

fn files(folder: &Path, bytes: &mut Vec<u8>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files(&path, bytes)?,
            false => bytes.extend(std::fs::read(&path)?),
        }
    }
    Ok(())
}
