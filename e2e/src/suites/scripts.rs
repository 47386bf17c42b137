//! Scripts of the init containers of Embedded, GCP and Azure, in busybox's shell and in dash: files, their permissions,
//! and failures. The clouds' tools are stubs. Amazon's sidecar has no script.

mod sandbox;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Output;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_testing::engine::{Policy, Response};
use flyte_secrets_testing::golden::same;
use flyte_secrets_testing::host::{Capabilities, Store};
use flyte_secrets_testing::pods::{pod, project_name};
use serde_json::{Map, Value, json};

use crate::report::Report;
use crate::tools::Tools;
use sandbox::{Machine, Sandbox, Shell};

/// Names that could make a script execute or write something else.
const HOSTILE: &[&str] = &[
    "$(touch pwned)",
    "`touch pwned`",
    "x;touch pwned",
    "x&&touch pwned",
    "x|touch pwned",
    "x\ntouch pwned",
    "x'touch pwned'",
    "x\"\ntouch pwned\"",
    "x>pwned",
    "x\\",
    "x y",
    " x",
    "*",
    "~",
    "${HOME}",
    "é",
    ".",
    "..",
    "../x",
    "x/../../y",
    "/x",
];

/// Value of the stubs of the clouds' tools.
const VALUE: &[u8] = b"first line\n\0\xff $(touch pwned)\n\n";

/// Stub that writes a file as gcloud does, for its own user only.
const GCLOUD: &str = r#"umask 077; for word; do case $word in --out-file=*) cat ../value > "${word#*=}";; esac; done"#;
const HALF: &str =
    r#"umask 077; for word; do case $word in --out-file=*) head -c 9 ../value > "${word#*=}";; esac; done"#;
const TOKEN: &str = "to ken' \" $(touch pwned) `touch pwned` \\";
const WORKLOAD: &[(&str, &str)] = &[
    ("AZURE_CLIENT_ID", "client id"),
    ("AZURE_TENANT_ID", "$(touch pwned)"),
    ("AZURE_FEDERATED_TOKEN_FILE", "../to ken"),
];

type Check = fn(&Policy, &Shell) -> Result<()>;

const CHECKS: &[(&str, Check)] = &[
    ("Embedded: files of every byte and odd lengths", embedded_bytes),
    ("Embedded: an empty file", embedded_empty),
    ("Embedded: the largest file that the policy accepts is the largest that can be handed over", embedded_largest),
    ("Embedded: 50 files", embedded_many),
    ("Embedded: keys at the edges of what is allowed", embedded_keys),
    ("Embedded: no key is run, not even one that the policy refuses", embedded_runs_nothing),
    ("Embedded: a file that cannot be written fails the container, and a retry mends it", embedded_failures),
    ("Embedded: a full volume fails the container", embedded_full_volume),
    ("GCP: full resource paths, with their versions", gcp_paths),
    ("GCP: a short name, when the full path fails", gcp_short_names),
    ("GCP: gcloud's failure fails the container, and a retry mends it", gcp_failures),
    ("Azure: URIs with and without a version", azure_uris),
    ("Azure: az's failure fails the container, and a retry mends it", azure_failures),
    ("GCP, Azure and Embedded in one pod share a volume", all_together),
];

pub async fn run(report: &mut Report, tools: &Tools, policy: &Policy) -> Result<()> {
    let machine = Machine::find()?;
    let shells = [("busybox", Shell::busybox(machine, &tools.busybox)?), ("dash", Shell::plain(machine, &tools.dash)?)];
    for (name, shell) in &shells {
        report.section(&format!("scripts in {name}, {machine}"));
        for (name, check) in CHECKS {
            report.check(name, async { check(policy, shell) }).await;
        }
    }
    Ok(())
}

fn embedded_bytes(policy: &Policy, shell: &Shell) -> Result<()> {
    let every: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = every.iter().rev().cycle().take(50_000).copied().collect();
    let long = [b'x'; 58];
    let files: &[(&str, &[u8])] = &[
        ("every", &every),
        ("large", &large),
        ("nul", b"\0"),
        ("line-break", b"\n"),
        ("line-breaks", b"a\n\n\r\n"),
        ("format", b"%s\\n%d\\0"),
        ("option", b"-n"),
        ("two", b"ab"),
        ("three", b"abc"),
        ("two-lines-of-base64", &long),
        ("not-utf-8", b"\xc3\x28\xff\xfe"),
    ];
    let sandbox = Sandbox::new(shell)?;
    succeeds(&sandbox, &embedded(policy, files)?, &[])?;
    sandbox.holds(files)
}

/// Checks a line with an empty value, written here, because the policy rejects empty values.
fn embedded_empty(policy: &Policy, shell: &Shell) -> Result<()> {
    let mut containers = embedded(policy, &[("full", b"x")])?;
    let full = secrets(&mut containers)?;
    *full = json!(format!("empty=\n{}last=\n", full.as_str().unwrap_or_default()));
    let sandbox = Sandbox::new(shell)?;
    succeeds(&sandbox, &containers, &[])?;
    sandbox.holds(&[("empty", b""), ("full", b"x"), ("last", b"")])
}

fn embedded_largest(policy: &Policy, shell: &Shell) -> Result<()> {
    let large: Vec<u8> = (0..=255).cycle().take(100 * 1024).collect();
    let largest = large.get(..98_295).context("large is larger")?;
    let mut containers = embedded(policy, &[("k", largest)])?;
    let sandbox = Sandbox::new(shell)?;
    succeeds(&sandbox, &containers, &[])?;
    sandbox.holds(&[("k", largest)])?;

    let lines = secrets(&mut containers)?;
    *lines = json!(format!("{}\n", lines.as_str().unwrap_or_default()));
    for container in &containers {
        match sandbox.run(container, &[]) {
            Err(error) if error.kind() == ErrorKind::ArgumentListTooLong => {}
            other => bail!("one byte more can be handed over: {other:?}"),
        }
    }
    for more in [large.get(..98_296).context("large is larger")?, &large] {
        let answer = ask_embedded(policy, &[("k", more)])?;
        refused(&answer, "Embedded: with this file of ", "use fewer or smaller files")?;
    }
    Ok(())
}

fn embedded_many(policy: &Policy, shell: &Shell) -> Result<()> {
    let files: Vec<(String, Vec<u8>)> =
        (0..50_u8).map(|number| (format!("file-{number}"), vec![number; usize::from(number) * 40 + 1])).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
    let sandbox = Sandbox::new(shell)?;
    succeeds(&sandbox, &embedded(policy, &files)?, &[])?;
    sandbox.holds(&files)
}

fn embedded_keys(policy: &Policy, shell: &Shell) -> Result<()> {
    let (dots, letters) = (".".repeat(253), "K".repeat(255));
    let keys = [
        "-",
        "_",
        "...",
        "-n",
        "--",
        "-large.-_",
        "a.b",
        ".hidden",
        "0",
        "Tok",
        "tok",
        "SECRETS",
        "line",
        &dots,
        &letters,
    ];
    let files: Vec<(&str, &[u8])> = keys.iter().map(|key| (*key, key.as_bytes())).collect();
    let sandbox = Sandbox::new(shell)?;
    succeeds(&sandbox, &embedded(policy, &files)?, &[])?;
    sandbox.holds(&files)
}

fn embedded_runs_nothing(policy: &Policy, shell: &Shell) -> Result<()> {
    // Keys with line breaks or slashes are not valid here.
    let keys: Vec<&str> =
        HOSTILE.iter().copied().filter(|key| !key.contains(['\n', '/']) && !key.starts_with('.')).collect();
    let mut containers = embedded(policy, &[("any", b"x")])?;
    let lines = keys.iter().map(|key| format!("{key}={}\n", STANDARD.encode(key)));
    *secrets(&mut containers)? = json!(lines.collect::<String>());
    let sandbox = Sandbox::new(shell)?;
    succeeds(&sandbox, &containers, &[])?;
    let files: Vec<(&str, &[u8])> = keys.iter().map(|key| (*key, key.as_bytes())).collect();
    sandbox.holds(&files)
}

fn embedded_failures(policy: &Policy, shell: &Shell) -> Result<()> {
    let value: Vec<u8> = (0..=255).cycle().take(9_000).collect();
    let files: &[(&str, &[u8])] = &[("a", &value), ("b", &value), ("c", &value)];
    let containers = embedded(policy, files)?;
    for (file, _) in files {
        let sandbox = Sandbox::new(shell)?;
        let place = sandbox.secrets().join(file);
        fs::create_dir(&place)?;
        fails(&sandbox, &containers, &[]).with_context(|| format!("a folder in the place of {file}"))?;
        fs::remove_dir(&place)?;
        fs::write(&place, [&value[..], b"longer, from an earlier try"].concat())?;
        succeeds(&sandbox, &containers, &[])?;
        sandbox.holds(files)?;
    }
    Ok(())
}

fn embedded_full_volume(policy: &Policy, shell: &Shell) -> Result<()> {
    let files: &[(&str, &[u8])] = &[("a", b"1"), ("b", &[2; 9_000]), ("c", b"3")];
    let containers = embedded(policy, files)?;
    for (file, _) in files {
        let sandbox = Sandbox::new(shell)?;
        symlink("/dev/full", sandbox.secrets().join(file))?;
        fails(&sandbox, &containers, &[]).with_context(|| format!("no space for {file}"))?;
    }
    Ok(())
}

fn gcp_paths(policy: &Policy, shell: &Shell) -> Result<()> {
    let long = "x".repeat(255);
    for (group, version, file) in [
        ("projects/p-1/secrets/My-Secret", "Latest", "projects/p-1/secrets/my-secret/latest"),
        ("projects/example.com:p/secrets/a_b", "7", "projects/example.com:p/secrets/a_b/7"),
        (
            "projects/1/locations/europe-west1/secrets/x",
            "an_Alias-1",
            "projects/1/locations/europe-west1/secrets/x/an_alias-1",
        ),
        ("Db_Password-1", "12", "db_password-1/12"),
        (&long, &long, &format!("{long}/{long}")),
    ] {
        let sandbox = gcp_sandbox(shell, GCLOUD)?;
        succeeds(&sandbox, &gcp(policy, &[(group, version)])?, &[])?;
        let call =
            format!("secrets\nversions\naccess\n{group}/versions/{version}\n--out-file=/etc/flyte/secrets/{file}\n\n");
        called(&sandbox, &call)?;
        sandbox.holds(&[(file, VALUE)])?;
    }
    // Two versions of a secret are two files in one folder.
    let sandbox = gcp_sandbox(shell, GCLOUD)?;
    succeeds(&sandbox, &gcp(policy, &[("tok", "1"), ("tok", "2")])?, &[])?;
    sandbox.holds(&[("tok/1", VALUE), ("tok/2", VALUE)])
}

fn gcp_short_names(policy: &Policy, shell: &Shell) -> Result<()> {
    let calls = "secrets\nversions\naccess\ntok/versions/7\n--out-file=/etc/flyte/secrets/tok/7\n\n\
                 secrets\nversions\naccess\n7\n--secret=tok\n--out-file=/etc/flyte/secrets/tok/7\n\n";
    for first in ["exit 1", &format!("{HALF}; exit 1")] {
        let sandbox = gcp_sandbox(shell, &format!("case $4 in */*) {first};; esac; {GCLOUD}"))?;
        succeeds(&sandbox, &gcp(policy, &[("tok", "7")])?, &[])?;
        called(&sandbox, calls)?;
        sandbox.holds(&[("tok/7", VALUE)])?;
    }
    Ok(())
}

fn gcp_failures(policy: &Policy, shell: &Shell) -> Result<()> {
    let containers = gcp(policy, &[("tok", "7")])?;
    for (how, stub, left) in [
        ("at once", "exit 3", None),
        ("half way", &format!("{HALF}; exit 3"), VALUE.get(..9)),
        // A tool that writes elsewhere.
        ("without a word", "exit 0", None),
    ] {
        let sandbox = gcp_sandbox(shell, stub)?;
        let output = fails(&sandbox, &containers, &[]).context(how)?;
        ensure!(stub == "exit 0" || output.status.code() == Some(3), "{how}: gcloud's code is lost: {}", output.status);
        let file = sandbox.secrets().join("tok/7");
        same(&json!(left), &json!(fs::read(&file).ok()))?;
        if left.is_some() {
            let mode = fs::metadata(&file)?.permissions().mode();
            ensure!(mode & 0o077 == 0, "half a file has mode {mode:o}, which others can read");
        }
        sandbox.stub("gcloud", GCLOUD)?;
        succeeds(&sandbox, &containers, &[])?;
        sandbox.holds(&[("tok/7", VALUE)])?;
    }
    Ok(())
}

fn azure_uris(policy: &Policy, shell: &Shell) -> Result<()> {
    let uri = "https://my-vault.vault.azure.net/secrets/My-Secret";
    let [slash, versioned, upper] =
        [format!("{uri}/"), format!("{uri}/0F"), uri.replace("my-vault.vault", "My-Vault.VAULT")];
    for (group, version, id, file) in [
        // An empty version follows its slash.
        (uri, "", format!("{uri}/"), "my-secret"),
        (&slash, "", format!("{uri}/"), "my-secret"),
        (uri, "0F", format!("{uri}/0F"), "my-secret/0f"),
        (&versioned, "", format!("{uri}/0F"), "my-secret/0f"),
        (&versioned, "0F", format!("{uri}/0F"), "my-secret/0f"),
        (&upper, "", format!("{upper}/"), "my-secret"),
        ("https://v.vault.azure.cn/secrets/x", "1", "https://v.vault.azure.cn/secrets/x/1".to_owned(), "x/1"),
    ] {
        let sandbox = azure_sandbox(shell, "case $1 in keyvault) umask 077; cat ../value;; esac")?;
        succeeds(&sandbox, &azure(policy, &[(group, version)])?, WORKLOAD)?;
        let calls = format!(
            "login\n--service-principal\n-u\nclient id\n-t\n$(touch pwned)\n--federated-token\n{TOKEN}\n\n\
             keyvault\nsecret\nshow\n--id\n{id}\n--query\nvalue\n-o\ntsv\n\n"
        );
        called(&sandbox, &calls)?;
        sandbox.holds(&[(file, VALUE)])?;
    }
    Ok(())
}

fn azure_failures(policy: &Policy, shell: &Shell) -> Result<()> {
    let uri = "https://v.vault.azure.net/secrets/Name";
    let works = "case $1 in keyvault) cat ../value;; esac";
    for (version, file) in [("", "name"), ("0f", "name/0f")] {
        let containers = azure(policy, &[(uri, version)])?;
        for (how, stub) in [
            ("login", "case $1 in login) exit 4;; esac"),
            ("at once", "case $1 in keyvault) exit 4;; esac"),
            ("half way", "case $1 in keyvault) head -c 9 ../value; exit 4;; esac"),
        ] {
            let sandbox = azure_sandbox(shell, stub)?;
            let output = fails(&sandbox, &containers, WORKLOAD).context(how)?;
            same(&json!(4), &json!(output.status.code()))?;
            let shown = sandbox.calls().contains("keyvault");
            ensure!(shown == (how != "login"), "{how}: az was called like this:\n{}", sandbox.calls());
            sandbox.stub("az", works)?;
            succeeds(&sandbox, &containers, WORKLOAD)?;
            sandbox.holds(&[(file, VALUE)])?;
        }
    }
    Ok(())
}

fn all_together(policy: &Policy, shell: &Shell) -> Result<()> {
    let requests = [
        request(&[("group", "tok"), ("group_version", "7")]),
        request(&[("group", "https://v.vault.azure.net/secrets/Name")]),
        request(&[("key", "every")]),
    ];
    let mut settings = embedded_settings();
    settings["secretManagerTypes"] = json!(["GCP", "Azure", "Embedded"]);
    let every: Vec<u8> = (0..=255).collect();
    let containers = containers(&ask(policy, &settings, &requests, &embedded_store(&[("every", &every)]))?)?;
    let sandbox = azure_sandbox(shell, "case $1 in keyvault) cat ../value;; esac")?;
    sandbox.stub("gcloud", GCLOUD)?;
    succeeds(&sandbox, &containers, WORKLOAD)?;
    sandbox.holds(&[("every", &every), ("name", VALUE), ("tok/7", VALUE)])
}

/// Returns a request for a file in the text format, with every byte escaped.
fn request(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(field, value)| {
        let bytes: String = value.bytes().map(|byte| format!("\\{byte:03o}")).collect();
        format!("{field}:'{bytes}' ")
    });
    fields.collect::<String>() + "mount_requirement:FILE"
}

fn ask(policy: &Policy, settings: &Value, requests: &[String], store: &Value) -> Result<Response> {
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    let store: Arc<dyn Capabilities> = Store::new(store.clone());
    policy.create_pod(&pod(&requests), settings, &store)
}

fn ask_embedded(policy: &Policy, files: &[(&str, &[u8])]) -> Result<Response> {
    let requests: Vec<String> = files.iter().map(|(key, _)| request(&[("key", key)])).collect();
    ask(policy, &embedded_settings(), &requests, &embedded_store(files))
}

/// Returns settings for AWS, whose names of secrets can be as long as any file name.
fn embedded_settings() -> Value {
    json!({ "embeddedSecretManagerConfig": { "type": "AWS", "awsConfig": { "region": "eu-west-1" } } })
}

fn embedded_store(files: &[(&str, &[u8])]) -> Value {
    let secrets =
        files.iter().map(|(key, value)| (project_name(key), json!({ "binaryValue": STANDARD.encode(value) })));
    json!({ "AWS": secrets.collect::<Map<String, Value>>() })
}

fn ask_clouds(policy: &Policy, manager: &str, secrets: &[(&str, &str)]) -> Result<Response> {
    let requests = secrets.iter().map(|(group, version)| request(&[("group", group), ("group_version", version)]));
    let settings = json!({ "secretManagerTypes": [manager] });
    ask(policy, &settings, &requests.collect::<Vec<_>>(), &json!({}))
}

fn embedded(policy: &Policy, files: &[(&str, &[u8])]) -> Result<Vec<Value>> {
    containers(&ask_embedded(policy, files)?)
}

fn gcp(policy: &Policy, secrets: &[(&str, &str)]) -> Result<Vec<Value>> {
    containers(&ask_clouds(policy, "GCP", secrets)?)
}

fn azure(policy: &Policy, secrets: &[(&str, &str)]) -> Result<Vec<Value>> {
    containers(&ask_clouds(policy, "Azure", secrets)?)
}

/// Returns the init containers of the mutated pod.
fn containers(answer: &Response) -> Result<Vec<Value>> {
    let pod = answer.mutated().with_context(|| format!("not changed: {:#}", answer.0))?;
    let containers = pod["spec"]["initContainers"].as_array().context("no init-containers")?;
    for container in containers {
        let mount = &container["volumeMounts"][0];
        ensure!(mount["mountPath"] == "/etc/flyte/secrets" && mount["readOnly"] != true, "no folder to write: {mount}");
    }
    Ok(containers.clone())
}

/// Returns the variable with Embedded's files.
fn secrets(containers: &mut [Value]) -> Result<&mut Value> {
    let variable = containers.first_mut().and_then(|container| container.pointer_mut("/env/0"));
    let variable = variable.filter(|variable| variable["name"] == "SECRETS").context("no variable SECRETS")?;
    Ok(&mut variable["value"])
}

fn gcp_sandbox<'a>(shell: &'a Shell, gcloud: &str) -> Result<Sandbox<'a>> {
    let sandbox = Sandbox::new(shell)?;
    fs::write(sandbox.path("value"), VALUE)?;
    sandbox.stub("gcloud", gcloud)?;
    Ok(sandbox)
}

fn azure_sandbox<'a>(shell: &'a Shell, az: &str) -> Result<Sandbox<'a>> {
    let sandbox = Sandbox::new(shell)?;
    fs::write(sandbox.path("value"), VALUE)?;
    fs::write(sandbox.path("to ken"), TOKEN)?;
    sandbox.stub("az", az)?;
    Ok(sandbox)
}

fn succeeds(sandbox: &Sandbox, containers: &[Value], variables: &[(&str, &str)]) -> Result<()> {
    for container in containers {
        let output = sandbox.run(container, variables)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} failed: {}\n{said}", container["name"], output.status);
        ensure!(output.stdout.is_empty(), "{} says {:?}", container["name"], String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

/// Runs the only container, which must start and fail.
fn fails(sandbox: &Sandbox, containers: &[Value], variables: &[(&str, &str)]) -> Result<Output> {
    let [container] = containers else { bail!("there are {} init-containers", containers.len()) };
    let output = sandbox.run(container, variables)?;
    ensure!(!output.status.success(), "{} succeeds", container["name"]);
    Ok(output)
}

/// Checks the calls of stubs: a word in each line, and an empty line after each call.
fn called(sandbox: &Sandbox, calls: &str) -> Result<()> {
    let lines = |text: &str| json!(text.lines().collect::<Vec<_>>());
    same(&lines(calls), &lines(&sandbox.calls()))
}

/// Checks that a pod is rejected with code 400, and a reason that starts and ends with these texts.
fn refused(answer: &Response, from: &str, to: &str) -> Result<()> {
    let message = answer.message();
    let reasons = message.rsplit_once(from).is_some_and(|(_, rest)| rest.contains(to));
    ensure!(answer.code() == 400 && answer.mutated().is_none() && reasons, "refused otherwise: {:#}", answer.0);
    Ok(())
}
