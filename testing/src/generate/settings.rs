//! Settings: all fields with valid values; and some with one that can be invalid.

use flyte_secrets_policy::settings::ManagerType;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{object, of, rarely};

fn values(values: impl Into<Vec<Value>>) -> impl Strategy<Value = Value> {
    prop::sample::select(values.into())
}

/// Generates an optional value with a probability in percent.
fn maybe(times_in_a_hundred: u32, value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    prop::option::weighted(f64::from(times_in_a_hundred) / 100.0, value).boxed()
}

fn managers() -> impl Strategy<Value = Value> {
    let all = manager_names();
    let some = prop::sample::subsequence(all.clone(), 1..=all.len()).prop_shuffle();
    let first = prop::sample::select(all);
    (some, first, rarely(10), rarely(10)).prop_map(|(mut names, first, global, lower)| {
        if global {
            names.push("Global".to_owned());
        }
        names.insert(0, first);
        names.dedup();
        let case = |name: String| if lower { name.to_lowercase() } else { name };
        json!(names.into_iter().map(case).collect::<Vec<String>>())
    })
}

fn resources() -> impl Strategy<Value = Value> {
    values([
        json!({}),
        json!({ "limits": { "cpu": "1" } }),
        json!({ "limits": { "cpu": 1, "memory": "1Gi", "ephemeral-storage": "1.5Gi" } }),
        json!({ "requests": { "cpu": "50m", "memory": "1e6" } }),
        json!({ "requests": { "memory": "0.1n" }, "limits": null }),
        json!({ "limits": { "example.com/gpu": "1" } }),
        json!({ "limits": { "hugepages-2Mi": "4Mi" }, "requests": { "hugepages-2Mi": "4Mi" } }),
        json!({ "limits": { "gpu": "1" } }),
        json!({ "limits": { "example.com/gpu": "0.5" } }),
        json!({ "limits": { "example.com/gpu": "2" }, "requests": { "example.com/gpu": "1" } }),
        json!({ "requests": { "example.com/gpu": "1" } }),
        json!({ "limits": { "hugepages-2Mi": "3Mi" } }),
        json!({ "limits": { "a b": "1" } }),
    ])
}

fn image() -> impl Strategy<Value = Value> {
    values([
        json!("registry.example.com/pull:1"),
        json!("x"),
        json!("busybox@sha256:0f"),
        json!("x\u{a0}"),
        json!("\u{b}x"),
    ])
}

fn sidecar() -> impl Strategy<Value = Value> {
    (maybe(30, image()), maybe(40, resources()))
        .prop_map(|(image, resources)| object([("sidecarImage", image), ("resources", resources)]))
}

fn vault() -> impl Strategy<Value = Value> {
    let annotations = values([
        json!({}),
        json!({ "vault.hashicorp.com/role": "other" }),
        json!({ "vault.hashicorp.com/agent-inject": "false", "example.com/A_b": "é\"\n" }),
        json!({ "vault.hashicorp.com/agent-pre-populate-only": "", "big": "x".repeat(1000) }),
        json!({ "bad key": "x" }),
        json!({ "a/b/c": "x" }),
        json!({ "-": "x" }),
    ]);
    let parts = (
        maybe(40, values([json!("task"), json!("é"), json!("")])),
        maybe(40, values([json!(1), json!("1"), json!(2), json!("2")])),
        maybe(40, annotations),
        maybe(40, any::<bool>().prop_map(Value::from)),
    );
    parts.prop_map(|(role, version, annotations, lock)| {
        object([("role", role), ("kvVersion", version), ("annotations", annotations), ("lockAnnotations", lock)])
    })
}

fn embedded() -> impl Strategy<Value = Value> {
    let store = values([
        json!({}),
        json!({ "type": "K8s" }),
        json!({ "type": "K8s", "k8sConfig": { "namespace": "vaults", "kubeClientConfig": { "qps": 1 } } }),
        json!({ "awsConfig": { "region": "eu-west-1" } }),
        json!({ "type": "aws", "awsConfig": { "region": "us-gov-east-1" }, "gcpConfig": { "project": "p" } }),
        json!({ "gcpConfig": { "project": "acme-prod" } }),
        json!({ "type": "GCP", "gcpConfig": { "project": "example.com:acme" } }),
        json!({ "azureConfig": { "vaultURI": "https://Acme.vault.azure.net/" } }),
    ]);
    let container = (
        maybe(30, image()),
        maybe(40, resources()),
        maybe(30, values([json!("init-secrets"), json!("0"), json!("aws-pull-secret-0")])),
    );
    let container = container.prop_map(|(image, resources, name)| {
        object([("image", image), ("resources", resources), ("containerName", name)])
    });
    let schemes = values([
        json!(["canonical"]),
        json!(["documented"]),
        json!(["Documented", "CANONICAL"]),
        json!(["canonical", "canonical"]),
    ]);
    let pull = any::<bool>().prop_map(|enabled| json!({ "enabled": enabled }));
    (store, maybe(50, container), maybe(40, schemes), maybe(40, pull)).prop_map(
        |(mut all, container, schemes, pull)| {
            for (name, value) in
                [("fileMountInitContainer", container), ("nameSchemes", schemes), ("imagePullSecrets", pull)]
            {
                if let Some(value) = value {
                    all[name] = value;
                }
            }
            all
        },
    )
}

fn tenancy() -> impl Strategy<Value = Value> {
    let template = values([json!("{{ project }}-{{ domain }}"), json!("{{org}}-{{project}}"), json!("{{ domain }}")]);
    let accounts = values([json!([]), json!(["default"]), json!(["flytesnacks-development/default", "trainer"])]);
    (maybe(60, template), maybe(40, accounts))
        .prop_map(|(template, accounts)| object([("namespaceTemplate", template), ("serviceAccounts", accounts)]))
}

/// Generates settings of all managers.
fn all() -> impl Strategy<Value = Value> {
    let prefix = prop_oneof![
        3 => of(&["_UNION_", "FLYTE_", "my.prefix-", ""]),
        1 => "[-._a-zA-Z][-._a-zA-Z0-9]{0,6}",
    ];
    let ignored = values([json!({ "certDir": "/x" }), json!({ "metrics-prefix": 1, "localCert": true }), Value::Null]);
    let parts = (
        maybe(90, managers()),
        maybe(40, prefix.prop_map(Value::from)),
        maybe(30, any::<bool>().prop_map(|optional| json!({ "optional": optional }))),
        maybe(40, sidecar()),
        maybe(40, sidecar()),
        maybe(40, sidecar()),
        maybe(50, vault()),
        maybe(70, embedded()),
        maybe(20, tenancy()),
        ignored,
    );
    parts.prop_map(|(managers, prefix, k8s, aws, gcp, azure, vault, embedded, tenancy, ignored)| {
        let mut settings = object([
            ("secretManagerTypes", managers),
            ("secretEnvVarPrefix", prefix),
            ("k8sSecretManager", k8s),
            ("awsSecretManager", aws),
            ("gcpSecretManager", gcp),
            ("azureSecretManager", azure),
            ("vaultSecretManager", vault),
            ("embeddedSecretManagerConfig", embedded),
            ("tenancy", tenancy),
        ]);
        for (name, value) in ignored.as_object().into_iter().flatten() {
            settings[name] = value.clone();
        }
        settings
    })
}

/// Generates valid settings.
pub fn valid() -> impl Strategy<Value = Value> {
    use flyte_secrets_policy::settings;
    let accepted = |it: &Value| settings::validate(it.to_string().as_bytes()).is_ok();
    all().prop_filter("settings that are refused", accepted)
}

/// Generates settings with an arbitrary member.
pub fn any_at_all() -> impl Strategy<Value = Value> {
    let anything = values([
        Value::Null,
        json!(true),
        json!(0),
        json!(-1.5),
        json!(""),
        json!(" "),
        json!("Global"),
        json!(["Global"]),
        json!([]),
        json!({}),
        json!("é"),
        json!({ "x": { "y": [null] } }),
        json!("{{ project"),
        json!("https://x/y"),
    ]);
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

/// Returns the names of the managers except Global, which is not supported by a policy.
fn manager_names() -> Vec<String> {
    let schema = schemars::schema_for!(ManagerType).to_value();
    let names = schema["oneOf"].as_array().into_iter().flatten().filter_map(|name| name["const"].as_str());
    names.filter(|name| *name != "Global").map(str::to_owned).collect()
}
