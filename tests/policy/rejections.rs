//! Rejections: reason code and message. Whole answers are compared.

use std::sync::Arc;

use flyte_secrets_policy::names::Scope;
use flyte_secrets_policy::names::kubernetes::{image_pull_name, secret_name};
use flyte_secrets_policy::secret_request::base32;
use flyte_secrets_testing::engine::creation;
use flyte_secrets_testing::host::{Capabilities, Request, Store, nothing};
use serde_json::{Map, Value, json};

use crate::codes::{not_injected, rejected};
use crate::support::{
    annotation, create, create_with, kubernetes_store, managers, mutated, pod, policy, project_name, with,
};

// What messages say of a value that a manager does not take.
pub const VARIABLE: &str = "is not a valid variable name; it must be ASCII without '='";
pub const KEY: &str = "is not a valid Secret key; expected up to 253 of a-z, A-Z, 0-9, '-', '_' and '.'";
pub const GROUP: &str = "is not a valid Secret name; expected up to 253 of a-z, 0-9, '-' and '.'";
pub const VAULT_PATH: &str =
    "is not a valid Vault path; it must not contain empty parts, '.', '..' or control characters";
pub const ARN: &str =
    "is not a valid path of ARN and key; it must be ASCII without empty parts, '.', '..' or control characters";
pub const GCP_SECRET: &str =
    "is not a valid GCP secret; expected projects/PROJECT/secrets/NAME, or NAME of a-z, A-Z, 0-9, '_', '-'";
pub const GCP_VERSION: &str = "is not a valid GCP version; expected a number, latest or an alias";
pub const VAULT_URI: &str = "is not a valid Key Vault secret URI; expected https://VAULT.vault.azure.net/secrets/NAME";
pub const FILE_NAME: &str =
    "is not a valid file name; expected up to 255 of a-z, A-Z, 0-9, '-', '_' and '.', and not '.' or '..'";

/// What the policy answers to a payload.
fn answer(payload: &[u8]) -> Result<Value, String> {
    let answer = policy().call("validate", payload, &nothing()).map_err(|error| error.to_string())?;
    let mut answer: Map<String, Value> = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
    answer.retain(|_, value| !value.is_null());
    Ok(Value::Object(answer))
}

/// What the policy answers where the host answers each read with `read`.
pub fn with_host(
    pod: &Value,
    settings: &Value,
    read: impl Fn(&Request) -> Result<Vec<u8>, String> + Send + Sync + 'static,
) -> Result<Value, String> {
    let host: Arc<dyn Capabilities> = Arc::new(move |namespace: &str, operation: &str, payload: &[u8]| {
        let request: Request = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        match (namespace, operation) {
            ("kubernetes", "get_resource") => read(&request),
            other => Err(format!("unknown operation: {other:?}")),
        }
    });
    policy().create_pod(pod, settings, &host).map(|answer| answer.0).map_err(|error| error.to_string())
}

/// A pod with these annotations.
fn annotated(annotations: &[(&str, &str)]) -> Value {
    let annotations: Map<String, Value> =
        annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    with(pod(&[]), "/metadata/annotations", Value::Object(annotations))
}

#[test]
fn invalid_annotations() {
    let fields = "expected group, group_version, key, mount_requirement or env_var";
    let whole = annotation("key:'k'");
    let cut = whole.get(..11).unwrap_or_default();
    let texts: [(&[u8], String); 18] = [
        (b"keys:'k'", format!("unknown field \"keys\"; {fields}")),
        (b"'key':'k'", format!("unknown field \"a quoted string\"; {fields}")),
        (b"{key:'k'}", format!("unknown field \"{{\"; {fields}")),
        (b"Key:'k'", format!("unknown field \"Key\"; {fields}")),
        (b"key:'a' key:'b'", "field `key` is repeated".into()),
        (b"key 'k'", "field `key`: expected a colon after the name".into()),
        (b"key", "field `key`: expected a colon after the name".into()),
        (b"key:", "field `key`: expected a quoted string".into()),
        (b"env_var:A", "field `env_var`: expected a quoted string".into()),
        (
            b"mount_requirement:env_var",
            "invalid mount_requirement \"env_var\": expected ANY, ENV_VAR, FILE or a number".into(),
        ),
        (
            b"mount_requirement:",
            "invalid mount_requirement \"nothing\": expected ANY, ENV_VAR, FILE or a number".into(),
        ),
        (b"mount_requirement:1.5", "invalid mount_requirement \"1.5\": expected ANY, ENV_VAR, FILE or a number".into()),
        (b"key:'k", "unterminated quoted string".into()),
        (b"key:'k\n'", "unterminated quoted string".into()),
        (b"key:'\\q'", "invalid escape sequence \\q in field `key`".into()),
        (b"group:'\\x4'", "invalid escape sequence \\x4 in field `group`".into()),
        (b"key:'\xff'", "field `key` is not valid UTF-8".into()),
        (b"\xef\xbb\xbfkey:'k'", "unexpected byte 0xef".into()),
    ];
    let texts = texts.map(|(text, problem)| (base32::encode(text), problem));
    let encodings = [
        ("?".to_owned(), "invalid base32 character at position 0".to_owned()),
        ("nnsxsO".to_owned(), "invalid base32 character at position 5".to_owned()),
        ("nnsxs7".to_owned(), "invalid base32 character at position 5".to_owned()),
        ("mu======".to_owned(), "invalid base32 character at position 2".to_owned()),
        ("nnsxsé".to_owned(), "invalid base32 character at position 5".to_owned()),
        (cut.to_owned(), "invalid base32 length 11: text is truncated or has extra characters".into()),
    ];
    for (value, problem) in texts.into_iter().chain(encodings) {
        let message =
            format!("annotation flyte.secrets/s0 is not a valid secret request: {problem}; use flytekit to encode it");
        let found = create(&annotated(&[("flyte.secrets/s0", &value)]), &managers(&["K8s"]));
        assert_eq!(found.0, rejected(400, &message), "{value}");
    }
}

/// One invalid annotation rejects the pod; the first of several by number is named.
#[test]
fn the_first_bad_annotation_by_number_is_named() {
    let good = annotation("group:'db' key:'k'");
    let asking = annotated(&[("flyte.secrets/s10", "?"), ("flyte.secrets/s2", "!"), ("flyte.secrets/s1", &good)]);
    let message = "annotation flyte.secrets/s2 is not a valid secret request: invalid base32 character at position 0; \
                   use flytekit to encode it";
    assert_eq!(create(&asking, &managers(&["K8s"])).0, rejected(400, message));
}

#[test]
fn invalid_admission_requests() {
    let table = [
        ("flyte.secrets/s0", 2),
        ("[\"flyte.secrets/s0\"]", 20),
        ("{\"request\":\"flyte.secrets/s0\"}", 29),
        ("{\"request\":{\"kind\":\"flyte.secrets/s0\"}}", 37),
        ("{\"request\":{\"x\":\"flyte.secrets/s0", 33),
        ("{\"a\":[1,\"flyte.secrets/s0\"", 26),
        ("{\"a\":\"flyte.secrets/s0\"", 23),
        ("{\"flyte.secrets/s0\" 1}", 21),
        ("{\"flyte.secrets/s0\":}", 21),
        ("{\"flyte.secrets/s0\":1,}", 23),
        ("{\"request\":{} \"flyte.secrets/s0\":1}", 15),
        ("{\"request\":{\"operation\":1,\"x\":\"flyte.secrets/s0\"}}", 25),
    ];
    for (payload, column) in table {
        let message = format!("unexpected value at line 1, column {column}");
        assert_eq!(answer(payload.as_bytes()), Ok(rejected(400, &message)), "{payload}");
    }
}

/// Every truncation of a payload is answered, and none of them changes a pod.
#[test]
fn truncated_payloads() {
    let request = creation(&pod(&["group:'db' key:'password' mount_requirement:FILE"]));
    let payload = json!({ "request": request, "settings": managers(&["K8s"]) }).to_string();
    for end in (0..payload.len()).step_by(7) {
        let found = answer(payload.as_bytes().get(..end).unwrap_or_default());
        let mutates = found.as_ref().map(|answer| answer.get("mutated_object").is_some());
        assert_eq!(mutates, Ok(false), "the first {end} bytes: {found:?}");
    }
}

#[test]
fn pods_with_fields_of_other_types() {
    // Where a value is wrong, and which field is named; with none, it is the payload that cannot be read.
    let table = [
        ("/metadata", json!([]), None),
        ("/metadata/labels", json!(["x"]), None),
        ("/metadata/labels/inject-flyte-secrets", json!(1), Some("metadata.labels")),
        ("/metadata/annotations", json!("flyte.secrets/s0"), None),
        ("/metadata/annotations", json!({ "flyte.secrets/s0": 1 }), Some("metadata.annotations")),
        ("/metadata/annotations", json!({ "flyte.secrets/s0": ["k"] }), Some("metadata.annotations")),
        ("/metadata/annotations", json!({ "flyte.secrets/s0": null }), Some("metadata.annotations")),
        ("/spec", json!(null), Some("spec")),
        ("/spec", json!([]), None),
        ("/spec/containers", json!({}), None),
        ("/spec/containers", json!(["main"]), None),
        ("/spec/initContainers", json!("x"), None),
        ("/spec/containers/0/env", json!("A=b"), None),
        ("/spec/containers/0/env", json!(["A=b"]), Some("containers.env")),
        ("/spec/containers/0/env", json!([{ "name": 1 }]), Some("containers.env")),
        ("/spec/containers/0/volumeMounts", json!({}), None),
        ("/spec/containers/0/volumeMounts", json!([{ "name": 1 }]), Some("containers.volumeMounts")),
        ("/spec/volumes", json!({ "a": 1 }), None),
        ("/spec/volumes", json!([1]), Some("spec.volumes")),
        ("/spec/imagePullSecrets", json!("x"), None),
    ];
    for (path, value, field) in table {
        // The prefix stands there in any case: without it nothing is read.
        let bad = with(pod(&["group:'db' key:'password' mount_requirement:FILE"]), "/note", json!("flyte.secrets/s0"));
        let bad = with(bad, path, value.clone());
        let payload = json!({ "request": creation(&bad), "settings": managers(&["K8s"]) }).to_string();
        let found = answer(payload.as_bytes()).expect("an answer");
        let message = found["message"].as_str().unwrap_or_default();
        match field {
            Some(field) => {
                let wanted = format!("InvalidPod: unexpected value in `{field}`");
                assert_eq!(message.replace("secrets cannot be injected: ", ""), wanted, "{path}");
            }
            None => {
                assert!(message.starts_with("InvalidAdmissionRequest: unexpected value at line 1, column "), "{path}");
            }
        }
        let whole = json!({ "accepted": false, "code": 400, "message": message });
        assert_eq!(found, whole, "{path}: {value}");
    }
}

/// What a user has in the pod where secrets must be, however it is written; `None` where it is in nobody's way.
#[test]
fn pods_that_conflict() {
    let k8s = ("K8s", "group:'db' key:'password' mount_requirement:FILE");
    let aws = ("AWS", "group:'arn:x' key:'k'");
    let mount = |path: &str| ("/spec/containers/0/volumeMounts", json!([{ "name": "d", "mountPath": path }]));
    let volume = || Some("volume \"mrrf5\" conflicts with the secrets volume of the same name; rename it".to_owned());
    let at =
        |path: &str, why: &str| Some(format!("container \"main\": mount of \"d\" at {path} {why}; use another path"));
    let same = "conflicts with the mount of secrets";
    // Of the Secret, with another key where ours would be.
    let items = json!([{ "key": "other", "path": "password" }]);
    let items = json!([{ "name": "mrrf5", "secret": { "secretName": "db", "items": items, "optional": true } }]);
    let device = json!([{ "name": "d", "devicePath": "/etc/flyte/secrets" }]);
    let below = "conflicts with read-only \"aws-secret-vol\" at /etc/flyte/secrets";
    let mut table = vec![
        (k8s, ("/spec/volumes", json!([{ "name": "mrrf5", "emptyDir": {} }])), volume()),
        (k8s, ("/spec/volumes", items), volume()),
        (k8s, mount("/etc/flyte/secrets/db/"), at("/etc/flyte/secrets/db/", same)),
        (aws, ("/spec/containers/0/volumeDevices", device), at("/etc/flyte/secrets", same)),
        (aws, mount("/etc/flyte/./secrets/x"), at("/etc/flyte/./secrets/x", below)),
    ];
    for path in [
        "/etc/flyte/secrets",
        "/etc/flyte/secrets/",
        "etc/flyte/secrets",
        "/etc/flyte/./secrets",
        "/etc//flyte/secrets",
        "/etc/flyte/x/../secrets",
        "/../etc/flyte/secrets/.",
        "/etc/flyte/\u{1b}[2J/../secrets",
        "/etc/flyte/\nAWS: fine/../secrets",
        "/etc/\u{202e}x/../flyte/secrets",
    ] {
        table.push((aws, mount(path), at(&path.escape_debug().to_string(), same)));
    }
    for path in ["/etc/flyte", "/etc/flyte/secrets/../other", "/x/etc/flyte/secrets"] {
        table.push((aws, mount(path), None));
    }
    for ((manager, request), (path, value), problem) in table {
        let found = create(&with(pod(&[request]), path, value.clone()), &managers(&[manager]));
        match problem {
            Some(problem) => {
                let message = format!("secrets cannot be injected: {problem}");
                assert_eq!(found.0, rejected(400, &message), "{path}: {value}");
            }
            None => drop(mutated(&found).clone()),
        }
    }
}

#[test]
fn invalid_labels() {
    let long = "a".repeat(64);
    let mut table = Vec::new();
    for name in ["organization", "project", "domain"] {
        let missing = format!("missing required label {name}; add it to the pod");
        table.push((name, None, missing.clone()));
        table.push((name, Some(""), missing));
        // Among them those that would reach for another tenant's names, or look like another label.
        for bad in [
            "a__b",
            "__",
            "acme__domain__development__project__payroll",
            "payroll__key__k",
            "_payroll",
            "payroll_",
            "a/b",
            "a b",
            "é",
            "..",
            "-a",
            "{{",
            "a$b",
            "payroll\0",
            "payroll\n",
            "\u{1b}[31mpayroll",
            "payroll\u{200b}",
            "pay\u{202e}roll",
            "рayroll",
            "\u{fb02}ytesnacks",
            "İ",
            "ſ",
            "\u{212a}",
            &long,
        ] {
            let problem = "must be a valid label value without \"__\", the separator in secret names";
            table.push((name, Some(bad), format!("label {name}={bad:?} {problem}")));
        }
    }
    for (name, value, problem) in table {
        let mut asking = pod(&["key:'k'"]);
        if let Some(labels) = asking.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            match value {
                Some(value) => drop(labels.insert(name.to_owned(), json!(value))),
                None => drop(labels.shift_remove(name)),
            }
        }
        let store = Store::new(json!({}));
        let found = create_with(&asking, &json!({}), &store).0;
        assert_eq!(found, not_injected(400, "\"k\"", &format!("Embedded: {problem}")), "{name}: {value:?}");
        assert_eq!(store.asked(), [], "{name}: {value:?}");
    }
    let longest = "a".repeat(63);
    let name = format!("u__org__{longest}__domain__development__project__flytesnacks__key__k");
    let asking = with(pod(&["key:'k'"]), "/metadata/labels/organization", json!(longest));
    mutated(&create_with(&asking, &json!({}), &kubernetes_store(&[(&name, b"v")])));
}

#[test]
fn requests_that_managers_do_not_support() {
    let no_variable = "unsupported mount_requirement ENV_VAR; use FILE or ANY";
    let all = "unsupported mount_requirement 7; use ANY, ENV_VAR or FILE";
    let files = "unsupported mount_requirement 7; use FILE or ANY";
    let reserved = "is a reserved variable; set another `env_var`";
    let azure_version = "is not a valid Key Vault version; expected letters and digits";
    let long = "a".repeat(254);
    let vault_uri = "https://v.vault.azure.net/secrets/x";
    // Manager, request, how messages name it, reason.
    let mut table: Vec<(&str, String, String, String)> = Vec::new();
    let mut row = |manager: &'static str, request: &str, named: &str, reason: &str| {
        table.push((manager, request.to_owned(), named.to_owned(), reason.to_owned()));
    };

    row("K8s", "", "without group and key", "missing required field `key`");
    row("K8s", "group:'db'", "\"db\"", "missing required field `key`");
    row("K8s", "group:'db' group_version:'2'", "\"db\" version \"2\"", "missing required field `key`");
    row("K8s", "group:'My_Group' key:'k'", "\"My_Group/k\"", &format!("group \"My_Group\" {GROUP}"));
    row("K8s", "group:'a..b' key:'k'", "\"a..b/k\"", &format!("group \"a..b\" {GROUP}"));
    row("K8s", "group:'../x' key:'k'", "\"../x/k\"", &format!("group \"../x\" {GROUP}"));
    row("K8s", &format!("group:'{long}' key:'k'"), &format!("\"{long}/k\""), &format!("group {long:?} {GROUP}"));
    row("K8s", "group:'db' key:'a/b'", "\"db/a/b\"", &format!("key \"a/b\" {KEY}"));
    row("K8s", "key:'a b'", "\"a b\"", &format!("key \"a b\" {KEY}"));
    row("K8s", "key:'..x'", "\"..x\"", &format!("key \"..x\" {KEY}"));
    row("K8s", "key:'.'", "\".\"", &format!("key \".\" {KEY}"));
    row("K8s", &format!("key:'{long}'"), &format!("\"{long}\""), &format!("key {long:?} {KEY}"));
    row("K8s", "key:'k' mount_requirement:7", "\"k\"", all);
    for requirement in ["ENV_VAR", "FILE"] {
        for variable in ["A=B", "é", "a\\nb"] {
            let request = format!("key:'k' env_var:'{variable}' mount_requirement:{requirement}");
            row("K8s", &request, "\"k\"", &format!("env_var \"{variable}\" {VARIABLE}"));
        }
        for variable in ["FLYTE_SECRETS_DEFAULT_DIR", "FLYTE_SECRETS_FILE_PREFIX", "FLYTE_SECRETS_ENV_PREFIX"] {
            let request = format!("key:'k' env_var:'{variable}' mount_requirement:{requirement}");
            row("K8s", &request, "\"k\"", &format!("{variable} {reserved}"));
            row("Embedded", &request, "\"k\"", &format!("{variable} {reserved}"));
        }
    }

    row("Vault", "", "without group and key", "missing required field `group`");
    row("Vault", "key:'k'", "\"k\"", "missing required field `group`");
    row("Vault", "group:'kv/app'", "\"kv/app\"", "missing required field `key`");
    row("Vault", "group:'kv' key:'k' mount_requirement:ENV_VAR", "\"kv/k\"", no_variable);
    row("Vault", "group:'kv' key:'k' mount_requirement:7", "\"kv/k\"", files);
    row("Vault", "group:'kv/../x' key:'k'", "\"kv/../x/k\"", &format!("group/key \"kv/../x/k\" {VAULT_PATH}"));
    row("Vault", "group:'kv' key:'../../k'", "\"kv/../../k\"", &format!("group/key \"kv/../../k\" {VAULT_PATH}"));
    row("Vault", "group:'kv' key:'.'", "\"kv/.\"", &format!("group/key \"kv/.\" {VAULT_PATH}"));
    row("Vault", "group:'kv//x' key:'k'", "\"kv//x/k\"", &format!("group/key \"kv//x/k\" {VAULT_PATH}"));
    row("Vault", "group:'kv' key:'k/'", "\"kv/k/\"", &format!("group/key \"kv/k/\" {VAULT_PATH}"));
    row("Vault", "group:'/' key:'k'", "\"//k\"", &format!("group/key \"/k\" {VAULT_PATH}"));
    row("Vault", "group:'kv' key:'a\\nb'", "\"kv/a\\nb\"", &format!("group/key \"kv/a\\nb\" {VAULT_PATH}"));
    row("Vault", "group:'kv' key:'k' env_var:'A=B'", "\"kv/k\"", &format!("env_var \"A=B\" {VARIABLE}"));

    row("AWS", "key:'k'", "\"k\"", "missing required field `group`");
    row("AWS", "group:'arn:x'", "\"arn:x\"", "missing required field `key`");
    row("AWS", "group:'arn:x' key:'k' mount_requirement:ENV_VAR", "\"arn:x/k\"", no_variable);
    row("AWS", "group:'arn:x' key:'k' mount_requirement:7", "\"arn:x/k\"", files);
    row("AWS", "group:'../X' key:'k'", "\"../X/k\"", &format!("group/key \"../X/k\" {ARN}"));
    row("AWS", "group:'arn:x' key:'../k'", "\"arn:x/../k\"", &format!("group/key \"arn:x/../k\" {ARN}"));
    row("AWS", "group:'a//b' key:'k'", "\"a//b/k\"", &format!("group/key \"a//b/k\" {ARN}"));
    row("AWS", "group:'/a' key:'k'", "\"/a/k\"", &format!("group/key \"/a/k\" {ARN}"));
    row("AWS", "group:'é' key:'k'", "\"é/k\"", &format!("group/key \"é/k\" {ARN}"));
    row("AWS", "group:'a' key:'k\\n'", "\"a/k\\n\"", &format!("group/key \"a/k\\n\" {ARN}"));

    row("GCP", "key:'k'", "\"k\"", "missing required field `group`");
    row("GCP", "group:'token' key:'k'", "\"token/k\"", "missing required field `group_version`");
    row("GCP", "group:'token' group_version:'1' mount_requirement:ENV_VAR", "\"token\" version \"1\"", no_variable);
    for bad in ["a;b", "$(id)", "`id`", "a b", "a|b", "a'\"b", "-x", "../x", "a/b", "projects/p/secrets/x/versions/1"] {
        let quoted = bad.replace('\'', "\\'");
        let request = format!("group:'{quoted}' group_version:'1'");
        row("GCP", &request, &format!("{bad:?} version \"1\""), &format!("group {bad:?} {GCP_SECRET}"));
    }
    for part in ["$(id)", "`id`", "..", "-x", "", "x y", "é", "*"] {
        for bad in [
            format!("projects/{part}/secrets/x"),
            format!("projects/p/secrets/{part}"),
            format!("projects/p/locations/{part}/secrets/x"),
        ] {
            let request = format!("group:'{bad}' group_version:'1'");
            row("GCP", &request, &format!("{bad:?} version \"1\""), &format!("group {bad:?} {GCP_SECRET}"));
        }
    }
    for bad in ["1;2", "../1", "$(id)", "-1", "--help", "1/2", "x'y"] {
        let request = format!("group:'token' group_version:'{}'", bad.replace('\'', "\\'"));
        row("GCP", &request, &format!("\"token\" version {bad:?}"), &format!("group_version {bad:?} {GCP_VERSION}"));
    }

    row("Azure", "key:'k'", "\"k\"", "missing required field `group`");
    row("Azure", &format!("group:'{vault_uri}' mount_requirement:ENV_VAR"), &format!("{vault_uri:?}"), no_variable);
    for bad in [
        "token",
        "http://v.vault.azure.net/secrets/x",
        "https://v.vault.azure.net/keys/x",
        "https://v.vault.azure.net/secrets/",
        "https://v.vault.azure.net/secrets/..",
        "https://v.vault.azure.net/secrets/x;id",
        "https://v.vault.azure.net/secrets/x/1/2",
        "https://v.vault.azure.net/secrets/x?y",
        "https://v.example.com/secrets/x",
        "https://v.vault.azure.net.example.com/secrets/x",
        "https://user@v.vault.azure.net/secrets/x",
    ] {
        row("Azure", &format!("group:'{bad}'"), &format!("{bad:?}"), &format!("group {bad:?} {VAULT_URI}"));
    }
    for bad in ["1;2", "../1", "$(id)", "a-b", "--help", "1/2", "`id`"] {
        let request = format!("group:'{vault_uri}' group_version:'{bad}'");
        let named = format!("{vault_uri:?} version {bad:?}");
        row("Azure", &request, &named, &format!("group_version {bad:?} {azure_version}"));
    }
    row(
        "Azure",
        &format!("group:'{vault_uri}/0f' group_version:'1'"),
        &format!("\"{vault_uri}/0f\" version \"1\""),
        "group_version \"1\" is not the version in the URI; omit one of them",
    );

    row("Embedded", "", "without group and key", "missing required field `key`");
    row("Embedded", "group:'db'", "\"db\"", "missing required field `key`");
    let one_line = "is not a valid key; it must not contain control characters";
    row("Embedded", "key:'a\\nb' env_var:'A'", "\"a\\nb\"", &format!("key \"a\\nb\" {one_line}"));
    row("Embedded", "key:'k' mount_requirement:7", "\"k\"", all);
    row("Embedded", "key:'k' env_var:'A=B'", "\"k\"", &format!("env_var \"A=B\" {VARIABLE}"));
    row("Embedded", "key:'a=b'", "\"a=b\"", "key maps to the invalid variable name \"_UNION_A=B\"; set `env_var`");
    row(
        "Embedded",
        "key:'é' mount_requirement:ENV_VAR",
        "\"é\"",
        "key maps to the invalid variable name \"_UNION_é\"; set `env_var`",
    );
    let too_long = "k".repeat(256);
    for bad in ["../x", "a/b", "a;b", "x;touch y", "$(id)", "a=b", ".", "..", "é", "a b", &too_long] {
        let request = format!("key:'{bad}' mount_requirement:FILE");
        row("Embedded", &request, &format!("{bad:?}"), &format!("key {bad:?} {FILE_NAME}"));
    }

    for (manager, request, named, reason) in table {
        let store = Store::new(json!({}));
        let found = create_with(&pod(&[&request]), &managers(&[manager]), &store).0;
        assert_eq!(found, not_injected(400, &named, &format!("{manager}: {reason}")), "{manager}: {request}");
        // What can be refused without a value is refused before anything is fetched.
        assert_eq!(store.asked(), [], "{manager}: {request}");
    }
}

#[test]
fn missing_secrets() {
    let names = [
        "u__org__acme__domain__development__project__flytesnacks__key__k",
        "u__org__acme__domain__development__project____key__k",
        "u__org__acme__domain__development__key__k",
        "u__org__acme__domain____project____key__k",
        "u__org__acme__key__k",
    ];
    let looked_up = names.map(|name| format!("{name} (Secret flyte/{})", secret_name(name))).join(", ");
    let reason = format!("Embedded: not found; looked up {looked_up}; store it under one of these names");
    assert_eq!(create(&pod(&["key:'k'"]), &json!({})).0, not_injected(400, "\"k\"", &reason));

    let looked_up = names.map(|name| format!("{name} (GCPSecret in acme-prod)")).join(", ");
    let reason = format!("Embedded: not found; looked up {looked_up}; store it under one of these names");
    let settings = json!({ "embeddedSecretManagerConfig": { "gcpConfig": { "project": "acme-prod" } } });
    assert_eq!(create(&pod(&["key:'k'"]), &settings).0, not_injected(400, "\"k\"", &reason));
}

#[test]
fn values_that_are_invalid_in_variables() {
    let name = project_name("k");
    let not_text = "the value is not UTF-8 text; request it as a FILE".to_owned();
    let limit = 128 * 1024 - 1 - "_UNION_K=".len();
    let over = format!(
        "the value of {} bytes exceeds the limit of {limit} bytes for a variable; request it as a FILE",
        limit + 1
    );
    let table = [
        (b"\xff\xfe".to_vec(), not_text.clone()),
        ("é".as_bytes().get(..1).unwrap_or_default().to_vec(), not_text.clone()),
        (b"a\0b".to_vec(), not_text),
        (vec![b'v'; limit + 1], over),
    ];
    for (value, reason) in table {
        let store = kubernetes_store(&[(&name, &value)]);
        let refused = create_with(&pod(&["key:'k'"]), &json!({}), &store).0;
        assert_eq!(refused, not_injected(400, "\"k\"", &format!("Embedded: {reason}")));
        // The way out is one.
        mutated(&create_with(
            &pod(&["key:'k' mount_requirement:FILE"]),
            &json!({}),
            &kubernetes_store(&[(&name, b"\xff\0")]),
        ));
    }
    let longest = vec![b'v'; limit];
    mutated(&create_with(&pod(&["key:'k'"]), &json!({}), &kubernetes_store(&[(&name, &longest)])));
}

#[test]
fn files_beyond_the_limit_of_the_init_container() {
    let refused = |annotation: &str, key: &str, file: usize, all: usize| {
        let message = format!(
            "secret {key:?} (annotation flyte.secrets/{annotation}) cannot be injected: Embedded: with this file of \
             {file} bytes, files of {all} bytes in base64 exceed the limit of 131063 bytes; use fewer or smaller files"
        );
        rejected(400, &message)
    };
    let file = |key: &str| format!("key:'{key}' mount_requirement:FILE");
    // One file: `a=`, four characters for each three bytes, and the end of the line.
    let most = vec![0; 98_295];
    mutated(&create_with(&pod(&[&file("a")]), &json!({}), &kubernetes_store(&[(&project_name("a"), &most)])));
    let more = vec![0; 98_296];
    let found = create_with(&pod(&[&file("a")]), &json!({}), &kubernetes_store(&[(&project_name("a"), &more)]));
    assert_eq!(found.0, refused("s0", "a", 98_296, 131_067));
    // Two of which each would do.
    let (a, b) = (vec![0; 60_000], vec![0; 45_000]);
    let store = kubernetes_store(&[(&project_name("a"), &a), (&project_name("b"), &b)]);
    let found = create_with(&pod(&[&file("a"), &file("b")]), &json!({}), &store);
    assert_eq!(found.0, refused("s1", "b", 45_000, 140_006));
    // The same file twice takes its room once.
    let same = pod(&[&file("a"), "key:'a' mount_requirement:FILE env_var:'A'"]);
    mutated(&create_with(&same, &json!({}), &store));
}

/// Each kind of failure of the host has its own message, without the host's.
#[test]
fn failures_of_the_host() {
    let forbidden = "forbidden for the policy server's service account; ask the operator to grant the verb get on it";
    let not_granted = "the policy has no access to this resource; ask the operator to allow the host capability \
                       kubernetes/get_resource and to list the resource in contextAwareResources";
    let unavailable = "the server is unavailable; retry later";
    let timeout = "timed out; retry later";
    let refuses = "the server rejected the request; ask the operator to check its log";
    let table = [
        ("ApiError: secrets \"x\" is forbidden: User cannot get (ErrorResponse { code: 403 })", forbidden),
        ("ApiError: Unauthorized (ErrorResponse { code: 401 })", forbidden),
        ("Policy has not been granted access to the 'kubernetes/get_resource' host capability.", not_granted),
        ("Policy has not been granted access to Kubernetes v1/Secret resources.", not_granted),
        ("ApiError: too many requests (ErrorResponse { code: 429 })", "too many requests; retry later"),
        ("ApiError: Timeout (ErrorResponse { code: 504 })", timeout),
        ("HyperError: operation timed out", timeout),
        ("callback: deadline has elapsed", timeout),
        ("ApiError: bad request (ErrorResponse { code: 400 })", refuses),
        ("ApiError: unprocessable (ErrorResponse { code: 422 })", refuses),
        ("ApiError: internal (ErrorResponse { code: 500 })", unavailable),
        ("ServiceError: client error (Connect)\n\nStack backtrace:\n   0: std::backtrace_rs::trace", unavailable),
        // Another object's absence says nothing of this one.
        ("Cannot find v1/Secret named 'other' inside of namespace 'Some(\"flyte\")'", unavailable),
        ("", unavailable),
    ];
    let object = format!("Secret flyte/{}", secret_name(&project_name("k")));
    for (text, problem) in table {
        let found = with_host(&pod(&["key:'k'"]), &json!({}), |_| Err(text.to_owned()));
        let reason = format!("Embedded: {object} could not be read: {problem}");
        assert_eq!(found, Ok(not_injected(503, "\"k\"", &reason)), "{text}");
    }
}

#[test]
fn failures_of_the_gateway() {
    let name = project_name("k");
    let pod = pod(&["key:'k'"]);
    let aws = json!({ "embeddedSecretManagerConfig": { "awsConfig": { "region": "eu-west-1" } } });
    let object = format!("AWSSecret eu-west-1:{name}");
    let reason =
        |problem: &str| not_injected(503, "\"k\"", &format!("Embedded: {object} could not be read: {problem}"));

    let unknown =
        with_host(&pod, &aws, |asked| Err(format!("Cannot find resource {}/{}", asked.api_version, asked.kind)));
    let problem =
        "the API server does not serve this kind; ask the operator to install the secret gateway and its APIService";
    assert_eq!(unknown, Ok(reason(problem)));

    let bad_name =
        with_host(&pod, &aws, |_| Err("ApiError: names have no dots (ErrorResponse { code: 400 })".to_owned()));
    let problem = format!("{object} could not be read: the provider does not allow such a name; choose another key");
    assert_eq!(bad_name, Ok(not_injected(400, "\"k\"", &format!("Embedded: {problem}"))));

    let store = Store::new(json!({ "AWS": { name: { "error": "InternalServiceError" } } }));
    let problem = "the server is unavailable; retry later";
    assert_eq!(create_with(&pod, &aws, &store).0, reason(problem));
    // No other scope is asked: what is there might be another secret.
    assert_eq!(store.asked().len(), 1);
}

/// The twin of a secret that was found is asked for as well; that this fails is a failure like any other.
#[test]
fn image_pull_secrets_that_cannot_be_read() {
    let scope = Scope { organization: "acme", domain: "development", project: "flytesnacks" };
    let twin = image_pull_name(scope, "k");
    let store = kubernetes_store(&[(&project_name("k"), b"v")]);
    let settings = json!({ "embeddedSecretManagerConfig": { "imagePullSecrets": { "enabled": true } } });
    let found = with_host(&pod(&["key:'k'"]), &settings, move |asked| {
        if asked.name.starts_with("img-pull-") {
            return Err("ApiError: forbidden (ErrorResponse { code: 403 })".to_owned());
        }
        store.call("kubernetes", "get_resource", &serde_json::to_vec(&as_json(asked)).unwrap_or_default())
    });
    let reason = format!(
        "Embedded: Secret flytesnacks-development/{twin} could not be read: forbidden for the policy server's service \
         account; ask the operator to grant the verb get on it"
    );
    assert_eq!(found, Ok(not_injected(503, "\"k\"", &reason)));
}

fn as_json(request: &Request) -> Value {
    json!({
        "api_version": request.api_version,
        "kind": request.kind,
        "name": request.name,
        "namespace": request.namespace,
    })
}

#[test]
fn kubernetes_secrets_without_a_value() {
    let name = project_name("k");
    let object = format!("Secret flyte/{}", secret_name(&name));
    let no_value = format!("has no key {name:?}; store the value under that key");
    let no_data = "holds no `data` of strings; store the secret again".to_owned();
    let table = [
        (json!({ "data": {} }), no_value.clone()),
        (json!({ "data": { "k": "dg==" } }), no_value.clone()),
        (json!({ "data": { &name: null } }), no_value.clone()),
        (json!({ "data": null }), no_value.clone()),
        (json!({}), no_value),
        (json!({ "data": { &name: "%%%" } }), "holds a value that is not valid base64; store the secret again".into()),
        (json!({ "data": { &name: "dg" } }), "holds a value that is not valid base64; store the secret again".into()),
        (json!({ "data": { &name: "" } }), "holds an empty value; store the secret again".into()),
        (json!({ "data": { &name: 1 } }), no_data.clone()),
        (json!({ "data": ["dg=="] }), no_data.clone()),
        (json!([]), no_data.clone()),
        (json!(null), no_data),
    ];
    for (secret, problem) in table {
        let answer = secret.to_string().into_bytes();
        let found = with_host(&pod(&["key:'k'"]), &json!({}), move |_| Ok(answer.clone()));
        assert_eq!(found, Ok(not_injected(400, "\"k\"", &format!("Embedded: {object} {problem}"))), "{secret}");
    }
    let found = with_host(&pod(&["key:'k'"]), &json!({}), |_| Ok(b"\xff".to_vec()));
    let reason = format!("Embedded: {object} holds no `data` of strings; store the secret again");
    assert_eq!(found, Ok(not_injected(400, "\"k\"", &reason)));
}

#[test]
fn gateway_answers_without_a_value() {
    let empty = "an empty value";
    let no_value = "no value";
    let not_base64 = "a value that is not valid base64";
    let not_flytes = "a value that is not Flyte's {\"type\", \"value\"} JSON";
    let no_type = "a value of a type other than STRING and BINARY";
    let aws = json!({ "awsConfig": { "region": "eu-west-1" } });
    let aws_object = format!("AWSSecret eu-west-1:{}", project_name("k"));
    let azure = json!({ "azureConfig": { "vaultURI": "https://name.vault.azure.net/" } });
    let azure_object = "AzureSecret name.vault.azure.net:1-acme-development-flytesnacks-NM";
    let packed = |text: &str| json!({ "stringValue": text });
    let mut table = Vec::new();
    for (answer, problem) in [
        (json!({}), empty),
        (json!({ "stringValue": "" }), empty),
        (json!({ "stringValue": null, "binaryValue": "" }), empty),
        (json!({ "stringValue": 1 }), no_value),
        (json!({ "stringValue": { "a": 1 } }), no_value),
        (json!({ "binaryValue": ["dg=="] }), no_value),
        (json!({ "binaryValue": "%" }), not_base64),
        (json!([]), no_value),
        (json!("v"), no_value),
    ] {
        table.push((&aws, aws_object.as_str(), answer, problem));
    }
    for (answer, problem) in [
        (packed("v"), not_flytes),
        (packed("[]"), not_flytes),
        (packed("{\"type\":\"STRING\",\"value\":1}"), not_flytes),
        (packed("{\"type\":\"STRING\",\"value\":\"v\"} x"), not_flytes),
        (packed("{\"type\":\"TEXT\",\"value\":\"v\"}"), no_type),
        (packed("{\"type\":2,\"value\":\"v\"}"), no_type),
        (packed("{\"type\":\"BINARY\",\"value\":\"%\"}"), not_base64),
        (packed("{\"type\":\"STRING\",\"value\":\"\"}"), empty),
        (packed("{}"), empty),
    ] {
        table.push((&azure, azure_object, answer, problem));
    }
    for (settings, object, answer, problem) in table {
        let text = answer.to_string().into_bytes();
        let settings = json!({ "embeddedSecretManagerConfig": settings });
        let found = with_host(&pod(&["key:'k'"]), &settings, move |_| Ok(text.clone()));
        let reason = format!("Embedded: {object} holds {problem}; store the secret again");
        assert_eq!(found, Ok(not_injected(400, "\"k\"", &reason)), "{answer}");
    }
}

#[test]
fn tenancy() {
    let template = json!({ "tenancy": { "namespaceTemplate": "{{ project }}-{{ domain }}" } });
    let organization = json!({ "tenancy": { "namespaceTemplate": "{{ organization }}-{{ project }}" } });
    let accounts = json!({ "tenancy": { "serviceAccounts": ["trainer", "other-namespace/default"] } });
    let nobody = json!({ "tenancy": { "serviceAccounts": [] } });
    let elsewhere = with(pod(&["key:'k'"]), "/metadata/namespace", json!("elsewhere"));
    let claims = with(pod(&["key:'k'"]), "/metadata/labels/project", json!("payroll"));
    let other = with(pod(&["key:'k'"]), "/spec/serviceAccountName", json!("other"));
    let namespace = |found: &str, wanted: &str| {
        format!(
            "namespace {found:?} does not match the pod's labels, which require namespace {wanted:?}; correct the \
             labels, or run the task in that namespace"
        )
    };
    let account = |name: &str| {
        format!(
            "service account {name:?} is not in tenancy.serviceAccounts; use another service account, or ask the \
             operator to add it"
        )
    };
    let table = [
        (&elsewhere, &template, namespace("elsewhere", "flytesnacks-development")),
        (&claims, &template, namespace("flytesnacks-development", "payroll-development")),
        (&elsewhere, &organization, namespace("elsewhere", "acme-flytesnacks")),
        (&other, &accounts, account("other")),
        // The account that Kubernetes gives a pod that names none.
        (&elsewhere, &accounts, account("default")),
        (&other, &nobody, account("other")),
    ];
    for (pod, settings, reason) in table {
        let store = Store::new(json!({}));
        let found = create_with(pod, settings, &store).0;
        assert_eq!(found, not_injected(403, "\"k\"", &format!("Embedded: {reason}")), "{settings}");
        assert_eq!(store.asked(), [], "{settings}");
    }
}

#[test]
fn reasons_of_all_managers_are_listed() {
    let chain = managers(&["K8s", "Vault", "AWS", "GCP", "Azure", "Embedded"]);
    let reasons = "K8s: missing required field `key`\n\
                   Vault: missing required field `key`\n\
                   AWS: unsupported mount_requirement ENV_VAR; use FILE or ANY\n\
                   GCP: unsupported mount_requirement ENV_VAR; use FILE or ANY\n\
                   Azure: unsupported mount_requirement ENV_VAR; use FILE or ANY\n\
                   Embedded: missing required field `key`";
    let asking = pod(&["group:'db' group_version:'1' mount_requirement:ENV_VAR"]);
    assert_eq!(create(&asking, &chain).0, not_injected(400, "\"db\" version \"1\"", reasons));
    // Global has nothing to say.
    let chain = managers(&["Global", "Vault"]);
    assert_eq!(
        create(&pod(&["key:'k'"]), &chain).0,
        not_injected(400, "\"k\"", "Vault: missing required field `group`")
    );
}

/// A line is a line, whatever stands in the request.
#[test]
fn requests_cannot_forge_a_line() {
    let asking = pod(&["group:'a\\nAWS: fine' key:'k\\r\\nx'"]);
    let reasons = "K8s: key \"k\\r\\nx\" is not a valid Secret key; expected up to 253 of a-z, A-Z, 0-9, '-', '_' and \
                   '.'\n\
                   GCP: missing required field `group_version`";
    let found = create(&asking, &managers(&["K8s", "GCP"])).0;
    assert_eq!(found, not_injected(400, "\"a\\nAWS: fine/k\\r\\nx\"", reasons));
}

/// If the last request is rejected, nothing is added to the pod, and the request is named.
#[test]
fn one_rejected_request_rejects_the_pod() {
    let asking = pod(&["group:'db' key:'a'", "group:'db' key:'b' mount_requirement:ENV_VAR", "group:'db'"]);
    let message = "secret \"db\" (annotation flyte.secrets/s2) cannot be injected: K8s: missing required field `key`";
    assert_eq!(create(&asking, &managers(&["K8s"])).0, rejected(400, message));
}

const NOT_HERE: &str = "Embedded: namespace \"elsewhere\" does not match the pod's labels, which require namespace \
                        \"flytesnacks-development\"; correct the labels, or run the task in that namespace";

/// The most severe reason decides the code, at any position.
#[test]
fn most_severe_reason_decides_the_code() {
    let elsewhere = with(pod(&["key:'k'"]), "/metadata/namespace", json!("elsewhere"));
    let tenancy = json!({ "namespaceTemplate": "{{ project }}-{{ domain }}" });
    for (chain, reasons) in [
        (["Vault", "Embedded"], format!("Vault: missing required field `group`\n{NOT_HERE}")),
        (["Embedded", "Vault"], format!("{NOT_HERE}\nVault: missing required field `group`")),
    ] {
        let settings = with(managers(&chain), "/tenancy", tenancy.clone());
        assert_eq!(create(&elsewhere, &settings).0, not_injected(403, "\"k\"", &reasons), "{chain:?}");
    }
}

/// An outage must not select a less preferred manager, which is not tried. Reasons of more preferred ones are kept.
#[test]
fn unavailable_providers_end_the_chain() {
    let outage = format!(
        "Embedded: Secret flyte/{} could not be read: the server is unavailable; retry later",
        secret_name(&project_name("k"))
    );
    let table = [
        (vec!["Embedded", "K8s"], outage.clone()),
        (vec!["Vault", "Embedded", "K8s"], format!("Vault: missing required field `group`\n{outage}")),
    ];
    for (chain, reasons) in table {
        let found = with_host(&pod(&["key:'k'"]), &managers(&chain), |_| Err("connection refused".to_owned()));
        assert_eq!(found, Ok(not_injected(503, "\"k\"", &reasons)), "{chain:?}");
    }
}

/// What only the operator can mend is no fault of the pod's author.
#[test]
fn invalid_settings() {
    let message = "`secretManagerTypes[0]`: unknown value \"Conjur\", expected one of K8s, AWS, \
                   GCP, Azure, Vault, Embedded, Global; ask the operator to correct the policy settings";
    assert_eq!(create(&pod(&["key:'k'"]), &managers(&["Conjur"])).0, rejected(503, message));

    let several = json!({
        "secretManagerTypes": ["Embedded", "K8s"],
        "embeddedSecretManagerConfig": {
            "awsConfig": { "region": "eu-west-1" },
            "gcpConfig": { "project": "acme-prod" },
        },
    });
    let reason = "Embedded: invalid settings: `embeddedSecretManagerConfig.type`: AWS and GCP are configured; set the \
                  field to one of them";
    assert_eq!(create(&pod(&["key:'k'"]), &several).0, not_injected(503, "\"k\"", reason));
}

/// Returns the init containers of a pod that has one of the user's, which is the policy's but for one field, as `(ours, found)`.
fn beside_alike(path: &str, to: Value) -> (Value, Vec<Value>) {
    let request = pod(&["group:'arn:x' key:'k'"]);
    let once = mutated(&create(&request, &managers(&["AWS"]))).clone();
    let ours = once["spec"]["initContainers"][0].clone();
    let alike = with(ours.clone(), path, to);
    let found = create(&with(request, "/spec/initContainers", json!([alike])), &managers(&["AWS"]));
    let containers = mutated(&found)["spec"]["initContainers"].as_array().expect("init-containers").clone();
    (ours, containers)
}

/// An init container of the user that resembles the policy's, and does not write to its volume or has another name, is not
/// reused.
#[test]
fn init_containers_with_names_of_the_policy() {
    let (ours, found) = beside_alike("/volumeMounts", json!([]));
    assert_eq!((found.len(), &found[0]), (2, &with(ours, "/name", json!("aws-pull-secret-1"))));
    for name in ["aws-pull-secret-x", "aws-pull-secret-", "other"] {
        let (ours, found) = beside_alike("/name", json!(name));
        assert_eq!((found.len(), &found[0]), (2, &ours), "{name}");
    }
}

#[test]
fn audit_entries_escape_semicolons() {
    let found = create(&pod(&["group:'x; flyte.secrets/s1: K8s db' key:'k'"]), &managers(&["Vault"]));
    mutated(&found);
    assert_eq!(found.0["audit_annotations"]["secrets"], "flyte.secrets/s0: Vault x%3B flyte.secrets/s1: K8s db/k");
}
