//! What the init-containers' scripts do, in a real shell, with stubs for the clouds' tools.
//!
//! The scripts write to `/etc/flyte/secrets`; here that folder is replaced by one of the test's own, in the script and
//! in its arguments, which is all that is changed of a command.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use flyte_secrets_testing::host::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{create_with, kubernetes_store, managers, mutated, pod, project_name};

/// The first of our init-containers, after the policy has seen the request.
fn container(settings: &Value, requests: &[&str], store: &std::sync::Arc<Store>) -> Value {
    mutated(&create_with(&pod(requests), settings, store))["spec"]["initContainers"][0].clone()
}

/// A folder with the secrets' folder and one for stubs.
struct Sandbox(TempDir);

impl Sandbox {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("secrets")).expect("a folder");
        fs::create_dir(folder.path().join("bin")).expect("a folder");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A command that records how it was called, then runs `script`.
    fn stub(&self, name: &str, script: &str) {
        let file = self.path().join("bin").join(name);
        let record = "for word in \"$@\"; do printf '%s\\n' \"$word\"; done >> \"$RECORD\"; echo >> \"$RECORD\"";
        fs::write(&file, format!("#!/bin/sh\n{record}\n{script}\n")).expect("a stub");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a stub that runs");
    }

    /// How the stubs were called: a word a line, an empty line after each call.
    fn calls(&self) -> String {
        let text = fs::read_to_string(self.path().join("record")).unwrap_or_default();
        text.replace(&self.secrets(), "/etc/flyte/secrets")
    }

    fn secrets(&self) -> String {
        self.path().join("secrets").to_string_lossy().into_owned()
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path().join("secrets").join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    fn run(&self, shell: &str, container: &Value) -> Output {
        let words: Vec<String> = container["command"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|word| word.replace("/etc/flyte/secrets", &self.secrets()))
            .collect();
        assert_eq!(words[0], "sh");
        let path = format!("{}:{}", self.path().join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(shell);
        command.args(&words[1..]).env_clear().env("PATH", path).env("RECORD", self.path().join("record"));
        command.current_dir(self.path());
        for variable in container["env"].as_array().into_iter().flatten() {
            let text = |key: &str| variable[key].as_str().unwrap_or_default().to_owned();
            command.env(text("name"), text("value"));
        }
        command.env("AZURE_CLIENT_ID", "client").env("AZURE_TENANT_ID", "tenant");
        command.env("AZURE_FEDERATED_TOKEN_FILE", self.path().join("token"));
        command.output().expect("a shell")
    }
}

#[track_caller]
fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn embedded_writes_every_byte() {
    let every: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = every.iter().cycle().take(90_000).copied().collect();
    let names = [project_name("every"), project_name("-large.-_"), project_name("one")];
    let store = kubernetes_store(&[(&names[0], &every), (&names[1], &large), (&names[2], b"\n")]);
    let requests = ["every", "-large.-_", "one"].map(|key| format!("key:'{key}' mount_requirement:FILE"));
    let requests = [requests[0].as_str(), requests[1].as_str(), requests[2].as_str()];
    let container = container(&json!({}), &requests, &store);
    let sandbox = Sandbox::new();
    done(&sandbox.run("sh", &container));
    assert_eq!(sandbox.read("every"), every);
    assert_eq!(sandbox.read("-large.-_"), large);
    assert_eq!(sandbox.read("one"), b"\n");
}

#[test]
fn embedded_fails_when_a_file_cannot_be_written() {
    let store = kubernetes_store(&[(&project_name("a"), b"1"), (&project_name("b"), b"2")]);
    let requests = ["key:'a' mount_requirement:FILE", "key:'b' mount_requirement:FILE"];
    let container = container(&json!({}), &requests, &store);
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path().join("secrets/a")).expect("a folder in the way");
    assert!(!sandbox.run("sh", &container).status.success());
}

const GCLOUD: &str =
    "umask 077; for word in \"$@\"; do case \"$word\" in --out-file=*) printf value > \"${word#*=}\";; esac; done";

#[test]
fn gcp_pulls_a_full_resource_path() {
    let request = "group:'projects/p/secrets/My-Secret' group_version:'Latest'";
    let container = container(&managers(&["GCP"]), &[request], &Store::new(json!({})));
    let sandbox = Sandbox::new();
    sandbox.stub("gcloud", GCLOUD);
    done(&sandbox.run("sh", &container));
    let file = "projects/p/secrets/my-secret/latest";
    assert_eq!(
        sandbox.calls(),
        format!(
            "secrets\nversions\naccess\nprojects/p/secrets/My-Secret/versions/Latest\n--out-file=/etc/flyte/secrets/{file}\n\n"
        )
    );
    assert_eq!(sandbox.read(file), b"value");
    let mode = fs::metadata(sandbox.path().join("secrets").join(file)).expect("the file").permissions().mode();
    assert_eq!(mode & 0o444, 0o444, "a task that runs as another user can read it");
}

#[test]
fn gcp_pulls_a_short_name_when_the_path_fails() {
    let container = container(&managers(&["GCP"]), &["group:'tok' group_version:'7'"], &Store::new(json!({})));
    let sandbox = Sandbox::new();
    sandbox.stub("gcloud", &format!("case \"$4\" in */*) exit 1;; esac; {GCLOUD}"));
    done(&sandbox.run("sh", &container));
    assert_eq!(
        sandbox.calls(),
        "secrets\nversions\naccess\ntok/versions/7\n--out-file=/etc/flyte/secrets/tok/7\n\n\
         secrets\nversions\naccess\n7\n--secret=tok\n--out-file=/etc/flyte/secrets/tok/7\n\n"
    );
    assert_eq!(sandbox.read("tok/7"), b"value");
}

#[test]
fn gcp_fails_with_its_tool() {
    let container = container(&managers(&["GCP"]), &["group:'tok' group_version:'7'"], &Store::new(json!({})));
    let sandbox = Sandbox::new();
    sandbox.stub("gcloud", "exit 3");
    assert_eq!(sandbox.run("sh", &container).status.code(), Some(3));
}

#[test]
fn azure_logs_in_and_pulls() {
    let request = "group:'https://v.vault.azure.net/secrets/Name' group_version:'0f'";
    let container = container(&managers(&["Azure"]), &[request], &Store::new(json!({})));
    let sandbox = Sandbox::new();
    fs::write(sandbox.path().join("token"), "to ken").expect("a token");
    sandbox.stub("az", "case \"$1\" in keyvault) umask 077; printf value;; esac");
    done(&sandbox.run("sh", &container));
    assert_eq!(
        sandbox.calls(),
        "login\n--service-principal\n-u\nclient\n-t\ntenant\n--federated-token\nto ken\n\n\
         keyvault\nsecret\nshow\n--id\nhttps://v.vault.azure.net/secrets/Name/0f\n--query\nvalue\n-o\ntsv\n\n"
    );
    assert_eq!(sandbox.read("name/0f"), b"value");
}

#[test]
fn azure_fails_with_its_tool() {
    let request = "group:'https://v.vault.azure.net/secrets/Name'";
    let container = container(&managers(&["Azure"]), &[request], &Store::new(json!({})));
    for script in ["case \"$1\" in login) exit 4;; esac", "case \"$1\" in keyvault) exit 4;; esac"] {
        let sandbox = Sandbox::new();
        fs::write(sandbox.path().join("token"), "token").expect("a token");
        sandbox.stub("az", script);
        assert_eq!(sandbox.run("sh", &container).status.code(), Some(4), "{script}");
    }
}

#[test]
fn no_script_holds_what_kubernetes_would_expand() {
    let store = kubernetes_store(&[(&project_name("a"), b"1")]);
    for (settings, request) in [
        (json!({}), "key:'a' mount_requirement:FILE"),
        (managers(&["GCP"]), "group:'g' group_version:'1'"),
        (managers(&["Azure"]), "group:'https://v.vault.azure.net/secrets/a'"),
    ] {
        let command = container(&settings, &[request], &store)["command"].to_string();
        assert!(!command.contains("$(") && !command.contains("$$"), "{command}");
    }
}
