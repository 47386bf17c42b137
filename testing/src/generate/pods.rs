//! Pods that an API server accepts, of many shapes and similar to the policy's additions.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

use super::{object, of, rarely, text};

/// Generates an optional part with a probability in percent.
fn maybe(times_in_a_hundred: u32, value: impl Strategy<Value = Value>) -> impl Strategy<Value = Option<Value>> {
    prop::option::weighted(f64::from(times_in_a_hundred) / 100.0, value)
}

fn one_of(values: impl Into<Vec<Value>>) -> impl Strategy<Value = Value> {
    prop::sample::select(values.into())
}

fn list<S: Strategy>(element: S, longest: usize) -> impl Strategy<Value = Vec<S::Value>> {
    prop::collection::vec(element, 0..=longest)
}

/// Pattern of a DNS label.
const LABEL: &str = "[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?";

/// Generates objects that can have an unknown field.
fn with_unknown(object: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    // Boxed, because nested strategies exhaust a thread's stack.
    let both = (object, prop::option::weighted(0.1, text::odd())).prop_map(|(mut object, unknown)| {
        if let Some(unknown) = unknown {
            object["x-new"] = unknown;
        }
        object
    });
    both.boxed()
}

fn variable_source() -> impl Strategy<Value = Value> {
    let secret = json!({ "secretKeyRef": { "name": "db", "key": "password", "optional": true } });
    one_of([
        secret,
        json!({ "configMapKeyRef": { "name": "settings", "key": "a.b" } }),
        json!({ "fieldRef": { "fieldPath": "metadata.labels['project']" } }),
        json!({ "fieldRef": { "apiVersion": "v1", "fieldPath": "status.podIP" } }),
        json!({ "resourceFieldRef": { "resource": "limits.cpu", "divisor": "1m" } }),
        json!({ "resourceFieldRef": { "resource": "requests.memory", "divisor": "1Mi" } }),
    ])
}

fn variable() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        8 => of(&[
            "HOME", "PATH", "DB_PASSWORD", "_UNION_DB_PASSWORD", "_UNION_TOK", "FLYTE_SECRETS_DEFAULT_DIR", "SECRETS",
            "FLYTE_SECRETS_FILE_PREFIX", "FLYTE_SECRETS_ENV_PREFIX", "A b", "_UNION_", "_UNION_MY.GROUP_A.B", "SECRET_ARN",
        ]),
        2 => "[!-<>-~]{1,8}",
    ];
    let value = prop_oneof![
        4 => of(&["", "x", "$(DB_PASSWORD)", "$(FLYTE_SECRETS_DEFAULT_DIR)/x", "é😀\u{2028}", "\\\"", "/etc/flyte/secrets"]),
        1 => "\\PC{0,10}",
    ];
    let set = prop_oneof![
        3 => value.prop_map(|value| (Some(Value::from(value)), None)),
        1 => variable_source().prop_map(|source| (None, Some(source))),
        1 => Just((None, None)),
    ];
    with_unknown((name, set).prop_map(|(name, (value, source))| {
        object([("name", Some(Value::from(name))), ("value", value), ("valueFrom", source)])
    }))
}

fn variables_from() -> impl Strategy<Value = Value> {
    one_of([
        json!({ "secretRef": { "name": "db" } }),
        json!({ "prefix": "_UNION_", "secretRef": { "name": "db", "optional": true } }),
        json!({ "prefix": "A ", "configMapRef": { "name": "a.b" } }),
    ])
}

fn volume() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        6 => of(&["data", "cache", "kube-api-access-x", "0"]),
        3 => of(&["aws-secret-vol", "gcp-secret-vol", "azure-secret-vol", "embedded-secret-vol"]),
        // Names of K8s for the volumes of `db` and `db` version `v1`.
        2 => of(&["mrrf5", "mrrf54rr"]),
        1 => LABEL,
    ];
    let source = one_of([
        json!({}),
        json!({ "emptyDir": {} }),
        json!({ "emptyDir": null }),
        json!({ "emptyDir": { "medium": "Memory" } }),
        json!({ "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } }),
        json!({ "emptyDir": { "sizeLimit": 0.5 } }),
        json!({ "secret": { "secretName": "db" } }),
        json!({ "secret": { "secretName": "db", "items": [], "optional": false } }),
        json!({ "secret": { "secretName": "db", "items": [{ "key": "password", "path": "password" }] } }),
        json!({ "secret": { "secretName": "db", "items": [{ "key": "Tok", "path": "a/tok", "mode": 256 }] } }),
        json!({ "secret": { "secretName": "A_b", "defaultMode": 511, "items": [{ "key": "é", "path": "é" }] } }),
        json!({ "configMap": { "name": "settings", "items": [{ "key": "a", "path": "b/c" }] } }),
        json!({ "hostPath": { "path": "/var/run", "type": "Directory" } }),
        json!({ "persistentVolumeClaim": { "claimName": "claim" } }),
        json!({ "projected": { "sources": [{ "secret": { "name": "db", "items": [{ "key": "a", "path": "a" }] } }, {}] } }),
        json!({ "x-source": { "a": 1 } }),
    ]);
    with_unknown((name, source).prop_map(|(name, mut volume)| {
        volume["name"] = Value::from(name);
        volume
    }))
}

/// A mount or a block device, before the volumes are known.
#[derive(Clone, Debug)]
struct Mount {
    volume: Index,
    path: String,
    options: Value,
}

fn mount() -> impl Strategy<Value = Mount> {
    let path = prop_oneof![
        8 => of(&["/data", "/cache", "/tmp", "/var/run/secrets", "relative", "/a:b"]),
        2 => of(&["/etc/flyte/secrets/mine", "/etc/flyte", "/etc/flyte/secrets/my.group", "/etc", "/"]),
        1 => of(&["/etc/flyte/secrets", "/etc/flyte/secrets/", "/etc/flyte/secrets/db", "/etc/flyte/secrets/db/"]),
        1 => of(&["etc/flyte/secrets", "/etc/flyte/./secrets", "/etc//flyte/secrets", "/etc/flyte/x/../secrets"]),
        1 => "/[a-z]{1,8}",
    ];
    let options = one_of([
        json!({}),
        json!({ "readOnly": true }),
        json!({ "readOnly": true, "recursiveReadOnly": "IfPossible", "mountPropagation": "None" }),
        json!({ "mountPropagation": "HostToContainer" }),
        json!({ "subPath": "a/b" }),
        json!({ "subPathExpr": "$(POD)" }),
    ]);
    (any::<Index>(), path, with_unknown(options)).prop_map(|(volume, path, options)| Mount { volume, path, options })
}

fn resources() -> impl Strategy<Value = Value> {
    one_of([
        json!({}),
        json!({ "limits": { "cpu": "1", "memory": "1Gi" }, "requests": { "cpu": 0.5 } }),
        json!({ "requests": { "cpu": "100m", "ephemeral-storage": "1Gi" } }),
        json!({ "limits": { "example.com/gpu": 1, "memory": "1e9" } }),
        json!({ "limits": { "hugepages-2Mi": "2Mi", "memory": "64Mi" } }),
    ])
}

/// A container, before the volumes are known.
#[derive(Clone, Debug)]
struct Container {
    object: Value,
    mounts: Vec<Mount>,
    devices: Vec<Mount>,
    file_key: Option<Index>,
}

fn container() -> impl Strategy<Value = Container> {
    let name = prop_oneof![
        6 => of(&["main", "proxy", "wait", "0"]),
        2 => of(&["aws-pull-secret-0", "gcp-pull-secret-1", "azure-pull-secret-0", "aws-pull-secret-1"]),
        2 => of(&["init-embedded-secret", "init-embedded-secret-1", "init-secrets"]),
        1 => LABEL,
    ];
    let command =
        one_of([json!(["sh", "-c", "exec \"$@\""]), json!([]), json!(["pyflyte-execute", "--é"]), Value::Null]);
    let security =
        one_of([json!({}), json!({ "runAsUser": 1000, "privileged": false, "capabilities": { "drop": ["ALL"] } })]);
    let ports = one_of([json!([{ "containerPort": 80 }, { "containerPort": 80, "name": "http", "protocol": "UDP" }])]);
    let fields = (
        name,
        of(&["train:1", "registry.example.com/a/b@sha256:0f", "é"]),
        maybe(60, list(variable(), 4).prop_map(Value::from)),
        maybe(20, list(variables_from(), 2).prop_map(Value::from)),
        maybe(40, resources()),
        maybe(30, command),
        maybe(20, security),
        maybe(20, ports),
        maybe(10, of(&["Always", "Never", "IfNotPresent"]).prop_map(Value::from)),
    );
    let fields = fields.prop_map(|(name, image, env, env_from, resources, command, security, ports, pull)| {
        object([
            ("name", Some(Value::from(name))),
            ("image", Some(Value::from(image))),
            ("command", command),
            ("env", env),
            ("envFrom", env_from),
            ("resources", resources),
            ("securityContext", security),
            ("ports", ports),
            ("imagePullPolicy", pull),
        ])
    });
    let device = mount().prop_map(|mount| Mount { options: json!({}), ..mount });
    let parts = (with_unknown(fields), list(mount(), 3), list(device, 1), prop::option::weighted(0.1, any::<Index>()));
    parts.prop_map(|(object, mounts, devices, file_key)| Container { object, mounts, devices, file_key })
}

impl Container {
    /// Returns the container's JSON in a pod with these volumes, with a unique name.
    fn place(self, volumes: &[Value], taken: &mut Vec<String>) -> Value {
        let Self { mut object, mounts, devices, file_key } = self;
        let base = object["name"].as_str().unwrap_or_default().to_owned();
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        let free = std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default();
        object["name"] = Value::from(free.as_str());
        taken.push(free);
        let block = |volume: &&Value| volume["persistentVolumeClaim"].is_object();
        let claims: Vec<&Value> = volumes.iter().filter(block).collect();
        let (mut names, mut paths) = (Vec::new(), Vec::new());
        let mut placed: Vec<Value> = Vec::new();
        for Mount { volume, path, mut options } in mounts.into_iter().filter(|_| !volumes.is_empty()) {
            if !paths.contains(&path) {
                options["name"] = volume.get(volumes)["name"].clone();
                options["mountPath"] = Value::from(path.as_str());
                names.push(options["name"].clone());
                placed.push(options);
                paths.push(path);
            }
        }
        if !placed.is_empty() {
            object["volumeMounts"] = Value::from(placed);
        }
        for Mount { volume, path, .. } in devices.into_iter().filter(|_| !claims.is_empty()) {
            let name = &volume.get(&claims)["name"];
            if !names.contains(name) && !paths.contains(&path) && !path.contains("..") {
                object["volumeDevices"] = json!([{ "name": name, "devicePath": path }]);
            }
        }
        let folders: Vec<&Value> = volumes.iter().filter(|volume| volume["emptyDir"].is_object()).collect();
        if let Some(file_key) = file_key.filter(|_| !folders.is_empty()) {
            let volume = &file_key.get(&folders)["name"];
            let source = json!({ "fileKeyRef": { "volumeName": volume, "path": "env", "key": "A" } });
            let variable = json!({ "name": "FROM_FILE", "valueFrom": source });
            match object["env"].as_array_mut() {
                Some(env) => env.push(variable),
                None => object["env"] = json!([variable]),
            }
        }
        object
    }
}

fn labels() -> impl Strategy<Value = Value> {
    let parts = (
        prop_oneof![8 => of(&["acme", "acme", "a.b", "O-0"]), 1 => of(&["a__b", ""])],
        of(&["flytesnacks", "flytesnacks", "p_1", "0-0", "p"]),
        prop_oneof![8 => of(&["development", "development", "d"]), 1 => Just(String::new())],
        rarely(3),
        rarely(3),
        maybe(20, "[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?".prop_map(Value::from)),
    );
    parts.prop_map(|(organization, project, domain, unlabelled, without, other)| {
        object([
            ("inject-flyte-secrets", (!unlabelled).then(|| json!("true"))),
            ("organization", Some(json!(organization))),
            ("project", (!without).then(|| json!(project))),
            ("domain", Some(json!(domain))),
            ("example.com/other", other),
        ])
    })
}

fn annotations() -> impl Strategy<Value = Value> {
    let known = one_of([
        json!({}),
        json!({ "vault.hashicorp.com/role": "own", "vault.hashicorp.com/agent-inject": "false" }),
        json!({ "vault.hashicorp.com/agent-pre-populate-only": "false", "vault.hashicorp.com/agent-inject-secret-x": "a" }),
        json!({ "flyte.secrets/source": "x", "flyte.secrets/s": "", "flyte.secrets/s-1": "a" }),
        json!({ "Example.COM/A_b": "é\u{2028}\u{0}\"\\", "b": "" }),
    ]);
    (known, rarely(3), 258_000..262_000_usize).prop_map(|(mut annotations, large, size)| {
        if large {
            annotations["large"] = Value::from("x".repeat(size));
        }
        annotations
    })
}

fn pod_resources() -> impl Strategy<Value = Value> {
    one_of([
        json!({ "limits": { "cpu": "64", "memory": "64Gi" } }),
        json!({ "limits": { "cpu": "64" }, "requests": { "cpu": "64" } }),
        json!({ "requests": { "memory": "64Gi" } }),
        json!({ "limits": { "cpu": "150m" } }),
        json!({}),
    ])
}

fn spec() -> impl Strategy<Value = Value> {
    let lists = (prop::collection::vec(container(), 1..4), list((container(), rarely(30)), 3), list(volume(), 4));
    let fields = (
        maybe(10, pod_resources()),
        maybe(20, one_of([json!([{ "name": "z" }, { "name": "img-pull-0" }, {}]), json!([]), Value::Null])),
        maybe(30, of(&["default", "trainer", ""]).prop_map(Value::from)),
        maybe(30, of(&["Always", "Never", "OnFailure"]).prop_map(Value::from)),
        maybe(20, one_of([json!({ "disk": "ssd" }), json!({})])),
        maybe(20, one_of([json!([{ "key": "a", "operator": "Exists", "effect": "NoSchedule" }])])),
        maybe(10, one_of([json!({ "name": "linux" })])),
        any::<bool>(),
    );
    let parts = (lists, fields).prop_map(|((containers, init_containers, mut volumes), fields)| {
        let mut seen = Vec::new();
        volumes.retain(|volume| {
            let new = !seen.contains(&volume["name"]);
            seen.push(volume["name"].clone());
            new
        });
        let mut taken = Vec::new();
        let containers: Vec<Value> =
            containers.into_iter().map(|container| container.place(&volumes, &mut taken)).collect();
        let init_containers = init_containers.into_iter().map(|(container, sidecar)| {
            let mut container = container.place(&volumes, &mut taken);
            if sidecar {
                container["restartPolicy"] = json!("Always");
                container["lifecycle"] = json!({ "preStop": { "exec": { "command": ["true"] } } });
            }
            container
        });
        let init_containers: Vec<Value> = init_containers.collect();
        let (resources, pull, account, restart, nodes, tolerations, os, spare) = fields;
        let unless_spare = |list: Vec<Value>| (!list.is_empty() || spare).then(|| Value::from(list));
        object([
            ("resources", resources),
            ("initContainers", unless_spare(init_containers)),
            ("containers", Some(Value::from(containers))),
            ("imagePullSecrets", pull),
            ("serviceAccountName", account),
            ("restartPolicy", restart),
            ("nodeSelector", nodes),
            ("tolerations", tolerations),
            ("os", os),
            ("volumes", unless_spare(volumes)),
        ])
    });
    with_unknown(parts)
}

/// Generates a pod that an API server accepts, without requests.
pub fn pod() -> impl Strategy<Value = Value> {
    let namespace = of(&["flytesnacks-development", "flytesnacks-development", "acme-flytesnacks", "flyte", "default"]);
    let metadata = (LABEL, namespace, labels(), annotations(), rarely(20));
    let metadata = metadata.prop_map(|(name, namespace, labels, annotations, generated)| {
        let prefix = format!("{name}-");
        let name = if generated { ("generateName", prefix) } else { ("name", name) };
        object([
            (name.0, Some(Value::from(name.1))),
            ("namespace", Some(Value::from(namespace))),
            ("labels", Some(labels)),
            ("annotations", Some(annotations)),
        ])
    });
    let whole = (with_unknown(metadata), spec(), any::<bool>()).prop_map(|(metadata, spec, spec_first)| {
        let mut pod = Map::new();
        pod.insert("apiVersion".into(), json!("v1"));
        pod.insert("kind".into(), json!("Pod"));
        if spec_first {
            pod.insert("spec".into(), spec);
            pod.insert("metadata".into(), metadata);
        } else {
            pod.insert("metadata".into(), metadata);
            pod.insert("spec".into(), spec);
        }
        Value::Object(pod)
    });
    with_unknown(whole).prop_filter("pods that an API server refuses", |pod| crate::rules::check(pod).is_empty())
}
