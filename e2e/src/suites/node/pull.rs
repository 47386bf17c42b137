//! Pods that pull: values that they get, and requests that the gateway rejects.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::answer::PATH;
use flyte_secrets_policy::grant::{AUDIENCE, CONTAINER};
use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_testing::pods::{project_name, with};
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use super::secrets::{Request, any, env, env_as, file, file_as, sum, unanswered};
use super::task::{Change, Outcome, Task};
use super::tasks::{ALL, EMBEDDED, accompanied, initialized, many, restricted};
use super::{DEVELOPMENT, PRODUCTION, STORE, create, ended, failed, finish, install, mutated, start, until};
use crate::cluster::{has_all, named};
use crate::kubewarden;
use crate::node::Node;
use crate::report::Report;
use crate::world::World;

/// An audience that is not the gateway's.
const OTHERS: &str = "somebody.else";
/// The name of a secret that does not exist.
const MISSING: &str = "u__org__acme__domain__development__project__flytesnacks__key__none";

pub async fn run(report: &mut Report, world: &mut World, node: &Node) -> Result<()> {
    install(world, node, "Pull", &json!({})).await?;
    start(report, world, "pods that pull", tasks()).await?;
    report.section("the gateway and pods that start");
    report.check("pods that start while the gateway is away wait for it", away(world)).await;
    report.section("who may pull");
    let container = format!("\"{CONTAINER}\"");
    for (name, edit, words) in [
        ("a written init container, with the label and no request", unrequested as fn(Value) -> Value, &*container),
        ("a written init container, without the label", unlabelled, &container),
        ("a token for the gateway alone, without the label", token_alone, "a token for the secret gateway"),
        ("an init container that grants another project's secrets", other_scope, &container),
    ] {
        report.check(&format!("{name}, is rejected"), rejected(world, edit, words)).await;
    }
    report.check("a token for another audience pulls nothing: 401", other_audience(world)).await;
    report.check("requests to the pod listener: 401, 403, and an audit line", requests(world)).await;
    Ok(())
}

fn tasks() -> Vec<Task> {
    let pull = |name: &str, requests: &[Request]| Task::new(name, DEVELOPMENT, EMBEDDED, requests);
    let confined = |name: &str, requests: &[Request]| Task::new(name, PRODUCTION, ALL, requests).shaped(restricted);
    let never_looked_up = |name: &str, requests: &[Request]| {
        pull(name, requests).set("/embeddedSecretManagerConfig/lookup", json!("Off"))
    };
    let both = [env("token"), file("token")];
    let every = [file("db/User"), file("token"), file("gcp"), file("aws"), file("azure")];
    let no_token = "[ ! -e /run/flyte ] && [ ! -e /var/run/secrets ] || fail 'a token or the env file is there'";
    let missing = || unanswered("key: 'none' mount_requirement: FILE");
    let (name, value) = (project_name("fresh"), STANDARD.encode("after"));
    let follows = format!("until [ \"$(sum < /etc/flyte/secrets/fresh)\" = {} ]; do sleep 0.2; done", sum(b"after"));
    vec![
        // First, because the gateway must answer within the policy's time.
        pull("a variable with a quote is rejected", &[env("pem")]).ends(Outcome::Rejected(400, &["\"pem\""])),
        pull("a variable of 100 kB in one line is rejected", &[env("long")])
            .ends(Outcome::Rejected(400, &["\"long\""])),
        pull("a secret that does not exist is rejected", &[missing()]).ends(Outcome::Rejected(400, &[MISSING])),
        pull("a variable with $$", &[env("dollars")]).variable("FLYTE_SECRETS_ENV_PREFIX", "_UNION_"),
        pull("a variable with $(HOME), of a name", &[env_as("home", "WHERE")]),
        pull("a variable of several lines", &[env("lines")]),
        pull("a variable beyond ASCII", &[env("emoji")]),
        pull("a file of all bytes", &[file("binary")]),
        pull("several variables", &[any("home"), any("dollars"), any("lines")]),
        pull("several files, a path in a variable", &[file_as("large", "LARGE"), file("pem"), file("emoji")])
            .variable("FLYTE_SECRETS_DEFAULT_DIR", "/etc/flyte/secrets"),
        pull("a secret as a variable and a file", &both),
        pull("an init container of the user's reads both", &both).shaped(initialized),
        pull("a native sidecar of the user's reads both", &both).shaped(accompanied),
        confined("a restricted pod of user 65532, its root read-only", &both),
        pull("a container that restarts", &both).restarted(),
        pull("a pod that the policy sees twice", &both).twice(),
        pull("no token is in the task's containers", &[env("token")]).does(no_token),
        Task::new("files of all managers", DEVELOPMENT, ALL, &every),
        confined("a restricted pod: files of all managers", &every),
        pull(
            "refresh: a file follows its secret, a variable stays",
            &[env("fresh"), unanswered("key: 'fresh' mount_requirement: FILE")],
        )
        .set("/embeddedSecretManagerConfig/pull/refresh", json!("1s"))
        .changing(Change {
            once: "Running",
            namespace: STORE,
            secret: secret_name(&name),
            data: json!({ name: value }),
        })
        .does(&follows),
        never_looked_up("lookup: Off, a variable with a quote: the init container fails", &[env("pem")])
            .ends(Outcome::Fails(CONTAINER, &["pem"])),
        never_looked_up("lookup: Off, a secret that does not exist: the init container fails", &[missing()])
            .ends(Outcome::Fails(CONTAINER, &["404", MISSING])),
        Task::new("variables: false, the next manager is asked", DEVELOPMENT, ALL, &[env("db/password")])
            .set("/embeddedSecretManagerConfig/pull/variables", json!(false)),
    ]
}

/// Checks pods while the gateway is unavailable: the policy warns, and init containers retry until the gateway is back.
async fn away(world: &mut World) -> Result<()> {
    let mut gateway = world.gateway.take().context("no gateway")?;
    gateway.kill();
    let mut started = Vec::new();
    for task in many("away", 20) {
        let name = create(world, &task).await?.context("it was not created")?;
        started.push((task, name));
    }
    for (_, name) in &started {
        until("the init container says that an attempt failed", async || {
            // A container that has not started has no log.
            let log = world.cluster.admin.log(DEVELOPMENT, name, CONTAINER).await.unwrap_or_default();
            Ok(log.contains("attempt 1 failed"))
        })
        .await?;
    }
    let task = Task::new("warned", DEVELOPMENT, EMBEDDED, &[env("token")]);
    let warnings = world.cluster.admin.dry_run(DEVELOPMENT, &task.pod()).await?.warnings;
    ensure!(warnings.iter().any(|warning| warning.contains("\"token\"")), "no warning: {warnings:?}");
    gateway.resume(&world.cluster).await?;
    world.gateway = Some(gateway);
    for (task, name) in &started {
        finish(world, task, name).await?;
    }
    Ok(())
}

/// Returns a mutated pod that pulls, to create it as if written by hand.
async fn written(world: &World, name: &str, requests: &[Request]) -> Result<Value> {
    let pod = mutated(world, &Task::new(name, DEVELOPMENT, EMBEDDED, requests)).await?;
    ensure!(pod["spec"]["initContainers"][0]["name"] == CONTAINER, "it does not pull");
    Ok(pod)
}

/// Checks that a mutated pod is rejected after an edit.
async fn rejected(world: &World, edit: fn(Value) -> Value, words: &str) -> Result<()> {
    let pod = edit(written(world, "written", &[file("token")]).await?);
    world.cluster.admin.dry_run(DEVELOPMENT, &pod).await?.refused_for(403, &[words])
}

fn unrequested(pod: Value) -> Value {
    with(pod, "/metadata/annotations", json!({}))
}

fn unlabelled(pod: Value) -> Value {
    with(unrequested(pod), "/metadata/labels", json!({}))
}

fn token_alone(pod: Value) -> Value {
    with(unlabelled(pod), "/spec/initContainers", json!([]))
}

fn other_scope(mut pod: Value) -> Value {
    for argument in pod["spec"]["initContainers"][0]["args"].as_array_mut().into_iter().flatten() {
        if argument == "acme/development/flytesnacks" {
            *argument = json!("acme/development/payments");
        }
    }
    pod
}

fn for_other_audience(mut pod: Value) -> Value {
    for volume in pod["spec"]["volumes"].as_array_mut().into_iter().flatten() {
        if let Some(token) = volume.pointer_mut("/projected/sources/0/serviceAccountToken") {
            token["audience"] = json!(OTHERS);
        }
    }
    pod
}

/// Checks a pod without the label and with a token for another audience, which the policy does not evaluate.
async fn other_audience(world: &World) -> Result<()> {
    let (admin, name) = (&world.cluster.admin, "other-audience");
    let pod = for_other_audience(unlabelled(written(world, name, &[file("token")]).await?));
    admin.create_pod(DEVELOPMENT, &pod).await?.ok()?;
    let ended = ended(world, DEVELOPMENT, name).await?;
    admin.delete_pod(DEVELOPMENT, name).await?;
    has_all(failed(&ended, CONTAINER)?.unwrap_or_default(), &["401"])
}

/// Returns a token of the service account `default`, bound to a pod or to none.
async fn token(world: &World, namespace: &str, pod: Option<&Value>, audience: &str) -> Result<String> {
    let bound = pod.map(|pod| {
        let (name, uid) = (&pod["metadata"]["name"], &pod["metadata"]["uid"]);
        json!({ "apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid })
    });
    let spec = json!({ "audiences": [audience], "boundObjectRef": bound });
    world.cluster.token(namespace, "default", &spec).await
}

/// Checks pulls with tokens of pods that do not start, because they have no node.
async fn requests(world: &World) -> Result<()> {
    let admin = &world.cluster.admin;
    let create = async |name: &str, namespace: &str, pod: &Value| {
        let pod = with(pod.clone(), "/metadata/name", json!(name));
        let pod = with(with(pod, "/metadata/namespace", json!(namespace)), "/spec/nodeName", Value::Null);
        admin.create_pod(namespace, &pod).await?.ok()
    };
    let written = written(world, "holder", &[env("token"), file("token")]).await?;
    let bare = unlabelled(written.clone());
    let plain = with(bare.clone(), "/spec", json!({ "containers": [{ "name": "main", "image": "none" }] }));
    let holder = create("holder", DEVELOPMENT, &written).await?;
    let plain = create("plain", DEVELOPMENT, &plain).await?;
    let unseen = create("unseen", DEVELOPMENT, &for_other_audience(bare.clone())).await?;
    // Kubewarden excludes its own namespace.
    let elsewhere = create("elsewhere", kubewarden::NAMESPACE, &bare).await?;

    let address = world.gateway.as_ref().and_then(|gateway| gateway.pods).context("no pod listener")?;
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build()?;
    let expect = async |what: &str, token: Option<&str>, code: u16| -> Result<()> {
        let request = client.post(format!("https://{address}{PATH}"));
        let answer = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth).send().await?;
        let (status, said) = (answer.status().as_u16(), answer.text().await?);
        ensure!(status == code && (code == 200) == said.ends_with("t0kent0ken"), "{what}: {status} {said}");
        Ok(())
    };
    let own = token(world, DEVELOPMENT, Some(&holder), AUDIENCE).await?;
    expect("the pod's own token", Some(&own), 200).await?;
    expect("no token", None, 401).await?;
    expect("a token of no pod", Some(&token(world, DEVELOPMENT, None, AUDIENCE).await?), 401).await?;
    let other = token(world, DEVELOPMENT, Some(&holder), OTHERS).await?;
    expect("a token for another audience", Some(&other), 401).await?;
    for (what, namespace, pod) in [
        ("a pod without a grant", DEVELOPMENT, &plain),
        ("a grant that the policy has not seen", DEVELOPMENT, &unseen),
        ("a pod in a namespace that is not its project's", kubewarden::NAMESPACE, &elsewhere),
    ] {
        expect(what, Some(&token(world, namespace, Some(pod), AUDIENCE).await?), 403).await?;
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        audited(world, name, 403).await?;
        admin.delete_pod(namespace, name).await?;
    }
    let edited = with(named("v1", "Pod", "holder"), "/metadata/labels/domain", json!("production"));
    let edited = with(edited, "/metadata/annotations", json!({ "flyte.secrets/s0": "x" }));
    world.cluster.apply(&format!("/api/v1/namespaces/{DEVELOPMENT}/pods"), &edited).await?;
    expect("labels and annotations that were edited after admission", Some(&own), 200).await?;
    audited(world, "holder", 200).await?;
    admin.delete_pod(DEVELOPMENT, "holder").await?;
    sleep(Duration::from_millis(100)).await;
    expect("a deleted pod's token", Some(&own), 401).await
}

/// Waits for the audit line of a pod with this code.
async fn audited(world: &World, pod: &str, code: u16) -> Result<()> {
    let is_line = |line: Value| line["audit"] == "pull" && line["code"] == code && line.to_string().contains(pod);
    until(&format!("the audit line of pod {pod} and code {code}"), async || {
        let output = world.gateway.as_ref().map(|gateway| gateway.output()).unwrap_or_default();
        Ok(output.lines().filter_map(|line| serde_json::from_str(line).ok()).any(is_line))
    })
    .await
}
