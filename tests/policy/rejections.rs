//! Rejections: reason code and message. Whole answers are compared.

use flyte_secrets_policy::secret_request::base32;
use flyte_secrets_testing::engine::creation;
use flyte_secrets_testing::host::{Store, nothing};
use serde_json::{Map, Value, json};

use crate::codes::{
    ARN, AZURE_VERSION, FILE_NAME, GCP_SECRET, GCP_VERSION, GROUP, KEY, VARIABLE, VAULT_PATH, assert_rejects,
    not_injected, rejected,
};
use crate::support::{
    annotation, aws, create, create_with, edited, kubernetes_store, managers, mutated, namespace_of_labels, pod,
    policy, project_name, store_of_k, with,
};

/// What the policy answers to a payload.
fn answer(payload: &[u8]) -> Value {
    let answer = policy().call("validate", payload, &nothing()).expect("the policy answers");
    let mut answer: Map<String, Value> = serde_json::from_slice(&answer).expect("an object");
    answer.retain(|_, value| !value.is_null());
    Value::Object(answer)
}

/// A pod with these annotations.
fn annotated(annotations: &[(&str, &str)]) -> Value {
    let annotations: Map<String, Value> =
        annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    with(pod(&[]), "/metadata/annotations", Value::Object(annotations))
}

#[test]
fn invalid_annotations() {
    let unknown = |name: &str| {
        format!("unknown field {name:?}; expected group, group_version, key, mount_requirement or env_var")
    };
    let requirement =
        |text: &str| format!("invalid mount_requirement {text:?}: expected ANY, ENV_VAR, FILE or a number");
    let no_colon = || "field `key`: expected a colon after the name".to_owned();
    let no_string = |field: &str| format!("field `{field}`: expected a quoted string");
    let texts: [(&[u8], String); 32] = [
        (b"keys:'k'", unknown("keys")),
        (b"'key':'k'", unknown("a quoted string")),
        (b"{key:'k'}", unknown("{")),
        (b"Key:'k'", unknown("Key")),
        (b"3:'k'", unknown("3")),
        (b"[type.googleapis.com/flyteidl.core.Secret]:{key:'k'}", unknown("[")),
        (b"key:'k';;group:'g'", unknown(";")),
        (b"key:'k'}", unknown("}")),
        ("k\u{200b}ey:'a'".as_bytes(), unknown("k")),
        ("ke\u{443}:'a'".as_bytes(), unknown("ke")),
        (&[b'{'; 100_000], unknown("{")),
        (b"key:'a' key:'b'", "field `key` is repeated".into()),
        (b"key 'k'", no_colon()),
        (b"key", no_colon()),
        (b"key{'k'}", no_colon()),
        (b"key:", no_string("key")),
        (b"key:['a','b']", no_string("key")),
        (b"env_var:A", no_string("env_var")),
        (b"mount_requirement:env_var", requirement("env_var")),
        (b"mount_requirement:", requirement("nothing")),
        (b"mount_requirement:1.5", requirement("1.5")),
        (b"mount_requirement:\"FILE\"", requirement("a quoted string")),
        ("mount_requirement:FI\u{13a}E".as_bytes(), requirement("FI")),
        (b"key:'k", "unterminated quoted string".into()),
        (b"key:'k\n'", "unterminated quoted string".into()),
        (b"group:'\\x4'", "invalid escape sequence \\x4 in field `group`".into()),
        (b"key:'\xff'", "field `key` is not valid UTF-8".into()),
        (b"\xef\xbb\xbfkey:'k'", "unexpected byte 0xef".into()),
        ("key:'a'\u{a0}group:'b'".as_bytes(), "unexpected byte 0xc2".into()),
        (b"key:'k'\0", "unexpected byte 0x00".into()),
        ("key:‘k’".as_bytes(), "unexpected byte 0xe2".into()),
        (b"\\x1b[2J:'k'", "unexpected byte 0x5c".into()),
    ];
    let escapes = ["q", "\u{1b}", "\n", "U\u{1b}[2J\u{1b}[H\u{7}", "U\\\nAWS: o", "x\r\u{7}", "u\u{202e}a", "7\u{1b}c"];
    let escapes = escapes.map(|escape| {
        let problem = format!("invalid escape sequence \\{} in field `key`", escape.escape_debug());
        (annotation(&format!("key:'\\{escape}'")), problem)
    });
    let whole = annotation("key:'k'");
    let at = |position: usize| format!("invalid base32 character at position {position}");
    let encodings = [
        ("?", at(0)),
        ("nnsxsO", at(5)),
        ("nnsxs7", at(5)),
        ("mu======", at(2)),
        ("nnsxsé", at(5)),
        (&whole[..11], "invalid base32 length 11: text is truncated or has extra characters".to_owned()),
    ];
    let encodings = encodings.map(|(value, problem)| (value.to_owned(), problem));
    let texts = texts.map(|(text, problem)| (base32::encode(text), problem));
    for (value, problem) in texts.into_iter().chain(escapes).chain(encodings) {
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
        (r#"["flyte.secrets/s0"]"#, 20),
        (r#"{"request":"flyte.secrets/s0"}"#, 29),
        (r#"{"request":{"kind":"flyte.secrets/s0"}}"#, 37),
        (r#"{"request":{"x":"flyte.secrets/s0"#, 33),
        (r#"{"a":[1,"flyte.secrets/s0""#, 26),
        (r#"{"a":"flyte.secrets/s0""#, 23),
        (r#"{"flyte.secrets/s0" 1}"#, 21),
        (r#"{"flyte.secrets/s0":}"#, 21),
        (r#"{"flyte.secrets/s0":1,}"#, 23),
        (r#"{"request":{} "flyte.secrets/s0":1}"#, 15),
        (r#"{"request":{"operation":1,"x":"flyte.secrets/s0"}}"#, 25),
    ];
    for (payload, column) in table {
        let message = format!("unexpected value at line 1, column {column}");
        assert_eq!(answer(payload.as_bytes()), rejected(400, &message), "{payload}");
    }
}

/// Every truncation of a payload is answered, and none of them changes a pod.
#[test]
fn truncated_payloads() {
    let request = creation(&pod(&["group:'db' key:'password' mount_requirement:FILE"]));
    let payload = json!({ "request": request, "settings": managers(&["K8s"]) }).to_string();
    for end in (0..payload.len()).step_by(7) {
        let found = answer(&payload.as_bytes()[..end]);
        assert_eq!(found.get("mutated_object"), None, "the first {end} bytes");
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
        let asking = pod(&["group:'db' key:'password' mount_requirement:FILE"]);
        let bad = edited(asking, [("/note", json!("flyte.secrets/s0")), (path, value.clone())]);
        let found = create(&bad, &managers(&["K8s"]));
        let message = found.message().replace("secrets cannot be injected: ", "");
        match field {
            Some(field) => assert_eq!(message, format!("InvalidPod: unexpected value in `{field}`"), "{path}"),
            None => {
                assert!(message.starts_with("InvalidAdmissionRequest: unexpected value at line 1, column "), "{path}");
            }
        }
        let whole = json!({ "accepted": false, "code": 400, "message": found.message() });
        assert_eq!(found.0, whole, "{path}: {value}");
    }
}

/// What a user has in the pod where secrets must be, however it is written; `None` where it is in nobody's way.
#[test]
fn pods_that_conflict() {
    let k8s = ("K8s", "group:'db' key:'password' mount_requirement:FILE");
    let aws = ("AWS", "group:'arn:x' key:'k'");
    let mount = |path: &str| ("/spec/containers/0/volumeMounts", json!([{ "name": "d", "mountPath": path }]));
    let taken = "volume \"mrrf5\" conflicts with the secrets volume of the same name; rename it".to_owned();
    let at = |path: &str, why: &str| format!("container \"main\": mount of \"d\" at {path} {why}; use another path");
    let same = "conflicts with the mount of secrets";
    let below = "conflicts with read-only \"aws-secret-vol\" at /etc/flyte/secrets";
    // Of the Secret, with another key where ours would be.
    let items = json!([{ "key": "other", "path": "password" }]);
    let items = json!([{ "name": "mrrf5", "secret": { "secretName": "db", "items": items, "optional": true } }]);
    let device = json!([{ "name": "d", "devicePath": "/etc/flyte/secrets" }]);
    let mut table = vec![
        (k8s, ("/spec/volumes", json!([{ "name": "mrrf5", "emptyDir": {} }])), Some(taken.clone())),
        (k8s, ("/spec/volumes", items), Some(taken)),
        (k8s, mount("/etc/flyte/secrets/db/"), Some(at("/etc/flyte/secrets/db/", same))),
        (aws, ("/spec/containers/0/volumeDevices", device), Some(at("/etc/flyte/secrets", same))),
        (aws, mount("/etc/flyte/./secrets/x"), Some(at("/etc/flyte/./secrets/x", below))),
    ];
    let spelt = "/etc/flyte/secrets /etc/flyte/secrets/ etc/flyte/secrets /etc/flyte/./secrets /etc//flyte/secrets \
                 /etc/flyte/x/../secrets /../etc/flyte/secrets/. /etc/flyte/\u{1b}[2J/../secrets \
                 /etc/\u{202e}x/../flyte/secrets";
    for path in spelt.split(' ').chain(["/etc/flyte/\nAWS: fine/../secrets"]) {
        table.push((aws, mount(path), Some(at(&path.escape_debug().to_string(), same))));
    }
    for path in ["/etc/flyte", "/etc/flyte/secrets/../other", "/x/etc/flyte/secrets"] {
        table.push((aws, mount(path), None));
    }
    for ((manager, request), (path, value), problem) in table {
        let found = create(&with(pod(&[request]), path, value.clone()), &managers(&[manager]));
        match problem.map(|problem| rejected(400, &format!("secrets cannot be injected: {problem}"))) {
            Some(answer) => assert_eq!(found.0, answer, "{path}: {value}"),
            None => assert!(found.mutated().is_some(), "{path}: {value}"),
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
        let others =
            ["a b", "payroll\0", "payroll\n", "\u{1b}[31mpayroll", "payroll\u{200b}", "pay\u{202e}roll", &long];
        let words = "a__b __ acme__domain__development__project__payroll payroll__key__k _payroll payroll_ a/b é .. -a {{ \
                     a$b рayroll \u{fb02}ytesnacks İ ſ \u{212a}";
        for bad in words.split(' ').chain(others) {
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
    let (group, key, version) =
        ("missing required field `group`", "missing required field `key`", "missing required field `group_version`");
    let no_variable = "unsupported mount_requirement ENV_VAR; use FILE or ANY";
    let (all, files) = (
        "unsupported mount_requirement 7; use ANY, ENV_VAR or FILE",
        "unsupported mount_requirement 7; use FILE or ANY",
    );
    let uri = "https://v.vault.azure.net/secrets/x";
    let long = "a".repeat(254);
    let (long_group, long_key) = (format!("group:'{long}' key:'k'"), format!("key:'{long}'"));
    let azure_variable = format!("group:'{uri}' mount_requirement:ENV_VAR");
    let two_versions = format!("group:'{uri}/0f' group_version:'1'");
    let table: [(&str, &str, &[&str]); 29] = [
        ("K8s", key, &["", "group:'db'", "group:'db' group_version:'2'"]),
        ("K8s", GROUP, &["group:'My_Group' key:'k'", "group:'a..b' key:'k'", "group:'../x' key:'k'", &long_group]),
        ("K8s", KEY, &["group:'db' key:'a/b'", "key:'a b'", "key:'..x'", "key:'.'", &long_key]),
        ("K8s", all, &["key:'k' mount_requirement:7"]),
        ("Vault", group, &["", "key:'k'"]),
        ("Vault", key, &["group:'kv/app'"]),
        ("Vault", no_variable, &["group:'kv' key:'k' mount_requirement:ENV_VAR"]),
        ("Vault", files, &["group:'kv' key:'k' mount_requirement:7"]),
        ("Vault", VAULT_PATH, &["group:'kv/../x' key:'k'", "group:'kv' key:'../../k'", "group:'kv' key:'.'"]),
        ("Vault", VAULT_PATH, &["group:'kv//x' key:'k'", "group:'kv' key:'k/'", "group:'kv' key:'a\\nb'"]),
        ("Vault", &VAULT_PATH.replace("{}", "\"/k\""), &["group:'/' key:'k'"]),
        ("Vault", VARIABLE, &["group:'kv' key:'k' env_var:'A=B'"]),
        ("AWS", group, &["key:'k'"]),
        ("AWS", key, &["group:'arn:x'"]),
        ("AWS", no_variable, &["group:'arn:x' key:'k' mount_requirement:ENV_VAR"]),
        ("AWS", files, &["group:'arn:x' key:'k' mount_requirement:7"]),
        ("AWS", ARN, &["group:'../X' key:'k'", "group:'arn:x' key:'../k'", "group:'a//b' key:'k'"]),
        ("AWS", ARN, &["group:'/a' key:'k'", "group:'é' key:'k'", "group:'a' key:'k\\n'"]),
        ("GCP", group, &["key:'k'"]),
        ("GCP", version, &["group:'token' key:'k'"]),
        ("GCP", no_variable, &["group:'token' group_version:'1' mount_requirement:ENV_VAR"]),
        ("Azure", group, &["key:'k'"]),
        ("Azure", no_variable, &[&azure_variable]),
        ("Azure", "group_version {} is not the version in the URI; omit one of them", &[&two_versions]),
        ("Embedded", key, &["", "group:'db'"]),
        (
            "Embedded",
            "key {} is not a valid key; it must not contain control characters",
            &["key:'a\\nb' env_var:'A'", "key:'k\\000'"],
        ),
        ("Embedded", all, &["key:'k' mount_requirement:7"]),
        ("Embedded", VARIABLE, &["key:'k' env_var:'A=B'"]),
        ("Embedded", "key maps to the invalid variable name \"_UNION_A=B\"; set `env_var`", &["key:'a=b'"]),
    ];
    for (manager, reason, requests) in table {
        requests.iter().for_each(|request| assert_rejects(manager, request, reason));
    }
    for requirement in ["ENV_VAR", "FILE"] {
        for variable in ["A=B", "é", "a\\nb"] {
            assert_rejects("K8s", &format!("key:'k' env_var:'{variable}' mount_requirement:{requirement}"), VARIABLE);
        }
        for variable in ["FLYTE_SECRETS_DEFAULT_DIR", "FLYTE_SECRETS_FILE_PREFIX", "FLYTE_SECRETS_ENV_PREFIX"] {
            let request = format!("key:'k' env_var:'{variable}' mount_requirement:{requirement}");
            let reserved = format!("{variable} is a reserved variable; set another `env_var`");
            assert_rejects("K8s", &request, &reserved);
            assert_rejects("Embedded", &request, &reserved);
        }
    }
    let gcp = |group: &str| assert_rejects("GCP", &format!("group:'{group}' group_version:'1'"), GCP_SECRET);
    for group in
        ["a;b", "$(id)", "`id`", "a b", "a|b", "a\\'\"b", "-x", "../x", "a/b", "projects/p/secrets/x/versions/1"]
    {
        gcp(group);
    }
    for part in ["$(id)", "`id`", "..", "-x", "", "x y", "é", "*"] {
        gcp(&format!("projects/{part}/secrets/x"));
        gcp(&format!("projects/p/secrets/{part}"));
        gcp(&format!("projects/p/locations/{part}/secrets/x"));
    }
    for bad in ["1;2", "../1", "$(id)", "-1", "--help", "1/2", "x\\'y"] {
        assert_rejects("GCP", &format!("group:'token' group_version:'{bad}'"), GCP_VERSION);
    }
    for bad in ["1;2", "../1", "$(id)", "a-b", "--help", "1/2", "`id`"] {
        assert_rejects("Azure", &format!("group:'{uri}' group_version:'{bad}'"), AZURE_VERSION);
    }
    for bad in ["../x", "a/b", "a;b", "x;touch y", "$(id)", "a=b", ".", "..", "é", "a b", &"k".repeat(256)] {
        assert_rejects("Embedded", &format!("key:'{bad}' mount_requirement:FILE"), FILE_NAME);
    }
}

#[test]
fn values_that_are_invalid_in_variables() {
    let limit = 128 * 1024 - 1 - "_UNION_K=".len();
    let not_text = || "the value is not UTF-8 text; request it as a FILE".to_owned();
    let too_large = |bytes: usize| {
        format!("the value of {bytes} bytes exceeds the limit of {limit} bytes for a variable; request it as a FILE")
    };
    let table = [
        (b"\xff\xfe".to_vec(), not_text()),
        (b"\xc3".to_vec(), not_text()),
        (b"a\0b".to_vec(), not_text()),
        (vec![b'v'; limit + 1], too_large(limit + 1)),
        (vec![b'v'; 1 << 20], too_large(1 << 20)),
    ];
    for (value, reason) in table {
        let found = create_with(&pod(&["key:'k'"]), &json!({}), &store_of_k(&value));
        assert_eq!(found.0, not_injected(400, "\"k\"", &format!("Embedded: {reason}")));
    }
    mutated(&create_with(&pod(&["key:'k'"]), &json!({}), &store_of_k(&vec![b'v'; limit])));
    mutated(&create_with(&pod(&["key:'k' mount_requirement:FILE"]), &json!({}), &store_of_k(b"\xff\0")));
}

#[test]
fn files_beyond_the_limit_of_the_init_container() {
    let file = |key: &str| format!("key:'{key}' mount_requirement:FILE");
    let store =
        |a: usize, b: usize| kubernetes_store(&[(&project_name("a"), &vec![0; a]), (&project_name("b"), &vec![0; b])]);
    let refused = |annotation: &str, key: &str, file: usize, all: usize| {
        let message = format!(
            "secret {key:?} (annotation flyte.secrets/{annotation}) cannot be injected: Embedded: with this file of \
             {file} bytes, files of {all} bytes in base64 exceed the limit of 131063 bytes; use fewer or smaller files"
        );
        rejected(400, &message)
    };
    // One file: `a=`, four characters for each three bytes, and the end of the line.
    let (one, two) = (pod(&[&file("a")]), pod(&[&file("a"), &file("b")]));
    mutated(&create_with(&one, &json!({}), &store(98_295, 0)));
    for (bytes, all) in [(98_296, 131_067), (1 << 20, 1_398_107)] {
        assert_eq!(create_with(&one, &json!({}), &store(bytes, 0)).0, refused("s0", "a", bytes, all));
    }
    // Two of which each would do.
    let both = store(60_000, 45_000);
    assert_eq!(create_with(&two, &json!({}), &both).0, refused("s1", "b", 45_000, 140_006));
    // The same file twice takes its room once.
    let same = pod(&[&file("a"), "key:'a' mount_requirement:FILE env_var:'A'"]);
    mutated(&create_with(&same, &json!({}), &both));
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

/// If the last request is rejected, nothing is added to the pod, and the request is named.
#[test]
fn one_rejected_request_rejects_the_pod() {
    let asking = pod(&["group:'db' key:'a'", "group:'db' key:'b' mount_requirement:ENV_VAR", "group:'db'"]);
    let message = "secret \"db\" (annotation flyte.secrets/s2) cannot be injected: K8s: missing required field `key`";
    assert_eq!(create(&asking, &managers(&["K8s"])).0, rejected(400, message));
}

/// The most severe reason decides the code, at any position.
#[test]
fn most_severe_reason_decides_the_code() {
    let elsewhere = with(pod(&["key:'k'"]), "/metadata/namespace", json!("elsewhere"));
    let vault = "Vault: missing required field `group`";
    let embedded = "Embedded: namespace \"elsewhere\" does not match the pod's labels, which require namespace \
                    \"flytesnacks-development\"; correct the labels, or run the task in that namespace";
    for (chain, reasons) in [(["Vault", "Embedded"], [vault, embedded]), (["Embedded", "Vault"], [embedded, vault])] {
        let settings = with(namespace_of_labels(), "/secretManagerTypes", json!(chain));
        assert_eq!(create(&elsewhere, &settings).0, not_injected(403, "\"k\"", &reasons.join("\n")), "{chain:?}");
    }
}

/// What only the operator can mend is no fault of the pod's author.
#[test]
fn invalid_settings() {
    let message = "`secretManagerTypes[0]`: unknown value \"Conjur\", expected one of K8s, AWS, \
                   GCP, Azure, Vault, Embedded, Global; ask the operator to correct the policy settings";
    assert_eq!(create(&pod(&["key:'k'"]), &managers(&["Conjur"])).0, rejected(503, message));

    let gcp = ("/embeddedSecretManagerConfig/gcpConfig/project", json!("acme-prod"));
    let several = edited(aws(), [gcp, ("/secretManagerTypes", json!(["Embedded", "K8s"]))]);
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
