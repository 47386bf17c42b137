//! Valid and invalid settings, for the tests of the policy and of the chart, which must agree.

use serde_json::{Value, json};

/// Returns settings with `embeddedSecretManagerConfig`.
fn embedded(settings: Value) -> Value {
    json!({ "embeddedSecretManagerConfig": settings })
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
    let each_null: Value = match whole_section() {
        Value::Object(section) => section.into_iter().map(|(key, _)| (key, Value::Null)).collect(),
        other => other,
    };
    vec![
        json!({}),
        json!(null),
        whole_section(),
        each_null,
        json!({ "secretManagerType": "k8S" }),
        json!({ "secretManagerTypes": [] }),
        json!({ "secretManagerTypes": ["k8s", "aws", "GCP", "aZURE", "vault", "EMBEDDED"] }),
        // A field that is not used.
        json!({ "secretManagerType": "Global", "secretManagerTypes": ["K8s"] }),
        json!({ "vaultSecretManager": { "kvVersion": 1 } }),
        json!({ "vaultSecretManager": { "kvVersion": "1" } }),
        json!({ "vaultSecretManager": { "kvVersion": 2 } }),
        json!({ "vaultSecretManager": { "kvVersion": "2" } }),
        json!({ "vaultSecretManager": { "annotations": {}, "lockAnnotations": true } }),
        json!({ "k8sSecretManager": { "optional": false } }),
        json!({ "secretEnvVarPrefix": "" }),
        json!({ "secretEnvVarPrefix": "my-app.A_1" }),
        json!({ "awsSecretManager": { "resources": { "requests": { "cpu": "100m" } } } }),
        json!({ "gcpSecretManager": { "resources": { "limits": { "memory": "1Gi" } } } }),
        json!({ "azureSecretManager": { "resources": { "limits": { "cpu": 1 }, "requests": { "cpu": 0.5 } } } }),
        json!({ "azureSecretManager": { "resources": { "limits": { "nvidia.com/gpu": 1 } } } }),
        json!({ "awsSecretManager": { "resources": { "limits": { "memory": 1_073_741_824 }, "requests": { "memory": "1Gi" } } } }),
        json!({ "awsSecretManager": { "resources": { "requests": { "cpu": ".1999999", "memory": "5e8" } } } }),
        json!({ "awsSecretManager": { "resources": { "requests": { "cpu": null, "ephemeral-storage": "+1.5Gi" } } } }),
        json!({ "vaultSecretManager": { "annotations": { "A.Example/B_c": "x", "plain": null } } }),
        embedded(json!({ "type": "k8s" })),
        embedded(json!({ "awsConfig": { "region": "us-gov-west-1" } })),
        embedded(json!({ "gcpConfig": { "project": "example.com:acme-prod" } })),
        embedded(json!({ "azureConfig": { "vaultURI": "https://Name.vault.azure.net" } })),
        embedded(json!({ "azureConfig": { "vaultURI": "https://name.vault.azure.net/" } })),
        embedded(json!({ "azureConfig": { "vaultURI": "HTTPS://NAME.vault.azure.net/" } })),
        // The type selects one of several providers.
        embedded(json!({
            "type": "GCP", "gcpConfig": { "project": "acme-prod" }, "awsConfig": { "region": "us-east-2" },
        })),
        embedded(json!({ "nameSchemes": ["Documented"] })),
        embedded(json!({ "nameSchemes": ["documented", "canonical"] })),
        json!({ "tenancy": { "namespaceTemplate": "{{ org }}-{{ project }}-{{ domain }}", "serviceAccounts": [] } }),
        json!({ "tenancy": { "namespaceTemplate": "{{ project }}-{{ domain }}", "organizations": ["acme"] } }),
        json!({ "tenancy": { "namespaceTemplate": "x}}-{{project}}.{{ domain }}}", "organizations": [] } }),
        json!({ "tenancy": { "namespaceTemplate": "flyte", "creators": ["serviceaccount:flyte/flyte-binary", "admin"] } }),
        // Without Embedded, unverified labels cause no warning.
        json!({ "tenancy": { "namespaceTemplate": "{{ project }}-{{ domain }}" }, "secretManagerTypes": ["K8s"] }),
    ]
}

/// Returns invalid settings, with the policy's message.
pub fn refused() -> Vec<(Value, String)> {
    let only_global = "`secretManagerTypes`: Global is not supported by a policy; add another manager";
    let manager = |path: &str, value: &str| {
        format!("`{path}`: unknown value {value:?}, expected one of K8s, AWS, GCP, Azure, Vault, Embedded, Global")
    };
    let prefix = |value: &str| {
        format!(
            "`secretEnvVarPrefix`: invalid prefix {value:?}; must consist of letters, digits, _, - and ., and must not start \
             with a digit"
        )
    };
    let region = |value: &str| {
        format!(
            "`embeddedSecretManagerConfig.awsConfig.region`: invalid region {value:?}; expected one such as eu-west-1"
        )
    };
    let project = |value: &str| {
        format!(
            "`embeddedSecretManagerConfig.gcpConfig.project`: invalid project {value:?}; expected one such as \
             acme-prod"
        )
    };
    let vault = |value: &str| {
        format!(
            "`embeddedSecretManagerConfig.azureConfig.vaultURI`: invalid vault {value:?}; expected one such as \
             https://name.vault.azure.net/"
        )
    };
    let namespace = |value: &str| {
        format!("`embeddedSecretManagerConfig.k8sConfig.namespace`: invalid namespace {value:?}; must be a DNS label")
    };
    let quantity = |manager: &str, name: &str, value: &str| {
        format!("`{manager}.resources`: {name}: invalid quantity {value:?}; expected one such as 200m or 500Mi")
    };
    let uri = |uri: &str| embedded(json!({ "azureConfig": { "vaultURI": uri } }));
    let template = |template: &str| json!({ "tenancy": { "namespaceTemplate": template } });
    let resources = |resources: Value| json!({ "awsSecretManager": { "resources": resources } });
    let limits = |limits: Value| resources(json!({ "limits": limits }));
    let requests = |requests: Value| resources(json!({ "requests": requests }));
    let annotations = |key: &str| json!({ "vaultSecretManager": { "annotations": { key: "x" } } });
    let image = |image: &str| {
        format!("`awsSecretManager.sidecarImage`: invalid image {image}; omit the field to use Flyte's default")
    };
    let no_resource =
        |name: &str| format!("`awsSecretManager.resources`: unsupported resource {name:?} for an init container");
    let no_annotation = |key: &str| format!("`vaultSecretManager.annotations`: invalid annotation key {key:?}");
    let unequal =
        "`awsSecretManager.resources`: example.com/gpu: request and limit must be equal for an extended resource";
    vec![
        // Unknown fields.
        (json!({ "foo": 1 }), "unknown field `foo`".into()),
        (json!({ "" : 1 }), "unknown field ``".into()),
        (
            json!({ "secretManagrTypes": ["K8s"] }),
            "unknown field `secretManagrTypes`, did you mean `secretManagerTypes`?".into(),
        ),
        (json!({ "CertDir": "/" }), "unknown field `CertDir`, did you mean `certDir`?".into()),
        (json!({ "webhook": {} }), "unknown field `webhook`".into()),
        (json!({ "tenancy": { "foo": 1 } }), "unknown field `tenancy.foo`".into()),
        (
            embedded(json!({ "awsConfig": { "regoin": "x" } })),
            "unknown field `embeddedSecretManagerConfig.awsConfig.regoin`, did you mean `region`?".into(),
        ),
        (
            embedded(json!({ "azureConfig": { "vaultUri": "x" } })),
            "unknown field `embeddedSecretManagerConfig.azureConfig.vaultUri`, did you mean `vaultURI`?".into(),
        ),
        (
            json!({ "vaultSecretManager": { "kvversion": 2 } }),
            "unknown field `vaultSecretManager.kvversion`, did you mean `kvVersion`?".into(),
        ),
        (
            json!({ "awsSecretManager": { "resources": { "claims": [] } } }),
            "unknown field `awsSecretManager.resources.claims`".into(),
        ),
        // Unknown values.
        (
            json!({ "secretManagerTypes": ["K8s", "Vaut"] }),
            format!("{}; did you mean `Vault`?", manager("secretManagerTypes[1]", "Vaut")),
        ),
        (json!({ "secretManagerType": "Conjur" }), manager("secretManagerType", "Conjur")),
        (
            embedded(json!({ "type": "Vault" })),
            "`embeddedSecretManagerConfig.type`: unknown value \"Vault\", expected one of AWS, GCP, Azure, K8s".into(),
        ),
        (
            embedded(json!({ "nameSchemes": ["canonic"] })),
            "`embeddedSecretManagerConfig.nameSchemes[0]`: unknown value \"canonic\", expected one of canonical, documented; \
             did you mean `canonical`?"
                .into(),
        ),
        (
            json!({ "vaultSecretManager": { "kvVersion": 3 } }),
            "`vaultSecretManager.kvVersion`: unknown value \"3\", expected one of 1, 2".into(),
        ),
        (json!({ "awsSecretManager": { "sidecarImage": "x\u{a0}" } }), image("\"x\\u{a0}\"")),
        (json!({ "awsSecretManager": { "sidecarImage": "\u{b}x" } }), image("\"\\u{b}x\"")),
        (limits(json!({ "gpu": "1" })), no_resource("gpu")),
        (limits(json!({ "a b": "1" })), no_resource("a b")),
        (limits(json!({ "example.com/gpu": "0.5" })), no_resource("example.com/gpu")),
        (limits(json!({ "hugepages-2Mi": "4Mi" })), no_resource("hugepages-2Mi")),
        (requests(json!({ "gpu": "1" })), no_resource("gpu")),
        (requests(json!({ "example.com/gpu": "1" })), unequal.into()),
        (
            json!({ "awsSecretManager": { "resources": {
                "limits": { "example.com/gpu": "2" }, "requests": { "example.com/gpu": "1" },
            } } }),
            unequal.into(),
        ),
        (annotations("bad key"), no_annotation("bad key")),
        (annotations("a/b/c"), no_annotation("a/b/c")),
        (annotations("-"), no_annotation("-")),
        (
            annotations("flyte.secrets/s9"),
            "`vaultSecretManager.annotations`: \"flyte.secrets/s9\" is reserved for secret requests of pods; remove it".into(),
        ),
        (
            json!({ "tenancy": { "namespaceTemplate": "{{ project }}{{ domain }}" } }),
            "`tenancy.namespaceTemplate`: \"{{ project }}{{ domain }}\" has two placeholders without a separator, so namespaces are ambiguous"
                .into(),
        ),
        (json!({ "secretManagerTypes": ["Global"] }), only_global.into()),
        (json!({ "secretManagerType": "global" }), only_global.into()),
        // Wrong types.
        (json!([]), "`settings`: expected a map".into()),
        (json!("K8s"), "`settings`: expected a map".into()),
        (json!({ "secretManagerTypes": "K8s" }), "`secretManagerTypes`: expected a list".into()),
        (json!({ "secretManagerTypes": [null] }), "`secretManagerTypes[0]`: expected a string or a number".into()),
        (json!({ "secretManagerType": ["K8s"] }), "`secretManagerType`: expected a string or a number".into()),
        (json!({ "secretEnvVarPrefix": 5 }), "`secretEnvVarPrefix`: expected a string".into()),
        (json!({ "awsSecretManager": "x" }), "`awsSecretManager`: expected a map".into()),
        (
            json!({ "k8sSecretManager": { "optional": "false" } }),
            "`k8sSecretManager.optional`: expected a boolean".into(),
        ),
        (
            embedded(json!({ "imagePullSecrets": { "enabled": 1 } })),
            "`embeddedSecretManagerConfig.imagePullSecrets.enabled`: expected a boolean".into(),
        ),
        (
            json!({ "vaultSecretManager": { "annotations": { "a.example/b": true } } }),
            "`vaultSecretManager.annotations.a.example/b`: expected a string".into(),
        ),
        (
            json!({ "gcpSecretManager": { "resources": { "limits": { "cpu": [] } } } }),
            "`gcpSecretManager.resources.limits.cpu`: expected a string or a number".into(),
        ),
        (json!({ "tenancy": { "serviceAccounts": "default" } }), "`tenancy.serviceAccounts`: expected a list".into()),
        // Stores of Embedded.
        (embedded(json!({ "type": "AWS" })), region("")),
        (
            embedded(json!({ "awsConfig": { "region": "EU West" } })),
            region("EU West"),
        ),
        (embedded(json!({ "type": "GCP" })), project("")),
        (
            embedded(json!({ "gcpConfig": { "project": "a/../b" } })),
            project("a/../b"),
        ),
        (
            embedded(json!({ "type": "Azure" })),
            vault(""),
        ),
        (
            uri("name.vault.azure.net"),
            vault("name.vault.azure.net"),
        ),
        (
            uri("http://name.vault.azure.net/"),
            vault("http://name.vault.azure.net/"),
        ),
        (
            uri("https://name.vault.azure.net/secrets/x"),
            vault("https://name.vault.azure.net/secrets/x"),
        ),
        (
            uri("https://name.vault.azure.net:443/"),
            vault("https://name.vault.azure.net:443/"),
        ),
        (
            embedded(json!({ "awsConfig": { "region": "us-east-2" }, "gcpConfig": { "project": "acme-prod" } })),
            "`embeddedSecretManagerConfig.type`: AWS and GCP are configured; set the field to one of them".into(),
        ),
        (
            embedded(json!({
                "awsConfig": { "region": "us-east-2" },
                "gcpConfig": { "project": "acme-prod" },
                "azureConfig": { "vaultURI": "https://name.vault.azure.net/" },
            })),
            "`embeddedSecretManagerConfig.type`: AWS and GCP and Azure are configured; set the field to one of them".into(),
        ),
        (
            embedded(json!({ "k8sConfig": { "namespace": "Flyte" } })),
            namespace("Flyte"),
        ),
        (
            embedded(json!({ "nameSchemes": [] })),
            "`embeddedSecretManagerConfig.nameSchemes`: must not be empty; name canonical, documented or both, or omit the \
             field"
            .into(),
        ),
        (
            embedded(json!({ "fileMountInitContainer": { "containerName": "Init_X" } })),
            "`embeddedSecretManagerConfig.fileMountInitContainer.containerName`: invalid container name \"Init_X\"; must be a \
             DNS label"
                .into(),
        ),
        // Additions to pods.
        (json!({ "secretEnvVarPrefix": "1A" }), prefix("1A")),
        (json!({ "secretEnvVarPrefix": "A=" }), prefix("A=")),
        (json!({ "secretEnvVarPrefix": "A B" }), prefix("A B")),
        (
            json!({ "awsSecretManager": { "sidecarImage": "" } }),
            image("\"\""),
        ),
        (
            embedded(json!({ "fileMountInitContainer": { "image": "busy box" } })),
            "`embeddedSecretManagerConfig.fileMountInitContainer.image`: invalid image \"busy box\"; omit the field to use \
             Flyte's default"
                .into(),
        ),
        (
            json!({ "awsSecretManager": { "resources": { "limits": { "memory": "500MB" } } } }),
            quantity("awsSecretManager", "memory", "500MB"),
        ),
        (
            json!({ "azureSecretManager": { "resources": { "requests": { "cpu": -1 } } } }),
            quantity("azureSecretManager", "cpu", "-1"),
        ),
        (
            json!({ "gcpSecretManager": { "resources": { "requests": { "cpu": "300m" } } } }),
            "`gcpSecretManager.resources`: cpu: request of 300m exceeds the limit of 200m; raise the limit too".into(),
        ),
        (
            embedded(json!({ "fileMountInitContainer": { "resources": { "limits": { "memory": "64Mi" } } } })),
            "`embeddedSecretManagerConfig.fileMountInitContainer.resources`: memory: request of 100Mi exceeds \
             the limit of 64Mi; raise the limit too"
                .into(),
        ),
        // Tenancy.
        (
            template("Flyte"),
            "`tenancy.namespaceTemplate`: invalid namespace \"Flyte\"; expected a DNS label, or a template such as {{ project }}-{{ domain }}".into(),
        ),
        (
            json!({ "tenancy": { "creators": ["serviceaccount:flyte"] } }),
            "`tenancy.creators[0]`: invalid user \"serviceaccount:flyte\"; expected a user name or \
             serviceaccount:NAMESPACE/NAME"
                .into(),
        ),
        (
            template("{{ project }}-{{ name }}"),
            "`tenancy.namespaceTemplate`: {{ name }} is not a placeholder; expected project, domain or organization".into(),
        ),
        (template("{{ project"), "`tenancy.namespaceTemplate`: \"{{ project\" has an unclosed {{".into()),
        (
            template("{{{ project }}"),
            "`tenancy.namespaceTemplate`: {{ { project }} is not a placeholder; expected project, domain or organization".into(),
        ),
        (
            template("x-{{org}}-{{project}}{{domain}}-y"),
            "`tenancy.namespaceTemplate`: \"x-{{org}}-{{project}}{{domain}}-y\" has two placeholders without a separator, so namespaces are ambiguous"
                .into(),
        ),
        // Boundaries: lengths, amounts, and letters that look like ASCII.
        (
            embedded(json!({ "awsConfig": { "region": format!("eu-{}", "w".repeat(61)) } })),
            region(&format!("eu-{}", "w".repeat(61))),
        ),
        (
            embedded(json!({ "gcpConfig": { "project": "p".repeat(254) } })),
            project(&"p".repeat(254)),
        ),
        (
            uri("https://\u{212a}ey.vault.azure.net/"),
            vault("https://\u{212a}ey.vault.azure.net/"),
        ),
        (json!({ "secretManagerType": "\u{212a}8s" }), format!("{}; did you mean `K8s`?", manager("secretManagerType", "\u{212a}8s"))),
        (json!({ "secretManagerType": "" }), manager("secretManagerType", "")),
        (
            embedded(json!({ "type": "" })),
            "`embeddedSecretManagerConfig.type`: unknown value \"\", expected one of AWS, GCP, Azure, K8s".into(),
        ),
        (
            embedded(json!({ "k8sConfig": { "namespace": "" } })),
            namespace(""),
        ),
        (
            embedded(json!({ "k8sConfig": { "namespace": "f".repeat(64) } })),
            namespace(&"f".repeat(64)),
        ),
        (annotations(&format!("a.example/{}", "b".repeat(64))), no_annotation(&format!("a.example/{}", "b".repeat(64)))),
        (annotations("\u{212a}.example/b"), no_annotation("\u{212a}.example/b")),
        (json!({ "awsSecretManager": { "sidecarImage": "bild:\u{fc}" } }), image("\"bild:\u{fc}\"")),
        (limits(json!({ "cpu": "1e999" })), quantity("awsSecretManager", "cpu", "1e999")),
        (limits(json!({ "memory": "99E" })), quantity("awsSecretManager", "memory", "99E")),
        (limits(json!({ "cpu": "1e3k" })), quantity("awsSecretManager", "cpu", "1e3k")),
        (
            requests(json!({ "cpu": "200.1m" })),
            "`awsSecretManager.resources`: cpu: request of 200.1m exceeds the limit of 200m; raise the limit too".into(),
        ),
    ]
}
