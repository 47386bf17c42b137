//! Checks that Flyte's webhook does not have: variables, fields, Secrets, stores, and limits of a pod.

use std::sync::Arc;

use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_testing::engine::creation;
use flyte_secrets_testing::host::{Store, nothing};
use flyte_secrets_testing::pods::DENIED_VARIABLES;
use serde_json::{Map, Value, json};

use crate::codes::not_injected;
use crate::support::{
    AZURE_NAME, NAMES, annotation, asking, aws, azure, create, create_on, create_with, embedded, env,
    image_pull_secrets, kubernetes_store, managers, mutated, numbered_store, pod, policy, project_name, store_of_k,
    validate, with,
};

#[test]
fn variables_that_change_how_programs_start_must_be_allowed() {
    for name in DENIED_VARIABLES.into_iter().chain(["BASH_FUNC_a%%"]) {
        let reason = format!(
            "variable {name} is not allowed, it changes how programs start; set another `env_var`, or ask the \
             operator to add it to allowedEnvVars"
        );
        for manager in ["K8s", "AWS", "Vault"] {
            let request = format!("group:'g' key:'k' env_var:'{name}'");
            let found = create(&pod(&[&request]), &managers(&[manager]));
            assert_eq!(found.0, not_injected(400, "\"g/k\"", &format!("{manager}: {reason}")), "{name}");
            let allowed = with(managers(&[manager]), "/allowedEnvVars", json!([name]));
            mutated(&create(&pod(&[&request]), &allowed));
        }
    }
    // A name that is made of a key is no other.
    let settings = with(with(managers(&["Embedded"]), "/secretEnvVarPrefix", json!("")), "/tenancy", json!({}));
    let found = create_with(&pod(&["key:'path'"]), &settings, &kubernetes_store(&[(&project_name("path"), b"v")]));
    assert_eq!(found.code(), 400);
    mutated(&create(&pod(&["group:'g' key:'k' env_var:'LDAP_PATH'"]), &managers(&["K8s"])));
}

#[test]
fn unknown_fields_reject_or_warn() {
    let asking = pod(&["group:'g' key:'k' mount_requirement:ENV_VAR lease { seconds: 5 }"]);
    assert_eq!(create(&asking, &managers(&["K8s"])).code(), 400);
    let warned = create(&asking, &with(managers(&["K8s"]), "/unknownFields", json!("Warn")));
    mutated(&warned);
    assert_eq!(warned.warnings(), ["annotation flyte.secrets/s0: ignored unknown field \"lease\""]);
}

#[test]
fn k8s_verifies_secret_and_key_if_enabled() {
    let asking = pod(&["group:'db' key:'password' mount_requirement:ENV_VAR"]);
    let settings = |chain: &[&str]| with(managers(chain), "/k8sSecretManager", json!({ "verify": true }));
    let secrets = |secrets: Value| Store::new(json!({ "K8s": { "flytesnacks-development": secrets } }));
    let found = secrets(json!({ "db": { "password": "dg==" } }));
    mutated(&create_with(&asking, &settings(&["K8s"]), &found));
    let reason =
        "K8s: not found; looked up password (Secret flytesnacks-development/db); store it under one of these names";
    for there in [json!({}), json!({ "db": { "user": "dg==" } })] {
        let missing = create_with(&asking, &settings(&["K8s"]), &secrets(there));
        assert_eq!(missing.0, not_injected(400, "\"db/password\"", reason));
    }
    let next = pod(&["group:'db' key:'password'"]);
    mutated(&create_with(&next, &settings(&["K8s", "Vault"]), &secrets(json!({}))));
    let outage = create_on(&next, &settings(&["K8s", "Vault"]), |_| Err("ServiceError: client error (Connect)".into()));
    assert_eq!(outage["code"], 503);
}

#[test]
fn unreachable_managers_cause_a_warning() {
    let unreached = "secretManagerTypes: AWS is unreachable, because K8s accepts every secret request; set \
                     k8sSecretManager.verify to look up the Secret first";
    let hidden = "secretManagerTypes: K8s accepts secrets that Embedded does not find, so missing secrets are not \
                  reported; set k8sSecretManager.verify to look up the Secret first";
    let table = [
        (managers(&["K8s", "AWS"]), vec![unreached]),
        (managers(&["Embedded", "K8s"]), vec![hidden]),
        (managers(&["AWS", "K8s"]), vec![]),
        (with(managers(&["Embedded", "K8s", "AWS"]), "/k8sSecretManager", json!({ "verify": true })), vec![]),
    ];
    for (settings, warnings) in table {
        let told = policy().validate_settings(&settings, &nothing()).expect("an answer").expect("valid settings");
        let told: Vec<&str> = told.lines().filter(|line| !line.starts_with("tenancy: ")).collect();
        assert_eq!(told, warnings, "{settings}");
    }
}

/// A store that is gone has no secrets, either: that must not let another manager win.
#[test]
fn a_missing_store_is_an_outage() {
    let table = [
        (json!({}), json!({ "Namespace": {} }), "Namespace flyte"),
        (aws(), json!({ "SecretLookup": {} }), "SecretLookup ready"),
    ];
    for (settings, store, object) in table {
        let settings = with(settings, "/secretManagerTypes", json!(["Embedded", "K8s"]));
        let found = create_with(&pod(&["key:'k'"]), &settings, &Store::new(store));
        let reason =
            format!("Embedded: {object} not found, so secrets cannot be looked up; ask the operator to restore it");
        assert_eq!(found.0, not_injected(503, "\"k\"", &reason));
        mutated(&create_with(&pod(&["key:'k'"]), &settings, &Store::new(json!({}))));
    }
}

/// Each of these pods takes exactly what it may by default, and with one request more the same number of reads.
#[test]
fn reads_are_limited() {
    // Found under the last of five names.
    let values = numbered_store(64, "u__org__acme__key__k@", b"v");
    let lookups = (0..64).map(|it| (format!("flyte:u__org__acme__key__k{it}"), json!({}))).collect::<Map<_, _>>();
    let lookups = Store::new(json!({ "SecretLookup": lookups }));
    let secrets = (0..201).map(|it| (format!("g{it}"), json!({ "k": "dg==" }))).collect::<Map<_, _>>();
    let secrets = Store::new(json!({ "K8s": { "flytesnacks-development": secrets } }));
    let pull = json!({ "gateway": "https://gateway.flyte.svc:8444", "ca": "-----BEGIN CERTIFICATE-----" });
    let pull = embedded(json!({ "delivery": "Pull", "lookup": "Require", "pull": pull }));
    let verify = with(managers(&["K8s"]), "/k8sSecretManager", json!({ "verify": true }));
    // Image pull secrets are looked up in two namespaces, so that a request takes seven reads.
    let table = [
        ("values", json!({}), &values, ("key:'k@'", 40), 200),
        ("lookups", pull, &lookups, ("key:'k@'", 40), 200),
        ("verified Secrets", verify, &secrets, ("group:'g@' key:'k'", 200), 200),
        ("image pull secrets", image_pull_secrets(), &values, ("key:'k@'", 28), 196),
    ];
    let asked = |pod: &Value, settings: &Value, store: &Arc<Store>| {
        let before = store.asked().len();
        let found = create_with(pod, settings, store);
        let limited = found.message().starts_with("LimitExceeded: ");
        (found.accepted(), limited, store.asked().len() - before)
    };
    for (what, settings, store, (request, count), reads) in table {
        assert_eq!(asked(&asking(count, request), &settings, store), (true, false, reads), "{what}");
        assert_eq!(asked(&asking(count + 1, request), &settings, store), (false, true, 200), "{what}");
    }
    // A second attempt reads nothing again.
    let mut at_home = with(asking(38, "key:'k@' mount_requirement:FILE"), "/metadata/namespace", json!("flyte"));
    at_home["metadata"]["annotations"]["flyte.secrets/s38"] =
        json!(annotation("group:'arn' key:'missing' mount_requirement:FILE"));
    assert_eq!(asked(&at_home, &managers(&["Embedded", "AWS"]), &values), (true, false, 38 * 5 + 6));
}

/// A request more than the limits allow is rejected before anything is read.
#[test]
fn requests_and_init_containers_are_limited() {
    let store = numbered_store(65, &project_name("k@"), b"v");
    for (request, settings) in [
        ("key:'k@' env_var:'V@'", json!({})),
        ("key:'k@' mount_requirement:FILE", json!({})),
        ("group:'arn' key:'k@'", managers(&["AWS"])),
    ] {
        mutated(&create_with(&asking(64, request), &settings, &store));
        let reads = store.asked().len();
        let beyond = create_with(&asking(65, request), &settings, &store);
        assert!(beyond.message().starts_with("LimitExceeded: "), "{request}");
        assert_eq!(store.asked().len(), reads, "{request}");
    }
}

/// A limit of what is looked up must not let a less preferred manager win.
#[test]
fn limits_of_lookups_end_the_search() {
    let settings = with(managers(&["Embedded", "K8s"]), "/limits", json!({ "reads": 2 }));
    let reason = "Embedded: the pod's secret requests exceed the limit of 2 lookups; request fewer secrets";
    let empty = kubernetes_store(&[]);
    let found = create_with(&pod(&["group:'g' key:'k'"]), &settings, &empty);
    assert_eq!((found.0, empty.asked().len()), (not_injected(400, "\"g/k\"", reason), 2));
    let many = ["group:'g' key:'k' mount_requirement:ENV_VAR", "group:'g' key:'l' mount_requirement:ENV_VAR"];
    let settings = with(managers(&["Vault", "Embedded", "K8s"]), "/limits", json!({ "embeddedRequests": 1 }));
    let store = kubernetes_store(&[(&project_name("k"), b"v"), (&project_name("l"), b"v")]);
    assert_eq!(create_with(&pod(&many), &settings, &store).code(), 400);
}

#[test]
fn each_name_is_read_once() {
    let store = store_of_k(b"v");
    let requests = ["key:'k'", "key:'k' env_var:'A'", "key:'k' mount_requirement:FILE"];
    mutated(&create_with(&pod(&requests), &json!({}), &store));
    assert_eq!(store.asked().iter().map(|it| it.name.clone()).collect::<Vec<_>>(), [secret_name(NAMES[0])]);
}

#[test]
fn group_names_the_secret_and_key_its_property() {
    let store = kubernetes_store(&[(&project_name("rds"), br#"{"password":"p","port":5432,"nested":{},"empty":""}"#)]);
    let settings = embedded(json!({ "properties": true }));
    let answer = |key: &str| create_with(&pod(&[&format!("group:'rds' key:'{key}'")]), &settings, &store);
    for (key, value) in [("password", "p"), ("port", "5432")] {
        assert_eq!(env(mutated(&answer(key)))[0]["value"], value);
    }
    for (key, problem) in
        [("user", "does not have this property"), ("nested", "has no string there"), ("empty", "has no string there")]
    {
        let reason = format!("Embedded: secret \"rds\" {problem}; store a JSON object with a string under {key:?}");
        assert_eq!(answer(key).0, not_injected(400, &format!("\"rds/{key}\""), &reason));
    }
    let ignored = create_with(&pod(&["group:'x' key:'rds'"]), &json!({}), &store);
    assert_eq!(ignored.warnings(), ["secret \"x/rds\": Embedded ignores group"]);
}

#[test]
fn group_version_selects_a_version() {
    let id = "0123456789abcdef0123456789abcdef";
    let holds = |manager: &str, name: &str, version: &str, value: &str| {
        let name = format!("{name}::{version}");
        json!({ manager: { name: { "stringValue": value } } })
    };
    let table = [
        (aws(), "AWSPREVIOUS", holds("AWS", NAMES[0], "AWSPREVIOUS", "v")),
        (embedded(json!({ "gcpConfig": { "project": "acme-prod" } })), "3", holds("GCP", NAMES[0], "3", "v")),
        (azure(), id, holds("Azure", AZURE_NAME, id, r#"{"value":"v"}"#)),
    ];
    for (settings, version, store) in table {
        let settings = with(settings, "/embeddedSecretManagerConfig/versions", json!(true));
        let create = |version: &str| {
            let asked = Store::new(store.clone());
            let request = format!("key:'k' group_version:'{version}' mount_requirement:ENV_VAR");
            (create_with(&pod(&[&request]), &settings, &asked), asked)
        };
        let (found, _) = create(version);
        assert_eq!(env(mutated(&found))[0]["value"], "v", "{version}");
        assert_eq!(found.warnings(), Vec::<String>::new());
        let invalid = ["a/b", "../../x", "x::y", "1 "].map(|version| {
            let (found, asked) = create(version);
            (found.code(), asked.asked())
        });
        assert_eq!(invalid, [const { (400, Vec::new()) }; 4], "{settings}");
    }
    // Another version is not found, as another secret is.
    let aws_settings =
        embedded(json!({ "awsConfig": { "region": "eu-west-1" }, "versions": true, "properties": true }));
    let store = Store::new(json!({ "AWS": { NAMES[0]: { "stringValue": "v" } } }));
    assert_eq!(create_with(&pod(&["key:'k' group_version:'blue'"]), &aws_settings, &store).code(), 400);
    assert_eq!(store.looked_up().len(), 5);
    let store = Store::new(holds("AWS", &project_name("rds"), "blue", r#"{"password":"p"}"#));
    let found = create_with(&pod(&["group:'rds' key:'password' group_version:'blue'"]), &aws_settings, &store);
    assert_eq!(env(mutated(&found))[0]["value"], "p");
    // Where there are no versions, or none are wanted.
    for settings in [embedded(json!({ "versions": true })), json!({})] {
        let found = create_with(&pod(&["key:'k' group_version:'blue'"]), &settings, &store_of_k(b"v"));
        assert_eq!(found.warnings(), ["secret \"k\" version \"blue\": Embedded ignores group_version"]);
    }
}

#[test]
fn plain_azure_values_are_accepted_if_enabled() {
    let store = Store::new(json!({ "Azure": { AZURE_NAME: { "stringValue": "plain" } } }));
    let plain = |plain: bool| with(azure(), "/embeddedSecretManagerConfig/azureConfig/plainValues", json!(plain));
    assert_eq!(create_with(&pod(&["key:'k'"]), &plain(false), &store).code(), 400);
    let found = create_with(&pod(&["key:'k'"]), &plain(true), &store);
    assert_eq!(env(mutated(&found))[0]["value"], "plain");
}

#[test]
fn annotations_that_disable_the_vault_agent_are_rejected() {
    let annotated = |name: &str, value: &str| {
        let mut pod = pod(&["group:'g' key:'k'"]);
        pod["metadata"]["annotations"][format!("vault.hashicorp.com/{name}")] = json!(value);
        pod
    };
    for (name, value, shown) in [
        ("agent-inject", "false", "agent-inject: \"false\""),
        ("agent-inject-status", "injected", "agent-inject-status: injected"),
    ] {
        let reason = format!("Vault: annotation vault.hashicorp.com/{shown} disables the Vault agent; remove it");
        assert_eq!(create(&annotated(name, value), &managers(&["Vault"])).0, not_injected(400, "\"g/k\"", &reason));
    }
    let elsewhere = create(&annotated("secret-volume-path", "/vault/secrets"), &managers(&["Vault"]));
    let folder = json!({ "name": "FLYTE_SECRETS_DEFAULT_DIR", "value": "/vault/secrets" });
    assert_eq!(*env(mutated(&elsewhere)), json!([{ "name": "FLYTE_SECRETS_FILE_PREFIX" }, folder]));
}

/// The API server reports the creator of a pod.
#[test]
fn labels_are_trusted_for_listed_creators_only() {
    let request = creation(&pod(&["key:'k'"]));
    let tenancy = |creators: Value| json!({ "tenancy": { "namespaceTemplate": "flytesnacks-development", "creators": creators } });
    let code = |creators: Value| validate(&request, &tenancy(creators), &store_of_k(b"v")).code();
    assert_eq!(code(json!(["system:serviceaccount:flyte:flytepropeller"])), 0);
    assert_eq!(code(json!(["serviceaccount:flyte/flytepropeller"])), 0);
    assert_eq!(code(json!(["serviceaccount:flyte/other"])), 403);
    assert_eq!(code(json!([])), 403);
}
