//! Pods that an API server accepts, of many shapes and similar to the policy's additions.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{maybe, member, object, of, one_of, unknown};

fn list<S: Strategy>(element: S, longest: usize) -> impl Strategy<Value = Vec<S::Value>> {
    prop::collection::vec(element, 0..=longest)
}

/// Pattern of a DNS label.
const LABEL: &str = "[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?";

fn variable() -> BoxedStrategy<Value> {
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
    let source = one_of(json!([
        { "secretKeyRef": { "name": "db", "key": "password", "optional": true } },
        { "configMapKeyRef": { "name": "settings", "key": "a.b" } },
        { "fieldRef": { "fieldPath": "metadata.labels['project']" } },
        { "fieldRef": { "apiVersion": "v1", "fieldPath": "status.podIP" } },
        { "resourceFieldRef": { "resource": "limits.cpu", "divisor": "1m" } },
        { "resourceFieldRef": { "resource": "requests.memory", "divisor": "1Mi" } },
    ]));
    let set = prop_oneof![
        3 => member("value", 100, value),
        1 => member("valueFrom", 100, source),
        1 => Just(json!({})),
    ];
    object([member("name", 100, name), set.boxed(), unknown()])
}

fn volume() -> BoxedStrategy<Value> {
    let name = prop_oneof![
        6 => of(&["data", "cache", "kube-api-access-x", "0"]),
        3 => of(&["aws-secret-vol", "gcp-secret-vol", "azure-secret-vol", "embedded-secret-vol"]),
        // Names of K8s for the volumes of `db` and `db` version `v1`.
        2 => of(&["mrrf5", "mrrf54rr"]),
        1 => LABEL,
    ];
    let source = one_of(json!([
        {},
        { "emptyDir": {} },
        { "emptyDir": null },
        { "emptyDir": { "medium": "Memory" } },
        { "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } },
        { "emptyDir": { "sizeLimit": 0.5 } },
        { "secret": { "secretName": "db" } },
        { "secret": { "secretName": "db", "items": [], "optional": false } },
        { "secret": { "secretName": "db", "items": [{ "key": "password", "path": "password" }] } },
        { "secret": { "secretName": "db", "items": [{ "key": "Tok", "path": "a/tok", "mode": 256 }] } },
        { "secret": { "secretName": "A_b", "defaultMode": 511, "items": [{ "key": "é", "path": "é" }] } },
        { "configMap": { "name": "settings", "items": [{ "key": "a", "path": "b/c" }] } },
        { "hostPath": { "path": "/var/run", "type": "Directory" } },
        { "persistentVolumeClaim": { "claimName": "claim" } },
        { "projected": { "sources": [{ "secret": { "name": "db", "items": [{ "key": "a", "path": "a" }] } }, {}] } },
        { "x-source": { "a": 1 } },
    ]));
    object([member("name", 100, name), source.boxed(), unknown()])
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => of(&["/data", "/cache", "/tmp", "/var/run/secrets", "relative", "/a:b"]),
        2 => of(&["/etc/flyte/secrets/mine", "/etc/flyte", "/etc/flyte/secrets/my.group", "/etc", "/"]),
        1 => of(&["/etc/flyte/secrets", "/etc/flyte/secrets/", "/etc/flyte/secrets/db", "/etc/flyte/secrets/db/"]),
        1 => of(&["etc/flyte/secrets", "/etc/flyte/./secrets", "/etc//flyte/secrets", "/etc/flyte/x/../secrets"]),
        1 => "/[a-z]{1,8}",
    ]
}

/// Generates mounts with a number as name, which [`use_volumes`] replaces.
fn mount() -> BoxedStrategy<Value> {
    let options = one_of(json!([
        {},
        { "readOnly": true },
        { "readOnly": true, "recursiveReadOnly": "IfPossible", "mountPropagation": "None" },
        { "mountPropagation": "HostToContainer" },
        { "subPath": "a/b" },
        { "subPathExpr": "$(POD)" },
    ]));
    object([member("name", 100, any::<u8>()), member("mountPath", 100, path()), options.boxed(), unknown()])
}

fn container() -> BoxedStrategy<Value> {
    let name = prop_oneof![
        6 => of(&["main", "proxy", "wait", "0"]),
        2 => of(&["aws-pull-secret-0", "gcp-pull-secret-1", "azure-pull-secret-0", "aws-pull-secret-1"]),
        2 => of(&["init-embedded-secret", "init-embedded-secret-1", "init-secrets"]),
        1 => LABEL,
    ];
    let command = one_of(json!([["sh", "-c", "exec \"$@\""], [], ["pyflyte-execute", "--é"], null]));
    let in_file = json!({ "fileKeyRef": { "volumeName": 0, "path": "env", "key": "A" } });
    let in_file = Just(json!({ "name": "FROM_FILE", "valueFrom": in_file })).boxed();
    let env = prop_oneof![9 => variable(), 1 => in_file];
    let env_from = one_of(json!([
        { "secretRef": { "name": "db" } },
        { "prefix": "_UNION_", "secretRef": { "name": "db", "optional": true } },
        { "prefix": "A ", "configMapRef": { "name": "a.b" } },
    ]));
    let resources = one_of(json!([
        {},
        { "limits": { "cpu": "1", "memory": "1Gi" }, "requests": { "cpu": 0.5 } },
        { "requests": { "cpu": "100m", "ephemeral-storage": "1Gi" } },
        { "limits": { "example.com/gpu": 1, "memory": "1e9" } },
        { "limits": { "hugepages-2Mi": "2Mi", "memory": "64Mi" } },
    ]));
    let security = one_of(json!([{}, { "runAsUser": 1000, "privileged": false, "capabilities": { "drop": ["ALL"] } }]));
    let ports = json!([{ "containerPort": 80 }, { "containerPort": 80, "name": "http", "protocol": "UDP" }]);
    let device = object([member("name", 100, any::<u8>()), member("devicePath", 100, path())]);
    object([
        member("name", 100, name),
        member("image", 100, of(&["train:1", "registry.example.com/a/b@sha256:0f", "é"])),
        member("command", 30, command),
        member("env", 60, list(env, 4)),
        member("envFrom", 20, list(env_from, 2)),
        member("resources", 40, resources),
        member("securityContext", 20, security),
        member("ports", 20, Just(ports)),
        member("imagePullPolicy", 10, of(&["Always", "Never", "IfNotPresent"])),
        member("volumeMounts", 95, list(mount(), 3)),
        member("volumeDevices", 90, list(device, 1)),
        unknown(),
    ])
}

/// Replaces numbers at `pointer` in the elements of a list by names of these volumes, and drops elements without a
/// volume.
fn use_volumes(elements: &mut Value, pointer: &str, volumes: &[&Value]) {
    let names: Vec<&Value> = volumes.iter().map(|volume| &volume["name"]).collect();
    elements.as_array_mut().into_iter().for_each(|list| {
        list.retain_mut(|element| match element.pointer_mut(pointer) {
            Some(place) if place.is_number() => {
                let number = usize::try_from(place.as_u64().unwrap_or_default()).unwrap_or_default();
                let name = number.checked_rem(names.len()).and_then(|number| names.get(number));
                name.map(|name| *place = (*name).clone()).is_some()
            }
            _ => true,
        });
    });
}

/// Makes names of volumes and containers unique, and lets containers use volumes of the pod.
fn connect(spec: &mut Value) {
    if let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) {
        let mut seen = Vec::new();
        volumes.retain(|volume| is_new(&mut seen, volume["name"].clone()));
    }
    let volumes: Vec<Value> = spec["volumes"].as_array().cloned().unwrap_or_default();
    let all: Vec<&Value> = volumes.iter().collect();
    let with = |source: &str| volumes.iter().filter(|volume| volume[source].is_object()).collect::<Vec<_>>();
    let mut names = Vec::new();
    for kind in ["containers", "initContainers"] {
        for container in spec.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten() {
            let base = container["name"].as_str().unwrap_or_default().to_owned();
            let numbered = (2..).map(|number| json!(format!("{base}-{number}")));
            let mut candidates = std::iter::once(json!(base)).chain(numbered);
            container["name"] = candidates.find(|name| is_new(&mut names, name.clone())).unwrap_or_default();
            for (field, pointer, volumes) in [
                ("env", "/valueFrom/fileKeyRef/volumeName", with("emptyDir")),
                ("volumeMounts", "/name", all.clone()),
                ("volumeDevices", "/name", with("persistentVolumeClaim")),
            ] {
                if let Some(elements) = container.get_mut(field) {
                    use_volumes(elements, pointer, &volumes);
                }
            }
            let (mut paths, mut mounted) = (Vec::new(), Vec::new());
            if let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
                mounts.retain(|mount| is_new(&mut paths, mount["mountPath"].clone()));
                mounted.extend(mounts.iter().map(|mount| mount["name"].clone()));
            }
            if let Some(devices) = container.get_mut("volumeDevices").and_then(Value::as_array_mut) {
                devices.retain(|it| {
                    is_new(&mut mounted, it["name"].clone()) && is_new(&mut paths, it["devicePath"].clone())
                });
                devices.retain(|it| !it["devicePath"].as_str().unwrap_or_default().contains(".."));
            }
        }
    }
}

/// Adds a value to those that were seen, and returns whether it is new.
fn is_new(seen: &mut Vec<Value>, value: Value) -> bool {
    let new = !seen.contains(&value);
    seen.push(value);
    new
}

fn spec() -> BoxedStrategy<Value> {
    let resources = one_of(json!([
        { "limits": { "cpu": "64", "memory": "64Gi" } },
        { "limits": { "cpu": "64" }, "requests": { "cpu": "64" } },
        { "requests": { "memory": "64Gi" } },
        { "limits": { "cpu": "150m" } },
        {},
    ]));
    let hook = json!({ "preStop": { "exec": { "command": ["true"] } } });
    let sidecar = Just(json!({ "restartPolicy": "Always", "lifecycle": hook }));
    let init_container = object([container(), maybe(30, sidecar)]);
    let spec = object([
        member("resources", 10, resources),
        member("initContainers", 95, list(init_container, 3)),
        member("containers", 100, prop::collection::vec(container(), 1..4)),
        member("imagePullSecrets", 20, one_of(json!([[{ "name": "z" }, { "name": "img-pull-0" }, {}], [], null]))),
        member("serviceAccountName", 30, of(&["default", "trainer", ""])),
        member("restartPolicy", 30, of(&["Always", "Never", "OnFailure"])),
        member("nodeSelector", 20, one_of(json!([{ "disk": "ssd" }, {}]))),
        member("tolerations", 20, Just(json!([{ "key": "a", "operator": "Exists", "effect": "NoSchedule" }]))),
        member("os", 10, Just(json!({ "name": "linux" }))),
        member("volumes", 97, list(volume(), 4)),
        unknown(),
    ]);
    let connected = spec.prop_map(|mut spec| {
        connect(&mut spec);
        spec
    });
    connected.boxed()
}

fn metadata() -> BoxedStrategy<Value> {
    let prefix = LABEL.prop_map(|name| format!("{name}-"));
    let name = prop_oneof![80 => member("name", 100, LABEL), 20 => member("generateName", 100, prefix)];
    let namespace = of(&["flytesnacks-development", "flytesnacks-development", "acme-flytesnacks", "flyte", "default"]);
    let organization = prop_oneof![8 => of(&["acme", "acme", "a.b", "O-0"]), 1 => of(&["a__b", ""])];
    let domain = prop_oneof![8 => of(&["development", "development", "d"]), 1 => of(&[""])];
    let labels = object([
        member("inject-flyte-secrets", 97, Just("true")),
        member("organization", 100, organization),
        member("project", 97, of(&["flytesnacks", "flytesnacks", "p_1", "0-0", "p"])),
        member("domain", 97, domain),
        member("example.com/other", 20, "[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"),
    ]);
    let annotations = one_of(json!([
        {},
        { "vault.hashicorp.com/role": "own", "vault.hashicorp.com/agent-inject": "false" },
        { "vault.hashicorp.com/agent-pre-populate-only": "false", "vault.hashicorp.com/agent-inject-secret-x": "a" },
        { "flyte.secrets/source": "x", "flyte.secrets/s": "", "flyte.secrets/s-1": "a" },
        { "Example.COM/A_b": "é\u{2028}\u{0}\"\\", "b": "" },
    ]));
    let large = (258_000..262_000_usize).prop_map(|size| "x".repeat(size));
    object([
        name.boxed(),
        member("namespace", 100, namespace),
        member("labels", 100, labels),
        member("annotations", 100, object([annotations.boxed(), member("large", 3, large)])),
        unknown(),
    ])
}

/// Generates a pod that an API server accepts, without requests.
pub fn pod() -> BoxedStrategy<Value> {
    let kind = || Just(json!({ "apiVersion": "v1", "kind": "Pod" })).boxed();
    let (metadata, spec) = (member("metadata", 100, metadata()), member("spec", 100, spec()));
    let pod = prop_oneof![
        object([kind(), metadata.clone(), spec.clone(), unknown()]),
        object([kind(), spec, metadata, unknown()]),
    ];
    pod.prop_filter("pods that an API server rejects", |pod| crate::rules::check(pod).is_empty()).boxed()
}
