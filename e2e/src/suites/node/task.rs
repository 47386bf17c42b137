//! A task whose pod compares what it sees with what is expected, and fails if they differ.

use std::fmt::Write as _;

use flyte_secrets_testing::pods::pod;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::node;

/// Expected outcome of a pod.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// Its containers end with exit code 0.
    Succeeds,
    /// This container ends with exit code 1. Its termination message, or its log, contains all of these texts.
    Fails(&'static str, &'static [&'static str]),
    /// One of its containers waits for this reason.
    Waits(&'static str),
    /// The API server accepts it; the node cannot run it.
    Admitted,
    /// The API server rejects it with this code and a message that contains all of these texts.
    Rejected(u16, &'static [&'static str]),
}

/// A change while a pod exists.
pub struct Change {
    /// Trigger: the pod's phase, the reason of an event, or the reason for which a container waits.
    pub once: &'static str,
    pub namespace: &'static str,
    pub secret: String,
    pub data: Value,
}

/// A task: its pod, the policy's settings, and the expected variables and files.
pub struct Task {
    name: String,
    managers: &'static [&'static str],
    optional: bool,
    namespace: &'static str,
    requests: Vec<String>,
    script: String,
    shapes: Vec<fn(&mut Value)>,
    settings: Vec<fn(&mut Value)>,
    restarts: usize,
    change: Option<Change>,
    outcome: Outcome,
    twice: bool,
}

impl Task {
    /// Returns a task in this namespace with these managers.
    pub fn new(name: &str, namespace: &'static str, managers: &'static [&'static str], requests: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            managers,
            optional: true,
            namespace,
            requests: requests.iter().map(|request| (*request).to_owned()).collect(),
            script: HELPERS.to_owned(),
            shapes: Vec::new(),
            settings: Vec::new(),
            restarts: 0,
            change: None,
            outcome: Outcome::Succeeds,
            twice: false,
        }
    }

    /// Expects a variable with this value.
    pub fn variable(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let _ = writeln!(self.script, "same {name} {} \"$(printf %s \"${name}\" | sum)\"", sum(value.as_ref()));
        self
    }

    /// Expects a read-only file with these contents.
    pub fn file(mut self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        let path = format!("/etc/flyte/secrets/{path}");
        let _ = writeln!(self.script, "same {path} {} \"$(sum < '{path}')\"", sum(contents.as_ref()));
        let _ = writeln!(self.script, "! (echo > '{path}') 2> /dev/null || fail '{path} can be written'");
        self
    }

    /// Expects that a variable does not exist.
    pub fn no_variable(mut self, name: &str) -> Self {
        let _ = writeln!(self.script, "[ -z \"${{{name}+set}}\" ] || fail '{name} is set'");
        self
    }

    /// Expects that a file does not exist.
    pub fn no_file(mut self, path: &str) -> Self {
        let path = format!("/etc/flyte/secrets/{path}");
        let _ = writeln!(self.script, "[ ! -e '{path}' ] || fail '{path} exists'");
        self
    }

    /// Sets the namespace.
    pub fn of_namespace(mut self, namespace: &'static str) -> Self {
        self.namespace = namespace;
        self
    }

    /// Edits the pod.
    pub fn shaped(mut self, shape: fn(&mut Value)) -> Self {
        self.shapes.push(shape);
        self
    }

    /// Edits the policy's settings.
    pub fn with(mut self, settings: fn(&mut Value)) -> Self {
        self.settings.push(settings);
        self
    }

    /// Lets the container fail once, and expects the same after the restart.
    pub fn restarted(mut self) -> Self {
        self.restarts = 1;
        self
    }

    /// Requires the Secrets of the manager K8s, one of which is created late: the pod waits, with this word in an
    /// event, and continues after the Secret is created.
    pub fn waiting(mut self, word: &'static str, secret: &'static str, data: Value) -> Self {
        self.optional = false;
        let namespace = self.namespace;
        self.changing(Change { once: word, namespace, secret: secret.to_owned(), data })
    }

    /// Changes a Secret while the pod exists.
    pub fn changing(mut self, change: Change) -> Self {
        self.change = Some(change);
        self
    }

    /// Expects that a file gets these contents.
    pub fn file_becomes(mut self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        let (path, sum) = (format!("/etc/flyte/secrets/{path}"), sum(contents.as_ref()));
        let _ = writeln!(self.script, "until [ \"$(sum < '{path}')\" = {sum} ]; do sleep 0.2; done");
        let _ = writeln!(self.script, "echo '{path}: {sum}'");
        self
    }

    /// Adds a shell script to the task.
    pub fn does(mut self, script: &str) -> Self {
        let _ = writeln!(self.script, "{script}");
        self
    }

    /// Sets another outcome than success.
    pub fn ends(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Evaluates the mutated pod again.
    pub fn twice(mut self) -> Self {
        self.twice = true;
        self
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn namespace(&self) -> &'static str {
        self.namespace
    }

    pub fn requests(&self) -> String {
        self.requests.join("\n")
    }

    pub fn restarts(&self) -> usize {
        self.restarts
    }

    pub fn change(&self) -> Option<&Change> {
        self.change.as_ref()
    }

    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    pub fn is_mutated_twice(&self) -> bool {
        self.twice
    }

    /// Returns the policy's settings.
    pub fn settings(&self, mut base: Value) -> Value {
        base["secretManagerTypes"] = json!(self.managers);
        base["k8sSecretManager"]["optional"] = json!(self.optional);
        for change in &self.settings {
            change(&mut base);
        }
        base
    }

    /// Returns the pod to create.
    pub fn pod(&self) -> Value {
        let requests: Vec<&str> = self.requests.iter().map(String::as_str).collect();
        let mut pod = pod(&requests);
        let name = self.name.to_ascii_lowercase();
        let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        pod["metadata"]["name"] = json!(words.collect::<Vec<_>>().join("-"));
        pod["metadata"]["namespace"] = json!(self.namespace);
        let domain = self.namespace.strip_prefix("flytesnacks-").unwrap_or("development");
        pod["metadata"]["labels"]["domain"] = json!(domain);
        pod["spec"]["nodeName"] = json!(node::NAME);
        pod["spec"]["restartPolicy"] = json!(if self.restarts > 0 { "OnFailure" } else { "Never" });
        pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
        // Replaces cluster DNS.
        let gateway = json!({ "ip": "127.0.0.1", "hostnames": ["secret-gateway-pods.flyte.svc"] });
        pod["spec"]["hostAliases"] = json!([gateway]);
        let mut main = container("main", &self.script);
        if self.restarts > 0 {
            let again = format!("[ -e /again/again ] || {{ touch /again/again; exit 1; }}\n{}", self.script);
            main = container("main", &again);
            main["volumeMounts"] = json!([{ "name": "again", "mountPath": "/again" }]);
            pod["spec"]["volumes"] = json!([{ "name": "again", "emptyDir": {} }]);
        }
        pod["spec"]["containers"] = json!([main]);
        for shape in &self.shapes {
            shape(&mut pod);
        }
        pod
    }
}

/// Returns a container with a script.
pub fn container(name: &str, script: &str) -> Value {
    json!({ "name": name, "image": node::BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-euc", script] })
}

/// Functions of the scripts. Without `$$`, which Kubernetes would replace by `$`.
const HELPERS: &str = "\
fail() { echo \"$1\"; exit 1; }
sum() { sha256sum | cut -d ' ' -f 1; }
same() { [ \"$2\" = \"$3\" ] || fail \"$1: SHA-256 expected $2, got $3\"; echo \"$1: $2\"; }
";

fn sum(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
