//! The tasks of all suites but those that pull.

use flyte_secrets_testing::pods::DENIED_VARIABLES;
use serde_json::{Value, json};

use super::secrets::{Request, any, env, env_as, file, file_as, unanswered};
use super::task::{Outcome, Task, container};
use super::{DEVELOPMENT, PRODUCTION, STORE};

pub const EMBEDDED: &[&str] = &["Embedded"];
const K8S: &[&str] = &["K8s"];
const BOTH: &[&str] = &["Embedded", "K8s"];
const CLOUDS: &[&str] = &["AWS", "GCP", "Azure"];
pub const ALL: &[&str] = &["Embedded", "K8s", "AWS", "GCP", "Azure"];

/// Name of the task that requires user namespaces.
pub const OWN_USERS: &str = "a pod with hostUsers: false";

/// Returns all tasks that start, each with a feature of its own.
pub fn all(user_namespaces: bool) -> Vec<Task> {
    let embedded = |name: &str, requests: &[Request]| Task::new(name, DEVELOPMENT, EMBEDDED, requests);
    let k8s = |name: &str, requests: &[Request]| Task::new(name, DEVELOPMENT, K8S, requests);
    let clouds = |name: &str, requests: &[Request]| Task::new(name, DEVELOPMENT, CLOUDS, requests);
    let both = |name: &str, requests: &[Request]| Task::new(name, DEVELOPMENT, BOTH, requests);
    let of_all = |name: &str, requests: &[Request]| Task::new(name, DEVELOPMENT, ALL, requests);
    let confined = |name: &str, requests: &[Request]| Task::new(name, PRODUCTION, ALL, requests).shaped(restricted);
    // In the namespace of Embedded's Secrets, so that pods can refer to them.
    let beside = |name: &str, requests: &[Request]| {
        Task::new(name, STORE, ALL, requests).set("/tenancy/namespaceTemplate", json!(STORE))
    };
    let referring = |name: &str, requests: &[Request]| {
        beside(name, requests).set("/embeddedSecretManagerConfig/delivery", json!("Reference"))
    };
    let no_none = "[ -z \"${_UNION_NONE_A+set}\" ] && [ ! -e /etc/flyte/secrets/none/b ] || fail 'none is there'";
    let every = [file("gcp"), file("db/User"), file("aws"), file("token"), file("azure"), file("cache/password")];
    let mut tasks = vec![
        k8s("K8s: a variable", &[env("db/password")]).variable("FLYTE_SECRETS_ENV_PREFIX", "_UNION_"),
        k8s("K8s: a variable of a name", &[env_as("db/password", "PASSWORD")]),
        k8s("K8s: a file", &[file("db/User")]),
        k8s(
            "K8s: files of two groups, a path in a variable",
            &[file("db/User"), file("db/password"), file_as("cache/password", "CACHE")],
        ),
        k8s(
            "K8s: Secrets that do not exist, optional",
            &[
                unanswered("group: 'none' key: 'a' mount_requirement: ENV_VAR"),
                unanswered("group: 'none' key: 'b' mount_requirement: FILE"),
                env("db/password"),
            ],
        )
        .does(no_none),
        k8s("K8s: a variable of a Secret that comes late", &[env("late/a")])
            .waiting("CreateContainerConfigError", "late/a"),
        k8s("K8s: a file of a Secret that comes late", &[file("later/a")]).waiting("FailedMount", "later/a"),
        k8s("K8s: an init container of the user's reads, too", &[env("db/password"), file("db/User")])
            .shaped(initialized),
        embedded("Embedded: a variable with $$", &[env("dollars")]),
        embedded("Embedded: a variable with $(HOME)", &[env("home")]),
        embedded("Embedded: a variable with a certificate", &[env("pem")]),
        embedded("Embedded: a variable beyond ASCII", &[env("emoji")]),
        embedded("Embedded: a variable of 100 kB", &[env_as("long", "LONG")]),
        embedded("Embedded: a file of all bytes", &[file("binary")]),
        embedded("Embedded: a file of 90 kB", &[file("large")]),
        embedded(
            "Embedded: several files, a path in a variable",
            &[file_as("pem", "CERTIFICATE"), file("token"), file("emoji")],
        )
        .variable("FLYTE_SECRETS_DEFAULT_DIR", "/etc/flyte/secrets"),
        embedded("Embedded: an init container of the user's reads a variable", &[env("token")]).shaped(initialized),
        embedded("a pod with resources of its own", &[file("token")]).shaped(|pod| {
            let amounts = json!({ "cpu": "200m", "memory": "256Mi" });
            pod["spec"]["resources"] = json!({ "requests": amounts, "limits": amounts });
        }),
        clouds("AWS: a file", &[file("aws/:Password")]),
        clouds("GCP: a file", &[file("gcp")]),
        clouds("Azure: a file", &[file("azure/0f")]),
        clouds("AWS, GCP and Azure in one pod", &[file("aws"), file_as("gcp/latest", "GCP"), file("azure")]),
        both("a container that restarts", &[env("token"), file("binary")]).restarted(),
        both("a pod that the policy sees twice", &[env("dollars"), file("home"), env("db/password")]).twice(),
        of_all("K8s and Embedded: files", &[file("db/User"), file("token")]),
        of_all("K8s and AWS: files", &[file("db/User"), file("aws")]),
        of_all("K8s and GCP: files", &[file("db/User"), file("gcp")]),
        of_all("K8s and Azure: files", &[file("db/User"), file("azure/0f")]),
        of_all("Embedded and K8s of two groups: files", &[file("token"), file("db/User"), file("cache/password")]),
        of_all("files of all managers", &every),
        of_all(
            "files of all managers, a container that restarts",
            &[file("db/User"), file("aws"), file("token"), file("gcp")],
        )
        .restarted(),
        of_all("files of all managers, seen twice", &[file("aws"), file("db/User"), file("token"), file("azure")])
            .twice(),
        confined("a restricted pod of user 65532, its root read-only", &[env("token"), file("db/User")]),
        confined("a restricted pod: K8s", &[file("db/User")]),
        confined("a restricted pod: Embedded", &[file("token")]),
        confined("a restricted pod: AWS", &[file("aws")]),
        confined("a restricted pod: GCP", &[file("gcp")]),
        confined("a restricted pod: Azure", &[file("azure/0f")]),
        confined("a restricted pod: files of all managers", &every),
        of_all("an init container of the user's reads files", &[file("token"), file("db/User")]).shaped(initialized),
        of_all("a native sidecar of the user's reads files", &[file("token"), file("db/User")]).shaped(accompanied),
        of_all("initContainers: Last leaves the user's init container without", &[file("token"), file("gcp")])
            .set("/initContainers", json!("Last"))
            .shaped(|pod| {
                let unseen = "[ ! -e /etc/flyte/secrets/token ]; [ ! -e /etc/flyte/secrets/projects ]";
                pod["spec"]["initContainers"] = json!([container("prepare", unseen)]);
            }),
        of_all("volumeSizeLimit is the volume's size", &[file("token")])
            .set("/volumeSizeLimit", json!("1Mi"))
            .does("[ \"$(df -k /etc/flyte/secrets | awk 'NR == 2 { print $2 }')\" = 1024 ] || fail 'another size'"),
        of_all("the annotation for containers leaves others without", &[file("token"), file("db/User")]).shaped(
            |pod| {
                pod["metadata"]["annotations"]["flyte-secrets.flyte.org/containers"] = json!("main");
                spectator(pod);
            },
        ),
        of_all("injectInto: Primary leaves others without", &[file("token"), file("db/User")])
            .set("/injectInto", json!("Primary"))
            .shaped(|pod| {
                pod["metadata"]["annotations"]["primary_container_name"] = json!("main");
                spectator(pod);
            }),
        referring("Reference: variables", &[env("dollars"), env_as("home", "WHERE")]),
        referring("Reference: files", &[file("binary"), file_as("large", "LARGE")]).shaped(initialized),
        referring("Reference and K8s: files", &[file("token"), file("db/User")]),
        beside(
            "Auto: files of all managers",
            &[file("token"), file("db/User"), file("gcp"), file("aws"), file("azure")],
        ),
        beside(
            "a pod as Flyte 2's executor makes it",
            &[unanswered("key: 'token' env_var: 'TOKEN' mount_requirement: ENV_VAR")],
        )
        .variable("TOKEN", "of Flyte 2")
        .shaped(of_flyte2),
    ];
    if user_namespaces {
        tasks.push(embedded(OWN_USERS, &[file("token")]).shaped(|pod| pod["spec"]["hostUsers"] = json!(false)));
    }
    tasks
}

/// Adds a container before the task's, which must not get secrets.
fn spectator(pod: &mut Value) {
    let script = "[ ! -e /etc/flyte ]; [ -z \"${FLYTE_SECRETS_DEFAULT_DIR+set}\" ]";
    let task = pod["spec"]["containers"][0].take();
    pod["spec"]["containers"] = json!([container("istio-proxy", script), task]);
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
    let embedded = |name: &str, requests: &[Request]| Task::new(name, DEVELOPMENT, EMBEDDED, requests);
    let windows: fn(&mut Value) = |pod| pod["spec"]["os"] = json!({ "name": "windows" });
    let denied = |name: &str| {
        let denied = Outcome::Rejected(400, &["allowedEnvVars"]);
        embedded(&format!("env_var: {name}"), &[env_as("token", name)]).ends(denied)
    };
    let mut tasks: Vec<Task> = DENIED_VARIABLES.map(denied).into();
    tasks.extend([
        embedded("env_var: PYTHONPATH, with allowedEnvVars", &[env_as("token", "PYTHONPATH")])
            .set("/allowedEnvVars", json!(["PYTHONPATH"])),
        embedded("a file in a Windows pod", &[file("token")])
            .shaped(windows)
            .ends(Outcome::Rejected(400, &["Windows"])),
        embedded("a variable in a Windows pod", &[any("token")]).shaped(windows).ends(Outcome::Admitted),
        embedded("a mount of the user's below /etc/flyte/secrets, beside files of ours", &[file("token")])
            .shaped(|pod| {
                let mount = json!({ "name": "own", "mountPath": "/etc/flyte/secrets/own" });
                pod["spec"]["volumes"] = json!([{ "name": "own", "emptyDir": {} }]);
                pod["spec"]["containers"][0]["volumeMounts"] = json!([mount]);
            })
            .ends(Outcome::Rejected(400, &["/etc/flyte/secrets/own", "\"main\""])),
        // Shows that the restricted standard is enforced for restricted pods that start.
        Task::new("a restricted pod without our security context", PRODUCTION, EMBEDDED, &[file("token")])
            .shaped(restricted)
            .set("/embeddedSecretManagerConfig/fileMountInitContainer/securityContext", json!({}))
            .ends(Outcome::Rejected(403, &["PodSecurity", "init-embedded-secret"])),
        embedded("a file that exceeds volumeSizeLimit", &[file("large")])
            .set("/volumeSizeLimit", json!("8Ki"))
            .ends(Outcome::Fails("init-embedded-secret", &["No space left"])),
        embedded("imagePullPolicy: Always asks the registry", &[file("token")])
            .set("/embeddedSecretManagerConfig/fileMountInitContainer/imagePullPolicy", json!("Always"))
            .ends(Outcome::Waits("ErrImagePull")),
        embedded("imagePullPolicy: Never, an image that is not there", &[file("token")])
            .set("/embeddedSecretManagerConfig/fileMountInitContainer/imagePullPolicy", json!("Never"))
            .set("/embeddedSecretManagerConfig/fileMountInitContainer/image", json!("localhost/none:1"))
            .ends(Outcome::Waits("ErrImageNeverPull")),
    ]);
    tasks
}

/// Returns this many tasks, each with a secret of its own as a variable and a file.
pub fn many(name: &str, number: usize) -> Vec<Task> {
    let task = |number: usize| {
        let key = format!("many{number}");
        Task::new(&format!("{name} {number}"), DEVELOPMENT, EMBEDDED, &[env(&key), file(&key)])
    };
    (0..number).map(task).collect()
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
    let script = pod["spec"]["containers"][0]["command"][2].as_str().unwrap_or_default();
    let mut sidecar = container("proxy", &format!("{script}touch /tmp/seen; exec sleep 600"));
    sidecar["restartPolicy"] = json!("Always");
    let seen = json!({ "command": ["test", "-e", "/tmp/seen"] });
    sidecar["startupProbe"] = json!({ "exec": seen, "periodSeconds": 1, "failureThreshold": 600 });
    pod["spec"]["initContainers"] = json!([sidecar]);
}

/// Adds an init container that expects what the task expects.
pub fn initialized(pod: &mut Value) {
    let script = pod["spec"]["containers"][0]["command"][2].as_str().unwrap_or_default();
    pod["spec"]["initContainers"] = json!([container("prepare", script)]);
}
