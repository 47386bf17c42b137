//! The chart with defaults and the objects of Flyte's charts: a task pod as created by Flyte 2's executor, and by Flyte
//! 1's propeller.

use anyhow::Result;
use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_testing::golden::same;
use flyte_secrets_testing::pods::{kubernetes_store, pod, with};
use serde_json::{Value, json};

use crate::gateway::NAMESPACE;
use crate::report::Report;
use crate::tools::repository;
use crate::world::{TASKS, World};

/// The name under which `flyte create secret` stores `db-password`.
const NAME: &str = "u__org__flyte__domain__development__project__flytesnacks__key__db-password";

pub async fn run(report: &mut Report, world: &mut World) -> Result<()> {
    world.hold(&kubernetes_store(&[(NAME, b"t0ken")])).await?;
    report.section("Flyte 2, with the chart's defaults");
    beside(world, "v2-binary.yaml", "flyte-binary").await?;
    world.upgrade(&["--reset-values"]).await?;
    report.check("a pod of the executor's gets the secret that flyte create secret has stored", arrives(world)).await;
    report.check("a pod of another creator is rejected with 403", other_creator(world)).await;
    report.check("a pod of the executor's without a stored secret is rejected with 400", missing(world)).await;
    report.section("Flyte 1, with flyte.version=1");
    beside(world, "v1-core.yaml", "flytepropeller").await?;
    world.upgrade(&["--reset-values", "--set", "flyte.version=1"]).await?;
    report.check("a pod of propeller's refers to a Secret of its namespace", refers(world)).await;
    Ok(())
}

/// Creates the objects of Flyte's chart that concern the policy: the ConfigMap, and the service account that creates
/// tasks.
async fn beside(world: &World, config: &str, account: &str) -> Result<()> {
    let cluster = &world.cluster;
    let text = std::fs::read_to_string(repository(&format!("cli/tests/flyte/{config}")))?;
    let config_map: Value = serde_yaml::from_str(&text)?;
    cluster.apply(&format!("/api/v1/namespaces/{NAMESPACE}/configmaps"), &config_map).await?;
    cluster.account(NAMESPACE, account).await?;
    let rule = json!({ "apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete"] });
    cluster.grant(NAMESPACE, account, &rule).await
}

/// Returns a task pod of Flyte 2 with the request of `Secret(key, as_env_var="DB_PASSWORD")`.
fn task(key: &str) -> Value {
    let request = format!("key: '{key}' mount_requirement: ENV_VAR env_var: 'DB_PASSWORD'");
    let pod = with(pod(&[&request]), "/metadata/namespace", json!(NAMESPACE));
    with(pod, "/metadata/labels/organization", json!("flyte"))
}

/// Checks that the pod gets a reference to the Secret, because it is in the Secret's namespace.
async fn arrives(world: &World) -> Result<()> {
    let executor = world.cluster.account_client(NAMESPACE, "flyte-binary")?;
    let created = executor.admit(NAMESPACE, &task("db-password")).await?.ok()?;
    let mut variables = created["spec"]["containers"][0]["env"].as_array().into_iter().flatten();
    let stored = json!({ "secretKeyRef": { "name": secret_name(NAME), "key": NAME } });
    same(
        &json!({ "name": "DB_PASSWORD", "valueFrom": stored }),
        &json!(variables.find(|it| it["name"] == "DB_PASSWORD")),
    )
}

async fn other_creator(world: &World) -> Result<()> {
    let answer = world.cluster.admin.admit(NAMESPACE, &task("db-password")).await?;
    answer.refused_for(403, &["is not in tenancy.creators"])
}

async fn missing(world: &World) -> Result<()> {
    let executor = world.cluster.account_client(NAMESPACE, "flyte-binary")?;
    let answer = executor.admit(NAMESPACE, &task("nothing")).await?;
    answer.refused_for(400, &["u__org__flyte__domain__development__project__flytesnacks__key__nothing"])
}

/// Checks a pod of Flyte 1, which does not set the label `organization`.
async fn refers(world: &World) -> Result<()> {
    let request = "group: 'db' key: 'password' mount_requirement: ENV_VAR";
    let mut pod = pod(&[request]);
    if let Some(labels) = pod["metadata"]["labels"].as_object_mut() {
        labels.remove("organization");
    }
    let propeller = world.cluster.account_client(NAMESPACE, "flytepropeller")?;
    let created = propeller.admit(TASKS, &pod).await?.ok()?;
    let source = json!({ "secretKeyRef": { "name": "db", "key": "password", "optional": true } });
    let variables = json!([
        { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_FSEC_" },
        { "name": "_FSEC_DB_PASSWORD", "valueFrom": source },
    ]);
    same(&variables, &created["spec"]["containers"][0]["env"])
}
