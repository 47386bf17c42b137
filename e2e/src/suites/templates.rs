//! Templates for the Vault Agent Injector, rendered by consul-template, which Vault Agent embeds, with a double of
//! Vault: each file has the stored value only.

mod vault;

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flyte_secrets_testing::engine::Policy;
use flyte_secrets_testing::golden::same;
use flyte_secrets_testing::host;
use flyte_secrets_testing::pods::pod;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::report::Report;
use crate::tools::program;
use vault::{TOKEN, Vault};

/// Content that no template may read.
const CANARY: &str = "what another file holds";

const KEYS: [&str; 37] = [
    "password", "_", "Key_1", "my-key", "a.b", "1st", "42", "a key", " ", "it's", "a\"b\"", "a\\b", "\\", "a`b",
    "ключ", "größe", "鍵", "😀", "\u{301}", "a/b", "$v", "%s", "x=y", "{{ . }}", "}}", "{{-", "-}}", "{{/**/}}",
    "data", "metadata", "Data", "range", "end", "nil", "true", "define", "len",
];

const PATHS: [&str; 14] = [
    "app", "my-app", "v1.2", "a b", "it's", "a\"b\"", "a\\b", "a`b", "größe", "a/b/c", "}}", "{{ . }}", "$v", "data/x",
];

pub async fn run(report: &mut Report, policy: &Policy) -> Result<()> {
    let bench = Bench(policy);
    report.section("Vault's templates in consul-template");
    let (large, none) = ("0123456789abcdef\n".repeat(20_000), "<no value>");
    let values = json!(["", "\n", "  ", none, "\0", "\u{1b}", "\u{feff}", large, true, u64::MAX, -1, 0.1]);
    for (name, settings, version, root) in [
        ("kv1", json!({}), "kv1", "kv/"),
        ("kv2", json!({}), "kv2", "secret/data/"),
        ("kv2, with a path as for version 1", json!({}), "kv2", "secret/"),
        ("no engine named: version 2", json!({}), "", "secret/data/"),
        ("no engine named, kvVersion 1", json!({ "kvVersion": 1 }), "", "kv/"),
        ("no engine named, kvVersion \"1\"", json!({ "kvVersion": "1" }), "", "kv/"),
        ("no engine named, kvVersion 2", json!({ "kvVersion": 2 }), "", "secret/data/"),
        ("kv1 for all that kvVersion is 2", json!({ "kvVersion": 2 }), "kv1", "kv/"),
        ("kv2 for all that kvVersion is 1", json!({ "kvVersion": 1 }), "kv2", "secret/data/"),
        ("an unknown engine, kvVersion 1", json!({ "kvVersion": 1 }), "kv3", "kv/"),
    ] {
        let keys = KEYS.iter().map(|key| Secret::new(&format!("{root}app"), key));
        let paths = PATHS.iter().flat_map(|path| [format!("{root}{path}"), format!("/{root}{path}/and slashes/")]);
        let paths = paths.flat_map(|path| ["password", "my-key"].map(|key| Secret::new(&path, key)));
        // A pod has a file only once.
        let app = format!("{root}app");
        let mut secrets: Vec<Secret> = keys.chain(paths.filter(|secret| secret.path != app)).collect();
        let values = values.as_array().into_iter().flatten().enumerate();
        secrets.extend(values.map(|(number, value)| Secret::of(&app, &format!("key{number}"), value.clone())));
        let name = format!("{name}: keys, paths and values of all kinds");
        report.check(&name, bench.deliver(&settings, version, &secrets)).await;
    }
    report.check("db: no template for all that kvVersion is 1", async { bench.database() }).await;
    report.check("a key or a path that is a template brings in nothing else", bench.hostile()).await;
    report.check("a secret that is not there, or not for us, fails the agent", bench.failures()).await;
    Ok(())
}

/// Files of the injector, and their templates.
type Templates = BTreeMap<String, String>;

/// A secret in Vault.
struct Secret {
    path: String,
    key: String,
    value: Value,
}

impl Secret {
    /// Returns a secret with a unique value, which escaping, trimming or rendering would change.
    fn new(path: &str, key: &str) -> Self {
        Self::of(path, key, json!(format!(" \t{path}|{key}\r\n{{{{ .Data }}}} <&>\"'\\ é\u{1f600}\n\n")))
    }

    fn of(path: &str, key: &str, value: Value) -> Self {
        Self { path: path.to_owned(), key: key.to_owned(), value }
    }
}

struct Bench<'a>(&'a Policy);

impl Bench<'_> {
    async fn hostile(&self) -> Result<()> {
        let folder = TempDir::new()?;
        let file = folder.path().join("canary");
        fs::write(&file, CANARY)?;
        let hostile = [
            r#""}}{{ file "FILE" }}"#,
            r#"" }}{{ file "FILE" }}{{ ""#,
            r#"\"}}{{ file "FILE" }}{{""#,
            r#"x" -}}{{- end -}}{{ file "FILE" }}{{ if ""#,
            r#"x" | file "FILE"#,
            r#"x" (file "FILE") ""#,
            "`}}{{ file `FILE` }}",
            r#"{{ file "FILE" }}"#,
            r#""}}{{ env "CANARY" }}"#,
            r#""}}{{ with secret "kv/other" }}{{ .Data.canary }}{{ end }}"#,
            r#"x" }}{{ plugin "sh" "-c" "echo $CANARY"#,
        ]
        .map(|text| text.replace("FILE", &file.to_string_lossy()));
        for (version, root) in [("kv1", "kv/"), ("kv2", "secret/data/")] {
            let keys = hostile.iter().map(|key| Secret::new(&format!("{root}app"), key));
            let paths = hostile.iter().map(|path| Secret::new(&format!("{root}{path}"), "my-key"));
            let secrets: Vec<Secret> = keys.chain(paths).collect();
            self.deliver(&json!({}), version, &secrets).await?;
            // A missing secret can fail or be empty.
            for secret in &secrets {
                let other = json!({ "kv/other": { "canary": CANARY }, format!("{root}app"): { "any": "value" } });
                let vault = Vault::start(other).await?;
                let templates = self.templates(&json!({}), version, std::slice::from_ref(secret))?;
                let rendered = self.render(&vault, TOKEN, &templates).await;
                let all = format!("{rendered:?}");
                ensure!(!all.contains(CANARY), "{:?} {:?} yields {all}", secret.path, secret.key);
            }
        }
        Ok(())
    }

    async fn failures(&self) -> Result<()> {
        let there = Secret::new("secret/data/app", "password");
        let vault = Vault::start(contents(std::slice::from_ref(&there))).await?;
        let templates = self.templates(&json!({}), "kv2", &[there])?;
        self.render(&vault, TOKEN, &templates).await.context("with everything in its place")?;
        let others = self.templates(&json!({}), "kv2", &[Secret::new("secret/data/other", "password")])?;
        for (token, templates, words) in [
            ("another-token", templates, "permission denied"),
            (TOKEN, others, "no secret exists at secret/data/other"),
        ] {
            let error = self.render(&vault, token, &templates).await.err().context("it renders")?.to_string();
            ensure!(error.contains(words), "it fails otherwise: {error}");
        }
        Ok(())
    }

    fn database(&self) -> Result<()> {
        let secret = Secret::new("database/creds/role", "password");
        let found = self.templates(&json!({ "kvVersion": 1 }), "db", &[secret]);
        same(&json!("1 secrets, but 0 templates"), &json!(found.err().map(|error| error.to_string())))
    }

    /// Stores secrets, requests them in one pod, and compares the files that the agent writes.
    async fn deliver(&self, settings: &Value, version: &str, secrets: &[Secret]) -> Result<()> {
        let vault = Vault::start(contents(secrets)).await?;
        let templates = self.templates(settings, version, secrets)?;
        let wanted = secrets.iter().map(|Secret { path, key, value }| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (format!("{path}/{key}"), text)
        });
        let wanted: BTreeMap<String, String> = wanted.collect();
        same(&json!(wanted), &json!(self.render(&vault, TOKEN, &templates).await?))
    }

    /// Returns the injector's files and templates, from the annotations of the mutated pod.
    fn templates(&self, vault: &Value, version: &str, secrets: &[Secret]) -> Result<Templates> {
        let requests = secrets.iter().map(|Secret { path, key, .. }| {
            let text = |text: &str| text.bytes().map(|byte| format!("\\{byte:03o}")).collect::<String>();
            format!("group:'{}' key:'{}' group_version:'{version}' mount_requirement:FILE", text(path), text(key))
        });
        let requests: Vec<String> = requests.collect();
        let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
        let settings = json!({ "secretManagerTypes": ["Vault"], "vaultSecretManager": vault });
        let answer = self.0.create_pod(&pod(&requests), &settings, &host::nothing())?;
        let pod = answer.mutated().with_context(|| format!("not changed: {:#}", answer.0))?;
        let annotations = pod["metadata"]["annotations"].as_object().context("no annotations")?;
        let files = annotations.iter().filter_map(|(name, file)| {
            let id = name.strip_prefix("vault.hashicorp.com/agent-inject-file-")?;
            let template = annotations.get(&format!("vault.hashicorp.com/agent-inject-template-{id}"))?;
            Some((file.as_str()?.to_owned(), template.as_str()?.to_owned()))
        });
        let files: BTreeMap<_, _> = files.collect();
        ensure!(files.len() == secrets.len(), "{} secrets, but {} templates", secrets.len(), files.len());
        Ok(files)
    }

    /// Renders templates.
    async fn render(&self, vault: &Vault, token: &str, templates: &Templates) -> Result<BTreeMap<String, String>> {
        let folder = TempDir::new()?;
        let place = |number: usize, what: &str| folder.path().join(format!("{number}.{what}"));
        let mut command = Command::new(program("E2E_TOOLS", "consul-template")?);
        command.args(["-once", "-vault-renew-token=false", "-vault-retry=false", "-log-level=err"]);
        command.args(["-vault-addr", &vault.address, "-vault-token", token]);
        for (number, template) in templates.values().enumerate() {
            let (from, to) = (place(number, "template"), place(number, "file"));
            fs::write(&from, template)?;
            command.arg("-template").arg(format!("{}:{}", from.display(), to.display()));
        }
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("CANARY", CANARY);
        command.current_dir(&folder).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(30), command.output()).await;
        let output = output.context("consul-template does not come to an end")??;
        ensure!(output.status.success(), "consul-template: {}", String::from_utf8_lossy(&output.stderr));
        let files = templates.keys().enumerate().map(|(number, file)| {
            let text = fs::read_to_string(place(number, "file")).with_context(|| format!("no file for {file}"))?;
            Ok((file.clone(), text))
        });
        files.collect()
    }
}

/// Returns the contents of Vault by path.
fn contents(secrets: &[Secret]) -> Value {
    let mut all: Map<String, Value> = Map::new();
    for Secret { path, key, value } in secrets {
        let path = path.trim_matches('/');
        let path = match path.strip_prefix("secret/") {
            Some(rest) if !rest.starts_with("data/") => format!("secret/data/{rest}"),
            _ => path.to_owned(),
        };
        all.entry(path).or_insert_with(|| json!({}))[key] = value.clone();
    }
    Value::Object(all)
}
