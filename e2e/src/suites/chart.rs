//! The chart installed by Helm: pods that pass the restricted standard, a certificate that upgrades keep, and `helm
//! test`, whose pod runs as in a kubelet.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flyte_secrets_testing::pods::with;
use serde_json::{Value, json};

use crate::clouds::REGION;
use crate::cluster::named;
use crate::gateway::NAMESPACE;
use crate::process;
use crate::report::Report;
use crate::tools::repository;
use crate::world::{RELEASE, World};

/// Name of the objects of `helm test`.
const NAME: &str = "flyte-secrets-flyte-secrets-policy-test";
const PODS: &str = "/api/v1/namespaces/flyte/pods";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

pub async fn run(report: &mut Report, world: &mut World) -> Result<()> {
    install(world).await?;
    report.section("the chart");
    report.check("the gateway's pods are of the restricted standard", restricted(world)).await;
    report.check("helm test finds the policy and the gateway", passes(world)).await;
    report.check("helm test finds that the policy is not active", not_active(world)).await;
    report.check("helm test finds that the policy server may not read", not_allowed(world)).await;
    report.check("the chart rejects a second gateway", second(world)).await;
    report.check("upgrades keep the certificate, even those without the gateway", kept(world)).await;
    Ok(())
}

async fn install(world: &mut World) -> Result<()> {
    let region = json!({ "embeddedSecretManagerConfig": { "type": "AWS", "awsConfig": { "region": REGION } } });
    world.install("aws", &json!({ "policy": { "settings": region } })).await?;
    // From now on the API server enforces the standard for all pods there, including those of `helm test`.
    world.cluster.restrict(NAMESPACE).await
}

async fn restricted(world: &World) -> Result<()> {
    let admin = &world.cluster.admin;
    let deployment = admin.get("/apis/apps/v1/namespaces/flyte/deployments/secret-gateway").await?.ok()?;
    let mut pod = deployment["spec"]["template"].clone();
    pod["metadata"]["name"] = json!("secret-gateway-1");
    admin.dry_run(NAMESPACE, &pod).await?.ok()?;
    // Shows that the standard is enforced.
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    admin.dry_run(NAMESPACE, &pod).await?.refused_for(403, &["PodSecurity"])
}

async fn passes(world: &World) -> Result<()> {
    let (tested, executed) = helm_test(world, "100s").await?;
    let (tested, said) = (tested?, executed?);
    ensure!(tested.contains("Succeeded"), "{tested}");
    ensure!(said.contains("condition met") && said.contains("\"kind\":\"SecretLookup\""), "{said}");
    for path in [
        format!("{PODS}/{NAME}"),
        format!("/api/v1/namespaces/flyte/serviceaccounts/{NAME}"),
        format!("{RBAC}/clusterroles/{NAME}"),
        format!("{RBAC}/clusterrolebindings/{NAME}"),
        format!("{RBAC}/namespaces/kubewarden/roles/{NAME}"),
        format!("{RBAC}/namespaces/kubewarden/rolebindings/{NAME}"),
    ] {
        let answer = world.cluster.admin.get(&path).await?;
        ensure!(answer.code == 404, "{path} is still there");
    }
    Ok(())
}

async fn not_active(world: &World) -> Result<()> {
    world.kubewarden.report(&world.cluster, "pending").await?;
    let outcome = helm_test(world, "1s").await;
    world.kubewarden.report(&world.cluster, "active").await?;
    fails(world, outcome?, "timed out waiting for the condition on clusteradmissionpolicies/flyte-secrets").await
}

/// Checks `helm test` without the binding of the policy server's permissions.
async fn not_allowed(world: &World) -> Result<()> {
    let bindings = format!("{RBAC}/clusterrolebindings");
    let binding = world.cluster.take(&bindings, "flyte-secrets-flyte-secrets-policy").await?;
    let outcome = helm_test(world, "100s").await;
    world.cluster.apply(&bindings, &binding).await?;
    fails(world, outcome?, "secretlookups").await
}

/// Results of helm and of the commands of the test's pod.
type Tested = (Result<String>, Result<String>);

/// Checks that both failed, the commands with this text.
async fn fails(world: &World, (tested, executed): Tested, words: &str) -> Result<()> {
    let said = executed.err().context("the commands have found no fault")?.to_string();
    ensure!(said.contains(words), "{said}");
    ensure!(tested.is_err(), "helm test has not noticed: {tested:?}");
    // The pod is kept for its log.
    world.cluster.admin.delete_pod(NAMESPACE, NAME).await
}

async fn second(world: &World) -> Result<()> {
    let (chart, values) = (repository("deploy/chart"), "policy.name=second,delivery=Pull");
    let install = ["install", "second", &chart.to_string_lossy(), "--namespace", "kubewarden", "--set", values];
    let said = world.helm(&install).await.err().context("a second gateway is installed")?.to_string();
    ensure!(
        said.contains("APIService v1alpha1.secret-gateway.flyte.org: belongs to release flyte/flyte-secrets"),
        "{said}"
    );
    Ok(())
}

/// Runs `helm test`, and its pod as a kubelet does, with a timeout of the commands.
async fn helm_test(world: &World, timeout: &str) -> Result<Tested> {
    let kubelet = async {
        let executed = execute(world, timeout).await;
        let phase = if executed.is_ok() { "Succeeded" } else { "Failed" };
        let pod = with(named("v1", "Pod", NAME), "/status/phase", json!(phase));
        world.cluster.apply_status(PODS, &pod).await.map(|()| executed)
    };
    let test = ["test", RELEASE, "--namespace", NAMESPACE, "--timeout", "60s"];
    let (tested, executed) = tokio::join!(world.helm(&test), kubelet);
    Ok((tested, executed?))
}

/// Runs the commands of the test's pod with the permissions of its service account, and returns their output.
async fn execute(world: &World, timeout: &str) -> Result<String> {
    let mut pod = None;
    process::until("helm creates the pod", Duration::from_millis(50), Duration::from_secs(30), async || {
        pod = world.cluster.admin.pod(NAMESPACE, NAME).await.ok();
        Ok(pod.is_some())
    })
    .await?;
    let pod = pod.context("no pod")?;
    world.cluster.settle().await;
    let account = pod["spec"]["serviceAccountName"].as_str().context("no service account")?;
    let kubeconfig = world.cluster.kubeconfig_for(&world.folder, NAMESPACE, account).await?;
    let mut said = String::new();
    for container in pod["spec"]["containers"].as_array().context("no containers")? {
        let words = container["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let words: Vec<String> = words.map(|word| word.replace("100s", timeout)).collect();
        let (program, arguments) = words.split_first().context("no command")?;
        ensure!(program == "kubectl", "{program}");
        said += &process::run("kubectl", &kubeconfig, arguments).await?;
    }
    Ok(said)
}

async fn kept(world: &mut World) -> Result<()> {
    let certificate = async |world: &World| {
        let secret = world.cluster.admin.get("/api/v1/namespaces/flyte/secrets/secret-gateway-tls").await?.ok()?;
        ensure!(secret["data"]["tls.key"].is_string(), "no key");
        anyhow::Ok(secret["data"].clone())
    };
    let first = certificate(world).await?;
    world.install_embedded().await?;
    ensure!(first == certificate(world).await?, "the certificate has gone with the gateway");
    install(world).await?;
    ensure!(first == certificate(world).await?, "an upgrade has made another certificate");
    Ok(())
}
