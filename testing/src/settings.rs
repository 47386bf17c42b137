//! Valid and invalid settings, for the tests of the policy and of the chart, which must agree.

use flyte_secrets_policy::settings::{Facts, Provider};
use serde_json::{Value, json};

/// Returns settings with a value at a path, such as `awsSecretManager.sidecarImage`.
fn at(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |inner, name| json!({ name: inner }))
}

/// Returns the elements of a list.
fn elements(list: Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

/// Returns Flyte's section with all its fields.
fn whole_section() -> Value {
    let resources = json!({
        "limits": { "cpu": "200m", "memory": "500Mi" },
        "requests": { "cpu": "200m", "memory": "500Mi" },
    });
    json!({
        "metrics-prefix": "flyte:",
        "certDir": "/etc/webhook/certs",
        "localCert": false,
        "listenPort": 9443,
        "serviceName": "flyte-pod-webhook",
        "servicePort": 443,
        "secretName": "flyte-pod-webhook",
        "cacheInvalidationPort": 8080,
        "webhookTimeout": 30,
        "disableCreateMutatingWebhookConfig": false,
        "namespaceSelector": { "matchLabels": { "flyte": "true" }, "matchExpressions": [] },
        "kubeClientConfig": { "qps": 100, "burst": 25, "timeout": "30s" },
        "imageBuilderConfig": { "hostname": "example.com", "labelSelector": null, "verificationConfig": {} },
        "secretManagerType": "Embedded",
        "secretManagerTypes": ["Embedded", "K8s"],
        "secretEnvVarPrefix": "_UNION_",
        "awsSecretManager": {
            "sidecarImage": "docker.io/amazon/aws-secrets-manager-secret-sidecar:v0.1.4",
            "resources": resources,
        },
        "gcpSecretManager": {
            "sidecarImage": "gcr.io/google.com/cloudsdktool/cloud-sdk:alpine",
            "resources": resources,
        },
        "azureSecretManager": { "sidecarImage": "mcr.microsoft.com/azure-cli:cbl-mariner2.0", "resources": resources },
        "vaultSecretManager": { "role": "flyte", "kvVersion": "2", "annotations": { "a.example/b": "c" } },
        "embeddedSecretManagerConfig": {
            "type": "AWS",
            "awsConfig": { "region": "us-east-2" },
            "gcpConfig": { "project": "" },
            "azureConfig": { "vaultURI": "" },
            "k8sConfig": { "namespace": "flyte", "kubeClientConfig": { "qps": 100 } },
            "fileMountInitContainer": {
                "image": "public.ecr.aws/docker/library/busybox:latest",
                "resources": { "limits": { "cpu": "100m", "memory": "100Mi" } },
                "containerName": "init-embedded-secret",
            },
            "imagePullSecrets": { "enabled": true },
        },
    })
}

/// Returns valid settings, without warnings.
pub fn accepted() -> Vec<Value> {
    let section = whole_section();
    let nulls: Value = section.as_object().into_iter().flatten().map(|(key, _)| (key.clone(), Value::Null)).collect();
    let values = [
        ("secretManagerType", json!(["k8S"])),
        ("secretManagerTypes", json!([[], ["k8s", "aws", "GCP", "aZURE", "vault", "EMBEDDED"]])),
        ("vaultSecretManager.kvVersion", json!([1, "1", 2, "2"])),
        ("vaultSecretManager", json!([{ "annotations": {}, "lockAnnotations": true }])),
        ("vaultSecretManager.annotations", json!([{ "A.Example/B_c": "x", "plain": null }])),
        ("k8sSecretManager.optional", json!([false])),
        ("secretEnvVarPrefix", json!(["", "my-app.A_1"])),
        ("gcpSecretManager.resources", json!([{ "limits": { "memory": "1Gi" } }])),
        (
            "awsSecretManager.resources",
            json!([
                { "requests": { "cpu": "100m" } },
                { "limits": { "memory": 1_073_741_824 }, "requests": { "memory": "1Gi" } },
                { "requests": { "cpu": ".1999999", "memory": "5e8" } },
                { "requests": { "cpu": null, "ephemeral-storage": "+1.5Gi" } },
            ]),
        ),
        (
            "azureSecretManager.resources",
            json!([{ "limits": { "cpu": 1 }, "requests": { "cpu": 0.5 } }, { "limits": { "nvidia.com/gpu": 1 } }]),
        ),
        ("embeddedSecretManagerConfig.type", json!(["k8s"])),
        ("embeddedSecretManagerConfig.awsConfig.region", json!(["us-gov-west-1"])),
        ("embeddedSecretManagerConfig.gcpConfig.project", json!(["example.com:acme-prod"])),
        (
            "embeddedSecretManagerConfig.azureConfig.vaultURI",
            json!(["https://Name.vault.azure.net", "https://name.vault.azure.net/", "HTTPS://NAME.vault.azure.net/"]),
        ),
        // The type selects one of several providers.
        (
            "embeddedSecretManagerConfig",
            json!([{
                "type": "GCP", "gcpConfig": { "project": "acme-prod" }, "awsConfig": { "region": "us-east-2" },
            }]),
        ),
        ("embeddedSecretManagerConfig.nameSchemes", json!([["Documented"], ["documented", "canonical"]])),
        (
            "tenancy",
            json!([
                { "namespaceTemplate": "{{ org }}-{{ project }}-{{ domain }}", "serviceAccounts": [] },
                { "namespaceTemplate": "{{ project }}-{{ domain }}", "organizations": ["acme"] },
                { "namespaceTemplate": "x}}-{{project}}.{{ domain }}}", "organizations": [] },
                { "namespaceTemplate": "flyte", "creators": ["serviceaccount:flyte/flyte-binary", "admin"] },
            ]),
        ),
    ];
    let mut rows = vec![
        json!({}),
        Value::Null,
        section,
        nulls,
        // A field that is not used.
        json!({ "secretManagerType": "Global", "secretManagerTypes": ["K8s"] }),
        // Without Embedded, unverified labels cause no warning.
        json!({ "tenancy": { "namespaceTemplate": "{{ project }}-{{ domain }}" }, "secretManagerTypes": ["K8s"] }),
    ];
    rows.extend(values.into_iter().flat_map(|(path, values)| elements(values).into_iter().map(|it| at(path, it))));
    rows
}

/// Returns invalid settings, with the policy's message.
pub fn refused() -> Vec<(Value, String)> {
    let unknown_fields = [
        ("foo", ""),
        ("", ""),
        ("webhook", ""),
        ("tenancy.foo", ""),
        ("awsSecretManager.resources.claims", ""),
        ("secretManagrTypes", "secretManagerTypes"),
        ("CertDir", "certDir"),
        ("vaultSecretManager.kvversion", "kvVersion"),
        ("embeddedSecretManagerConfig.awsConfig.regoin", "region"),
        ("embeddedSecretManagerConfig.azureConfig.vaultUri", "vaultURI"),
    ];
    let mut rows: Vec<(Value, String)> = Vec::new();
    for (path, nearest) in unknown_fields {
        let hint = if nearest.is_empty() { String::new() } else { format!(", did you mean `{nearest}`?") };
        rows.push((at(path, json!(1)), format!("unknown field `{path}`{hint}")));
    }
    for (path, message, values) in invalid_values() {
        for value in elements(values) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            rows.push((at(path, value), format!("`{path}`: {}", message.replace("{}", &format!("{text:?}")))));
        }
    }
    let annotations = "vaultSecretManager.annotations";
    for key in ["bad key", "a/b/c", "-", &format!("a.example/{}", "b".repeat(64)), "\u{212a}.example/b"] {
        let message = format!("`{annotations}`: invalid annotation key {key:?}");
        rows.push((at(annotations, json!({ key: "x" })), message));
    }
    for (kind, name, amount, message) in INVALID_RESOURCES {
        let settings = at("awsSecretManager.resources", json!({ *kind: { *name: amount } }));
        rows.push((settings, format!("`awsSecretManager.resources`: {message}")));
    }
    // The empty place is that of a type alone.
    let places = [
        (Provider::Aws, vec!["EU West".to_owned(), format!("eu-{}", "w".repeat(61))]),
        (Provider::Gcp, vec!["a/../b".to_owned(), "p".repeat(254)]),
        (Provider::Azure, INVALID_VAULTS.map(str::to_owned).to_vec()),
    ];
    for (provider, places) in places {
        let Facts { setting, place, example, .. } = provider.facts();
        let setting = format!("embeddedSecretManagerConfig.{setting}");
        let message = |text: &str| format!("`{setting}`: invalid {place} {text:?}; expected one such as {example}");
        rows.push((at("embeddedSecretManagerConfig.type", json!(provider)), message("")));
        rows.extend(places.iter().map(|text| (at(&setting, json!(text)), message(text))));
    }
    let embedded = |settings: Value| at("embeddedSecretManagerConfig", settings);
    let (aws, gcp) = (json!({ "region": "us-east-2" }), json!({ "project": "acme-prod" }));
    let azure = json!({ "vaultURI": "https://name.vault.azure.net/" });
    // The message names a path inside or outside of the field.
    let others = [
        (json!([]), "`settings`: expected a map"),
        (json!("K8s"), "`settings`: expected a map"),
        (
            json!({ "secretManagerTypes": ["K8s", "Vaut"] }),
            "`secretManagerTypes[1]`: unknown value \"Vaut\", expected one of K8s, AWS, GCP, Azure, Vault, Embedded, \
             Global; did you mean `Vault`?",
        ),
        (json!({ "secretManagerTypes": [null] }), "`secretManagerTypes[0]`: expected a string or a number"),
        (
            json!({ "secretManagerType": "global" }),
            "`secretManagerTypes`: Global is not supported by a policy; add another manager",
        ),
        (
            at("vaultSecretManager.annotations", json!({ "a.example/b": true })),
            "`vaultSecretManager.annotations.a.example/b`: expected a string",
        ),
        (
            embedded(json!({ "nameSchemes": ["canonic"] })),
            "`embeddedSecretManagerConfig.nameSchemes[0]`: unknown value \"canonic\", expected one of canonical, \
             documented; did you mean `canonical`?",
        ),
        (
            embedded(json!({ "awsConfig": aws, "gcpConfig": gcp })),
            "`embeddedSecretManagerConfig.type`: AWS and GCP are configured; set the field to one of them",
        ),
        (
            embedded(json!({ "awsConfig": aws, "gcpConfig": gcp, "azureConfig": azure })),
            "`embeddedSecretManagerConfig.type`: AWS and GCP and Azure are configured; set the field to one of them",
        ),
        (
            at("tenancy.creators", json!(["serviceaccount:flyte"])),
            "`tenancy.creators[0]`: invalid user \"serviceaccount:flyte\"; expected a user name or \
             serviceaccount:NAMESPACE/NAME",
        ),
    ];
    rows.extend(others.map(|(settings, message)| (settings, message.to_owned())));
    rows
}

/// Returns fields with a message and the values that it is for. `{}` in a message is the value.
fn invalid_values() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        // Types.
        ("secretManagerTypes", "expected a list", json!(["K8s"])),
        ("secretManagerType", "expected a string or a number", json!([["K8s"]])),
        ("secretEnvVarPrefix", "expected a string", json!([5])),
        ("awsSecretManager", "expected a map", json!(["x"])),
        ("k8sSecretManager.optional", "expected a boolean", json!(["false"])),
        ("embeddedSecretManagerConfig.imagePullSecrets.enabled", "expected a boolean", json!([1])),
        ("gcpSecretManager.resources.limits.cpu", "expected a string or a number", json!([[]])),
        ("tenancy.serviceAccounts", "expected a list", json!(["default"])),
        // Names.
        (
            "secretManagerType",
            "unknown value {}, expected one of K8s, AWS, GCP, Azure, Vault, Embedded, Global",
            json!(["Conjur", ""]),
        ),
        // The Kelvin sign looks like K.
        (
            "secretManagerType",
            "unknown value {}, expected one of K8s, AWS, GCP, Azure, Vault, Embedded, Global; did you mean `K8s`?",
            json!(["\u{212a}8s"]),
        ),
        ("secretManagerTypes", "Global is not supported by a policy; add another manager", json!([["Global"]])),
        (
            "embeddedSecretManagerConfig.type",
            "unknown value {}, expected one of AWS, GCP, Azure, K8s",
            json!(["Vault", ""]),
        ),
        ("vaultSecretManager.kvVersion", "unknown value {}, expected one of 1, 2", json!([3])),
        (
            "vaultSecretManager.annotations",
            "\"flyte.secrets/s9\" is reserved for secret requests of pods; remove it",
            json!([{ "flyte.secrets/s9": "x" }]),
        ),
        // Stores of Embedded.
        (
            "embeddedSecretManagerConfig.k8sConfig.namespace",
            "invalid namespace {}; must be a DNS label",
            json!(["Flyte", "", "f".repeat(64)]),
        ),
        (
            "embeddedSecretManagerConfig.nameSchemes",
            "must not be empty; name canonical, documented or both, or omit the field",
            json!([[]]),
        ),
        // Additions to pods.
        (
            "embeddedSecretManagerConfig.fileMountInitContainer.containerName",
            "invalid container name {}; must be a DNS label",
            json!(["Init_X"]),
        ),
        (
            "embeddedSecretManagerConfig.fileMountInitContainer.image",
            "invalid image {}; omit the field to use Flyte's default",
            json!(["busy box"]),
        ),
        (
            "awsSecretManager.sidecarImage",
            "invalid image {}; omit the field to use Flyte's default",
            json!(["", "x\u{a0}", "\u{b}x", "bild:\u{fc}"]),
        ),
        (
            "secretEnvVarPrefix",
            "invalid prefix {}; must consist of letters, digits, _, - and ., and must not start with a digit",
            json!(["1A", "A=", "A B"]),
        ),
        (
            "awsSecretManager.resources",
            "example.com/gpu: request and limit must be equal for an extended resource",
            json!([{ "limits": { "example.com/gpu": "2" }, "requests": { "example.com/gpu": "1" } }]),
        ),
        (
            "azureSecretManager.resources",
            "cpu: invalid quantity \"-1\"; expected one such as 200m or 500Mi",
            json!([{ "requests": { "cpu": -1 } }]),
        ),
        (
            "gcpSecretManager.resources",
            "cpu: request of 300m exceeds the limit of 200m; raise the limit too",
            json!([{ "requests": { "cpu": "300m" } }]),
        ),
        (
            "embeddedSecretManagerConfig.fileMountInitContainer.resources",
            "memory: request of 100Mi exceeds the limit of 64Mi; raise the limit too",
            json!([{ "limits": { "memory": "64Mi" } }]),
        ),
        // Tenancy.
        (
            "tenancy.namespaceTemplate",
            "invalid namespace {}; expected a DNS label, or a template such as {{ project }}-{{ domain }}",
            json!(["Flyte"]),
        ),
        (
            "tenancy.namespaceTemplate",
            "{{ name }} is not a placeholder; expected project, domain or organization",
            json!(["{{ project }}-{{ name }}"]),
        ),
        (
            "tenancy.namespaceTemplate",
            "{{ { project }} is not a placeholder; expected project, domain or organization",
            json!(["{{{ project }}"]),
        ),
        ("tenancy.namespaceTemplate", "{} has an unclosed {{", json!(["{{ project"])),
        (
            "tenancy.namespaceTemplate",
            "{} has two placeholders without a separator, so namespaces are ambiguous",
            json!(["{{ project }}{{ domain }}", "x-{{org}}-{{project}}{{domain}}-y"]),
        ),
    ]
}

const INVALID_VAULTS: [&str; 5] = [
    "name.vault.azure.net",
    "http://name.vault.azure.net/",
    "https://name.vault.azure.net/secrets/x",
    "https://name.vault.azure.net:443/",
    "https://\u{212a}ey.vault.azure.net/",
];

/// Invalid resources of an init container: limits or requests, name, amount, message.
const INVALID_RESOURCES: &[(&str, &str, &str, &str)] = &[
    ("limits", "gpu", "1", "unsupported resource \"gpu\" for an init container"),
    ("requests", "gpu", "1", "unsupported resource \"gpu\" for an init container"),
    ("limits", "a b", "1", "unsupported resource \"a b\" for an init container"),
    ("limits", "hugepages-2Mi", "4Mi", "unsupported resource \"hugepages-2Mi\" for an init container"),
    ("limits", "example.com/gpu", "0.5", "unsupported resource \"example.com/gpu\" for an init container"),
    ("requests", "example.com/gpu", "1", "example.com/gpu: request and limit must be equal for an extended resource"),
    ("limits", "memory", "500MB", "memory: invalid quantity \"500MB\"; expected one such as 200m or 500Mi"),
    ("limits", "memory", "99E", "memory: invalid quantity \"99E\"; expected one such as 200m or 500Mi"),
    ("limits", "cpu", "1e999", "cpu: invalid quantity \"1e999\"; expected one such as 200m or 500Mi"),
    ("limits", "cpu", "1e3k", "cpu: invalid quantity \"1e3k\"; expected one such as 200m or 500Mi"),
    ("requests", "cpu", "200.1m", "cpu: request of 200.1m exceeds the limit of 200m; raise the limit too"),
];
