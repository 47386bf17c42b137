//! Scripts of the init containers of Embedded, GCP and Azure, in busybox's shell and in dash: files, their permissions,
//! and failures. The clouds' tools are stubs. Amazon's sidecar has no script.

mod sandbox;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
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
use crate::tools::on_path;
use sandbox::{Sandbox, Shell};

/// Keys that could make a script execute or write something else: `>p` creates the file `p`. The policy rejects them.
const HOSTILE: [&str; 15] =
    ["$(>p)", "`>p`", "x;>p", "x&&>p", "x|>p", "x'>p'", "x\">p\"", "x>p", "x\\", "x y", " x", "*", "~", "${HOME}", "é"];

/// Value of the stubs of the clouds' tools.
const VALUE: &[u8] = b"first line\n\0\xff $(touch pwned)\n\n";

/// Stub that writes a file as gcloud does, for its own user only.
const GCLOUD: &str = r#"umask 077; for word; do case $word in --out-file=*) cat ../value > "${word#*=}";; esac; done"#;
const HALF: &str =
    r#"umask 077; for word; do case $word in --out-file=*) head -c 9 ../value > "${word#*=}";; esac; done"#;
const AZ: &str = "case $1 in keyvault) umask 077; cat ../value;; esac";
const TOKEN: &str = "to ken' \" $(touch pwned) `touch pwned` \\";
const WORKLOAD: &[(&str, &str)] = &[
    ("AZURE_CLIENT_ID", "client id"),
    ("AZURE_TENANT_ID", "$(touch pwned)"),
    ("AZURE_FEDERATED_TOKEN_FILE", "../to ken"),
];

type Check = fn(&Bench) -> Result<()>;

const CHECKS: [(&str, Check); 12] = [
    ("Embedded: 61 files, of every byte and odd lengths", Bench::embedded_bytes),
    ("Embedded: no larger file than the policy accepts can be handed over", Bench::embedded_largest),
    ("Embedded: keys at the edges of what is allowed", Bench::embedded_keys),
    ("Embedded: empty files, and keys that the policy refuses, none of which is run", Bench::embedded_rejected),
    ("Embedded: a file that cannot be written fails the container, and a retry mends it", Bench::embedded_failures),
    ("Embedded: a full volume fails the container", Bench::embedded_full_volume),
    ("GCP: full resource paths, with their versions", Bench::gcp_paths),
    ("GCP: a short name, when the full path fails", Bench::gcp_short_names),
    ("GCP: gcloud's failure fails the container, and a retry mends it", Bench::gcp_failures),
    ("Azure: URIs with and without a version", Bench::azure_uris),
    ("Azure: az's failure fails the container, and a retry mends it", Bench::azure_failures),
    ("GCP, Azure and Embedded in one pod share a volume", Bench::all_together),
];

pub async fn run(report: &mut Report, policy: &Policy) -> Result<()> {
    let namespace = sandbox::namespace()?;
    let place = match namespace {
        Some(_) => "in /etc/flyte/secrets",
        None => "with its path replaced, as mount namespaces are not allowed here",
    };
    for (name, shell) in [
        ("busybox", Shell::busybox(namespace, &on_path("busybox")?)?),
        ("dash", Shell::plain(namespace, &on_path("dash")?)?),
    ] {
        let bench = Bench { policy: policy.clone(), shell };
        report.section(&format!("scripts in {name}, {place}"));
        for (name, check) in CHECKS {
            report.check(name, async { check(&bench) }).await;
        }
    }
    Ok(())
}

/// The policy, and the shell in which its scripts run.
struct Bench {
    policy: Policy,
    shell: Shell,
}

impl Bench {
    fn embedded_bytes(&self) -> Result<()> {
        let every: Vec<u8> = (0..=255).collect();
        let large: Vec<u8> = every.iter().rev().cycle().take(50_000).copied().collect();
        let numbers: Vec<(String, Vec<u8>)> =
            (0..50).map(|number: u8| (format!("file-{number}"), vec![number; usize::from(number) * 31 + 1])).collect();
        let mut files: Vec<(&str, &[u8])> = vec![
            ("every", &every),
            ("large", &large),
            ("nul", b"\0"),
            ("line-break", b"\n"),
            ("line-breaks", b"a\n\n\r\n"),
            ("format", b"%s\\n%d\\0"),
            ("option", b"-n"),
            ("two", b"ab"),
            ("three", b"abc"),
            ("two-lines-of-base64", &[b'x'; 58]),
            ("not-utf-8", b"\xc3\x28\xff\xfe"),
        ];
        files.extend(numbers.iter().map(|(key, value)| (key.as_str(), value.as_slice())));
        self.writes(&files)
    }

    fn embedded_largest(&self) -> Result<()> {
        let large: Vec<u8> = (0..=255).cycle().take(100 * 1024).collect();
        let largest = large.get(..98_295).context("large is larger")?;
        self.writes(&[("k", largest)])?;

        let mut containers = containers(&self.ask_embedded(&[("k", largest)])?)?;
        let lines = secrets(&mut containers)?;
        *lines = json!(format!("{}\n", lines.as_str().unwrap_or_default()));
        match Sandbox::new(&self.shell)?.run(&containers[0], &[]) {
            Err(error) if error.kind() == ErrorKind::ArgumentListTooLong => {}
            other => bail!("one byte more can be handed over: {other:?}"),
        }
        for more in [large.get(..98_296).context("large is larger")?, &large] {
            let answer = self.ask_embedded(&[("k", more)])?;
            let message = answer.message().rsplit_once("Embedded: with this file of ");
            let reasons = message.is_some_and(|(_, rest)| rest.contains("use fewer or smaller files"));
            ensure!(answer.code() == 400 && answer.mutated().is_none() && reasons, "refused otherwise: {:#}", answer.0);
        }
        Ok(())
    }

    fn embedded_keys(&self) -> Result<()> {
        let (dots, letters) = (".".repeat(253), "K".repeat(255));
        let keys = [
            "-", "_", "...", "-n", "--", "-l.-_", "a.b", ".hidden", "0", "Tok", "tok", "SECRETS", "line", &dots,
            &letters,
        ];
        self.writes(&keys.map(|key| (key, key.as_bytes())))
    }

    fn embedded_rejected(&self) -> Result<()> {
        let mut containers = containers(&self.ask_embedded(&[("any", b"x")])?)?;
        let mut files: Vec<(&str, &[u8])> = HOSTILE.iter().map(|key| (*key, key.as_bytes())).collect();
        files.extend([("empty", b"".as_slice()), ("full", b"x"), ("last", b"")]);
        let lines = files.iter().map(|(key, value)| format!("{key}={}\n", STANDARD.encode(value)));
        *secrets(&mut containers)? = json!(lines.collect::<String>());
        let sandbox = Sandbox::new(&self.shell)?;
        sandbox.succeeds(&containers, &[])?;
        sandbox.holds(&files)
    }

    fn embedded_failures(&self) -> Result<()> {
        let value: Vec<u8> = (0..=255).cycle().take(9_000).collect();
        let files: &[(&str, &[u8])] = &[("a", &value), ("b", &value), ("c", &value)];
        let containers = containers(&self.ask_embedded(files)?)?;
        for (file, _) in files {
            let sandbox = Sandbox::new(&self.shell)?;
            let place = sandbox.secrets().join(file);
            fs::create_dir(&place)?;
            sandbox.fails(&containers, &[]).with_context(|| format!("a folder in the place of {file}"))?;
            fs::remove_dir(&place)?;
            fs::write(&place, [&value[..], b"longer, from an earlier try"].concat())?;
            sandbox.succeeds(&containers, &[])?;
            sandbox.holds(files)?;
        }
        Ok(())
    }

    fn embedded_full_volume(&self) -> Result<()> {
        let files: &[(&str, &[u8])] = &[("a", b"1"), ("b", &[2; 9_000]), ("c", b"3")];
        let containers = containers(&self.ask_embedded(files)?)?;
        for (file, _) in files {
            let sandbox = Sandbox::new(&self.shell)?;
            symlink("/dev/full", sandbox.secrets().join(file))?;
            sandbox.fails(&containers, &[]).with_context(|| format!("no space for {file}"))?;
        }
        Ok(())
    }

    fn gcp_paths(&self) -> Result<()> {
        let (long, located) = ("x".repeat(255), "projects/1/locations/europe-west1/secrets/x");
        for (group, version, file) in [
            ("projects/p-1/secrets/My-Secret", "Latest", "projects/p-1/secrets/my-secret/latest"),
            ("projects/example.com:p/secrets/a_b", "7", "projects/example.com:p/secrets/a_b/7"),
            (located, "an_Alias-1", &format!("{located}/an_alias-1")),
            ("Db_Password-1", "12", "db_password-1/12"),
            (&long, &long, &format!("{long}/{long}")),
        ] {
            let sandbox = self.sandbox(&[("gcloud", GCLOUD)])?;
            sandbox.succeeds(&self.cloud("GCP", &[(group, version)])?, &[])?;
            let secret = format!("{group}/versions/{version}");
            sandbox
                .called(&format!("secrets\nversions\naccess\n{secret}\n--out-file=/etc/flyte/secrets/{file}\n\n"))?;
            sandbox.holds(&[(file, VALUE)])?;
        }
        // Two versions of a secret are two files in one folder.
        let sandbox = self.sandbox(&[("gcloud", GCLOUD)])?;
        sandbox.succeeds(&self.cloud("GCP", &[("tok", "1"), ("tok", "2")])?, &[])?;
        sandbox.holds(&[("tok/1", VALUE), ("tok/2", VALUE)])
    }

    fn gcp_short_names(&self) -> Result<()> {
        let calls = "secrets\nversions\naccess\ntok/versions/7\n--out-file=/etc/flyte/secrets/tok/7\n\n\
                     secrets\nversions\naccess\n7\n--secret=tok\n--out-file=/etc/flyte/secrets/tok/7\n\n";
        for first in ["exit 1", &format!("{HALF}; exit 1")] {
            let sandbox = self.sandbox(&[("gcloud", &format!("case $4 in */*) {first};; esac; {GCLOUD}"))])?;
            sandbox.succeeds(&self.cloud("GCP", &[("tok", "7")])?, &[])?;
            sandbox.called(calls)?;
            sandbox.holds(&[("tok/7", VALUE)])?;
        }
        Ok(())
    }

    fn gcp_failures(&self) -> Result<()> {
        let containers = self.cloud("GCP", &[("tok", "7")])?;
        for (how, stub, left) in [
            ("at once", "exit 3", None),
            ("half way", &format!("{HALF}; exit 3"), VALUE.get(..9)),
            // A tool that writes elsewhere.
            ("without a word", "exit 0", None),
        ] {
            let sandbox = self.sandbox(&[("gcloud", stub)])?;
            let code = sandbox.fails(&containers, &[]).context(how)?;
            ensure!(stub == "exit 0" || code == Some(3), "{how}: gcloud's code is lost: {code:?}");
            let file = sandbox.secrets().join("tok/7");
            same(&json!(left), &json!(fs::read(&file).ok()))?;
            if left.is_some() {
                let mode = fs::metadata(&file)?.permissions().mode();
                ensure!(mode & 0o077 == 0, "half a file has mode {mode:o}, which others can read");
            }
            sandbox.stub("gcloud", GCLOUD)?;
            sandbox.succeeds(&containers, &[])?;
            sandbox.holds(&[("tok/7", VALUE)])?;
        }
        Ok(())
    }

    fn azure_uris(&self) -> Result<()> {
        let uri = "https://my-vault.vault.azure.net/secrets/My-Secret";
        let [slash, versioned] = [format!("{uri}/"), format!("{uri}/0F")];
        let upper = uri.replace("my-vault.vault", "My-Vault.VAULT");
        for (group, version, id, file) in [
            // An empty version follows its slash.
            (uri, "", &*slash, "my-secret"),
            (&slash, "", &slash, "my-secret"),
            (uri, "0F", &versioned, "my-secret/0f"),
            (&versioned, "", &versioned, "my-secret/0f"),
            (&versioned, "0F", &versioned, "my-secret/0f"),
            (&upper, "", &format!("{upper}/"), "my-secret"),
            ("https://v.vault.azure.cn/secrets/x", "1", "https://v.vault.azure.cn/secrets/x/1", "x/1"),
        ] {
            let sandbox = self.sandbox(&[("az", AZ)])?;
            sandbox.succeeds(&self.cloud("Azure", &[(group, version)])?, WORKLOAD)?;
            sandbox.called(&format!(
                "login\n--service-principal\n-u\nclient id\n-t\n$(touch pwned)\n--federated-token\n{TOKEN}\n\n\
                 keyvault\nsecret\nshow\n--id\n{id}\n--query\nvalue\n-o\ntsv\n\n"
            ))?;
            sandbox.holds(&[(file, VALUE)])?;
        }
        Ok(())
    }

    fn azure_failures(&self) -> Result<()> {
        for (version, file) in [("", "name"), ("0f", "name/0f")] {
            let containers = self.cloud("Azure", &[("https://v.vault.azure.net/secrets/Name", version)])?;
            for (how, stub) in [
                ("login", "case $1 in login) exit 4;; esac"),
                ("at once", "case $1 in keyvault) exit 4;; esac"),
                ("half way", "case $1 in keyvault) head -c 9 ../value; exit 4;; esac"),
            ] {
                let sandbox = self.sandbox(&[("az", stub)])?;
                same(&json!(4), &json!(sandbox.fails(&containers, WORKLOAD).context(how)?))?;
                let shown = sandbox.calls().contains("keyvault");
                ensure!(shown == (how != "login"), "{how}: az was called like this:\n{}", sandbox.calls());
                sandbox.stub("az", AZ)?;
                sandbox.succeeds(&containers, WORKLOAD)?;
                sandbox.holds(&[(file, VALUE)])?;
            }
        }
        Ok(())
    }

    fn all_together(&self) -> Result<()> {
        let requests = [
            request(&[("group", "tok"), ("group_version", "7")]),
            request(&[("group", "https://v.vault.azure.net/secrets/Name")]),
            request(&[("key", "every")]),
        ];
        let mut settings = embedded_settings();
        settings["secretManagerTypes"] = json!(["GCP", "Azure", "Embedded"]);
        let every: Vec<u8> = (0..=255).collect();
        let answer = self.ask(&settings, &requests, &embedded_store(&[("every", &every)]))?;
        let sandbox = self.sandbox(&[("az", AZ), ("gcloud", GCLOUD)])?;
        sandbox.succeeds(&containers(&answer)?, WORKLOAD)?;
        sandbox.holds(&[("every", &every), ("name", VALUE), ("tok/7", VALUE)])
    }

    /// Returns a sandbox with stubs of clouds' tools.
    fn sandbox(&self, stubs: &[(&str, &str)]) -> Result<Sandbox<'_>> {
        let sandbox = Sandbox::new(&self.shell)?;
        fs::write(sandbox.path("value"), VALUE)?;
        fs::write(sandbox.path("to ken"), TOKEN)?;
        stubs.iter().try_for_each(|(name, script)| sandbox.stub(name, script))?;
        Ok(sandbox)
    }

    /// Checks that Embedded's script writes these files.
    fn writes(&self, files: &[(&str, &[u8])]) -> Result<()> {
        let sandbox = Sandbox::new(&self.shell)?;
        sandbox.succeeds(&containers(&self.ask_embedded(files)?)?, &[])?;
        sandbox.holds(files)
    }

    fn ask(&self, settings: &Value, requests: &[String], store: &Value) -> Result<Response> {
        let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
        let store: Arc<dyn Capabilities> = Store::new(store.clone());
        self.policy.create_pod(&pod(&requests), settings, &store)
    }

    fn ask_embedded(&self, files: &[(&str, &[u8])]) -> Result<Response> {
        let requests: Vec<String> = files.iter().map(|(key, _)| request(&[("key", key)])).collect();
        self.ask(&embedded_settings(), &requests, &embedded_store(files))
    }

    /// Returns the init containers for files of a cloud's manager: groups and versions.
    fn cloud(&self, manager: &str, secrets: &[(&str, &str)]) -> Result<Vec<Value>> {
        let requests = secrets.iter().map(|(group, version)| request(&[("group", group), ("group_version", version)]));
        let settings = json!({ "secretManagerTypes": [manager] });
        containers(&self.ask(&settings, &requests.collect::<Vec<_>>(), &json!({}))?)
    }
}

/// Returns a request for a file in the text format, with every byte escaped.
fn request(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(field, value)| {
        let bytes: String = value.bytes().map(|byte| format!("\\{byte:03o}")).collect();
        format!("{field}:'{bytes}' ")
    });
    fields.collect::<String>() + "mount_requirement:FILE"
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
