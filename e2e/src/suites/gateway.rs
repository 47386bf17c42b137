//! The secret gateway behind the API server's aggregation layer, with moto as AWS.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anstream::println;
use anyhow::{Context, Result, ensure};
use flyte_secrets_policy::reason_code::ReasonCode;
use flyte_secrets_policy::settings::Provider;
use flyte_secrets_testing::golden::same;
use flyte_secrets_testing::pods::{pod, project_name, with};
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::clouds::REGION;
use crate::cluster::Cluster;
use crate::gateway::{Gateway, available};
use crate::kubewarden;
use crate::process;
use crate::report::Report;
use crate::world::{TASKS, TOKEN, World, arrives, delivered, denied};

const PATIENCE: Duration = Duration::from_secs(60);
const KINDS: &str = "/apis/secret-gateway.flyte.org/v1alpha1";

pub async fn run(report: &mut Report, world: &mut World) -> Result<()> {
    let region = json!({ "embeddedSecretManagerConfig": { "type": "AWS", "awsConfig": { "region": REGION } } });
    world.install("aws", &json!({ "policy": { "settings": region } })).await?;
    world.hold(&json!({ "AWS": { project_name("token"): { "stringValue": "t0ken" } } })).await?;
    report.section("the gateway behind the API server");
    report.check("discovery", discovery(world)).await;
    report.check("kubectl get", kubectl_get(world)).await;
    report.check("nobody enumerates", enumerate(world)).await;
    report.check("the shipped rights are get on one kind", rights(world)).await;
    report.check("a caller without rights", stranger(world)).await;
    report.check("rights are by kind and name", narrow(world)).await;
    report.check("past the API server: 401", past_the_front_proxy(world)).await;
    report.check("a value arrives", arrives(world)).await;
    report.check("the provider stalls: 503, and the value after it", stalled(world)).await;
    report.check("its audit names readers and no value", audited(world)).await;
    report.check("the gateway goes and comes back while pods are created", outage(world)).await;
    Ok(())
}

fn object() -> String {
    format!("{REGION}:{}", project_name("token"))
}

async fn kubectl(world: &World, arguments: &[&str]) -> Result<String> {
    process::run("kubectl", &world.cluster.kubeconfig, arguments).await
}

async fn discovery(world: &World) -> Result<()> {
    let kinds = kubectl(world, &["api-resources", "--api-group=secret-gateway.flyte.org", "--no-headers"]).await?;
    let kinds: Vec<&str> = kinds.lines().filter_map(|line| line.split_whitespace().last()).collect();
    let clouds = Provider::ALL.iter().filter(|it| it.is_cloud()).map(|cloud| cloud.facts().kind);
    let mut served: Vec<&str> = clouds.chain(["SecretLookup"]).collect();
    served.sort_unstable();
    ensure!(kinds == served, "{kinds:?}");
    // The API server fetches the schemas every minute.
    process::until("kubectl explains a kind", Duration::from_secs(1), 2 * PATIENCE, async || {
        let explained = kubectl(world, &["explain", "awssecrets"]).await;
        Ok(explained.is_ok_and(|explained| explained.contains("stringValue")))
    })
    .await
}

async fn kubectl_get(world: &World) -> Result<()> {
    let found = kubectl(world, &["get", "awssecrets", &object(), "--output=json"]).await?;
    let expected = json!({
        "apiVersion": "secret-gateway.flyte.org/v1alpha1", "kind": "AWSSecret", "metadata": { "name": object() },
        "stringValue": "t0ken",
    });
    same(&expected, &serde_json::from_str(&found)?)?;
    let table = kubectl(world, &["get", "awssecrets", &object()]).await?;
    ensure!(table.contains(&object()) && !table.contains("t0ken"), "{table}");
    let missing = world.cluster.admin.get(&format!("{KINDS}/awssecrets/{REGION}:u__org__nowhere")).await?;
    missing.refused(404).map(drop)
}

async fn enumerate(world: &World) -> Result<()> {
    for path in ["awssecrets", "awssecrets?watch=true"] {
        let answer = world.cluster.admin.get(&format!("{KINDS}/{path}")).await?;
        ensure!(answer.code == 405, "{path}: {answer:?}");
    }
    let answer = world.cluster.admin.delete(&format!("{KINDS}/awssecrets/{}", object())).await?;
    answer.refused(405).map(drop)
}

async fn rights(world: &World) -> Result<()> {
    let rights = [
        ("get", "awssecrets", "", true),
        ("list", "awssecrets", "", false),
        ("watch", "awssecrets", "", false),
        ("get", "gcpsecrets", "", false),
        ("get", "azuresecrets", "", false),
    ];
    world.cluster.has_rights(kubewarden::USER, "secret-gateway.flyte.org", &rights).await?;
    world.cluster.has_rights(kubewarden::USER, "", &[("get", "secrets", "flyte", false)]).await
}

async fn stranger(world: &World) -> Result<()> {
    let stranger = world.cluster.account_client(TASKS, "default")?;
    let answer = stranger.get(&format!("{KINDS}/awssecrets/{}", object())).await?;
    answer.refused_for(403, &[&format!("system:serviceaccount:{TASKS}:default")])
}

async fn narrow(world: &World) -> Result<()> {
    world.cluster.account(TASKS, "narrow").await?;
    let rule = json!({
        "apiGroups": ["secret-gateway.flyte.org"], "resources": ["awssecrets"], "resourceNames": [object()],
        "verbs": ["get"],
    });
    world.cluster.grant(TASKS, "narrow", &rule).await?;
    let narrow = world.cluster.account_client(TASKS, "narrow")?;
    let codes = [
        (object(), "awssecrets", 200),
        (format!("{REGION}:u__org__other"), "awssecrets", 403),
        ("acme-prod:u__org__x".to_owned(), "gcpsecrets", 403),
    ];
    for (name, resource, code) in codes {
        let answer = narrow.get(&format!("{KINDS}/{resource}/{name}")).await?;
        ensure!(answer.code == code, "{resource}/{name}: {answer:?}");
    }
    Ok(())
}

/// Checks direct requests to the gateway, with a valid token of the cluster or with the front proxy's headers.
async fn past_the_front_proxy(world: &World) -> Result<()> {
    let gateway = world.gateway.as_ref().context("no gateway")?;
    let token = world.cluster.token("kubewarden", "policy-server", &json!({})).await?;
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build()?;
    let url = format!("https://{}{KINDS}/awssecrets/{}", gateway.address, object());
    for request in [
        client.get(&url).bearer_auth(token),
        client.get(&url).header("X-Remote-User", kubewarden::USER).header("X-Remote-Group", "system:masters"),
    ] {
        let answer = request.send().await?;
        let (status, body) = (answer.status().as_u16(), answer.text().await?);
        ensure!(status == 401, "{status}: {body}");
    }
    Ok(())
}

async fn stalled(world: &World) -> Result<()> {
    let pod = pod(&[TOKEN]);
    let answer = world.clouds.moto.paused(world.cluster.admin.create_pod(TASKS, &pod)).await?;
    let expected = format!("AWSSecret {} could not be read: timed out; retry later", object());
    denied(&answer?, ReasonCode::ProviderUnavailable, &expected)?;
    arrives(world).await
}

/// Creates eight pods at once with retries during an outage: all rejections are 503, and each pod gets its secret.
async fn outage(world: &mut World) -> Result<()> {
    let World { cluster, gateway, .. } = world;
    let (cluster, gateway) = (&*cluster, gateway.as_mut().context("no gateway")?);
    let ended = AtomicBool::new(false);
    let creating = async {
        let (mut created, mut refused) = (0, 0);
        let pods =
            [0, 1, 2, 3, 4, 5, 6, 7].map(|n| with(pod(&[TOKEN]), "/metadata/name", json!(format!("outage-{n}"))));
        loop {
            // Read first, so that all pods are created once after the outage.
            let last = ended.load(Ordering::SeqCst);
            let mut waiting = false;
            for answer in try_join_all(pods.iter().map(|pod| cluster.admin.admit(TASKS, pod))).await? {
                if answer.code == 503 {
                    (refused, waiting) = (refused + 1, true);
                } else {
                    delivered(&answer.ok()?)?;
                    created += 1;
                }
            }
            if last && !waiting {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, anyhow::Error>((created, refused))
    };
    let breaking = async {
        let broken = gone_and_back(cluster, gateway).await;
        ended.store(true, Ordering::SeqCst);
        broken
    };
    let ((created, refused), ()) = tokio::try_join!(creating, breaking)?;
    println!("     {created} pods, {refused} refusals with 503");
    ensure!(created > 1 && refused > 0, "{created} pods were created, {refused} refused");
    Ok(())
}

async fn gone_and_back(cluster: &Cluster, gateway: &mut Gateway) -> Result<()> {
    tokio::time::sleep(Duration::from_millis(500)).await;
    gateway.kill();
    let noticed = async || Ok(available(cluster).await == Some(false));
    let what = "the API server notices that the gateway is gone";
    process::until(what, Duration::from_millis(100), PATIENCE, noticed).await?;
    gateway.resume(cluster).await
}

/// Checks that audit lines have the reader and the name, and no value.
async fn audited(world: &World) -> Result<()> {
    // The gateway gathers lines before it writes them.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let output = world.gateway.as_ref().context("no gateway")?.output();
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let reads = lines.filter(|line| line["audit"] == "read" && line["name"] == object() && line["code"] == 200);
    ensure!(reads.filter(|line| line["user"] == kubewarden::USER).count() > 0, "no read of the policy server's");
    ensure!(!output.contains("t0ken"), "a value is in the log");
    Ok(())
}
