//! Places in which a value is found after a pod has started with it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::grant::CONTAINER;
use flyte_secrets_policy::names::{Scope, azure};
use flyte_secrets_testing::golden::same;
use flyte_secrets_testing::pods::{kubernetes_store, project_name, with};
use memchr::memmem;
use serde_json::{Value, json};

use super::secrets::Secret;
use super::task::{Outcome, Task};
use super::tasks::EMBEDDED;
use super::{DEVELOPMENT, STORE, create, ends, install, statuses};
use crate::clouds::REGION;
use crate::node::Node;
use crate::report::Report;
use crate::world::World;

const AUDIT: &str = "the API server's audit log";
const ANSWER: &str = "the policy's answer";
const DRY_RUN: &str = "the answer to --dry-run=server";

/// Places of a value with `Value`, in the order in which they are searched.
const BY_VALUE: [&str; 5] = [DRY_RUN, ANSWER, "the pod", "etcd", AUDIT];

/// A value in a store, and how a pod gets it.
struct Canary<'a> {
    provider: &'a str,
    delivery: &'a str,
    embedded: &'a Value,
    value: &'a str,
    outcome: Outcome,
}

pub async fn run(report: &mut Report, world: &mut World, node: &Node) -> Result<()> {
    report.section("where a value is found");
    for (provider, embedded) in [
        ("K8s", json!({ "type": "K8s" })),
        ("AWS", json!({ "type": "AWS", "awsConfig": { "region": REGION } })),
        ("GCP", json!({ "type": "GCP", "gcpConfig": { "project": "acme-prod" } })),
        ("Azure", json!({ "type": "Azure", "azureConfig": { "vaultURI": "https://acme-kv.vault.azure.net/" } })),
    ] {
        for delivery in ["Value", "Reference", "Pull"] {
            if delivery == "Reference" && provider != "K8s" {
                continue;
            }
            let (expected, places) = match delivery {
                "Value" => (&BY_VALUE[..], format!("in {}", BY_VALUE.join(", "))),
                _ => (&[][..], "nowhere".to_owned()),
            };
            // A unique value, whose base64 has no padding.
            let (one, other) = (delivery.to_lowercase(), provider.to_lowercase());
            let value = format!("canary-{one:->9}-{other:->5}-5f1d93b7e2c8a64z");
            let canary = Canary { provider, delivery, embedded: &embedded, value: &value, outcome: Outcome::Succeeds };
            let found = canary.search(world, node);
            let check = async { same(&json!(expected), &json!(found.await?)) };
            report.check(&format!("{provider} by {delivery}: {places}"), check).await;
        }
    }
    let canary = Canary {
        provider: "K8s",
        delivery: "Pull",
        embedded: &json!({ "type": "K8s", "lookup": "Off" }),
        value: "can't-be-a-variable-5f1d93b7",
        outcome: Outcome::Fails(CONTAINER, &["canary"]),
    };
    let found = canary.search(world, node);
    let check = async { same(&json!([]), &json!(found.await?)) };
    report.check("K8s by Pull, a variable with a quote: nowhere", check).await;
    Ok(())
}

impl Canary<'_> {
    /// Returns a store with the value.
    fn store(&self) -> Result<Value> {
        let (name, value) = (project_name("canary"), self.value);
        Ok(match self.provider {
            "K8s" => kubernetes_store(&[(&name, value.as_bytes())]),
            "Azure" => {
                let scope = Scope { organization: "acme", domain: "development", project: "flytesnacks" };
                let packed = json!({ "type": "STRING", "value": value }).to_string();
                json!({ "Azure": { azure::encode(scope, "canary")?: { "stringValue": packed } } })
            }
            cloud => json!({ cloud: { name: { "stringValue": value } } }),
        })
    }

    /// Starts a pod with the value, and returns the places in which it is found.
    async fn search(&self, world: &mut World, node: &Node) -> Result<Vec<&'static str>> {
        let by_reference = self.delivery == "Reference";
        install(world, node, if by_reference { "Value" } else { self.delivery }, self.embedded).await?;
        world.hold(&self.store()?).await?;
        if by_reference {
            let settings = with(world.kubewarden.settings(), "/tenancy/namespaceTemplate", json!(STORE));
            let settings = with(settings, "/embeddedSecretManagerConfig/delivery", json!("Reference"));
            world.kubewarden.with_settings(&settings)?;
        }
        let namespace = if by_reference { STORE } else { DEVELOPMENT };
        let secret = Secret::new("canary", self.value);
        let name = format!("canary by {} from {}", self.delivery, self.provider);
        let task = Task::new(&name, namespace, EMBEDDED, &[secret.env(), secret.file()]).ends(self.outcome);
        let log = &world.own.as_ref().context("no control plane of our own")?.audit_log;
        let logged = std::fs::metadata(log)?.len();
        let admin = &world.cluster.admin;
        world.kubewarden.reviewed();
        let dry_run = admin.dry_run(namespace, &task.pod()).await?.ok()?;
        let name = create(world, &task).await?.context("it was not created")?;
        ends(world, &task, &name).await?;

        let mut places = vec![(DRY_RUN, dry_run.to_string().into_bytes())];
        for request in world.kubewarden.reviewed() {
            places.push((ANSWER, world.kubewarden.answer(request).await?.to_string().into_bytes()));
        }
        ensure!(places.len() == 3, "the policy was asked {} times", places.len() - 1);
        let pod = admin.pod(namespace, &name).await?;
        places.push(("the pod", pod.to_string().into_bytes()));
        places.push(("etcd", etcd(world, self.provider, namespace, &name).await?));
        let audit = std::fs::read(log)?.split_off(usize::try_from(logged)?);
        ensure!(memmem::find(&audit, name.as_bytes()).is_some(), "the audit log does not know the pod");
        places.push((AUDIT, audit));
        if let Some(gateway) = &world.gateway {
            places.push(("the gateway's log", gateway.output().into_bytes()));
            let metrics = reqwest::get(format!("http://{}/metrics", gateway.metrics)).await?.error_for_status()?;
            places.push(("the gateway's metrics", metrics.bytes().await?.to_vec()));
        }
        if self.delivery == "Pull" {
            let log = admin.log(namespace, &name, CONTAINER).await?;
            ensure!(log.contains("pull"), "the puller has no log: {log}");
            places.push(("the puller's log", log.into_bytes()));
        }
        let messages: Vec<&Value> = statuses(&pod).map(|status| &status["state"]["terminated"]["message"]).collect();
        places.push(("termination messages", json!(messages).to_string().into_bytes()));
        admin.delete_pod(namespace, &name).await?;

        let forms = [self.value.to_owned(), STANDARD.encode(self.value), hex::encode(self.value)];
        places.retain(|(_, bytes)| forms.iter().any(|form| memmem::find(bytes, form.as_bytes()).is_some()));
        let mut found: Vec<&str> = places.into_iter().map(|(place, _)| place).collect();
        found.dedup();
        Ok(found)
    }
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
