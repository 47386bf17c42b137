//! A task whose pod compares what it sees with what is expected, and fails if they differ.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_testing::pods::{pod, with};
use serde_json::{Value, json};

use super::secrets::{Request, value, variable};
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

/// A change of a Secret while a pod exists.
pub struct Change {
    /// Trigger: the pod's phase, the reason of an event, or the reason for which a container waits.
    pub once: &'static str,
    pub namespace: &'static str,
    pub secret: String,
    pub data: Value,
}

/// A task: its pod, the policy's settings, and what is expected.
pub struct Task {
    pub name: String,
    pub namespace: &'static str,
    managers: &'static [&'static str],
    pub requests: Vec<String>,
    script: String,
    shapes: Vec<fn(&mut Value)>,
    settings: Vec<(&'static str, Value)>,
    pub restarts: usize,
    pub change: Option<Change>,
    pub outcome: Outcome,
    /// Whether the mutated pod is evaluated again.
    pub twice: bool,
}

impl Task {
    /// Returns a task in this namespace with these managers.
    pub fn new(name: &str, namespace: &'static str, managers: &'static [&'static str], requests: &[Request]) -> Self {
        Self {
            name: name.to_owned(),
            namespace,
            managers,
            requests: requests.iter().map(|request| request.text.clone()).collect(),
            script: requests.iter().fold(HELPERS.to_owned(), |script, request| script + &request.check),
            shapes: Vec::new(),
            settings: Vec::new(),
            restarts: 0,
            change: None,
            outcome: Outcome::Succeeds,
            twice: false,
        }
    }

    /// Expects a variable with this value.
    pub fn variable(self, name: &str, value: &str) -> Self {
        self.does(&variable(name, value.as_bytes()))
    }

    /// Adds commands to the task's script.
    pub fn does(mut self, script: &str) -> Self {
        self.script += &format!("{}\n", script.trim_end());
        self
    }

    /// Edits the pod.
    pub fn shaped(mut self, shape: fn(&mut Value)) -> Self {
        self.shapes.push(shape);
        self
    }

    /// Sets one of the policy's settings, by JSON pointer.
    pub fn set(mut self, path: &'static str, value: Value) -> Self {
        self.settings.push((path, value));
        self
    }

    /// Lets the container fail once, and expects the same after the restart.
    pub fn restarted(mut self) -> Self {
        self.restarts = 1;
        self
    }

    /// Requires the Secrets of the manager K8s, and creates one after the pod waits for it, with this reason.
    pub fn waiting(self, reason: &'static str, id: &str) -> Self {
        let (secret, key) = id.split_once('/').unwrap_or_default();
        let data = json!({ key: STANDARD.encode(value(id)) });
        let change = Change { once: reason, namespace: self.namespace, secret: secret.to_owned(), data };
        self.set("/k8sSecretManager/optional", json!(false)).changing(change)
    }

    /// Changes a Secret while the pod exists.
    pub fn changing(mut self, change: Change) -> Self {
        self.change = Some(change);
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

    /// Returns the policy's settings.
    pub fn settings(&self, mut base: Value) -> Value {
        base["secretManagerTypes"] = json!(self.managers);
        base["k8sSecretManager"]["optional"] = json!(true);
        self.settings.iter().fold(base, |settings, (path, value)| with(settings, path, value.clone()))
    }

    /// Returns the pod to create.
    pub fn pod(&self) -> Value {
        let mut pod = pod(&self.requests.iter().map(String::as_str).collect::<Vec<_>>());
        let name = self.name.to_ascii_lowercase();
        let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        pod["metadata"]["name"] = json!(words.collect::<Vec<_>>().join("-"));
        pod["metadata"]["namespace"] = json!(self.namespace);
        let domain = self.namespace.strip_prefix("flytesnacks-").unwrap_or("development");
        pod["metadata"]["labels"]["domain"] = json!(domain);
        pod["spec"] = json!({
            "nodeName": node::NAME,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            // Replaces cluster DNS.
            "hostAliases": [{ "ip": "127.0.0.1", "hostnames": ["secret-gateway-pods.flyte.svc"] }],
            "containers": [container("main", &self.script)],
        });
        if self.restarts > 0 {
            let again = format!("[ -e /again/again ] || {{ touch /again/again; exit 1; }}\n{}", self.script);
            pod["spec"]["restartPolicy"] = json!("OnFailure");
            pod["spec"]["containers"] = json!([container("main", &again)]);
            pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "again", "mountPath": "/again" }]);
            pod["spec"]["volumes"] = json!([{ "name": "again", "emptyDir": {} }]);
        }
        self.shapes.iter().for_each(|shape| shape(&mut pod));
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
