//! Differences from Flyte's webhook (`docs/src/differences.md`).

use flyte_secrets_testing::host::Store;
use serde_json::{Value, json};

use crate::codes::rejected;
use crate::support::{
    asking, create, create_with, env, kubernetes_store, managers, mutated, mutated_twice, names, pod, project_name,
    with, with_file_variables,
};

fn empty() -> std::sync::Arc<Store> {
    Store::new(json!({}))
}

#[test]
fn requests_are_handled_in_the_order_of_their_numbers() {
    let out = create(&asking(12, "group:'g' key:'k@' mount_requirement:ENV_VAR"), &managers(&["K8s"]));
    let variables = (0..12).rev().map(|n| format!("_UNION_G_K{n}"));
    let expected: Vec<String> = std::iter::once("FLYTE_SECRETS_ENV_PREFIX".to_owned()).chain(variables).collect();
    assert_eq!(names(env(mutated(&out))), expected);
}

#[test]
fn second_mutation_ignores_defaults_of_the_api_server() {
    let store = kubernetes_store(&[(&project_name("a"), b"1")]);
    let settings = json!({ "secretManagerTypes": ["Embedded", "K8s"] });
    let pod = pod(&["key:'a' mount_requirement:FILE", "group:'g' key:'b' mount_requirement:FILE"]);
    let mut once = mutated(&create_with(&pod, &settings, &store)).clone();
    once["spec"]["initContainers"][0]["terminationMessagePath"] = json!("/dev/termination-log");
    once["spec"]["initContainers"][0]["imagePullPolicy"] = json!("Always");
    once["spec"]["volumes"][1]["secret"]["defaultMode"] = json!(420);
    let twice = create_with(&once, &settings, &store);
    assert_eq!(twice.patch(&once).0, []);
}

#[test]
fn second_mutation_updates_values_of_the_init_container() {
    let pod = pod(&["key:'a' mount_requirement:FILE"]);
    let before = kubernetes_store(&[(&project_name("a"), b"old")]);
    let after = kubernetes_store(&[(&project_name("a"), b"new")]);
    let once = mutated(&create_with(&pod, &json!({}), &before)).clone();
    let twice = mutated(&create_with(&once, &json!({}), &after)).clone();
    assert_eq!(twice, with(once, "/spec/initContainers/0/env/0/value", json!("a=bmV3\n")));
}

#[test]
fn two_versions_of_a_group_share_the_volume_that_is_there() {
    let pod = pod(&["group:'g' group_version:'1' key:'a'", "group:'g' group_version:'2' key:'b'"]);
    let out = mutated_twice(&pod, &managers(&["K8s"]), &empty());
    assert_eq!(
        out["spec"]["volumes"],
        json!([{ "name": "m4ptc", "secret": {
            "secretName": "g",
            "items": [{ "key": "a", "path": "a" }, { "key": "b", "path": "b" }],
            "optional": true,
        } }])
    );
    assert_eq!(
        out["spec"]["containers"][0]["volumeMounts"],
        json!([{ "name": "m4ptc", "readOnly": true, "mountPath": "/etc/flyte/secrets/g" }])
    );
}

#[test]
fn existing_volumes_are_unchanged() {
    let own = json!({ "name": "mine", "secret": { "secretName": "g", "items": [{ "key": "x", "path": "x" }] } });
    let pod = with(pod(&["group:'g' key:'a'"]), "/spec/volumes", json!([own]));
    let out = mutated_twice(&pod, &managers(&["K8s"]), &empty());
    let ours = json!({ "name": "m3pq", "secret": {
        "secretName": "g", "items": [{ "key": "a", "path": "a" }], "optional": true,
    } });
    let ours = with(ours, "/name", out["spec"]["volumes"][1]["name"].clone());
    assert_eq!(out["spec"]["volumes"], json!([own, ours]));
}

#[test]
fn only_volume_names_that_are_too_long_are_hashed() {
    // 38 bytes make 61 characters, 39 make 63, 40 make 64.
    for (length, hashed) in [(37, false), (38, false), (39, true), (200, true)] {
        let group = "g".repeat(length);
        let out = create(&pod(&[&format!("group:'{group}' key:'a'")]), &managers(&["K8s"]));
        let name = mutated(&out)["spec"]["volumes"][0]["name"].as_str().unwrap_or_default().to_owned();
        assert!(name.len() <= 63, "{name}");
        let plain = flyte_secrets_policy::secret_request::base32::encode(format!("{group}_").as_bytes());
        assert_eq!(name != plain, hashed, "{length}: {name}");
        assert_eq!(plain.len() > 63, hashed);
    }
}

#[test]
fn keys_that_differ_only_in_case_conflict() {
    let file = "write the file /etc/flyte/secrets/g/tok (file names are in lower case); rename one of them";
    let variable = "set the variable _UNION_G_TOK; set another `env_var` in one of them";
    for (mount, conflict) in [("FILE", file), ("ENV_VAR", variable)] {
        let requests = ["Tok", "tok"].map(|key| format!("group:'g' key:'{key}' mount_requirement:{mount}"));
        let message = format!(
            "secrets \"g/Tok\" (annotation flyte.secrets/s0) and \"g/tok\" (annotation flyte.secrets/s1) conflict: \
             both {conflict}"
        );
        let found = create(&pod(&requests.each_ref().map(String::as_str)), &managers(&["K8s"]));
        assert_eq!(found.0, rejected(400, &message));
    }
}

#[test]
fn volumes_mounted_elsewhere_are_mounted_again() {
    let mounts = json!([{ "name": "aws-secret-vol", "mountPath": "/elsewhere" }]);
    let volumes = json!([{ "name": "aws-secret-vol", "emptyDir": { "medium": "Memory", "sizeLimit": "64Mi" } }]);
    let pod = with(pod(&["group:'arn' key:'k'"]), "/spec/containers/0/volumeMounts", mounts);
    let out = mutated_twice(&with(pod, "/spec/volumes", volumes), &managers(&["AWS"]), &empty());
    assert_eq!(
        out["spec"]["containers"][0]["volumeMounts"],
        json!([
            { "name": "aws-secret-vol", "mountPath": "/elsewhere" },
            { "name": "aws-secret-vol", "readOnly": true, "mountPath": "/etc/flyte/secrets" },
        ])
    );
}

#[test]
fn init_containers_take_free_names() {
    let store = kubernetes_store(&[(&project_name("a"), b"1")]);
    let (arns, file) = (["group:'arn' key:'a'", "group:'arn' key:'b'"], ["key:'a' mount_requirement:FILE"]);
    for (manager, requests, theirs, ours) in [
        ("AWS", &arns[..], &["aws-pull-secret-2", "other"][..], &["aws-pull-secret-0", "aws-pull-secret-1"][..]),
        ("Embedded", &file, &["init-embedded-secret"], &["init-embedded-secret-1"]),
    ] {
        let init = theirs.iter().map(|name| json!({ "name": name, "image": "x" })).collect();
        let out = mutated_twice(&with(pod(requests), "/spec/initContainers", init), &managers(&[manager]), &store);
        assert_eq!(names(&out["spec"]["initContainers"]), [ours, theirs].concat());
    }
}

#[test]
fn managers_share_one_volume_in_memory() {
    let pod = pod(&["group:'arn' key:'k'", "group:'g' group_version:'1'"]);
    let out = mutated_twice(&pod, &managers(&["AWS", "GCP"]), &empty());
    assert_eq!(
        out["spec"]["volumes"],
        json!([{ "name": "aws-secret-vol", "emptyDir": { "medium": "Memory", "sizeLimit": "64Mi" } }])
    );
    let mounts: Vec<&Value> = ["/spec/initContainers/0", "/spec/initContainers/1", "/spec/containers/0"]
        .into_iter()
        .filter_map(|path| out.pointer(&format!("{path}/volumeMounts")))
        .collect();
    assert_eq!(
        mounts,
        [
            &json!([{ "name": "aws-secret-vol", "mountPath": "/tmp" }]),
            &json!([{ "name": "aws-secret-vol", "mountPath": "/etc/flyte/secrets" }]),
            &json!([{ "name": "aws-secret-vol", "readOnly": true, "mountPath": "/etc/flyte/secrets" }]),
        ]
    );
}

#[test]
fn vault_conflicts_with_a_memory_volume() {
    let pod = pod(&["group:'secret/data/a' key:'k'", "group:'g' group_version:'1'"]);
    let message = "secrets \"secret/data/a/k\" (annotation flyte.secrets/s0) and \"g\" version \"1\" (annotation \
                   flyte.secrets/s1) conflict: each requires its own volume at /etc/flyte/secrets, as the Vault agent \
                   does; use separate tasks";
    assert_eq!(create(&pod, &managers(&["Vault", "GCP"])).0, rejected(400, message));
}

#[test]
fn a_version_in_an_azure_uri_is_read_as_one() {
    let whole = create(&pod(&["group:'https://v.vault.azure.net/secrets/Name/0F'"]), &managers(&["Azure"]));
    let apart =
        create(&pod(&["group:'https://v.vault.azure.net/secrets/Name' group_version:'0F'"]), &managers(&["Azure"]));
    assert_eq!(mutated(&whole)["spec"], mutated(&apart)["spec"]);
    let command = &mutated(&whole)["spec"]["initContainers"][0]["command"];
    let arguments = [&command[4], &command[5]];
    assert_eq!(arguments, ["https://v.vault.azure.net/secrets/Name/0F", "/etc/flyte/secrets/name/0f"]);
}

#[test]
fn env_var_leads_to_the_file_in_every_manager() {
    let store = kubernetes_store(&[(&project_name("Key.A"), b"1")]);
    for (manager, request, path) in [
        ("K8s", "group:'g' key:'Key.A'", "/etc/flyte/secrets/g/key.a"),
        ("AWS", "group:'Arn' key:'Key.A'", "/etc/flyte/secrets/arn/key.a"),
        ("GCP", "group:'G' group_version:'V1'", "/etc/flyte/secrets/g/v1"),
        ("Azure", "group:'https://v.vault.azure.net/secrets/Name'", "/etc/flyte/secrets/name"),
        ("Vault", "group:'secret/data/X' key:'Key.A'", "/etc/flyte/secrets/secret/data/X/Key.A"),
        ("Embedded", "key:'Key.A'", "/etc/flyte/secrets/Key.A"),
    ] {
        let request = format!("{request} mount_requirement:FILE env_var:'WHERE'");
        let out = mutated_twice(&pod(&[&request]), &managers(&[manager]), &store);
        assert_eq!(env(&out), env(&with_file_variables(pod(&[]), &[("WHERE", path)])), "{manager}");
    }
}

#[test]
fn init_containers_have_only_their_own_variables() {
    let store = kubernetes_store(&[(&project_name("a"), b"1"), (&project_name("b"), b"2")]);
    let init = json!([{ "name": "users", "image": "x" }]);
    let requests = ["key:'a' mount_requirement:FILE", "key:'b' env_var:'SECRETS'"];
    let out = mutated_twice(&with(pod(&requests), "/spec/initContainers", init), &json!({}), &store);
    // A variable named SECRETS is the task's, and not the list that our init-container reads.
    assert_eq!(out["spec"]["initContainers"][0]["env"], json!([{ "name": "SECRETS", "value": "a=MQ==\n" }]));
    let users = ["SECRETS", "FLYTE_SECRETS_ENV_PREFIX", "FLYTE_SECRETS_FILE_PREFIX", "FLYTE_SECRETS_DEFAULT_DIR"];
    assert_eq!(names(&out["spec"]["initContainers"][1]["env"]), users);
    assert_eq!(names(env(&out)), users);
}

#[test]
fn no_empty_fields_are_added() {
    let out = mutated_twice(&pod(&["group:'g' group_version:'1'"]), &managers(&["GCP"]), &empty());
    assert!(!out.to_string().contains("[]") && !out.to_string().contains("{}"), "{out:#}");
}
