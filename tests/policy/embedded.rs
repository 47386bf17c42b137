//! Embedded: scopes and names, host calls, image pull secrets, and additions to pods.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::Scope;
use flyte_secrets_policy::names::kubernetes::{image_pull_name, secret_name};
use flyte_secrets_policy::settings::images;
use flyte_secrets_testing::host::{Request, Store};
use serde_json::{Map, Value, json};

use crate::codes::rejected;
use crate::support::{create_with, kubernetes_store, mutated, pod, project_name, restricted, with};

/// Every name that `key: "k"` of [`pod`] may have, in the order in which they are tried.
pub const NAMES: [&str; 5] = [
    "u__org__acme__domain__development__project__flytesnacks__key__k",
    "u__org__acme__domain__development__project____key__k",
    "u__org__acme__domain__development__key__k",
    "u__org__acme__domain____project____key__k",
    "u__org__acme__key__k",
];

/// Settings of `embeddedSecretManagerConfig`.
pub fn embedded(settings: Value) -> Value {
    json!({ "embeddedSecretManagerConfig": settings })
}

/// Returns the request for a Secret.
fn secret(namespace: &str, name: &str, field: &str) -> Request {
    Request {
        api_version: "v1".into(),
        kind: "Secret".into(),
        name: name.into(),
        namespace: Some(namespace.into()),
        disable_cache: true,
        field_masks: Some(vec![field.into()]),
    }
}

/// Returns the request for a value in Secrets of the namespace `flyte`.
fn value(name: &str) -> Request {
    secret("flyte", &secret_name(name), "data")
}

/// Returns the request for a value through the gateway.
fn gateway(kind: &str, name: &str) -> Request {
    Request {
        api_version: "secret-gateway.flyte.org/v1alpha1".into(),
        kind: kind.into(),
        name: name.into(),
        namespace: None,
        disable_cache: true,
        field_masks: Some(vec!["binaryValue".into(), "stringValue".into()]),
    }
}

/// Returns the place of a value in messages and audit annotations.
pub fn location(name: &str) -> String {
    format!("{name} (Secret flyte/{})", secret_name(name))
}

/// A pod with the value of `key: "k"` in its variable.
pub fn with_variable(pod: Value, value: &str) -> Value {
    let env = json!([
        { "name": "_UNION_K", "value": value },
        { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" },
    ]);
    with(pod, "/spec/containers/0/env", env)
}

/// The whole answer to a pod that gets secrets.
pub fn injected(audit: &str, pod: Value) -> Value {
    json!({ "accepted": true, "audit_annotations": { "secrets": audit }, "mutated_object": pod })
}

/// A value is found under each of its names, after as many calls as stand before it, each with the same field.
#[test]
fn names_are_looked_up_in_order() {
    for (at, name) in NAMES.into_iter().enumerate() {
        let store = kubernetes_store(&[(name, name.as_bytes())]);
        let asking = pod(&["key:'k'"]);
        let audit = format!("flyte.secrets/s0: Embedded {}", location(name));
        let found = create_with(&asking, &json!({}), &store);
        assert_eq!(found.0, injected(&audit, with_variable(asking, name)));
        let asked: Vec<Request> = NAMES.into_iter().take(at + 1).map(value).collect();
        assert_eq!(store.asked(), asked);
    }
}

#[test]
fn missing_secret_looks_up_every_name_once() {
    let store = Store::new(json!({}));
    create_with(&pod(&["key:'k'"]), &json!({}), &store);
    assert_eq!(store.looked_up(), NAMES.map(value));
}

/// Of several the nearest scope wins, and in a scope the name that Flyte's webhook looks up.
#[test]
fn narrower_scope_and_canonical_name_take_precedence() {
    for (at, winner) in NAMES.into_iter().enumerate() {
        let there: Vec<(&str, &[u8])> = NAMES.into_iter().skip(at).map(|name| (name, name.as_bytes())).collect();
        let asking = pod(&["key:'k'"]);
        let found = create_with(&asking, &json!({}), &kubernetes_store(&there));
        assert_eq!(found.mutated(), Some(&with_variable(asking, winner)));
    }
}

#[test]
fn name_schemes_limit_and_order_the_names() {
    let [project, domain, domain_documented, organization, organization_documented] = NAMES;
    let table = [
        (json!(["canonical"]), vec![project, domain, organization]),
        (json!(["documented"]), vec![project, domain_documented, organization_documented]),
        (
            json!(["documented", "canonical"]),
            vec![project, domain_documented, domain, organization_documented, organization],
        ),
        (json!(["canonical", "canonical"]), vec![project, domain, organization]),
    ];
    for (schemes, names) in table {
        let store = Store::new(json!({}));
        let settings = embedded(json!({ "nameSchemes": schemes }));
        let found = create_with(&pod(&["key:'k'"]), &settings, &store).0;
        let looked_up: Vec<String> = names.iter().map(|name| location(name)).collect();
        let message = format!(
            "secret \"k\" (annotation flyte.secrets/s0) cannot be injected: Embedded: not found; looked up {}; store \
             it under one of these names",
            looked_up.join(", ")
        );
        assert_eq!(found, rejected(400, &message), "{schemes}");
        let asked: Vec<Request> = names.into_iter().map(value).collect();
        assert_eq!(store.looked_up(), asked, "{schemes}");
    }
}

/// Flyte's stores have no groups.
#[test]
fn the_group_is_ignored() {
    let store = kubernetes_store(&[(NAMES[0], b"v")]);
    let asking = pod(&["group:'../any' group_version:'7' key:'k'"]);
    let found = create_with(&asking, &json!({}), &store);
    assert_eq!(found.mutated(), Some(&with_variable(asking, "v")));
    assert_eq!(store.asked(), [value(NAMES[0])]);
}

#[test]
fn secrets_are_read_in_the_namespace_of_the_settings() {
    let data = json!({ NAMES[0]: STANDARD.encode("v") });
    let store = Store::new(json!({ "K8s": { "vault": { secret_name(NAMES[0]): data } } }));
    let settings = embedded(json!({ "k8sConfig": { "namespace": "vault" } }));
    let asking = pod(&["key:'k'"]);
    let audit = format!("flyte.secrets/s0: Embedded {} (Secret vault/{})", NAMES[0], secret_name(NAMES[0]));
    assert_eq!(create_with(&asking, &settings, &store).0, injected(&audit, with_variable(asking, "v")));
    assert_eq!(store.asked(), [secret("vault", &secret_name(NAMES[0]), "data")]);
}

/// The provider that is configured or named is asked, and no other.
#[test]
fn the_provider_is_the_one_that_is_configured() {
    let azure_name = "1-acme-development-flytesnacks-NM";
    let store = json!({
        "AWS": { NAMES[0]: { "stringValue": "from AWS" } },
        "GCP": { NAMES[0]: { "stringValue": "from GCP" } },
        "Azure": { azure_name: { "stringValue": "{\"type\":\"STRING\",\"value\":\"from Azure\"}" } },
        "K8s": { "flyte": { secret_name(NAMES[0]): { NAMES[0]: STANDARD.encode("from K8s") } } },
    });
    let region = json!({ "region": "eu-west-1" });
    let project = json!({ "project": "example.com:acme" });
    let vault = json!({ "vaultURI": "https://name.vault.azure.net/" });
    let all = |name: &str| json!({ "type": name, "awsConfig": region, "gcpConfig": project, "azureConfig": vault });
    let aws = (gateway("AWSSecret", &format!("eu-west-1:{}", NAMES[0])), "AWSSecret in eu-west-1", NAMES[0]);
    let gcp =
        (gateway("GCPSecret", &format!("example.com:acme:{}", NAMES[0])), "GCPSecret in example.com:acme", NAMES[0]);
    let azure = (
        gateway("AzureSecret", &format!("name.vault.azure.net:{azure_name}")),
        "AzureSecret in name.vault.azure.net",
        azure_name,
    );
    let hashed = format!("Secret flyte/{}", secret_name(NAMES[0]));
    let k8s = (value(NAMES[0]), hashed.as_str(), NAMES[0]);
    let table = [
        ("AWS", json!({ "awsConfig": region }), &aws),
        ("AWS", all("AWS"), &aws),
        ("AWS", all("aws"), &aws),
        ("GCP", json!({ "gcpConfig": project }), &gcp),
        ("GCP", all("GCP"), &gcp),
        ("Azure", json!({ "azureConfig": vault }), &azure),
        ("Azure", all("Azure"), &azure),
        ("K8s", json!({}), &k8s),
        ("K8s", json!({ "awsConfig": { "region": "" } }), &k8s),
        ("K8s", all("K8s"), &k8s),
    ];
    for (provider, config, (asked, place, name)) in table {
        // The store of the gateway splits a name at its first colon, which an old project has itself.
        let store = match provider {
            "GCP" => Store::new(json!({ "GCP": { format!("acme:{}", NAMES[0]): { "stringValue": "from GCP" } } })),
            _ => Store::new(store.clone()),
        };
        let asking = pod(&["key:'k'"]);
        let audit = format!("flyte.secrets/s0: Embedded {name} ({place})");
        let answer = injected(&audit, with_variable(asking.clone(), &format!("from {provider}")));
        assert_eq!(create_with(&asking, &embedded(config.clone()), &store).0, answer, "{config}");
        assert_eq!(store.asked(), std::slice::from_ref(asked), "{config}");
    }
}

fn azure() -> Value {
    embedded(json!({ "azureConfig": { "vaultURI": "https://name.vault.azure.net/" } }))
}

#[test]
fn gateway_responses_are_decoded() {
    let binary = |bytes: &[u8]| STANDARD.encode(bytes);
    let aws = embedded(json!({ "awsConfig": { "region": "eu-west-1" } }));
    let of_aws = [
        (json!({ "stringValue": "text" }), "text"),
        (json!({ "stringValue": "", "binaryValue": binary(b"binary") }), "binary"),
        (json!({ "stringValue": null, "binaryValue": binary(b"binary") }), "binary"),
        (json!({ "binaryValue": binary("é\n".as_bytes()) }), "é\n"),
        (json!({ "stringValue": "text", "binaryValue": binary(b"binary") }), "text"),
        // Values in AWS are not decoded as JSON.
        (json!({ "stringValue": "{\"type\":\"STRING\",\"value\":\"v\"}" }), "{\"type\":\"STRING\",\"value\":\"v\"}"),
        (json!({ "stringValue": " \"quoted\\\"\u{1F600}\u{1} " }), " \"quoted\\\"\u{1F600}\u{1} "),
    ];
    let of_azure = [
        ("{\"type\":\"STRING\",\"value\":\"v\"}", "v"),
        ("{\"type\":0,\"value\":\"v\"}", "v"),
        ("{\"type\":\"BINARY\",\"value\":\"YmluYXJ5\"}", "binary"),
        ("{\"type\":1,\"value\":\"YmluYXJ5\"}", "binary"),
        ("{\"value\":\"v\",\"type\":\"STRING\",\"more\":[1]}", "v"),
        (" { \"Type\" : \"STRING\" , \"VALUE\" : \"\\u00e9\" } ", "é"),
    ];
    let of_aws = of_aws.map(|(answer, text)| (aws.clone(), json!({ "AWS": { NAMES[0]: answer } }), text));
    let of_azure = of_azure.map(|(packed, text)| {
        (azure(), json!({ "Azure": { "1-acme-development-flytesnacks-NM": { "stringValue": packed } } }), text)
    });
    for (settings, store, text) in of_aws.into_iter().chain(of_azure) {
        let asking = pod(&["key:'k'"]);
        let found = create_with(&asking, &settings, &Store::new(store.clone()));
        assert_eq!(found.mutated(), Some(&with_variable(asking, text)), "{store}");
    }
}

/// One name for each scope, whatever `nameSchemes` says: Azure's is a scheme of its own.
#[test]
fn azure_names_are_tried_scope_by_scope() {
    let name = |name: &str| gateway("AzureSecret", &format!("name.vault.azure.net:{name}"));
    let labels = json!({
        "inject-flyte-secrets": "true",
        "organization": "ac-0me",
        "project": "p0",
        "domain": "d-1",
    });
    let mut settings = azure();
    for schemes in [json!(["canonical", "documented"]), json!(["documented"])] {
        settings = with(settings, "/embeddedSecretManagerConfig/nameSchemes", schemes);
        let store = Store::new(json!({}));
        create_with(&with(pod(&["key:'k'"]), "/metadata/labels", labels.clone()), &settings, &store);
        let asked = [name("1-ac0100me-d011-p00-NM"), name("1-ac0100me-d011--NM"), name("1-ac0100me---NM")];
        assert_eq!(store.looked_up(), asked);
    }
}

/// A name over 127 characters costs its own scope only.
#[test]
fn an_azure_name_that_is_too_long_skips_its_scope() {
    // 61 bytes are 98 characters: 129 with the project, 118 without, 107 with the organization alone.
    let key = "k".repeat(61);
    let encoded = "NNVWW23L".repeat(12) + "NM";
    let domain = format!("1-acme-development--{encoded}");
    let organization = format!("1-acme---{encoded}");
    let asking = pod(&[&format!("key:'{key}' env_var:'A'")]);
    let packed = "{\"type\":\"STRING\",\"value\":\"v\"}";
    let store = Store::new(json!({ "Azure": { &domain: { "stringValue": packed } } }));
    let env = json!([{ "name": "A", "value": "v" }, { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" }]);
    let audit = format!("flyte.secrets/s0: Embedded {domain} (AzureSecret in name.vault.azure.net)");
    let answer = injected(&audit, with(asking.clone(), "/spec/containers/0/env", env));
    assert_eq!(create_with(&asking, &azure(), &store).0, answer);
    assert_eq!(store.asked(), [gateway("AzureSecret", &format!("name.vault.azure.net:{domain}"))]);

    let message = format!(
        "secret {key:?} (annotation flyte.secrets/s0) cannot be injected: Embedded: not found; looked up no name in \
         scope project (secret name of 129 characters exceeds the limit of 127 in Azure Key Vault; shorten the key), \
         {domain} (AzureSecret in name.vault.azure.net), {organization} (AzureSecret in name.vault.azure.net); \
         store it under one of these names"
    );
    let answer = rejected(400, &message);
    assert_eq!(create_with(&asking, &azure(), &Store::new(json!({}))).0, answer);
}

/// The script of the init container has tests of its own.
fn script(pod: &Value) -> Value {
    pod.pointer("/spec/initContainers/0/command/2").cloned().unwrap_or_default()
}

/// The folder's variables come with the first file, each file's own with it.
#[test]
fn two_files_have_a_variable_each() {
    let settings = embedded(json!({ "fileMountInitContainer": { "resources": { "limits": { "cpu": 1 } } } }));
    let store = kubernetes_store(&[(&project_name("Token.a"), b"\xff\0"), (NAMES[3], b"v")]);
    let asking =
        pod(&["key:'Token.a' mount_requirement:FILE env_var:'A'", "key:'k' mount_requirement:FILE env_var:'B'"]);
    let found = create_with(&asking, &settings, &store);
    let resources = json!({
        "limits": { "cpu": "1", "memory": "100Mi" },
        "requests": { "cpu": "100m", "memory": "100Mi" },
    });
    let container = json!({
        "name": "init-embedded-secret",
        "image": images::BUSYBOX,
        "command": ["sh", "-ec", script(mutated(&found))],
        "env": [{ "name": "SECRETS", "value": "Token.a=/wA=\nk=dg==\n" }],
        "resources": resources,
        "securityContext": restricted(),
        "volumeMounts": [{ "name": "embedded-secret-vol", "mountPath": "/etc/flyte/secrets" }],
    });
    let env = json!([
        { "name": "B", "value": "/etc/flyte/secrets/k" },
        { "name": "A", "value": "/etc/flyte/secrets/Token.a" },
        { "name": "FLYTE_SECRETS_FILE_PREFIX" },
        { "name": "FLYTE_SECRETS_DEFAULT_DIR", "value": "/etc/flyte/secrets" },
    ]);
    let mounts = json!([{ "name": "embedded-secret-vol", "readOnly": true, "mountPath": "/etc/flyte/secrets" }]);
    let volumes = json!([{ "name": "embedded-secret-vol", "emptyDir": { "medium": "Memory", "sizeLimit": "64Mi" } }]);
    let edits = [
        ("/spec/containers/0/env", env),
        ("/spec/containers/0/volumeMounts", mounts),
        ("/spec/initContainers", json!([container])),
        ("/spec/volumes", volumes),
    ];
    let wanted = edits.into_iter().fold(asking, |pod, (path, to)| with(pod, path, to));
    let audit = format!(
        "flyte.secrets/s0: Embedded {}; flyte.secrets/s1: Embedded {}",
        location(&project_name("Token.a")),
        location(NAMES[3])
    );
    assert_eq!(found.0, injected(&audit, wanted));
}

/// Each request has its entry, in the order of their numbers: a variable, a file, one of the domain, another manager's.
#[test]
fn audit_annotation_has_manager_and_name() {
    let file = project_name("f");
    let store =
        kubernetes_store(&[(NAMES[0], b"v"), (&file, b"f"), ("u__org__acme__domain__development__key__d", b"d")]);
    let asking = pod(&["key:'k'", "key:'f' mount_requirement:FILE", "key:'d'", "group:'db' key:'nowhere' env_var:'N'"]);
    let settings = json!({ "secretManagerTypes": ["Embedded", "K8s"] });
    let audit = format!(
        "flyte.secrets/s0: Embedded {}; flyte.secrets/s1: Embedded {}; flyte.secrets/s2: Embedded {}; \
         flyte.secrets/s3: K8s db/nowhere",
        location(NAMES[0]),
        location(&file),
        location("u__org__acme__domain__development__key__d")
    );
    let found = create_with(&asking, &settings, &store);
    assert_eq!(found.0["audit_annotations"], json!({ "secrets": audit }));
    assert_eq!(found.0["warnings"], Value::Null);
    mutated(&found);
}

const ACME: Scope = Scope { organization: "acme", domain: "development", project: "flytesnacks" };

/// A store of values in `flyte` and of image-pull twins, each in its namespace.
fn twins(values: &[&str], twins: &[(&str, &str)]) -> Arc<Store> {
    let mut namespaces: Map<String, Value> = Map::new();
    let mut put = |namespace: &str, name: &str, data: Value| {
        let secrets = namespaces.entry(namespace).or_insert_with(|| json!({}));
        if let Some(secrets) = secrets.as_object_mut() {
            secrets.insert(name.to_owned(), data);
        }
    };
    for name in values {
        put("flyte", &secret_name(name), json!({ *name: STANDARD.encode("v") }));
    }
    for (namespace, twin) in twins {
        put(namespace, twin, json!({ ".dockerconfigjson": "e30=" }));
    }
    Store::new(json!({ "K8s": namespaces }))
}

fn pulling() -> Value {
    embedded(json!({ "imagePullSecrets": { "enabled": true } }))
}

/// The task's namespace.
const HERE: &str = "flytesnacks-development";

#[test]
fn image_pull_secret_is_used_in_the_pods_namespace() {
    let domain = Scope { project: "", ..ACME };
    let organization = Scope { project: "", domain: "", ..ACME };
    for (name, scope) in [(NAMES[0], ACME), (NAMES[1], domain), (NAMES[2], domain), (NAMES[4], organization)] {
        let twin = image_pull_name(scope, "k");
        let copy = format!(
            "secret \"k\" can be used as image pull secret after Secret flyte/{twin} is copied to namespace {HERE}"
        );
        let audit = format!("flyte.secrets/s0: Embedded {}", location(name));
        let asking = pod(&["key:'k'"]);
        let plain = with_variable(asking.clone(), "v");
        let added = with(plain.clone(), "/spec/imagePullSecrets", json!([{ "name": twin }]));
        let (here, home) = (secret(HERE, &twin, "metadata.name"), secret("flyte", &twin, "metadata.name"));
        let table = [
            (vec![(HERE, twin.as_str())], added.clone(), None, vec![here.clone()]),
            (vec![(HERE, twin.as_str()), ("flyte", twin.as_str())], added, None, vec![here.clone()]),
            (vec![("flyte", twin.as_str())], plain.clone(), Some(copy), vec![here.clone(), home.clone()]),
            (vec![], plain, None, vec![here, home]),
        ];
        for (there, pod, warning, asked) in table {
            let mut answer = injected(&audit, pod);
            if let Some(warning) = warning {
                answer = with(answer, "/warnings", json!([warning]));
            }
            let store = twins(&[name], &there);
            assert_eq!(create_with(&asking, &pulling(), &store).0, answer, "{name} {there:?}");
            let values = NAMES.into_iter().take_while(|tried| *tried != name).chain([name]).map(value);
            assert_eq!(store.asked(), values.chain(asked).collect::<Vec<_>>(), "{name} {there:?}");
        }
    }
}

#[test]
fn image_pull_secrets_are_looked_up_only_if_enabled() {
    let twin = image_pull_name(ACME, "k");
    for settings in [json!({}), embedded(json!({ "imagePullSecrets": { "enabled": false } }))] {
        let store = twins(&[NAMES[0]], &[(HERE, &twin)]);
        let asking = pod(&["key:'k'"]);
        let answer =
            injected(&format!("flyte.secrets/s0: Embedded {}", location(NAMES[0])), with_variable(asking.clone(), "v"));
        assert_eq!(create_with(&asking, &settings, &store).0, answer, "{settings}");
        assert_eq!(store.asked(), [value(NAMES[0])], "{settings}");
    }
}

/// A pod in the namespace that holds the values has its twins there: nothing is to be copied.
#[test]
fn image_pull_secret_in_the_stores_namespace_is_read_once() {
    let twin = image_pull_name(ACME, "k");
    let asking = with(pod(&["key:'k'"]), "/metadata/namespace", json!("flyte"));
    let store = twins(&[NAMES[0]], &[]);
    let found = create_with(&asking, &pulling(), &store);
    let reference = json!({ "secretKeyRef": { "name": secret_name(NAMES[0]), "key": NAMES[0] } });
    let wanted = with(
        with_variable(asking, "v"),
        "/spec/containers/0/env/0",
        json!({ "name": "_UNION_K", "valueFrom": reference }),
    );
    assert_eq!(found.mutated(), Some(&wanted));
    assert_eq!(found.warnings(), Vec::<&str>::new());
    assert_eq!(store.asked(), [value(NAMES[0]), secret("flyte", &twin, "metadata.name")]);
}

/// The whole list comes out sorted by name, as Flyte sorts it, each name once.
#[test]
fn image_pull_secrets_are_sorted_and_named_once() {
    let (k, l) = (image_pull_name(ACME, "k"), image_pull_name(ACME, "l"));
    let (first, second) = if k < l { (&k, &l) } else { (&l, &k) };
    let there = [(HERE, k.as_str()), (HERE, l.as_str())];
    let store = twins(&[&project_name("k"), &project_name("l")], &there);
    // Both requests of `k` have one twin.
    let asking = pod(&["key:'l'", "key:'k'", "key:'k' mount_requirement:FILE"]);
    let named = |names: &[&str]| Value::Array(names.iter().map(|name| json!({ "name": name })).collect());
    let table = [
        (Value::Null, named(&[first, second])),
        (json!([]), named(&[first, second])),
        (named(&["zzz", "aaa"]), named(&["aaa", first, second, "zzz"])),
        (named(&[&k]), named(&[first, second])),
        // Nothing new, nothing sorted.
        (named(&[second, "aaa", first]), named(&[second, "aaa", first])),
    ];
    for (own, wanted) in table {
        let asking = with(asking.clone(), "/spec/imagePullSecrets", own.clone());
        let found = create_with(&asking, &pulling(), &store);
        assert_eq!(mutated(&found)["spec"]["imagePullSecrets"], wanted, "{own}");
    }
}

/// What Kubernetes makes of a variable's value. Clusters without kubernetes/kubernetes#136325 take the first byte of a
/// character that follows a lone `$` for the whole of it (`bytewise`), and what remains is no text.
///
/// Source: `third_party/forked/golang/expansion` of Kubernetes.
fn expand(text: &str, variables: &[(&str, &str)], bytewise: bool) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('$') {
        expanded.push_str(plain);
        let mut next = after.chars();
        rest = match next.next() {
            Some('$') => {
                expanded.push('$');
                next.as_str()
            }
            Some('(') => match next.as_str().split_once(')') {
                Some((name, tail)) => {
                    let known = variables.iter().find(|(known, _)| *known == name);
                    expanded.push_str(&known.map_or(format!("$({name})"), |(_, value)| (*value).to_owned()));
                    tail
                }
                None => {
                    expanded.push_str("$(");
                    next.as_str()
                }
            },
            Some(other) => {
                expanded.push('$');
                match bytewise && !other.is_ascii() {
                    true => expanded.push(char::REPLACEMENT_CHARACTER),
                    false => expanded.push(other),
                }
                next.as_str()
            }
            None => {
                expanded.push('$');
                next.as_str()
            }
        };
    }
    expanded.push_str(rest);
    expanded
}

/// A pod's variable as its process sees it.
fn delivered(value: &str, bytewise: bool) -> String {
    let store = kubernetes_store(&[(NAMES[0], value.as_bytes())]);
    let found = create_with(&pod(&["key:'k'"]), &json!({}), &store);
    let written = mutated(&found).pointer("/spec/containers/0/env/0/value").and_then(Value::as_str).unwrap_or_default();
    expand(written, &[("HOME", "/root"), ("", "nobody"), ("(", "paren")], bytewise)
}

/// A lone `$` is doubled before a character beyond ASCII, which it breaks in clusters without
/// kubernetes/kubernetes#136325: where the kubelet checks its messages for UTF-8, such a container cannot start.
#[test]
fn dollars_survive_the_expansion_of_kubernetes() {
    assert_eq!(expand("$(HOME) $$(HOME) $(X) $$ $( $", &[("HOME", "/root")], false), "/root $(HOME) $(X) $ $( $");
    for value in [
        "$(HOME)",
        "$$(HOME)",
        "$$$(HOME)",
        "$(UNKNOWN)",
        "$()",
        "$((HOME))",
        "$",
        "$$",
        "$$$",
        "$$$$",
        "a$b",
        "a$$b",
        "$(",
        "$$(",
        "$($(HOME)",
        "$(\n)",
        "x)$(",
        ")$(HOME",
        "$ (HOME)",
        "${HOME}",
        "é$(HOME)é",
        "$é",
        "pa$中word",
        "$\u{1F600}",
    ] {
        for bytewise in [false, true] {
            assert_eq!(delivered(value, bytewise), value);
        }
    }
}

/// A value that every cluster leaves alone is written as it is.
#[test]
fn literal_dollars_are_not_doubled() {
    for value in ["a$b", "$", "$(", "${HOME}", "p$1"] {
        let store = kubernetes_store(&[(NAMES[0], value.as_bytes())]);
        let asking = pod(&["key:'k'"]);
        let found = create_with(&asking, &json!({}), &store);
        assert_eq!(found.mutated(), Some(&with_variable(asking, value)), "{value}");
    }
}
