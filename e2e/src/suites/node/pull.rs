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

use super::task::{Change, Outcome, Task};
use super::tasks::{
    ALL, DB, DEVELOPMENT, EMBEDDED, EMOJI, LINES, OF_AWS, OF_AZURE_LATEST, OF_GCP, PEM, PRODUCTION, STORE, TOKEN,
    accompanied, binary, initialized, long, restricted,
};
use super::{create, ended, finish, has_all, install_pull, start, statuses, until};
use crate::kubewarden;
use crate::node::Node;
use crate::report::Report;
use crate::world::World;

const VARIABLE: &str = "key: 'token' mount_requirement: ENV_VAR";
const AT_ONCE: usize = 20;

pub async fn run(report: &mut Report, world: &mut World, node: &Node) -> Result<()> {
    install_pull(world, node, &json!({})).await?;
    start(report, world, "pods that pull", tasks()).await?;
    report.section("the gateway and pods that start");
    report.check("pods that start while the gateway is away wait for it", away(world)).await;
    report.section("who may pull");
    report
        .check("a written init container, with the label and no request, is rejected", written(world, &["annotations"]))
        .await;
    report
        .check("a written init container, without the label, is rejected", written(world, &["annotations", "labels"]))
        .await;
    report.check("a token for the gateway alone, without the label, is rejected", token_alone(world)).await;
    report.check("an init container that grants another project's secrets is rejected", other_scope(world)).await;
    report.check("a token for another audience pulls nothing: 401", other_audience(world)).await;
    report.check("requests to the pod listener: 401, 403, and an audit line", requests(world)).await;
    Ok(())
}

fn tasks() -> Vec<Task> {
    let pull = |name: &str, requests: &[&str]| Task::new(&format!("Pull: {name}"), DEVELOPMENT, EMBEDDED, requests);
    let all = |name: &str, requests: &[&str]| Task::of(&format!("Pull: {name}"), DEVELOPMENT, requests);
    let looked_up_never: fn(&mut Value) = |settings| settings["embeddedSecretManagerConfig"]["lookup"] = json!("Off");
    let name = project_name("refreshed");
    let change = Change {
        once: "Running",
        namespace: STORE,
        secret: secret_name(&name),
        data: json!({ name: STANDARD.encode("after") }),
    };
    vec![
        pull("a variable with $$", &["key: 'dollars' mount_requirement: ENV_VAR"])
            .variable("_UNION_DOLLARS", "pa$$word$")
            .variable("FLYTE_SECRETS_ENV_PREFIX", "_UNION_"),
        pull("a variable with $(HOME), of a name", &["key: 'home' mount_requirement: ENV_VAR env_var: 'WHERE'"])
            .variable("WHERE", "$(HOME) $$(HOME) $HOME"),
        pull("a variable of several lines", &["key: 'lines' mount_requirement: ENV_VAR"])
            .variable("_UNION_LINES", LINES),
        pull("a variable beyond ASCII", &["key: 'emoji' mount_requirement: ENV_VAR"]).variable("_UNION_EMOJI", EMOJI),
        pull("a file of all bytes", &["key: 'binary' mount_requirement: FILE"]).file("binary", binary()),
        pull("several variables", &["key: 'home'", "key: 'dollars'", "key: 'lines'"])
            .variable("_UNION_HOME", "$(HOME) $$(HOME) $HOME")
            .variable("_UNION_DOLLARS", "pa$$word$")
            .variable("_UNION_LINES", LINES),
        pull(
            "several files, a path in a variable",
            &[
                "key: 'large' mount_requirement: FILE env_var: 'LARGE'",
                "key: 'pem' mount_requirement: FILE",
                "key: 'emoji' mount_requirement: FILE",
            ],
        )
        .file("large", long(90_000))
        .file("pem", PEM)
        .file("emoji", EMOJI)
        .variable("LARGE", "/etc/flyte/secrets/large")
        .variable("FLYTE_SECRETS_DEFAULT_DIR", "/etc/flyte/secrets"),
        pull("a secret as a variable and a file", &[VARIABLE, TOKEN])
            .variable("_UNION_TOKEN", "t0ken")
            .file("token", "t0ken"),
        pull("an init container of the user's reads both", &[VARIABLE, TOKEN])
            .variable("_UNION_TOKEN", "t0ken")
            .file("token", "t0ken")
            .shaped(initialized),
        pull("a native sidecar of the user's reads both", &[VARIABLE, TOKEN])
            .variable("_UNION_TOKEN", "t0ken")
            .file("token", "t0ken")
            .shaped(accompanied),
        Task::new("Pull: a restricted pod of user 65532, its root read-only", PRODUCTION, EMBEDDED, &[VARIABLE, TOKEN])
            .variable("_UNION_TOKEN", "t0ken")
            .file("token", "t0ken")
            .shaped(restricted),
        pull("a container that restarts", &[VARIABLE, TOKEN])
            .variable("_UNION_TOKEN", "t0ken")
            .file("token", "t0ken")
            .restarted(),
        pull("a pod that the policy sees twice", &[VARIABLE, TOKEN])
            .variable("_UNION_TOKEN", "t0ken")
            .file("token", "t0ken")
            .twice(),
        pull("no token is in the task's containers", &[VARIABLE])
            .variable("_UNION_TOKEN", "t0ken")
            .does("[ ! -e /run/flyte ] && [ ! -e /var/run/secrets ] || fail 'a token or the env file is there'"),
        all("files of all managers", &[DB, TOKEN, OF_GCP, OF_AWS, OF_AZURE_LATEST]),
        all("a restricted pod: files of all managers", &[DB, TOKEN, OF_GCP, OF_AWS, OF_AZURE_LATEST])
            .of_namespace(PRODUCTION)
            .shaped(restricted),
        pull(
            "refresh: a file follows its secret, a variable stays",
            &["key: 'refreshed' mount_requirement: ENV_VAR", "key: 'refreshed' mount_requirement: FILE"],
        )
        .with(|settings| settings["embeddedSecretManagerConfig"]["pull"]["refresh"] = json!("1s"))
        .file_becomes("refreshed", "after")
        .variable("_UNION_REFRESHED", "before")
        .changing(change),
        pull("a variable with a quote is rejected", &["key: 'pem' mount_requirement: ENV_VAR"])
            .ends(Outcome::Rejected(400, &["\"pem\""])),
        pull("a variable of 100 kB in one line is rejected", &["key: 'long' mount_requirement: ENV_VAR"])
            .ends(Outcome::Rejected(400, &["\"long\""])),
        pull("a secret that does not exist is rejected", &["key: 'none' mount_requirement: FILE"])
            .ends(Outcome::Rejected(400, &["u__org__acme__domain__development__project__flytesnacks__key__none"])),
        pull(
            "lookup: Off, a variable with a quote: the init container fails",
            &["key: 'pem' mount_requirement: ENV_VAR"],
        )
        .with(looked_up_never)
        .ends(Outcome::Fails(CONTAINER, &["pem"])),
        pull(
            "lookup: Off, a secret that does not exist: the init container fails",
            &["key: 'none' mount_requirement: FILE"],
        )
        .with(looked_up_never)
        .ends(Outcome::Fails(
            CONTAINER,
            &["404", "u__org__acme__domain__development__project__flytesnacks__key__none"],
        )),
        Task::new(
            "Pull: variables: false, the next manager is asked",
            DEVELOPMENT,
            ALL,
            &["group: 'db' key: 'password' mount_requirement: ENV_VAR"],
        )
        .with(|settings| settings["embeddedSecretManagerConfig"]["pull"]["variables"] = json!(false))
        .variable("_UNION_DB_PASSWORD", "pa$$word"),
    ]
}

/// Checks pods while the gateway is unavailable: the policy warns, and init containers retry until the gateway is back.
async fn away(world: &mut World) -> Result<()> {
    let mut gateway = world.gateway.take().context("no gateway")?;
    gateway.kill();
    let mut started = Vec::new();
    for number in 0..AT_ONCE {
        let (key, value) = (format!("many{number}"), format!("value {number}"));
        let requests =
            [format!("key: '{key}' mount_requirement: ENV_VAR"), format!("key: '{key}' mount_requirement: FILE")];
        let task =
            Task::new(&format!("away {number}"), DEVELOPMENT, EMBEDDED, &requests.each_ref().map(String::as_str))
                .variable(&format!("_UNION_MANY{number}"), &value)
                .file(&key, &value);
        let name = create(world, &task).await?.context("it was not created")?;
        started.push((task, name));
    }
    let path = |name: &str| format!("/api/v1/namespaces/{DEVELOPMENT}/pods/{name}");
    for (_, name) in &started {
        let waits = async || {
            let log = world.cluster.admin.get(&format!("{}/log?container={CONTAINER}", path(name))).await?;
            Ok(log.body.as_str().is_some_and(|log| log.contains("attempt 1 failed")))
        };
        until("the init container says that an attempt failed", waits).await?;
    }
    let warned = dry_run(world, &Task::new("warned", DEVELOPMENT, EMBEDDED, &[VARIABLE]).pod()).await?;
    let warnings = warned.warnings;
    ensure!(warnings.iter().any(|warning| warning.contains("\"token\"")), "no warning: {warnings:?}");
    gateway.resume(&world.cluster).await?;
    world.gateway = Some(gateway);
    for (task, name) in &started {
        finish(world, task, name).await?;
    }
    Ok(())
}

/// Returns a mutated pod, to create it as if written by hand.
async fn made(world: &World, name: &str, requests: &[&str]) -> Result<Value> {
    let pod = Task::new(name, DEVELOPMENT, EMBEDDED, requests).pod();
    let mut made = dry_run(world, &pod).await?.ok()?;
    if let Some(metadata) = made["metadata"].as_object_mut() {
        metadata.retain(|key, _| matches!(key.as_str(), "name" | "namespace" | "labels" | "annotations"));
    }
    ensure!(made["spec"]["initContainers"][0]["name"] == CONTAINER, "it does not pull");
    Ok(made)
}

async fn dry_run(world: &World, pod: &Value) -> Result<crate::cluster::Answer> {
    world.cluster.admin.post(&format!("/api/v1/namespaces/{DEVELOPMENT}/pods?dryRun=All"), pod).await
}

fn without(mut pod: Value, parts: &[&str]) -> Value {
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.retain(|part, _| !parts.contains(&part.as_str()));
    }
    pod
}

fn for_audience(mut pod: Value, audience: &str) -> Value {
    for volume in pod["spec"]["volumes"].as_array_mut().into_iter().flatten() {
        if let Some(token) = volume.pointer_mut("/projected/sources/0/serviceAccountToken") {
            token["audience"] = json!(audience);
        }
    }
    pod
}

async fn written(world: &World, parts: &[&str]) -> Result<()> {
    let pod = without(made(world, "written", &[TOKEN]).await?, parts);
    let answer = dry_run(world, &pod).await?;
    has_all(answer.refused(403)?, &[&format!("\"{CONTAINER}\"")])
}

async fn token_alone(world: &World) -> Result<()> {
    let mut pod = without(made(world, "token-alone", &[TOKEN]).await?, &["annotations", "labels"]);
    pod["spec"]["initContainers"] = json!([]);
    let answer = dry_run(world, &pod).await?;
    has_all(answer.refused(403)?, &["a token for the secret gateway"])
}

async fn other_scope(world: &World) -> Result<()> {
    let mut pod = made(world, "other-scope", &[TOKEN]).await?;
    let arguments = pod["spec"]["initContainers"][0]["args"].as_array_mut().context("no arguments")?;
    let scope = arguments.iter_mut().find(|argument| **argument == "acme/development/flytesnacks");
    *scope.context("no scope")? = json!("acme/development/payments");
    let answer = dry_run(world, &pod).await?;
    has_all(answer.refused(403)?, &[&format!("\"{CONTAINER}\"")])
}

/// Checks a pod without the label and with a token for another audience, which the policy does not evaluate.
async fn other_audience(world: &World) -> Result<()> {
    let pod = without(made(world, "other-audience", &[TOKEN]).await?, &["labels", "annotations"]);
    world.cluster.admin.create_pod(DEVELOPMENT, &for_audience(pod, "somebody.else")).await?.ok()?;
    let ended = ended(world, DEVELOPMENT, "other-audience").await?;
    world.cluster.admin.delete_pod(DEVELOPMENT, "other-audience").await?;
    let status = statuses(&ended).find(|status| status["name"] == CONTAINER).context("no such container")?;
    let end = &status["state"]["terminated"];
    ensure!(ended["status"]["phase"] == "Failed" && end["exitCode"] == 1, "{status}");
    has_all(end["message"].as_str().unwrap_or_default(), &["401"])
}

/// Returns a token of the service account `default`, bound to a pod or to none.
async fn token(world: &World, namespace: &str, pod: Option<&Value>, audience: &str) -> Result<String> {
    let bound = pod.map(|pod| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"],
        })
    });
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": { "audiences": [audience], "boundObjectRef": bound },
    });
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default/token");
    let answer = world.cluster.admin.post(&path, &request).await?.ok()?;
    Ok(answer["status"]["token"].as_str().context("no token")?.to_owned())
}

/// Pulls with a token.
async fn pull(world: &World, token: Option<&str>) -> Result<(u16, String)> {
    let address = world.gateway.as_ref().and_then(|gateway| gateway.pods).context("no pod listener")?;
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build()?;
    let mut request = client.post(format!("https://{address}{PATH}"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

async fn requests(world: &World) -> Result<()> {
    let admin = &world.cluster.admin;
    // Without a node they do not start.
    let unscheduled = |pod: Value, name: &str, namespace: &str| {
        let mut pod = with(with(pod, "/metadata/name", json!(name)), "/metadata/namespace", json!(namespace));
        if let Some(spec) = pod["spec"].as_object_mut() {
            spec.remove("nodeName");
        }
        pod
    };
    let made = made(world, "holder", &[VARIABLE, TOKEN]).await?;
    let granted = admin.create_pod(DEVELOPMENT, &unscheduled(made.clone(), "holder", DEVELOPMENT)).await?.ok()?;
    let bare = without(made.clone(), &["labels", "annotations"]);
    let mut plain = bare.clone();
    plain["spec"] = json!({ "containers": [{ "name": "main", "image": "none" }] });
    let plain = admin.create_pod(DEVELOPMENT, &unscheduled(plain, "plain", DEVELOPMENT)).await?.ok()?;
    let unseen = for_audience(bare.clone(), "somebody.else");
    let unseen = admin.create_pod(DEVELOPMENT, &unscheduled(unseen, "unseen", DEVELOPMENT)).await?.ok()?;
    // Kubewarden excludes its own namespace.
    let elsewhere = unscheduled(bare, "elsewhere", kubewarden::NAMESPACE);
    let elsewhere = admin.create_pod(kubewarden::NAMESPACE, &elsewhere).await?.ok()?;

    let own = token(world, DEVELOPMENT, Some(&granted), AUDIENCE).await?;
    let values = |said: &str| said.ends_with("t0kent0ken");
    let expect = async |what: &str, token: Option<&str>, code: u16| -> Result<()> {
        let (status, said) = pull(world, token).await?;
        ensure!(status == code && (code == 200) == values(&said), "{what}: {status} {said}");
        Ok(())
    };
    expect("the pod's own token", Some(&own), 200).await?;
    expect("no token", None, 401).await?;
    expect("a token of no pod", Some(&token(world, DEVELOPMENT, None, AUDIENCE).await?), 401).await?;
    let other = token(world, DEVELOPMENT, Some(&granted), "somebody.else").await?;
    expect("a token for another audience", Some(&other), 401).await?;
    let refused = [
        ("a pod without a grant", DEVELOPMENT, &plain),
        ("a grant that the policy has not seen", DEVELOPMENT, &unseen),
        ("a pod in a namespace that is not its project's", kubewarden::NAMESPACE, &elsewhere),
    ];
    for (what, namespace, pod) in refused {
        let token = token(world, namespace, Some(pod), AUDIENCE).await?;
        expect(what, Some(&token), 403).await?;
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        audited(world, name, 403).await?;
    }
    let labelled = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "holder", "labels": { "domain": "production" }, "annotations": { "flyte.secrets/s0": "x" } },
    });
    world.cluster.apply(&format!("/api/v1/namespaces/{DEVELOPMENT}/pods"), &labelled).await?;
    expect("labels and annotations that were edited after admission", Some(&own), 200).await?;
    audited(world, "holder", 200).await?;
    for (namespace, name) in
        [(DEVELOPMENT, "holder"), (DEVELOPMENT, "plain"), (DEVELOPMENT, "unseen"), (kubewarden::NAMESPACE, "elsewhere")]
    {
        admin.delete_pod(namespace, name).await?;
    }
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
