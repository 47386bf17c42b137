//! Placement of secrets in a pod: containers and mounts.

use serde_json::{Value, json};

use crate::codes::rejected;
use crate::support::{create, kubernetes_store, managers, mutated_twice, names, pod, store_of_k, with};

fn several(annotations: &[(&str, &str)]) -> Value {
    let mut pod = pod(&["group:'g' key:'k' mount_requirement:ENV_VAR"]);
    let container = |name: &str| json!({ "name": name, "image": "x" });
    pod["spec"]["containers"] = ["istio-proxy", "main", "user-container"].map(container).into_iter().collect();
    pod["spec"]["initContainers"] = json!([container("users")]);
    for (name, value) in annotations {
        pod["metadata"]["annotations"][*name] = json!(value);
    }
    pod
}

/// The containers that have variables.
fn served(pod: &Value, settings: &Value) -> Vec<String> {
    let out = mutated_twice(pod, settings, &kubernetes_store(&[]));
    let all = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|kind| out["spec"][kind].as_array().cloned().unwrap_or_default());
    all.filter(|it| it.get("env").is_some()).map(|it| it["name"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn containers_are_chosen_by_annotation_and_settings() {
    const CHOICE: &str = "flyte-secrets.flyte.org/containers";
    let all = vec!["istio-proxy", "main", "user-container", "users"];
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], Vec<&'a str>);
    let table: [Row; 7] = [
        ("All", &[], all),
        ("All", &[(CHOICE, "main, users")], vec!["main", "users"]),
        ("Primary", &[("primary_container_name", "main")], vec!["main"]),
        ("Primary", &[], vec!["user-container"]),
        ("Primary", &[(CHOICE, "istio-proxy"), ("primary_container_name", "main")], vec!["istio-proxy"]),
        ("All", &[("primary_container_name", "main")], vec!["istio-proxy", "main", "user-container", "users"]),
        ("primary", &[("primary_container_name", "users")], vec!["users"]),
    ];
    for (inject_into, annotations, names) in table {
        let settings = with(managers(&["K8s"]), "/injectInto", json!(inject_into));
        assert_eq!(served(&several(annotations), &settings), names, "{inject_into} {annotations:?}");
    }
    let unknown = create(&several(&[(CHOICE, "main,sidecar")]), &managers(&["K8s"]));
    let message = "secrets cannot be injected: annotation flyte-secrets.flyte.org/containers: unknown container \
                   \"sidecar\"; \
                   expected names of the pod's containers";
    assert_eq!(unknown.0, rejected(400, message));
}

#[test]
fn init_containers_are_first_by_default() {
    let pod = with(pod(&["group:'arn' key:'k'"]), "/spec/initContainers", json!([{ "name": "users", "image": "x" }]));
    for (order, expected) in [("First", ["aws-pull-secret-0", "users"]), ("Last", ["users", "aws-pull-secret-1"])] {
        let settings = with(managers(&["AWS"]), "/initContainers", json!(order));
        let out = mutated_twice(&pod, &settings, &kubernetes_store(&[]));
        assert_eq!(names(&out["spec"]["initContainers"]), expected, "{order}");
    }
}

#[test]
fn init_containers_have_the_pull_policy_of_the_settings() {
    let store = store_of_k(b"v");
    for (manager, section, request) in [
        ("AWS", "/awsSecretManager", "group:'arn' key:'k'"),
        ("GCP", "/gcpSecretManager", "group:'g' group_version:'1'"),
        ("Azure", "/azureSecretManager", "group:'https://v.vault.azure.net/secrets/x'"),
        ("Embedded", "/embeddedSecretManagerConfig/fileMountInitContainer", "key:'k' mount_requirement:FILE"),
    ] {
        let settings = with(managers(&[manager]), &format!("{section}/imagePullPolicy"), json!("Always"));
        let out = mutated_twice(&pod(&[request]), &settings, &store);
        assert_eq!(out["spec"]["initContainers"][0]["imagePullPolicy"], "Always", "{manager}");
    }
}

/// The runtime cannot make mount points in a volume that is read-only (kubernetes/kubernetes#121294): the first init
/// container that writes it has a `subPath` mount for each, whose folder the kubelet makes.
#[test]
fn secrets_below_the_volume_in_memory_have_mount_points() {
    let store = store_of_k(b"v");
    let file = "group:'db' key:'password' mount_requirement:FILE";
    let table = [
        ("AWS", "group:'arn' key:'k'", "aws-secret-vol", "/tmp"),
        ("GCP", "group:'g' group_version:'1'", "gcp-secret-vol", "/etc/flyte/secrets"),
        ("Embedded", "key:'k' mount_requirement:FILE", "embedded-secret-vol", "/etc/flyte/secrets"),
    ];
    for (manager, request, volume, root) in table {
        let settings = with(managers(&[manager, "K8s"]), "/k8sSecretManager", json!({ "optional": true }));
        let file = if manager == "AWS" { "key:'password' mount_requirement:FILE" } else { file };
        let out = mutated_twice(&pod(&[request, file]), &settings, &store);
        let folder = out["spec"]["containers"][0]["volumeMounts"][1]["mountPath"].as_str().expect("a mount");
        let folder = folder.strip_prefix("/etc/flyte/secrets/").expect("below the folder of secrets");
        let mounts = json!([
            { "name": volume, "mountPath": root },
            { "name": volume, "mountPath": format!("{root}/{folder}"), "subPath": folder },
        ]);
        assert_eq!(out["spec"]["initContainers"][0]["volumeMounts"], mounts, "{manager}");
    }
    let hidden = create(&pod(&["group:'g' group_version:'1'", "group:'g' key:'k'"]), &managers(&["GCP", "K8s"]));
    let message = "secrets \"g\" version \"1\" (annotation flyte.secrets/s0) and \"g/k\" (annotation \
                   flyte.secrets/s1) conflict: both use the folder /etc/flyte/secrets/g; rename one of them";
    assert_eq!(hidden.0, rejected(400, message));
}

#[test]
fn files_on_windows_are_rejected() {
    let windows = |request: &str| with(pod(&[request]), "/spec/os", json!({ "name": "windows" }));
    let file = create(&windows("group:'g' key:'k' mount_requirement:FILE"), &managers(&["K8s"]));
    let message = "secret \"g/k\" (annotation flyte.secrets/s0) cannot be injected: K8s: files are not supported on \
                   Windows (spec.os.name); request it as an ENV_VAR";
    assert_eq!(file.0, rejected(400, message));
    mutated_twice(&windows("group:'g' key:'k' mount_requirement:ENV_VAR"), &managers(&["K8s"]), &kubernetes_store(&[]));
}
