//! Embedded: scopes and names, host calls, image pull secrets, and additions to pods.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::Scope;
use flyte_secrets_policy::names::kubernetes::{image_pull_name, secret_name};
use flyte_secrets_policy::settings::images;
use flyte_secrets_testing::host::{Request, Store};
use serde_json::{Value, json};

use crate::codes::not_found;
use crate::support::{
    AZURE_NAME, NAMES, SCOPE, aws, azure, create_with, edited, embedded, env, image_pull_secrets, injected,
    kubernetes_store, location, managers, mutated, pod, project_name, restricted, store_of_k, twin, with,
    with_file_variables, with_variable,
};

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

/// The audit annotation of a pod that got the value of a name.
fn audit(name: &str) -> String {
    format!("flyte.secrets/s0: Embedded {}", location(name))
}

/// The nearest scope wins, and in a scope the name that Flyte's webhook looks up; after as many calls as names stand
/// before it, each with the same field.
#[test]
fn names_are_looked_up_in_order() {
    for (at, name) in NAMES.into_iter().enumerate() {
        let there: Vec<(&str, &[u8])> = NAMES[at..].iter().map(|name| (*name, name.as_bytes())).collect();
        let store = kubernetes_store(&there);
        let asking = pod(&["key:'k'"]);
        let found = create_with(&asking, &json!({}), &store);
        assert_eq!(found.0, injected(&audit(name), with_variable(asking, name)));
        assert_eq!(store.asked(), NAMES[..=at].iter().map(|name| value(name)).collect::<Vec<_>>());
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
        assert_eq!(found, not_found("k", &looked_up), "{schemes}");
        let asked: Vec<Request> = names.into_iter().map(value).collect();
        assert_eq!(store.looked_up(), asked, "{schemes}");
    }
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
    let store = json!({
        "AWS": { NAMES[0]: { "stringValue": "from AWS" } },
        "GCP": { NAMES[0]: { "stringValue": "from GCP" } },
        "Azure": { AZURE_NAME: { "stringValue": "{\"type\":\"STRING\",\"value\":\"from Azure\"}" } },
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
        gateway("AzureSecret", &format!("name.vault.azure.net:{AZURE_NAME}")),
        "AzureSecret in name.vault.azure.net",
        AZURE_NAME,
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

#[test]
fn gateway_responses_are_decoded() {
    let binary = |bytes: &[u8]| STANDARD.encode(bytes);
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
    let of_aws = of_aws.map(|(answer, text)| (aws(), json!({ "AWS": { NAMES[0]: answer } }), text));
    let of_azure =
        of_azure.map(|(packed, text)| (azure(), json!({ "Azure": { AZURE_NAME: { "stringValue": packed } } }), text));
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

    let no_name = "no name in scope project (secret name of 129 characters exceeds the limit of 127 in Azure Key Vault; \
                   shorten the key)";
    let names = [&domain, &organization].map(|name| format!("{name} (AzureSecret in name.vault.azure.net)"));
    let answer = not_found(&key, &[&[no_name.to_owned()], &names[..]].concat());
    assert_eq!(create_with(&asking, &azure(), &Store::new(json!({}))).0, answer);
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
        "command": ["sh", "-ec", mutated(&found)["spec"]["initContainers"][0]["command"][2]],
        "env": [{ "name": "SECRETS", "value": "Token.a=/wA=\nk=dg==\n" }],
        "resources": resources,
        "securityContext": restricted(),
        "volumeMounts": [{ "name": "embedded-secret-vol", "mountPath": "/etc/flyte/secrets" }],
    });
    let mounts = json!([{ "name": "embedded-secret-vol", "readOnly": true, "mountPath": "/etc/flyte/secrets" }]);
    let volumes = json!([{ "name": "embedded-secret-vol", "emptyDir": { "medium": "Memory", "sizeLimit": "64Mi" } }]);
    let edits = [
        ("/spec/containers/0/volumeMounts", mounts),
        ("/spec/initContainers", json!([container])),
        ("/spec/volumes", volumes),
    ];
    let paths = [("B", "/etc/flyte/secrets/k"), ("A", "/etc/flyte/secrets/Token.a")];
    let expected = edited(with_file_variables(asking, &paths), edits);
    let audit = format!(
        "flyte.secrets/s0: Embedded {}; flyte.secrets/s1: Embedded {}",
        location(&project_name("Token.a")),
        location(NAMES[3])
    );
    assert_eq!(found.0, injected(&audit, expected));
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
    for (manager, request, source) in [
        ("AWS", "group:'arn' key:'k'", "arn:k"),
        ("GCP", "group:'g' group_version:'1'", "g/versions/1"),
        ("Azure", "group:'https://v.vault.azure.net/secrets/s/0'", "https://v.vault.azure.net/secrets/s/0"),
        ("Vault", "group:'secret/data/a' key:'k'", "secret/data/a/k"),
    ] {
        let found = create_with(&pod(&[request]), &managers(&[manager]), &kubernetes_store(&[]));
        assert_eq!(found.0["audit_annotations"]["secrets"], format!("flyte.secrets/s0: {manager} {source}"));
    }
}

/// A store of values in `flyte` and of image-pull twins, each in its namespace.
fn twins(values: &[&str], twins: &[(&str, &str)]) -> Arc<Store> {
    let value = |name: &&str| (format!("/K8s/flyte/{}", secret_name(name)), json!({ *name: STANDARD.encode("v") }));
    let twin = |(namespace, twin): &(&str, &str)| (format!("/K8s/{namespace}/{twin}"), json!({}));
    let secrets = values.iter().map(value).chain(twins.iter().map(twin));
    Store::new(secrets.fold(json!({}), |store, (path, secret)| with(store, &path, secret)))
}

/// The task's namespace.
const HERE: &str = "flytesnacks-development";

#[test]
fn image_pull_secret_is_used_in_the_pods_namespace() {
    let domain = Scope { project: "", ..SCOPE };
    let organization = Scope { project: "", domain: "", ..SCOPE };
    for (name, scope) in [(NAMES[0], SCOPE), (NAMES[1], domain), (NAMES[2], domain), (NAMES[4], organization)] {
        let twin = image_pull_name(scope, "k");
        let copy = format!(
            "secret \"k\" can be used as image pull secret after Secret flyte/{twin} is copied to namespace {HERE}"
        );
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
            let mut answer = injected(&audit(name), pod);
            if let Some(warning) = warning {
                answer["warnings"] = json!([warning]);
            }
            let store = twins(&[name], &there);
            assert_eq!(create_with(&asking, &image_pull_secrets(), &store).0, answer, "{name} {there:?}");
            let values = NAMES.into_iter().take_while(|tried| *tried != name).chain([name]).map(value);
            assert_eq!(store.asked(), values.chain(asked).collect::<Vec<_>>(), "{name} {there:?}");
        }
    }
}

#[test]
fn image_pull_secrets_are_looked_up_only_if_enabled() {
    for settings in [json!({}), embedded(json!({ "imagePullSecrets": { "enabled": false } }))] {
        let store = twins(&[NAMES[0]], &[(HERE, &twin("k"))]);
        let asking = pod(&["key:'k'"]);
        let answer = injected(&audit(NAMES[0]), with_variable(asking.clone(), "v"));
        assert_eq!(create_with(&asking, &settings, &store).0, answer, "{settings}");
        assert_eq!(store.asked(), [value(NAMES[0])], "{settings}");
    }
}

/// A pod in the namespace that holds the values has its twins there: nothing is to be copied.
#[test]
fn image_pull_secret_in_the_stores_namespace_is_read_once() {
    let asking = with(pod(&["key:'k'"]), "/metadata/namespace", json!("flyte"));
    let store = twins(&[NAMES[0]], &[]);
    let found = create_with(&asking, &image_pull_secrets(), &store);
    let reference = json!({ "secretKeyRef": { "name": secret_name(NAMES[0]), "key": NAMES[0] } });
    let variable = json!({ "name": "_UNION_K", "valueFrom": reference });
    let expected = with(with_variable(asking, "v"), "/spec/containers/0/env/0", variable);
    assert_eq!(found.0, injected(&audit(NAMES[0]), expected));
    assert_eq!(store.asked(), [value(NAMES[0]), secret("flyte", &twin("k"), "metadata.name")]);
}

/// The whole list comes out sorted by name, as Flyte sorts it, each name once.
#[test]
fn image_pull_secrets_are_sorted_and_named_once() {
    let (k, l) = (twin("k"), twin("l"));
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
    for (own, expected) in table {
        let asking = with(asking.clone(), "/spec/imagePullSecrets", own.clone());
        let found = create_with(&asking, &image_pull_secrets(), &store);
        assert_eq!(mutated(&found)["spec"]["imagePullSecrets"], expected, "{own}");
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
        rest = after;
        if let Some(tail) = after.strip_prefix('$') {
            expanded.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|name| name.split_once(')')) {
            let known = variables.iter().find(|(known, _)| *known == name);
            expanded.push_str(&known.map_or(format!("$({name})"), |(_, value)| (*value).to_owned()));
            rest = tail;
        } else {
            expanded.push('$');
            if let Some(next) = after.chars().next().filter(|next| bytewise && !next.is_ascii()) {
                expanded.push(char::REPLACEMENT_CHARACTER);
                rest = &after[next.len_utf8()..];
            }
        }
    }
    expanded + rest
}

/// The text of a pod's variable with this value.
fn written(value: &str) -> String {
    let found = create_with(&pod(&["key:'k'"]), &json!({}), &store_of_k(value.as_bytes()));
    env(mutated(&found))[0]["value"].as_str().expect("a text").to_owned()
}

/// A lone `$` is doubled before a character beyond ASCII, which it breaks in clusters without
/// kubernetes/kubernetes#136325: where the kubelet checks its messages for UTF-8, such a container cannot start. A value
/// that every cluster leaves alone is written as it is.
#[test]
fn dollars_survive_the_expansion_of_kubernetes() {
    assert_eq!(expand("$(HOME) $$(HOME) $(X) $$ $( $", &[("HOME", "/root")], false), "/root $(HOME) $(X) $ $( $");
    let known = [("HOME", "/root"), ("", "nobody"), ("(", "paren")];
    let words = "$(HOME) $$(HOME) $$$(HOME) $(UNKNOWN) $() $((HOME)) $ $$ $$$ $$$$ a$b a$$b $( $$( $($(HOME) x)$( \
                 )$(HOME ${HOME} é$(HOME)é $é pa$中word $\u{1F600}";
    for value in words.split(' ').chain(["$(\n)", "$ (HOME)"]) {
        assert_eq!([false, true].map(|bytewise| expand(&written(value), &known, bytewise)), [value; 2]);
    }
    for value in ["a$b", "$", "$(", "${HOME}", "p$1"] {
        assert_eq!(written(value), value);
    }
}
