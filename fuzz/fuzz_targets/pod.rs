//! Pods, requests, settings and stores that are well-formed and meet each other: names come mostly from a short list.

#![no_main]

use std::collections::BTreeSet;

use arbitrary::{Arbitrary, Result, Unstructured};
use flyte_secrets_policy::names::{Scope, azure, flyte, kubernetes};
use flyte_secrets_policy::secret_request::base32;
use flyte_secrets_policy::secret_request::{MountRequirement, SecretRequest};
use flyte_secrets_policy_fuzz::{Answer, CANARY, Objects, check, creation, print, secret};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    managers: Vec<Manager>,
    provider: Provider,
    switches: [bool; 6],
    requests: Vec<Request<'a>>,
    labels: [Word<'a>; 3],
    namespace: Word<'a>,
    annotations: Vec<[Word<'a>; 2]>,
    containers: Vec<Container<'a>>,
    init_containers: Vec<Container<'a>>,
    volumes: Vec<Volume<'a>>,
    image_pull_secrets: Vec<Word<'a>>,
    stored: Vec<Stored<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Manager {
    K8s,
    Vault,
    Aws,
    Gcp,
    Azure,
    Embedded,
}

#[derive(Arbitrary, Debug)]
enum Provider {
    K8s,
    Aws,
    Gcp,
    Azure,
}

#[derive(Arbitrary, Debug)]
struct Request<'a> {
    group: Word<'a>,
    group_version: Word<'a>,
    key: Word<'a>,
    mount_requirement: i8,
    env_var: Word<'a>,
}

#[derive(Arbitrary, Debug)]
struct Container<'a> {
    name: Word<'a>,
    /// `null` is as good as no list.
    env: Option<Vec<[Word<'a>; 2]>>,
    mounts: Option<Vec<[Word<'a>; 2]>>,
}

#[derive(Arbitrary, Debug)]
enum Volume<'a> {
    Secret(Word<'a>, Word<'a>, Option<Vec<[Word<'a>; 2]>>),
    Memory(Word<'a>),
    Disk(Word<'a>),
}

/// What is stored for the request of the same number.
#[derive(Arbitrary, Debug)]
struct Stored<'a> {
    scope: u8,
    twin: bool,
    value: Option<&'a [u8]>,
}

/// A name, mostly one that matters.
struct Word<'a>(&'a str);

const WORDS: [&str; 48] = [
    "",
    "k",
    "K",
    "g",
    "g2",
    "a.b",
    "o",
    "p",
    "d",
    "p-d",
    "x__y",
    "1",
    "kv1",
    "db",
    "main",
    "side",
    "V",
    "SECRETS",
    "SECRET_ARN",
    "SECRET_FILENAME",
    "_UNION_K",
    "_UNION_G_K",
    "FLYTE_SECRETS_DEFAULT_DIR",
    "FLYTE_SECRETS_ENV_PREFIX",
    "/etc/flyte/secrets",
    "/etc/flyte/secrets/",
    "/etc/flyte/secrets/g",
    "/etc/flyte/secrets/k",
    "m4",
    "m4zf6",
    "embedded-secret-vol",
    "aws-secret-vol",
    "gcp-secret-vol",
    "azure-secret-vol",
    "init-embedded-secret",
    "init-embedded-secret-1",
    "aws-pull-secret-0",
    "aws-pull-secret-1",
    "gcp-pull-secret-0",
    "azure-pull-secret-1",
    "arn:aws:secretsmanager:eu-west-1:1:secret:g",
    "projects/p/secrets/g",
    "https://v.vault.azure.net/secrets/n",
    "https://v.vault.azure.net/secrets/n/1",
    "vault.hashicorp.com/role",
    "vault.hashicorp.com/agent-inject",
    "$(V)",
    "é$$(",
];

impl<'a> Arbitrary<'a> for Word<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let choice = usize::from(u8::arbitrary(u)?);
        Ok(Self(match WORDS.get(choice % 52) {
            Some(word) => word,
            None => u.arbitrary()?,
        }))
    }
}

impl std::fmt::Debug for Word<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Request<'_> {
    fn text(&self) -> String {
        print(&SecretRequest {
            group: self.group.0.to_owned(),
            group_version: self.group_version.0.to_owned(),
            key: self.key.0.to_owned(),
            mount_requirement: MountRequirement::from_number((self.mount_requirement % 4).into()),
            env_var: self.env_var.0.to_owned(),
        })
    }
}

fn objects(pairs: &[[Word; 2]], names: [&str; 2]) -> Value {
    let [first, second] = names;
    pairs.iter().map(|[one, two]| json!({ first: one.0, second: two.0 })).collect()
}

impl Container<'_> {
    fn json(&self) -> Value {
        let mut container = json!({ "name": self.name.0, "image": "train:1" });
        if let Some(env) = &self.env {
            container["env"] = objects(env, ["name", "value"]);
        }
        container["volumeMounts"] = self.mounts.as_ref().map_or(Value::Null, |it| objects(it, ["name", "mountPath"]));
        container
    }
}

impl Volume<'_> {
    fn json(&self) -> Value {
        match self {
            Self::Secret(name, secret, None) => json!({ "name": name.0, "secret": { "secretName": secret.0 } }),
            Self::Secret(name, secret, Some(items)) => {
                let items = objects(items, ["key", "path"]);
                json!({ "secret": { "items": items, "secretName": secret.0 }, "name": name.0 })
            }
            Self::Memory(name) => json!({ "name": name.0, "emptyDir": { "medium": "Memory" } }),
            Self::Disk(name) => json!({ "name": name.0, "emptyDir": {} }),
        }
    }
}

impl Input<'_> {
    fn settings(&self) -> Value {
        let [optional, lock, tenancy, pull, canonical, shared] = self.switches;
        let managers: Vec<String> = self.managers.iter().take(8).map(|manager| format!("{manager:?}")).collect();
        let schemes: &[&str] = if canonical { &["canonical"] } else { &["documented", "canonical"] };
        json!({
            "secretManagerTypes": managers,
            "secretEnvVarPrefix": if shared { "" } else { "_UNION_" },
            "k8sSecretManager": { "optional": optional },
            "vaultSecretManager": { "lockAnnotations": lock, "annotations": { "vault.hashicorp.com/role": "r" } },
            "embeddedSecretManagerConfig": {
                "type": format!("{:?}", self.provider),
                "awsConfig": { "region": "eu-west-1" },
                "gcpConfig": { "project": "acme" },
                "azureConfig": { "vaultURI": "https://acme.vault.azure.net" },
                "imagePullSecrets": { "enabled": pull },
                "nameSchemes": schemes,
            },
            "tenancy": { "namespaceTemplate": tenancy.then_some("{{ project }}-{{ domain }}") },
        })
    }

    fn pod(&self) -> Value {
        let [organization, project, domain] = &self.labels;
        let mut annotations: Map<String, Value> =
            self.annotations.iter().map(|[key, value]| (key.0.to_owned(), json!(value.0))).collect();
        for (number, request) in self.requests.iter().enumerate() {
            let value = base32::encode(request.text().as_bytes());
            annotations.insert(format!("flyte.secrets/s{number}"), json!(value));
        }
        let mut labels = json!({ "inject-flyte-secrets": "true", "organization": organization.0 });
        labels["project"] = json!(project.0);
        labels["domain"] = json!(domain.0);
        let lists = [
            ("containers", self.containers.iter().map(Container::json).collect()),
            ("initContainers", self.init_containers.iter().map(Container::json).collect()),
            ("volumes", self.volumes.iter().map(Volume::json).collect()),
            ("imagePullSecrets", self.image_pull_secrets.iter().map(|name| json!({ "name": name.0 })).collect()),
        ];
        let spec: Map<String, Value> =
            lists.into_iter().map(|(name, list): (_, Value)| (name.to_owned(), list)).collect();
        json!({ "metadata": { "labels": labels, "annotations": annotations }, "spec": spec })
    }

    fn store(&self) -> Objects {
        let mut objects = Objects::default();
        let [organization, project, domain] = self.labels.each_ref().map(|label| label.0);
        for (request, stored) in self.requests.iter().zip(&self.stored) {
            let scope = Scope { organization, domain, project }.cascade()[usize::from(stored.scope % 3)];
            let key = request.key.0;
            let value = [CANARY.as_bytes(), stored.value.unwrap_or_default()].concat();
            let (name, object) = secret(scope, key, &value);
            let answer = |object: Vec<u8>| -> Answer {
                stored.value.map(|_| object).ok_or_else(|| format!("{CANARY} (ErrorResponse {{ code: 429 }})"))
            };
            objects.insert("Secret", Some("flyte"), &name, answer(object));
            let text = String::from_utf8_lossy(&value);
            let plain = json!({ "stringValue": text }).to_string().into_bytes();
            let packed = json!({ "type": "STRING", "value": text }).to_string();
            let packed = json!({ "stringValue": packed }).to_string().into_bytes();
            objects.insert("AWSSecret", None, &flyte::encode(scope, key), answer(plain.clone()));
            objects.insert("GCPSecret", None, &flyte::encode(scope, key), answer(plain));
            if let Ok(name) = azure::encode(scope, key) {
                objects.insert("AzureSecret", None, &name, answer(packed));
            }
            let home = if stored.twin { self.namespace.0 } else { "flyte" };
            let twin = kubernetes::image_pull_name(scope, key);
            objects.insert("Secret", Some(home), &twin, Ok(b"{}".to_vec()));
        }
        objects
    }
}

/// Whether all of `list` differ in `member`.
fn is_unique<'v>(lists: impl IntoIterator<Item = &'v Value>, member: &str) -> bool {
    let mut known = BTreeSet::new();
    let elements = lists.into_iter().filter_map(Value::as_array).flatten();
    elements.map(|element| element[member].to_string()).all(|name| known.insert(name))
}

/// Whether names differ where Kubernetes wants them to.
fn is_unambiguous(pod: &Value) -> bool {
    let spec = &pod["spec"];
    let lists = [&spec["containers"], &spec["initContainers"]];
    let mut containers = lists.into_iter().filter_map(Value::as_array).flatten();
    is_unique([&spec["volumes"]], "name")
        && is_unique(lists, "name")
        && containers.all(|container| is_unique([&container["volumeMounts"]], "mountPath"))
}

fuzz_target!(|input: Input| {
    let pod = input.pod();
    let payload = creation(pod, input.namespace.0, input.settings());
    let answer = check(&payload, &input.store());
    if let Some(changed) = answer.get("mutated_object") {
        let pod = &payload["request"]["object"];
        assert!(is_unambiguous(changed) || !is_unambiguous(pod), "names that clash: {changed}");
    }
});
