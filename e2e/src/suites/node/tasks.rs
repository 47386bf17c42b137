//! The tasks, and the stores that they are served from.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::kubernetes::secret_name;
use serde_json::{Map, Value, json};

use super::task::{Task, container};

/// Namespaces of tasks; the second one is held to Pod Security's restricted standard.
pub const DEVELOPMENT: &str = "flytesnacks-development";
pub const PRODUCTION: &str = "flytesnacks-production";

const EMBEDDED: &[&str] = &["Embedded"];
const K8S: &[&str] = &["K8s"];
const BOTH: &[&str] = &["Embedded", "K8s"];
const CLOUDS: &[&str] = &["AWS", "GCP", "Azure"];

const AT_ONCE: usize = 40;
const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB'\"\\t0==\n-----END CERTIFICATE-----\n";
const EMOJI: &str = "grüße 🗝️ \u{7}";
const ARN: &str = "arn:aws:secretsmanager:eu-west-1:1:secret:Db";
const GCP: &str = "projects/acme-prod/secrets/Token";
const AZURE: &str = "https://acme-kv.vault.azure.net/secrets/Token";

fn binary() -> Vec<u8> {
    (0..=255).collect()
}

/// Of this many bytes, in letters.
fn long(length: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(length).collect()
}

/// What Embedded finds in the namespace `flyte`, for both domains, and the manager K8s in the pods' own.
pub fn store() -> Value {
    let embedded: Vec<(String, Vec<u8>)> = vec![
        ("dollars".to_owned(), b"pa$$word$".to_vec()),
        ("home".to_owned(), b"$(HOME) $$(HOME) $HOME".to_vec()),
        ("pem".to_owned(), PEM.into()),
        ("emoji".to_owned(), EMOJI.into()),
        ("long".to_owned(), long(100_000)),
        ("binary".to_owned(), binary()),
        ("large".to_owned(), long(90_000)),
        ("token".to_owned(), b"t0ken".to_vec()),
    ];
    let many = (0..AT_ONCE).map(|number| (format!("many{number}"), format!("value {number}").into_bytes()));
    let mut all = Map::new();
    for (key, value) in embedded.into_iter().chain(many) {
        for domain in ["development", "production"] {
            let name = format!("u__org__acme__domain__{domain}__project__flytesnacks__key__{key}");
            let data: Map<String, Value> = [(name.clone(), json!(STANDARD.encode(&value)))].into_iter().collect();
            all.insert(secret_name(&name), Value::Object(data));
        }
    }
    let own = json!({
        "db": { "password": STANDARD.encode("pa$$word"), "User": STANDARD.encode(binary()) },
        "cache": { "password": STANDARD.encode(PEM) },
    });
    json!({ "K8s": { "flyte": all, DEVELOPMENT: own, PRODUCTION: own } })
}

/// All tasks, each with something of its own.
pub fn all(user_namespaces: bool) -> Vec<Task> {
    let embedded = |name: &str, requests: &[&str]| Task::new(name, DEVELOPMENT, EMBEDDED, requests);
    let k8s = |name: &str, requests: &[&str]| Task::new(name, DEVELOPMENT, K8S, requests);
    let clouds = |name: &str, requests: &[&str]| Task::new(name, DEVELOPMENT, CLOUDS, requests);
    let mut tasks = vec![
        k8s("K8s: a variable", &["group: 'db' key: 'password' mount_requirement: ENV_VAR"])
            .variable("_UNION_DB_PASSWORD", "pa$$word")
            .variable("FLYTE_SECRETS_ENV_PREFIX", "_UNION_"),
        k8s(
            "K8s: a variable of a name",
            &["group: 'db' key: 'password' mount_requirement: ENV_VAR env_var: 'PASSWORD'"],
        )
        .variable("PASSWORD", "pa$$word"),
        k8s("K8s: a file", &["group: 'db' key: 'User' mount_requirement: FILE"]).file("db/user", binary()),
        k8s(
            "K8s: files of two groups, a path in a variable",
            &[
                "group: 'db' key: 'User' mount_requirement: FILE",
                "group: 'db' key: 'password' mount_requirement: FILE",
                "group: 'cache' key: 'password' mount_requirement: FILE env_var: 'CACHE'",
            ],
        )
        .file("db/user", binary())
        .file("db/password", "pa$$word")
        .file("cache/password", PEM)
        .variable("CACHE", "/etc/flyte/secrets/cache/password"),
        k8s(
            "K8s: Secrets that do not exist, optional",
            &[
                "group: 'none' key: 'a' mount_requirement: ENV_VAR",
                "group: 'none' key: 'b' mount_requirement: FILE",
                "group: 'db' key: 'password' mount_requirement: ENV_VAR",
            ],
        )
        .no_variable("_UNION_NONE_A")
        .no_file("none/b")
        .variable("_UNION_DB_PASSWORD", "pa$$word"),
        k8s("K8s: a variable of a Secret that comes late", &["group: 'late' key: 'a' mount_requirement: ENV_VAR"])
            .waiting("CreateContainerConfigError", "late", json!({ "a": STANDARD.encode("soon") }))
            .variable("_UNION_LATE_A", "soon"),
        k8s("K8s: a file of a Secret that comes late", &["group: 'later' key: 'a' mount_requirement: FILE"])
            .waiting("FailedMount", "later", json!({ "a": STANDARD.encode("later") }))
            .file("later/a", "later"),
        embedded("Embedded: a variable with $$", &["key: 'dollars' mount_requirement: ENV_VAR"])
            .variable("_UNION_DOLLARS", "pa$$word$"),
        embedded("Embedded: a variable with $(HOME)", &["key: 'home' mount_requirement: ENV_VAR"])
            .variable("_UNION_HOME", "$(HOME) $$(HOME) $HOME"),
        embedded("Embedded: a variable with a certificate", &["key: 'pem' mount_requirement: ENV_VAR"])
            .variable("_UNION_PEM", PEM),
        embedded("Embedded: a variable beyond ASCII", &["key: 'emoji' mount_requirement: ENV_VAR"])
            .variable("_UNION_EMOJI", EMOJI),
        embedded("Embedded: a variable of 100 kB", &["key: 'long' mount_requirement: ENV_VAR env_var: 'LONG'"])
            .variable("LONG", long(100_000)),
        embedded("Embedded: a file of all bytes", &["key: 'binary' mount_requirement: FILE"]).file("binary", binary()),
        embedded("Embedded: a file of 90 kB", &["key: 'large' mount_requirement: FILE"]).file("large", long(90_000)),
        embedded(
            "Embedded: several files, a path in a variable",
            &[
                "key: 'pem' mount_requirement: FILE env_var: 'CERTIFICATE'",
                "key: 'token' mount_requirement: FILE",
                "key: 'emoji' mount_requirement: FILE",
            ],
        )
        .file("pem", PEM)
        .file("token", "t0ken")
        .file("emoji", EMOJI)
        .variable("CERTIFICATE", "/etc/flyte/secrets/pem")
        .variable("FLYTE_SECRETS_DEFAULT_DIR", "/etc/flyte/secrets"),
        clouds("AWS: a file", &[&format!("group: '{ARN}' key: ':Password' mount_requirement: FILE")])
            .file(&format!("{}/:password", ARN.to_lowercase()), format!("{ARN}:Password")),
        clouds("GCP: a file", &[&format!("group: '{GCP}' group_version: '3' mount_requirement: FILE")])
            .file("projects/acme-prod/secrets/token/3", format!("{GCP}/versions/3")),
        clouds("Azure: a file", &[&format!("group: '{AZURE}' group_version: '0f' mount_requirement: FILE")])
            .file("token/0f", format!("{AZURE}/0f\n")),
        clouds(
            "AWS, GCP and Azure in one pod",
            &[
                &format!("group: '{ARN}' key: 'k' mount_requirement: FILE"),
                &format!("group: '{GCP}' group_version: 'latest' mount_requirement: FILE env_var: 'GCP'"),
                &format!("group: '{AZURE}' mount_requirement: FILE"),
            ],
        )
        .file(&format!("{}/k", ARN.to_lowercase()), format!("{ARN}:k"))
        .file("projects/acme-prod/secrets/token/latest", format!("{GCP}/versions/latest"))
        .variable("GCP", "/etc/flyte/secrets/projects/acme-prod/secrets/token/latest")
        .file("token", format!("{AZURE}/\n")),
        Task::new(
            "a container that restarts",
            DEVELOPMENT,
            BOTH,
            &["key: 'token' mount_requirement: ENV_VAR", "key: 'binary' mount_requirement: FILE"],
        )
        .variable("_UNION_TOKEN", "t0ken")
        .file("binary", binary())
        .restarted(),
        Task::new(
            "a pod that the policy sees twice",
            DEVELOPMENT,
            BOTH,
            &[
                "key: 'dollars' mount_requirement: ENV_VAR",
                "key: 'home' mount_requirement: FILE",
                "group: 'db' key: 'password' mount_requirement: ENV_VAR",
            ],
        )
        .variable("_UNION_DOLLARS", "pa$$word$")
        .variable("_UNION_DB_PASSWORD", "pa$$word")
        .file("home", "$(HOME) $$(HOME) $HOME")
        .twice(),
        Task::new(
            "a restricted pod of user 65532, its root read-only",
            PRODUCTION,
            BOTH,
            &["key: 'token' mount_requirement: ENV_VAR", "group: 'db' key: 'User' mount_requirement: FILE"],
        )
        .variable("_UNION_TOKEN", "t0ken")
        .file("db/user", binary())
        .shaped(restricted),
        embedded("a pod with resources of its own", &["key: 'token' mount_requirement: FILE"])
            .file("token", "t0ken")
            .shaped(|pod| {
                let amounts = json!({ "cpu": "200m", "memory": "256Mi" });
                pod["spec"]["resources"] = json!({ "requests": amounts, "limits": amounts });
            }),
        k8s(
            "K8s: an init container of the user's reads, too",
            &[
                "group: 'db' key: 'password' mount_requirement: ENV_VAR",
                "group: 'db' key: 'User' mount_requirement: FILE",
            ],
        )
        .variable("_UNION_DB_PASSWORD", "pa$$word")
        .file("db/user", binary())
        .shaped(initialized),
        embedded(
            "Embedded: an init container of the user's reads a variable",
            &["key: 'token' mount_requirement: ENV_VAR"],
        )
        .variable("_UNION_TOKEN", "t0ken")
        .shaped(initialized),
    ];
    if user_namespaces {
        tasks.push(
            embedded("a pod of users of its own", &["key: 'token' mount_requirement: FILE"])
                .file("token", "t0ken")
                .shaped(|pod| pod["spec"]["hostUsers"] = json!(false)),
        );
    }
    tasks
}

/// Many tasks, which start at once.
pub fn many() -> Vec<Task> {
    let task = |number: usize| {
        let (key, value) = (format!("many{number}"), format!("value {number}"));
        let variable = format!("key: '{key}' mount_requirement: ENV_VAR");
        let file = format!("key: '{key}' mount_requirement: FILE");
        Task::new(&format!("pod {number}"), DEVELOPMENT, EMBEDDED, &[&variable, &file])
            .variable(&format!("_UNION_MANY{number}"), &value)
            .file(&key, &value)
    };
    (0..AT_ONCE).map(task).collect()
}

/// All that the restricted standard asks of a pod, and a root that is read-only.
fn restricted(pod: &mut Value) {
    pod["spec"]["securityContext"] = json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
    pod["spec"]["containers"][0]["securityContext"] = json!({
        "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "readOnlyRootFilesystem": true,
        "runAsUser": 65532, "runAsGroup": 65532,
    });
}

/// An init container of the user's that sees what the task sees.
fn initialized(pod: &mut Value) {
    let script = pod["spec"]["containers"][0]["command"][2].as_str().unwrap_or_default().to_owned();
    pod["spec"]["initContainers"] = json!([container("prepare", &script)]);
}
