//! The chart installed by Helm: pods that pass the restricted standard, a certificate that upgrades keep, and `helm
//! test`, whose pod runs as in a kubelet.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::clouds::REGION;
use crate::gateway::NAMESPACE;
use crate::process;
use crate::report::Report;
use crate::tools::repository;
use crate::world::{RELEASE, World};

const PATIENCE: Duration = Duration::from_secs(30);
/// Name of the objects of `helm test`.
const NAME: &str = "flyte-secrets-flyte-secrets-policy-test";
const PODS: &str = "/api/v1/namespaces/flyte/pods";
const CERTIFICATE: &str = "/api/v1/namespaces/flyte/secrets/secret-gateway-tls";

pub async fn run(report: &mut Report, world: &mut World) -> Result<()> {
    install(world).await?;
    report.section("the chart");
    report.check("the gateway's pods are of the restricted standard", restricted(world)).await;
    report.check("helm test finds the policy and the gateway", passes(world)).await;
    report.check("helm test finds that the policy is not active", fails(world)).await;
    report.check("helm test finds that the policy server may not read", not_allowed(world)).await;
    report.check("the chart rejects a second gateway", second(world)).await;
    report.check("upgrades keep the certificate, even those without the gateway", kept(world)).await;
    Ok(())
}

async fn install(world: &mut World) -> Result<()> {
    let region = json!({ "embeddedSecretManagerConfig": { "type": "AWS", "awsConfig": { "region": REGION } } });
    world.install("aws", &json!({ "policy": { "settings": region } })).await?;
    // From now on the API server enforces the standard for all pods there, including those of `helm test`.
    let enforced = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": NAMESPACE, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
    });
    world.cluster.apply("/api/v1/namespaces", &enforced).await
}

async fn restricted(world: &World) -> Result<()> {
    let admin = &world.cluster.admin;
    let deployment = admin.get("/apis/apps/v1/namespaces/flyte/deployments/secret-gateway").await?.ok()?;
    let mut pod = deployment["spec"]["template"].clone();
    pod["metadata"]["name"] = json!("secret-gateway-1");
    admin.post(&format!("{PODS}?dryRun=All"), &pod).await?.ok()?;
    // Shows that the standard is enforced.
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let message = admin.post(&format!("{PODS}?dryRun=All"), &pod).await?;
    let message = message.refused(403)?;
    ensure!(message.contains("PodSecurity"), "{message}");
    Ok(())
}

async fn passes(world: &World) -> Result<()> {
    let kubelet = async {
        let said = execute(world, |command| command).await?;
        ensure!(said.iter().any(|said| said.contains("condition met")), "{said:?}");
        ensure!(said.iter().any(|said| said.contains("\"kind\":\"SecretLookup\"")), "{said:?}");
        phase(world, "Succeeded").await
    };
    let (said, ()) = tokio::try_join!(helm_test(world), kubelet)?;
    ensure!(said.contains("Succeeded"), "{said}");
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    for path in [
        format!("{PODS}/{NAME}"),
        format!("/api/v1/namespaces/flyte/serviceaccounts/{NAME}"),
        format!("{rbac}/clusterroles/{NAME}"),
        format!("{rbac}/clusterrolebindings/{NAME}"),
        format!("{rbac}/namespaces/kubewarden/roles/{NAME}"),
        format!("{rbac}/namespaces/kubewarden/rolebindings/{NAME}"),
    ] {
        let answer = world.cluster.admin.get(&path).await?;
        ensure!(answer.code == 404, "{path} is still there");
    }
    Ok(())
}

async fn fails(world: &World) -> Result<()> {
    world.kubewarden.report(&world.cluster, "pending").await?;
    let kubelet = async {
        let said = execute(world, |word| word.replace("--timeout=100s", "--timeout=1s")).await;
        phase(world, "Failed").await?;
        said
    };
    let (tested, executed) = tokio::join!(helm_test(world), kubelet);
    world.kubewarden.report(&world.cluster, "active").await?;
    let said = executed.err().context("kubectl has found the policy active")?.to_string();
    ensure!(said.contains("timed out waiting for the condition on clusteradmissionpolicies/flyte-secrets"), "{said}");
    ensure!(tested.is_err(), "helm test has not noticed: {tested:?}");
    // The pod is kept for its log.
    world.cluster.admin.delete_pod(NAMESPACE, NAME).await
}

/// Checks `helm test` without the binding of the policy server's permissions.
async fn not_allowed(world: &World) -> Result<()> {
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/flyte-secrets-flyte-secrets-policy";
    let mut binding = world.cluster.admin.get(path).await?.ok()?;
    world.cluster.admin.delete(path).await?.ok()?;
    let kubelet = async {
        let said = execute(world, |word| word).await;
        phase(world, "Failed").await?;
        said
    };
    let (tested, executed) = tokio::join!(helm_test(world), kubelet);
    if let Some(metadata) = binding["metadata"].as_object_mut() {
        metadata.retain(|key, _| ["annotations", "labels", "name"].contains(&key.as_str()));
    }
    world.cluster.apply("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await?;
    let said = executed.err().context("the gateway has let it read")?.to_string();
    ensure!(said.contains("secretlookups"), "{said}");
    ensure!(tested.is_err(), "helm test has not noticed: {tested:?}");
    world.cluster.admin.delete_pod(NAMESPACE, NAME).await
}

async fn second(world: &World) -> Result<()> {
    let installed = process::output(&world.tools.helm, |command| {
        command.args(["install", "second"]).arg(repository("deploy/chart"));
        command.args(["--namespace", "kubewarden", "--set", "policy.name=second,delivery=Pull", "--kubeconfig"]);
        command.arg(&world.cluster.kubeconfig);
    });
    let said = installed.await.err().context("a second gateway is installed")?.to_string();
    ensure!(
        said.contains("APIService v1alpha1.secret-gateway.flyte.org: belongs to release flyte/flyte-secrets"),
        "{said}"
    );
    Ok(())
}

async fn helm_test(world: &World) -> Result<String> {
    process::output(&world.tools.helm, |command| {
        command.args(["test", RELEASE, "--namespace", NAMESPACE, "--timeout", "60s", "--kubeconfig"]);
        command.arg(&world.cluster.kubeconfig);
    })
    .await
}

/// Runs the commands of the test's pod with the permissions of its service account, and returns their output.
async fn execute(world: &World, edit: impl Fn(String) -> String) -> Result<Vec<String>> {
    let start = Instant::now();
    let pod = loop {
        let answer = world.cluster.admin.get(&format!("{PODS}/{NAME}")).await?;
        match answer.code {
            200 => break answer.ok()?,
            404 if start.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => bail!("no pod of the test: {answer:?}"),
        }
    };
    world.cluster.settle().await;
    let account = pod["spec"]["serviceAccountName"].as_str().context("no service account")?;
    let kubeconfig = world.cluster.kubeconfig_for(&world.folder, NAMESPACE, account).await?;
    let containers = pod["spec"]["containers"].as_array().context("no containers")?;
    let mut said = Vec::new();
    for container in containers {
        let words = container["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let words: Vec<String> = words.map(|word| edit(word.to_owned())).collect();
        let (program, arguments) = words.split_first().context("no command")?;
        ensure!(program == "kubectl", "{program}");
        let with = |command: &mut tokio::process::Command| {
            command.args(arguments).env("KUBECONFIG", &kubeconfig);
            command.arg("--cache-dir").arg(world.folder.join("kubectl-test"));
        };
        said.push(process::output(&world.tools.kubectl, with).await?);
    }
    Ok(said)
}

async fn phase(world: &World, phase: &str) -> Result<()> {
    let status = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": NAME }, "status": { "phase": phase },
    });
    world.cluster.apply_status(PODS, &status).await
}

async fn kept(world: &mut World) -> Result<()> {
    let certificate = async |world: &World| {
        let secret = world.cluster.admin.get(CERTIFICATE).await?.ok()?;
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
