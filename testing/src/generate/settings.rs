//! Settings: all fields with valid values; and some with one that can be invalid.

use flyte_secrets_policy::settings::{ManagerType, validate};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{maybe, member, object, of, one_of, rarely};

fn managers() -> impl Strategy<Value = Value> {
    let schema = schemars::schema_for!(ManagerType).to_value();
    let names = schema["oneOf"].as_array().into_iter().flatten().filter_map(|name| name["const"].as_str());
    // A policy does not support Global.
    let all: Vec<String> = names.filter(|name| *name != "Global").map(str::to_owned).collect();
    let some = prop::sample::subsequence(all.clone(), 1..=all.len()).prop_shuffle();
    (some, prop::sample::select(all), rarely(10), rarely(10)).prop_map(|(mut names, first, global, lower)| {
        names.insert(0, first);
        names.extend(global.then(|| "Global".to_owned()));
        names.dedup();
        let case = |name: String| if lower { name.to_lowercase() } else { name };
        names.into_iter().map(case).collect()
    })
}

fn resources() -> impl Strategy<Value = Value> {
    one_of(json!([
        {},
        { "limits": { "cpu": "1" } },
        { "limits": { "cpu": 1, "memory": "1Gi", "ephemeral-storage": "1.5Gi" } },
        { "requests": { "cpu": "50m", "memory": "1e6" } },
        { "requests": { "memory": "0.1n" }, "limits": null },
        { "limits": { "example.com/gpu": "1" } },
        { "limits": { "hugepages-2Mi": "4Mi" }, "requests": { "hugepages-2Mi": "4Mi" } },
        { "limits": { "gpu": "1" } },
        { "limits": { "example.com/gpu": "0.5" } },
        { "limits": { "example.com/gpu": "2" }, "requests": { "example.com/gpu": "1" } },
        { "requests": { "example.com/gpu": "1" } },
        { "limits": { "hugepages-2Mi": "3Mi" } },
        { "limits": { "a b": "1" } },
    ]))
}

fn image() -> impl Strategy<Value = String> {
    of(&["registry.example.com/pull:1", "x", "busybox@sha256:0f", "x\u{a0}", "\u{b}x"])
}

fn sidecar() -> BoxedStrategy<Value> {
    object([member("sidecarImage", 30, image()), member("resources", 40, resources())])
}

fn vault() -> BoxedStrategy<Value> {
    let annotations = one_of(json!([
        {},
        { "vault.hashicorp.com/role": "other" },
        { "vault.hashicorp.com/agent-inject": "false", "example.com/A_b": "é\"\n" },
        { "vault.hashicorp.com/agent-pre-populate-only": "", "big": "x".repeat(1000) },
        { "bad key": "x" },
        { "a/b/c": "x" },
        { "-": "x" },
    ]));
    object([
        member("role", 40, of(&["task", "é", ""])),
        member("kvVersion", 40, one_of(json!([1, "1", 2, "2"]))),
        member("annotations", 40, annotations),
        member("lockAnnotations", 40, any::<bool>()),
    ])
}

fn embedded() -> BoxedStrategy<Value> {
    let store = one_of(json!([
        {},
        { "type": "K8s" },
        { "type": "K8s", "k8sConfig": { "namespace": "vaults", "kubeClientConfig": { "qps": 1 } } },
        { "awsConfig": { "region": "eu-west-1" } },
        { "type": "aws", "awsConfig": { "region": "us-gov-east-1" }, "gcpConfig": { "project": "p" } },
        { "gcpConfig": { "project": "acme-prod" } },
        { "type": "GCP", "gcpConfig": { "project": "example.com:acme" } },
        { "azureConfig": { "vaultURI": "https://Acme.vault.azure.net/" } },
    ]));
    let container = object([
        member("image", 30, image()),
        member("resources", 40, resources()),
        member("containerName", 30, of(&["init-secrets", "0", "aws-pull-secret-0"])),
    ]);
    let schemes =
        one_of(json!([["canonical"], ["documented"], ["Documented", "CANONICAL"], ["canonical", "canonical"],]));
    object([
        store.boxed(),
        member("fileMountInitContainer", 50, container),
        member("nameSchemes", 40, schemes),
        member("imagePullSecrets", 40, any::<bool>().prop_map(|enabled| json!({ "enabled": enabled }))),
    ])
}

/// Generates settings of all managers.
fn all() -> BoxedStrategy<Value> {
    let prefix = prop_oneof![
        3 => of(&["_UNION_", "FLYTE_", "my.prefix-", ""]),
        1 => "[-._a-zA-Z][-._a-zA-Z0-9]{0,6}",
    ];
    let accounts = one_of(json!([[], ["default"], ["flytesnacks-development/default", "trainer"]]));
    let tenancy = object([
        member("namespaceTemplate", 60, of(&["{{ project }}-{{ domain }}", "{{org}}-{{project}}", "{{ domain }}"])),
        member("serviceAccounts", 40, accounts),
    ]);
    let ignored = one_of(json!([{ "certDir": "/x" }, { "metrics-prefix": 1, "localCert": true }]));
    object([
        member("secretManagerTypes", 90, managers()),
        member("secretEnvVarPrefix", 40, prefix),
        member("k8sSecretManager", 30, any::<bool>().prop_map(|optional| json!({ "optional": optional }))),
        member("awsSecretManager", 40, sidecar()),
        member("gcpSecretManager", 40, sidecar()),
        member("azureSecretManager", 40, sidecar()),
        member("vaultSecretManager", 50, vault()),
        member("embeddedSecretManagerConfig", 70, embedded()),
        member("tenancy", 20, tenancy),
        maybe(67, ignored),
    ])
}

/// Generates valid settings.
pub fn valid() -> BoxedStrategy<Value> {
    all().prop_filter("invalid settings", |it| validate(it.to_string().as_bytes()).is_ok()).boxed()
}

/// Generates settings with an arbitrary member.
pub fn any_at_all() -> impl Strategy<Value = Value> {
    let anything = one_of(json!([
        null, true, 0, -1.5, "", " ", "Global", ["Global"], [], {}, "é", { "x": { "y": [null] } },
        "{{ project", "https://x/y",
    ]));
    let key = of(&["", "secretManagerType", "type", "region", "namespace", "image", "cpu", "limits", "unknown"]);
    (all(), any::<prop::sample::Index>(), key, anything, rarely(30)).prop_map(
        |(mut settings, at, key, value, as_is)| {
            if as_is {
                return settings;
            }
            let mut pointers = Vec::new();
            places(&settings, "", &mut pointers);
            if let Some(place) = settings.pointer_mut(&pointers[at.index(pointers.len())]) {
                match place.as_object_mut() {
                    Some(object) => drop(object.insert(key, value)),
                    None => *place = value,
                }
            }
            settings
        },
    )
}

fn places(value: &Value, at: &str, pointers: &mut Vec<String>) {
    pointers.push(at.to_owned());
    for (name, inner) in value.as_object().into_iter().flatten() {
        places(inner, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), pointers);
    }
}
