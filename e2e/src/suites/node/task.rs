//! A task whose pod compares what it sees with what it should see, and fails if they differ.

use std::fmt::Write as _;

use flyte_secrets_testing::pods::pod;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::node;

/// What is to become of a pod.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// Its containers end with exit code 0.
    Succeeds,
    /// This container ends with exit code 1, and its termination message, or its log without one, has all of these.
    Fails(&'static str, &'static [&'static str]),
    /// One of its containers waits for this reason.
    Waits(&'static str),
    /// The API server would create it; the node cannot run it.
    Admitted,
    /// The API server rejects it with this code and a message that has all of these.
    Rejected(u16, &'static [&'static str]),
}

/// What changes while a pod is there.
pub struct Change {
    /// The pod's phase, the reason of one of its events, or that for which a container waits.
    pub once: &'static str,
    pub namespace: &'static str,
    pub secret: String,
    pub data: Value,
}

/// A task's pod, how it is served, and what it must see.
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
    /// A task of this namespace, served by these managers.
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

    /// It must have a variable with this value.
    pub fn variable(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let _ = writeln!(self.script, "same {name} {} \"$(printf %s \"${name}\" | sum)\"", sum(value.as_ref()));
        self
    }

    /// It must have a file with these contents, that it can read and not change.
    pub fn file(mut self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        let path = format!("/etc/flyte/secrets/{path}");
        let _ = writeln!(self.script, "same {path} {} \"$(sum < '{path}')\"", sum(contents.as_ref()));
        let _ = writeln!(self.script, "! (echo > '{path}') 2> /dev/null || fail '{path} can be written'");
        self
    }

    /// It must have no such variable.
    pub fn no_variable(mut self, name: &str) -> Self {
        let _ = writeln!(self.script, "[ -z \"${{{name}+set}}\" ] || fail '{name} is set'");
        self
    }

    /// It must have no such file.
    pub fn no_file(mut self, path: &str) -> Self {
        let path = format!("/etc/flyte/secrets/{path}");
        let _ = writeln!(self.script, "[ ! -e '{path}' ] || fail '{path} exists'");
        self
    }

    /// It runs in this namespace.
    pub fn of_namespace(mut self, namespace: &'static str) -> Self {
        self.namespace = namespace;
        self
    }

    /// Its pod differs from others in this.
    pub fn shaped(mut self, shape: fn(&mut Value)) -> Self {
        self.shapes.push(shape);
        self
    }

    /// The policy has other settings than for most.
    pub fn with(mut self, settings: fn(&mut Value)) -> Self {
        self.settings.push(settings);
        self
    }

    /// The pod's container fails once, and sees the same afterwards.
    pub fn restarted(mut self) -> Self {
        self.restarts = 1;
        self
    }

    /// Secrets that the manager K8s references must exist. One does not at first: the pod waits, says this word, and goes on
    /// once the Secret is there.
    pub fn waiting(mut self, word: &'static str, secret: &'static str, data: Value) -> Self {
        self.optional = false;
        let namespace = self.namespace;
        self.changing(Change { once: word, namespace, secret: secret.to_owned(), data })
    }

    /// A Secret changes while the pod is there.
    pub fn changing(mut self, change: Change) -> Self {
        self.change = Some(change);
        self
    }

    /// A file comes to have these contents.
    pub fn file_becomes(mut self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        let (path, sum) = (format!("/etc/flyte/secrets/{path}"), sum(contents.as_ref()));
        let _ = writeln!(self.script, "until [ \"$(sum < '{path}')\" = {sum} ]; do sleep 0.2; done");
        let _ = writeln!(self.script, "echo '{path}: {sum}'");
        self
    }

    /// It also does this, in sh.
    pub fn does(mut self, script: &str) -> Self {
        let _ = writeln!(self.script, "{script}");
        self
    }

    /// The pod does not succeed.
    pub fn ends(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// The policy sees its own pod again.
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

    /// The policy's settings for it.
    pub fn settings(&self, mut base: Value) -> Value {
        base["secretManagerTypes"] = json!(self.managers);
        base["k8sSecretManager"]["optional"] = json!(self.optional);
        for change in &self.settings {
            change(&mut base);
        }
        base
    }

    /// Its pod, as it is created.
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
        // The DNS of a cluster.
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

/// A container with a script.
pub fn container(name: &str, script: &str) -> Value {
    json!({ "name": name, "image": node::BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-euc", script] })
}

/// No `$$`, which Kubernetes would take for one `$`.
const HELPERS: &str = "\
fail() { echo \"$1\"; exit 1; }
sum() { sha256sum | cut -d ' ' -f 1; }
same() { [ \"$2\" = \"$3\" ] || fail \"$1: SHA-256 expected $2, got $3\"; echo \"$1: $2\"; }
";

fn sum(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
