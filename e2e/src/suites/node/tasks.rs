//! The tasks, and their stores.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_testing::pods::DENIED_VARIABLES;
use serde_json::{Map, Value, json};

use super::task::{Outcome, Task, container};

/// Namespaces of tasks; the second one enforces the restricted standard of Pod Security.
pub const DEVELOPMENT: &str = "flytesnacks-development";
pub const PRODUCTION: &str = "flytesnacks-production";
/// The namespace of Embedded's Secrets, where Flyte 2 runs its tasks.
pub const STORE: &str = "flyte";

pub const EMBEDDED: &[&str] = &["Embedded"];
const K8S: &[&str] = &["K8s"];
const BOTH: &[&str] = &["Embedded", "K8s"];
const CLOUDS: &[&str] = &["AWS", "GCP", "Azure"];
pub const ALL: &[&str] = &["Embedded", "K8s", "AWS", "GCP", "Azure"];

/// Name of the task that requires user namespaces.
pub const OWN_USERS: &str = "a pod with hostUsers: false";

/// Part of the message for a denied variable.
const DENIED: &[&str] = &["allowedEnvVars"];

const AT_ONCE: usize = 40;
pub const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB'\"\\t0==\n-----END CERTIFICATE-----\n";
/// A value that an env file can hold.
pub const LINES: &str =
    "-----BEGIN CERTIFICATE-----\nMIIB\"\\t0==\n$(HOME) $HOME # no comment\n-----END CERTIFICATE-----\n";
pub const EMOJI: &str = "grüße 🗝️ \u{7}";
const ARN: &str = "arn:aws:secretsmanager:eu-west-1:1:secret:Db";
const GCP: &str = "projects/acme-prod/secrets/Token";
const AZURE: &str = "https://acme-kv.vault.azure.net/secrets/Token";

pub fn binary() -> Vec<u8> {
    (0..=255).collect()
}

/// Returns a value of this many letters.
pub fn long(length: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(length).collect()
}

/// Returns the Secrets of Embedded in the namespace `flyte`, for both domains, and of the manager K8s in those of pods.
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
        ("lines".to_owned(), LINES.into()),
        ("refreshed".to_owned(), b"before".to_vec()),
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
    let name = "u__org__flyte__domain__development__project__flytesnacks__key__token";
    all.insert(secret_name(name), json!({ name: STANDARD.encode("of Flyte 2") }));
    let own = json!({
        "db": { "password": STANDARD.encode("pa$$word"), "User": STANDARD.encode(binary()) },
        "cache": { "password": STANDARD.encode(PEM) },
    });
    all.extend(own.as_object().cloned().unwrap_or_default());
    json!({ "K8s": { STORE: all, DEVELOPMENT: own, PRODUCTION: own } })
}

/// Returns all tasks, each with a feature of its own.
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
    tasks.extend(together());
    tasks.extend(restricted_tasks());
    tasks.extend(placed());
    tasks.extend(referring());
    if user_namespaces {
        tasks.push(
            embedded(OWN_USERS, &["key: 'token' mount_requirement: FILE"])
                .file("token", "t0ken")
                .shaped(|pod| pod["spec"]["hostUsers"] = json!(false)),
        );
    }
    tasks
}

pub const DB: &str = "group: 'db' key: 'User' mount_requirement: FILE";
const CACHE: &str = "group: 'cache' key: 'password' mount_requirement: FILE";
pub const TOKEN: &str = "key: 'token' mount_requirement: FILE";
pub const OF_AWS: &str = "group: 'arn:aws:secretsmanager:eu-west-1:1:secret:Db' key: 'k' mount_requirement: FILE";
pub const OF_GCP: &str = "group: 'projects/acme-prod/secrets/Token' group_version: '3' mount_requirement: FILE";
const OF_AZURE: &str =
    "group: 'https://acme-kv.vault.azure.net/secrets/Token' group_version: '0f' mount_requirement: FILE";
/// As the previous request, without a version.
pub const OF_AZURE_LATEST: &str = "group: 'https://acme-kv.vault.azure.net/secrets/Newest' mount_requirement: FILE";

impl Task {
    /// Expects the file of one of the requests above.
    pub fn sees(self, request: &str) -> Self {
        match request {
            DB => self.file("db/user", binary()),
            CACHE => self.file("cache/password", PEM),
            TOKEN => self.file("token", "t0ken"),
            OF_AWS => self.file(&format!("{}/k", ARN.to_lowercase()), format!("{ARN}:k")),
            OF_GCP => self.file("projects/acme-prod/secrets/token/3", format!("{GCP}/versions/3")),
            OF_AZURE => self.file("token/0f", format!("{AZURE}/0f\n")),
            OF_AZURE_LATEST => self.file("newest", "https://acme-kv.vault.azure.net/secrets/Newest/\n"),
            _ => self,
        }
    }

    /// Returns a task that requests files only, and expects all of them.
    pub fn of(name: &str, namespace: &'static str, requests: &[&str]) -> Self {
        requests.iter().fold(Self::new(name, namespace, ALL, requests), |task, request| task.sees(request))
    }
}

/// Returns tasks with volumes of Secrets below the volume in memory.
fn together() -> Vec<Task> {
    let of = |name: &str, requests: &[&str]| Task::of(name, DEVELOPMENT, requests);
    vec![
        of("K8s and Embedded: files", &[DB, TOKEN]),
        of("K8s and AWS: files", &[DB, OF_AWS]),
        of("K8s and GCP: files", &[DB, OF_GCP]),
        of("K8s and Azure: files", &[DB, OF_AZURE]),
        of("Embedded and K8s of two groups: files", &[TOKEN, DB, CACHE]),
        of("files of all managers", &[OF_GCP, DB, OF_AWS, TOKEN, OF_AZURE_LATEST, CACHE]),
        of("files of all managers, a container that restarts", &[DB, OF_AWS, TOKEN, OF_GCP]).restarted(),
        of("files of all managers, seen twice", &[OF_AWS, DB, TOKEN, OF_AZURE_LATEST]).twice(),
    ]
}

/// Returns tasks whose init containers must pass the restricted standard.
fn restricted_tasks() -> Vec<Task> {
    let of = |name: &str, requests: &[&str]| Task::of(name, PRODUCTION, requests).shaped(restricted);
    vec![
        of("a restricted pod: Embedded", &[TOKEN]),
        of("a restricted pod: AWS", &[OF_AWS]),
        of("a restricted pod: GCP", &[OF_GCP]),
        of("a restricted pod: Azure", &[OF_AZURE]),
        of("a restricted pod: files of all managers", &[OF_GCP, DB, OF_AWS, TOKEN, OF_AZURE_LATEST, CACHE]),
    ]
}

/// Returns tasks with other containers.
fn placed() -> Vec<Task> {
    let of = |name: &str, requests: &[&str]| Task::of(name, DEVELOPMENT, requests);
    vec![
        of("an init container of the user's reads files", &[TOKEN, DB]).shaped(initialized),
        of("a native sidecar of the user's reads files", &[TOKEN, DB]).shaped(accompanied),
        of("initContainers: Last leaves the user's init container without", &[TOKEN, OF_GCP])
            .with(|settings| settings["initContainers"] = json!("Last"))
            .shaped(|pod| {
                let unseen = "[ ! -e /etc/flyte/secrets/token ]; [ ! -e /etc/flyte/secrets/projects ]";
                pod["spec"]["initContainers"] = json!([container("prepare", unseen)]);
            }),
        of("volumeSizeLimit is the volume's size", &[TOKEN])
            .with(|settings| settings["volumeSizeLimit"] = json!("1Mi"))
            .does("[ \"$(df -k /etc/flyte/secrets | awk 'NR == 2 { print $2 }')\" = 1024 ] || fail 'another size'"),
        of("the annotation for containers leaves others without", &[TOKEN, DB]).shaped(|pod| {
            pod["metadata"]["annotations"]["flyte-secrets.flyte.org/containers"] = json!("main");
            spectator(pod);
        }),
        of("injectInto: Primary leaves others without", &[TOKEN, DB])
            .with(|settings| settings["injectInto"] = json!("Primary"))
            .shaped(|pod| {
                pod["metadata"]["annotations"]["primary_container_name"] = json!("main");
                spectator(pod);
            }),
    ]
}

/// Adds a container before the task's, which must not get secrets.
fn spectator(pod: &mut Value) {
    let script = "[ ! -e /etc/flyte ]; [ -z \"${FLYTE_SECRETS_DEFAULT_DIR+set}\" ]";
    if let Some(containers) = pod["spec"]["containers"].as_array_mut() {
        containers.insert(0, container("istio-proxy", script));
    }
}

/// Returns tasks in the namespace of Embedded's Secrets, whose pods refer to them.
fn referring() -> Vec<Task> {
    let one_namespace: fn(&mut Value) = |settings| settings["tenancy"]["namespaceTemplate"] = json!(STORE);
    let of = |name: &str, requests: &[&str]| {
        Task::of(name, STORE, requests)
            .with(one_namespace)
            .with(|settings| settings["embeddedSecretManagerConfig"]["delivery"] = json!("Reference"))
    };
    let automatic = |name: &str, requests: &[&str]| Task::of(name, STORE, requests).with(one_namespace);
    let files = ["key: 'binary' mount_requirement: FILE", "key: 'large' mount_requirement: FILE env_var: 'LARGE'"];
    vec![
        of("Reference: variables", &["key: 'dollars' mount_requirement: ENV_VAR", "key: 'home' env_var: 'WHERE'"])
            .variable("_UNION_DOLLARS", "pa$$word$")
            .variable("WHERE", "$(HOME) $$(HOME) $HOME"),
        of("Reference: files", &files)
            .file("binary", binary())
            .file("large", long(90_000))
            .variable("LARGE", "/etc/flyte/secrets/large")
            .shaped(initialized),
        of("Reference and K8s: files", &[TOKEN, DB]),
        automatic("Auto: files of all managers", &[TOKEN, DB, OF_GCP, OF_AWS, OF_AZURE_LATEST]),
        automatic(
            "a pod as Flyte 2's executor makes it",
            &["key: 'token' env_var: 'TOKEN' mount_requirement: ENV_VAR"],
        )
        .variable("TOKEN", "of Flyte 2")
        .shaped(of_flyte2),
    ]
}

/// Edits a pod as Flyte 2's executor creates it (`task_exec_metadata.go`, `container_helper.go`): pod and container
/// have the name of action and attempt.
fn of_flyte2(pod: &mut Value) {
    let name = "r4mk2-a0-0";
    pod["metadata"]["name"] = json!(name);
    for (label, value) in [
        ("organization", "flyte"),
        ("flyte.org/managed", "true"),
        ("run", "r4mk2"),
        ("action", "a0"),
        ("attempt", "1"),
        ("task-name", "workflow.train"),
    ] {
        pod["metadata"]["labels"][label] = json!(value);
    }
    pod["metadata"]["annotations"]["primary_container_name"] = json!(name);
    let amounts = json!({ "cpu": "100m", "memory": "100Mi" });
    let container = &mut pod["spec"]["containers"][0];
    container["name"] = json!(name);
    container["env"] = json!([
        { "name": "FLYTE_INTERNAL_EXECUTION_ID", "value": "r4mk2" },
        { "name": "FLYTE_INTERNAL_EXECUTION_PROJECT", "value": "flytesnacks" },
        { "name": "FLYTE_INTERNAL_EXECUTION_DOMAIN", "value": "development" },
        { "name": "_F_PN", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
        { "name": "FLYTE_ATTEMPT_NUMBER", "value": "0" },
        { "name": "ACTION_NAME", "value": "a0" },
        { "name": "RUN_NAME", "value": "r4mk2" },
        { "name": "_U_RUN_BASE", "value": "s3://flyte/r4mk2" },
        { "name": "_U_ORG_NAME", "value": "local" },
    ]);
    container["resources"] = json!({ "requests": amounts, "limits": amounts });
    container["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
    pod["spec"]["serviceAccountName"] = json!("default");
}

/// Returns tasks that the policy rejects, or that the node cannot start, with the reason.
pub fn not_started() -> Vec<Task> {
    let of = |name: &str, managers, requests: &[&str], outcome| {
        Task::new(name, DEVELOPMENT, managers, requests).ends(outcome)
    };
    let windows: fn(&mut Value) = |pod| pod["spec"]["os"] = json!({ "name": "windows" });
    let denied = |name: &'static str| {
        let request = format!("key: 'token' mount_requirement: ENV_VAR env_var: '{name}'");
        of(&format!("env_var: {name}"), EMBEDDED, &[&request], Outcome::Rejected(400, DENIED))
    };
    let mut tasks: Vec<Task> = DENIED_VARIABLES.map(denied).into();
    tasks.extend([
        Task::new(
            "env_var: PYTHONPATH, with allowedEnvVars",
            DEVELOPMENT,
            EMBEDDED,
            &["key: 'token' mount_requirement: ENV_VAR env_var: 'PYTHONPATH'"],
        )
        .with(|settings| settings["allowedEnvVars"] = json!(["PYTHONPATH"]))
        .variable("PYTHONPATH", "t0ken"),
        of("a file in a Windows pod", EMBEDDED, &[TOKEN], Outcome::Rejected(400, &["Windows"])).shaped(windows),
        of("a variable in a Windows pod", EMBEDDED, &["key: 'token'"], Outcome::Admitted).shaped(windows),
        of(
            "a mount of the user's below /etc/flyte/secrets, beside files of ours",
            EMBEDDED,
            &[TOKEN],
            Outcome::Rejected(400, &["/etc/flyte/secrets/own", "\"main\""]),
        )
        .shaped(|pod| {
            pod["spec"]["volumes"] = json!([{ "name": "own", "emptyDir": {} }]);
            pod["spec"]["containers"][0]["volumeMounts"] =
                json!([{ "name": "own", "mountPath": "/etc/flyte/secrets/own" }]);
        }),
        of(
            "a file that exceeds volumeSizeLimit",
            EMBEDDED,
            &["key: 'large' mount_requirement: FILE"],
            Outcome::Fails("init-embedded-secret", &["No space left"]),
        )
        .with(|settings| settings["volumeSizeLimit"] = json!("8Ki")),
        of("imagePullPolicy: Always asks the registry", EMBEDDED, &[TOKEN], Outcome::Waits("ErrImagePull")).with(
            |settings| {
                settings["embeddedSecretManagerConfig"]["fileMountInitContainer"]["imagePullPolicy"] = json!("Always");
            },
        ),
        of(
            "imagePullPolicy: Never, an image that is not there",
            EMBEDDED,
            &[TOKEN],
            Outcome::Waits("ErrImageNeverPull"),
        )
        .with(|settings| {
            let container = &mut settings["embeddedSecretManagerConfig"]["fileMountInitContainer"];
            container["imagePullPolicy"] = json!("Never");
            container["image"] = json!("localhost/none:1");
        }),
    ]);
    tasks
}

/// Returns many tasks, which start concurrently.
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

/// Edits a pod to pass the restricted standard, with a read-only root.
pub fn restricted(pod: &mut Value) {
    pod["spec"]["securityContext"] = json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
    pod["spec"]["containers"][0]["securityContext"] = json!({
        "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "readOnlyRootFilesystem": true,
        "runAsUser": 65532, "runAsGroup": 65532,
    });
}

/// Adds a native sidecar that expects what the task expects. The task starts after it.
pub fn accompanied(pod: &mut Value) {
    let script = pod["spec"]["containers"][0]["command"][2].as_str().unwrap_or_default().to_owned();
    let mut sidecar = container("proxy", &format!("{script}touch /tmp/seen; exec sleep 600"));
    sidecar["restartPolicy"] = json!("Always");
    let seen =
        json!({ "exec": { "command": ["test", "-e", "/tmp/seen"] }, "periodSeconds": 1, "failureThreshold": 600 });
    sidecar["startupProbe"] = seen;
    pod["spec"]["initContainers"] = json!([sidecar]);
}

/// Adds an init container that expects what the task expects.
pub fn initialized(pod: &mut Value) {
    let script = pod["spec"]["containers"][0]["command"][2].as_str().unwrap_or_default().to_owned();
    pod["spec"]["initContainers"] = json!([container("prepare", &script)]);
}
