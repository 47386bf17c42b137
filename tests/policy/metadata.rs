//! What Kubewarden reads of the policy: `policy-metadata.yml`, as `kwctl annotate` wants it, and `artifacthub-pkg.yml`,
//! which must be what `kwctl scaffold artifacthub` makes of it.
//!
//! Source: `policy_metadata.rs`, `policy_artifacthub.rs` and `constants.rs` of Kubewarden's policy-evaluator.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use flyte_secrets_policy::settings::Provider;
use flyte_secrets_testing::host::Capabilities;
use flyte_secrets_testing::repository::yaml;
use serde_json::{Value, json};

use crate::support::{image_pull_secrets, kubernetes_store, managers, pod, policy, project_name, repository};

fn read(file: &str) -> Value {
    yaml(file).expect("the file is there, and is YAML")
}

fn metadata() -> Value {
    read("policy-metadata.yml")
}

/// An annotation of the metadata.
fn annotation<'a>(metadata: &'a Value, key: &str) -> &'a str {
    metadata["annotations"][key].as_str().unwrap_or_else(|| panic!("no annotation {key}"))
}

/// `name <mail>` in its parts.
fn author(metadata: &Value) -> (&str, &str) {
    let author = annotation(metadata, "io.kubewarden.policy.author").strip_suffix('>');
    author.and_then(|author| author.split_once(" <")).expect("the author is `name <mail>`")
}

/// Every call that the policy makes of its host, as `namespace/operation` and payload, whatever the settings.
fn calls() -> Vec<(String, Value)> {
    let calls: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let log = Arc::clone(&calls);
    // Found, so that its image-pull twin is asked for too.
    let store = kubernetes_store(&[(&project_name("db"), b"value")]);
    let missing = pod(&["key:'missing'"]);
    let host: Arc<dyn Capabilities> = Arc::new(move |namespace: &str, operation: &str, payload: &[u8]| {
        let asked = serde_json::from_slice(payload).expect("the payload is JSON");
        log.lock().expect("no call failed").push((format!("{namespace}/{operation}"), asked));
        store.call(namespace, operation, payload)
    });
    let chains = [&["Global", "K8s"][..], &["Vault"], &["AWS"], &["GCP"], &["Azure"]];
    let others = chains.map(managers).into_iter().chain([image_pull_secrets()]);
    for settings in Provider::ALL.iter().map(|it| it.example()).chain(others) {
        policy().validate_settings(&settings, &host).expect("the policy answers").expect("the settings are valid");
        for mount in ["ENV_VAR", "FILE"] {
            let asks = pod(&[&format!(r#"key: "db" mount_requirement: {mount}"#)]);
            policy().create_pod(&asks, &settings, &host).expect("the policy answers");
            policy().create_pod(&missing, &settings, &host).expect("the policy answers");
        }
    }
    let calls = calls.lock().expect("no call failed");
    calls.clone()
}

#[test]
fn metadata_has_kwctl_format() {
    let mut metadata = metadata();
    let fields = metadata.as_object_mut().expect("an object");
    fields.remove("annotations");
    fields.remove("contextAwareResources");
    fields.remove("hostCapabilities");
    // All that is left, in the types of kwctl's schema, which passes over fields that it does not know.
    let expected = json!({
        "protocolVersion": "v1",
        "executionMode": "kubewarden-wapc",
        "mutating": true,
        "backgroundAudit": false,
        "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"] }],
    });
    assert_eq!(metadata, expected);
    let host = flyte_secrets_testing::host::nothing();
    assert_eq!(policy().call("protocol_version", b"", &host).expect("the policy answers"), b"\"v1\"");
}

#[test]
fn metadata_declares_exactly_the_host_calls() {
    let calls = calls();
    // Kubewarden grants the log to every policy.
    let gated = calls.iter().filter(|(call, _)| call != "tracing/log");
    let used: BTreeSet<&str> = gated.map(|(call, _)| call.as_str()).collect();
    assert_eq!(json!(used), metadata()["hostCapabilities"]);

    let resources = calls.iter().filter(|(call, _)| call == "kubernetes/get_resource");
    let read = resources.map(|(_, request)| json!({ "apiVersion": request["api_version"], "kind": request["kind"] }));
    assert_eq!(sorted(read), declared(&metadata()));
}

#[test]
fn annotations_have_known_keys() {
    let metadata = metadata();
    let annotations = metadata["annotations"].as_object().expect("an object");
    let keys: BTreeSet<&str> = annotations.keys().map(String::as_str).collect();
    let artifact_hub = ["displayName", "keywords", "resources"].map(|name| format!("io.artifacthub.{name}"));
    let policy = "author category description license ociUrl severity source title url usage version";
    let policy = policy.split(' ').map(|name| format!("io.kubewarden.policy.{name}"));
    let expected: Vec<String> = artifact_hub.into_iter().chain(policy).collect();
    assert!(keys.iter().eq(&expected), "{keys:?}");
    for key in keys {
        // An unquoted version such as 1.0 would be a number, which kwctl refuses.
        assert_ne!(annotation(&metadata, key), "", "{key}");
    }

    let severity = annotation(&metadata, "io.kubewarden.policy.severity");
    assert!(["info", "low", "medium", "high", "critical"].contains(&severity), "{severity}");
    let (name, mail) = author(&metadata);
    assert!(
        !name.is_empty() && mail.split('@').all(|part| !part.is_empty()) && mail.matches('@').count() == 1,
        "{mail}"
    );
    let oci = annotation(&metadata, "io.kubewarden.policy.ociUrl");
    assert!(!oci.contains("://") && !oci.contains(':'), "kwctl adds the tag to {oci}");
}

#[test]
fn annotations_match_the_package() {
    let metadata = metadata();
    for (key, package) in [
        ("version", env!("CARGO_PKG_VERSION")),
        ("title", env!("CARGO_PKG_NAME")),
        ("description", env!("CARGO_PKG_DESCRIPTION")),
        ("license", env!("CARGO_PKG_LICENSE")),
        ("url", env!("CARGO_PKG_REPOSITORY")),
        ("source", env!("CARGO_PKG_REPOSITORY")),
    ] {
        assert_eq!(annotation(&metadata, &format!("io.kubewarden.policy.{key}")), package, "{key}");
    }
}

#[test]
fn artifact_hub_package_matches_the_metadata() {
    let metadata = metadata();
    let mut package = read("artifacthub-pkg.yml");
    let fields = package.as_object_mut().expect("an object");
    // A time of RFC 3339, in UTC.
    let created = fields.remove("createdAt").and_then(|it| it.as_str().map(str::to_owned)).expect("a time");
    let shape = created.replace(|c: char| c.is_ascii_digit(), "0");
    let fraction = shape.strip_prefix("0000-00-00T00:00:00").map(|rest| rest.trim_start_matches(['.', '0']));
    assert_eq!(fraction, Some("Z"), "{created}");
    // Lists that stand in an annotation, as YAML; kwctl sorts the resources.
    for key in ["kubewarden/rules", "kubewarden/contextAwareResources"] {
        let text = fields["annotations"][key].as_str().expect("a string").to_owned();
        fields["annotations"][key] = serde_yaml::from_str(&text).expect("YAML");
    }

    let policy = |key: &str| annotation(&metadata, &format!("io.kubewarden.policy.{key}"));
    let (version, source) = (policy("version"), policy("source"));
    let image = format!("{}:v{version}", policy("ociUrl"));
    let keywords: Vec<&str> = annotation(&metadata, "io.artifacthub.keywords").split(',').map(str::trim).collect();
    let (name, email) = author(&metadata);
    let install = format!(
        "The policy can be obtained using [kwctl](https://docs.kubewarden.io/howtos/install-kwctl):\n\
         ```console\nkwctl pull {image}\n```\n\
         Then, generate the policy manifest and tune it to your liking. For example:\n\
         ```console\nkwctl scaffold manifest -t ClusterAdmissionPolicy registry://{image}\n```\n"
    );
    let expected = json!({
        "version": version,
        "name": policy("title"),
        "displayName": annotation(&metadata, "io.artifacthub.displayName"),
        "description": policy("description"),
        "license": policy("license"),
        "homeURL": policy("url"),
        "containersImages": [{ "name": "policy", "image": image }],
        "keywords": keywords,
        "links": [
            { "name": "policy", "url": format!("{source}/releases/download/v{version}/policy.wasm") },
            { "name": "source", "url": source },
        ],
        "install": install,
        "maintainers": [{ "name": name, "email": email }],
        "provider": { "name": "kubewarden" },
        "recommendations": [{ "url": "https://artifacthub.io/packages/helm/kubewarden/kubewarden-controller" }],
        "annotations": {
            "kubewarden/contextAwareResources": declared(&metadata),
            "kubewarden/mutation": metadata["mutating"].to_string(),
            "kubewarden/questions-ui": std::fs::read_to_string(repository("questions-ui.yml")).expect("the questions"),
            "kubewarden/resources": annotation(&metadata, "io.artifacthub.resources"),
            "kubewarden/rules": metadata["rules"],
        },
    });
    assert_eq!(package, expected, "`make artifacthub-pkg.yml` makes it anew");
}

/// `{"apiVersion", "kind"}` in kwctl's order, each once.
fn sorted(resources: impl Iterator<Item = Value>) -> Value {
    let mut resources: Vec<Value> = resources.collect();
    resources.sort_by_key(Value::to_string);
    resources.dedup();
    Value::Array(resources)
}

/// The metadata's resources.
fn declared(metadata: &Value) -> Value {
    sorted(metadata["contextAwareResources"].as_array().expect("a list").iter().cloned())
}
