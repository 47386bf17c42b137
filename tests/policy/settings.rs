//! Settings that are accepted and refused, each with the words that the operator sees.

use std::sync::{Arc, Mutex};

use flyte_secrets_testing::host::{nothing, Capabilities};
use serde_json::{json, Value};

use crate::support::policy;

/// What the operator is told of settings that are accepted, or why they are refused.
fn validated(settings: &Value) -> Result<String, String> {
    policy().validate_settings(settings, &nothing()).unwrap_or_else(|wrong| Err(format!("no answer: {wrong}")))
}

/// Settings of `embeddedSecretManagerConfig`.
fn embedded(settings: Value) -> Value {
    json!({ "embeddedSecretManagerConfig": settings })
}

/// Flyte's section with every key that it has, as a user pastes it.
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

#[test]
fn accepted() {
    let each_null: Value = match whole_section() {
        Value::Object(section) => section.into_iter().map(|(key, _)| (key, Value::Null)).collect(),
        other => other,
    };
    let table = [
        json!({}),
        json!(null),
        whole_section(),
        each_null,
        json!({ "secretManagerType": "k8S" }),
        json!({ "secretManagerTypes": [] }),
        json!({ "secretManagerTypes": ["k8s", "aws", "GCP", "aZURE", "vault", "EMBEDDED"] }),
        // One that is not used.
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
        embedded(json!({ "type": "k8s" })),
        embedded(json!({ "awsConfig": { "region": "us-gov-west-1" } })),
        embedded(json!({ "gcpConfig": { "project": "example.com:acme-prod" } })),
        embedded(json!({ "azureConfig": { "vaultURI": "https://Name.vault.azure.net" } })),
        embedded(json!({ "azureConfig": { "vaultURI": "https://name.vault.azure.net/" } })),
        // The type says which of several is meant.
        embedded(json!({
            "type": "GCP", "gcpConfig": { "project": "acme-prod" }, "awsConfig": { "region": "us-east-2" },
        })),
        embedded(json!({ "nameSchemes": ["Documented"] })),
        embedded(json!({ "nameSchemes": ["documented", "canonical"] })),
        json!({ "tenancy": { "namespaceTemplate": "{{ org }}-{{ project }}-{{ domain }}", "serviceAccounts": [] } }),
        json!({ "tenancy": { "namespaceTemplate": "{{ project }}-{{ domain }}", "organizations": ["acme"] } }),
        // Without Embedded there is nobody's secret to be had.
        json!({ "tenancy": { "namespaceTemplate": "{{ project }}-{{ domain }}" }, "secretManagerTypes": ["K8s"] }),
    ];
    for settings in table {
        assert_eq!(validated(&settings), Ok(String::new()), "{settings}");
    }
}

const GLOBAL_IS_SKIPPED: &str = "secretManagerTypes: Global is skipped: the environment and the files of Flyte's \
                                 webhook do not exist in a policy";

/// The operator is told in the answer and in the server's log.
#[test]
fn global_is_skipped_with_a_warning() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&lines);
    let host: Arc<dyn Capabilities> = Arc::new(move |namespace: &str, operation: &str, payload: &[u8]| {
        let line: Value = serde_json::from_slice(payload).unwrap_or_default();
        log.lock().map(|mut lines| lines.push((format!("{namespace}/{operation}"), line))).map_err(|_| "poisoned")?;
        Ok(Vec::new())
    });
    let settings = json!({ "secretManagerTypes": ["Global", "K8s"] });
    let answer = policy().validate_settings(&settings, &host);
    assert_eq!(answer.ok(), Some(Ok(GLOBAL_IS_SKIPPED.to_owned())));
    let line = json!({ "level": "warning", "message": GLOBAL_IS_SKIPPED });
    assert_eq!(lines.lock().ok().as_deref(), Some(&vec![("tracing/log".to_owned(), line)]));
}

#[test]
fn a_template_without_the_organization_leaves_it_open() {
    let settings = json!({ "tenancy": { "namespaceTemplate": "{{ project }}-{{ domain }}" } });
    let warning =
        "tenancy: the pods' label organization is taken as it is; name this cluster's in tenancy.organizations";
    assert_eq!(validated(&settings), Ok(warning.to_owned()));
}

#[test]
fn refused() {
    let only_global =
        "secretManagerTypes: only Global is named, which does not exist in a policy; name K8s, AWS, GCP, \
                       Azure, Vault or Embedded";
    let managers = "is none of K8s, AWS, GCP, Azure, Vault, Embedded, Global";
    let prefix = "starts no variable's name; letters, digits, _, - and . may stand in it, and no digit in front";
    let region = "is no region; AWS wants one such as eu-west-1";
    let project = "is no project; GCP wants its id, such as acme-prod";
    let vault = "is no vault; Azure wants one such as https://name.vault.azure.net/";
    let quantity = "is no quantity such as 200m or 500Mi";
    let uri = |uri: &str| embedded(json!({ "azureConfig": { "vaultURI": uri } }));
    let template = |template: &str| json!({ "tenancy": { "namespaceTemplate": template } });
    let resources = |resources: Value| json!({ "awsSecretManager": { "resources": resources } });
    let limits = |limits: Value| resources(json!({ "limits": limits }));
    let requests = |requests: Value| resources(json!({ "requests": requests }));
    let annotations = |key: &str| json!({ "vaultSecretManager": { "annotations": { key: "x" } } });
    let image = |image: &str| {
        format!("awsSecretManager.sidecarImage: {image} is no image; leave the key out for Flyte's default")
    };
    let no_resource =
        |name: &str| format!("awsSecretManager.resources: {name:?} is no resource of a container that pulls secrets");
    let no_annotation = |key: &str| format!("vaultSecretManager.annotations: {key:?} is no annotation's name");
    let unequal =
        "awsSecretManager.resources: example.com/gpu is requested without an equal limit; Kubernetes wants both \
                   the same";
    let table: Vec<(Value, String)> = vec![
        // Keys that nobody knows.
        (json!({ "foo": 1 }), "foo is unknown".into()),
        (json!({ "" : 1 }), " is unknown".into()),
        (
            json!({ "secretManagrTypes": ["K8s"] }),
            "secretManagrTypes is unknown; secretManagerTypes was perhaps meant".into(),
        ),
        (json!({ "CertDir": "/" }), "CertDir is unknown; certDir was perhaps meant".into()),
        (json!({ "webhook": {} }), "webhook is unknown".into()),
        (json!({ "tenancy": { "foo": 1 } }), "tenancy.foo is unknown".into()),
        (
            embedded(json!({ "awsConfig": { "regoin": "x" } })),
            "embeddedSecretManagerConfig.awsConfig.regoin is unknown; region was perhaps meant".into(),
        ),
        (
            embedded(json!({ "azureConfig": { "vaultUri": "x" } })),
            "embeddedSecretManagerConfig.azureConfig.vaultUri is unknown; vaultURI was perhaps meant".into(),
        ),
        (
            json!({ "vaultSecretManager": { "kvversion": 2 } }),
            "vaultSecretManager.kvversion is unknown; kvVersion was perhaps meant".into(),
        ),
        (
            json!({ "awsSecretManager": { "resources": { "claims": [] } } }),
            "awsSecretManager.resources.claims is unknown".into(),
        ),
        // Names that nobody has.
        (
            json!({ "secretManagerTypes": ["K8s", "Vaut"] }),
            format!("secretManagerTypes: \"Vaut\" {managers}; Vault was perhaps meant"),
        ),
        (json!({ "secretManagerType": "Conjur" }), format!("secretManagerType: \"Conjur\" {managers}")),
        (
            embedded(json!({ "type": "Vault" })),
            "embeddedSecretManagerConfig.type: \"Vault\" is none of AWS, GCP, Azure, K8s".into(),
        ),
        (
            embedded(json!({ "nameSchemes": ["canonic"] })),
            "embeddedSecretManagerConfig.nameSchemes: \"canonic\" is none of canonical, documented; canonical was \
             perhaps meant"
                .into(),
        ),
        (
            json!({ "vaultSecretManager": { "kvVersion": 3 } }),
            "vaultSecretManager.kvVersion: \"3\" is none of 1, 2".into(),
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
            "vaultSecretManager.annotations: \"flyte.secrets/s9\" is a secret request, which is for pods to make".into(),
        ),
        (
            json!({ "tenancy": { "namespaceTemplate": "{{ project }}{{ domain }}" } }),
            "tenancy.namespaceTemplate: \"{{ project }}{{ domain }}\" has two names side by side, so that several pairs yield \
             one namespace"
                .into(),
        ),
        (json!({ "secretManagerTypes": ["Global"] }), only_global.into()),
        (json!({ "secretManagerType": "global" }), only_global.into()),
        // Wrong types.
        (json!([]), "the section: an object wanted".into()),
        (json!("K8s"), "the section: an object wanted".into()),
        (json!({ "secretManagerTypes": "K8s" }), "secretManagerTypes: a list wanted".into()),
        (json!({ "secretManagerTypes": [null] }), "secretManagerTypes: a string wanted".into()),
        (json!({ "secretManagerType": ["K8s"] }), "secretManagerType: a string wanted".into()),
        (json!({ "secretEnvVarPrefix": 5 }), "secretEnvVarPrefix: a string wanted".into()),
        (json!({ "awsSecretManager": "x" }), "awsSecretManager: an object wanted".into()),
        (
            json!({ "k8sSecretManager": { "optional": "false" } }),
            "k8sSecretManager.optional: true or false wanted".into(),
        ),
        (
            embedded(json!({ "imagePullSecrets": { "enabled": 1 } })),
            "embeddedSecretManagerConfig.imagePullSecrets.enabled: true or false wanted".into(),
        ),
        (
            json!({ "vaultSecretManager": { "annotations": { "a.example/b": true } } }),
            "vaultSecretManager.annotations.a.example/b: a string wanted".into(),
        ),
        (
            json!({ "gcpSecretManager": { "resources": { "limits": { "cpu": [] } } } }),
            "gcpSecretManager.resources.limits.cpu: a string wanted".into(),
        ),
        (json!({ "tenancy": { "serviceAccounts": "default" } }), "tenancy.serviceAccounts: a list wanted".into()),
        // Where Embedded looks.
        (embedded(json!({ "type": "AWS" })), format!("embeddedSecretManagerConfig.awsConfig.region: \"\" {region}")),
        (
            embedded(json!({ "awsConfig": { "region": "EU West" } })),
            format!("embeddedSecretManagerConfig.awsConfig.region: \"EU West\" {region}"),
        ),
        (embedded(json!({ "type": "GCP" })), format!("embeddedSecretManagerConfig.gcpConfig.project: \"\" {project}")),
        (
            embedded(json!({ "gcpConfig": { "project": "a/../b" } })),
            format!("embeddedSecretManagerConfig.gcpConfig.project: \"a/../b\" {project}"),
        ),
        (
            embedded(json!({ "type": "Azure" })),
            format!("embeddedSecretManagerConfig.azureConfig.vaultURI: \"\" {vault}"),
        ),
        (
            uri("name.vault.azure.net"),
            format!("embeddedSecretManagerConfig.azureConfig.vaultURI: \"name.vault.azure.net\" {vault}"),
        ),
        (
            uri("http://name.vault.azure.net/"),
            format!("embeddedSecretManagerConfig.azureConfig.vaultURI: \"http://name.vault.azure.net/\" {vault}"),
        ),
        (
            uri("https://name.vault.azure.net/secrets/x"),
            format!(
                "embeddedSecretManagerConfig.azureConfig.vaultURI: \"https://name.vault.azure.net/secrets/x\" {vault}"
            ),
        ),
        (
            uri("https://name.vault.azure.net:443/"),
            format!("embeddedSecretManagerConfig.azureConfig.vaultURI: \"https://name.vault.azure.net:443/\" {vault}"),
        ),
        (
            embedded(json!({ "awsConfig": { "region": "us-east-2" }, "gcpConfig": { "project": "acme-prod" } })),
            "embeddedSecretManagerConfig.type: AWS and GCP are configured; name the one that is meant".into(),
        ),
        (
            embedded(json!({
                "awsConfig": { "region": "us-east-2" },
                "gcpConfig": { "project": "acme-prod" },
                "azureConfig": { "vaultURI": "https://name.vault.azure.net/" },
            })),
            "embeddedSecretManagerConfig.type: AWS and GCP and Azure are configured; name the one that is meant".into(),
        ),
        (
            embedded(json!({ "k8sConfig": { "namespace": "Flyte" } })),
            "embeddedSecretManagerConfig.k8sConfig.namespace: \"Flyte\" is no namespace".into(),
        ),
        (
            embedded(json!({ "nameSchemes": [] })),
            "embeddedSecretManagerConfig.nameSchemes: is empty; name canonical, documented or both, or leave the key \
             out"
            .into(),
        ),
        (
            embedded(json!({ "fileMountInitContainer": { "containerName": "Init_X" } })),
            "embeddedSecretManagerConfig.fileMountInitContainer.containerName: \"Init_X\" is no container's name: up \
             to 63 of a-z, 0-9 and -"
                .into(),
        ),
        // What pods get.
        (json!({ "secretEnvVarPrefix": "1A" }), format!("secretEnvVarPrefix: \"1A\" {prefix}")),
        (json!({ "secretEnvVarPrefix": "A=" }), format!("secretEnvVarPrefix: \"A=\" {prefix}")),
        (json!({ "secretEnvVarPrefix": "A B" }), format!("secretEnvVarPrefix: \"A B\" {prefix}")),
        (
            json!({ "awsSecretManager": { "sidecarImage": "" } }),
            "awsSecretManager.sidecarImage: \"\" is no image; leave the key out for Flyte's default".into(),
        ),
        (
            embedded(json!({ "fileMountInitContainer": { "image": "busy box" } })),
            "embeddedSecretManagerConfig.fileMountInitContainer.image: \"busy box\" is no image; leave the key out \
             for Flyte's default"
                .into(),
        ),
        (
            json!({ "awsSecretManager": { "resources": { "limits": { "memory": "500MB" } } } }),
            format!("awsSecretManager.resources: memory: \"500MB\" {quantity}"),
        ),
        (
            json!({ "azureSecretManager": { "resources": { "requests": { "cpu": -1 } } } }),
            format!("azureSecretManager.resources: cpu: \"-1\" {quantity}"),
        ),
        (
            json!({ "gcpSecretManager": { "resources": { "requests": { "cpu": "300m" } } } }),
            "gcpSecretManager.resources: the request of 300m cpu is over the limit of 200m; raise the limit too".into(),
        ),
        (
            embedded(json!({ "fileMountInitContainer": { "resources": { "limits": { "memory": "64Mi" } } } })),
            "embeddedSecretManagerConfig.fileMountInitContainer.resources: the request of 100Mi memory is over the \
             limit of 64Mi; raise the limit too"
                .into(),
        ),
        // Who may have what.
        (
            template("flyte"),
            "tenancy.namespaceTemplate: \"flyte\" is the same for every project; use {{ project }}-{{ domain }}".into(),
        ),
        (
            template("{{ project }}-{{ name }}"),
            "tenancy.namespaceTemplate: {{ name }} is none of project, domain and organization".into(),
        ),
        (template("{{ project"), "tenancy.namespaceTemplate: \"{{ project\" has {{ without }}".into()),
    ];
    for (settings, problem) in table {
        assert_eq!(validated(&settings), Err(format!("settings: {problem}")), "{settings}");
    }
}

/// `null` leaves a known key at its default; it does not make an unknown one known.
#[test]
fn an_unknown_key_is_refused_whatever_its_value() {
    let wrong = |problem: &str| Err(format!("settings: {problem}"));
    let table = [
        (
            json!({ "secretManagrTypes": null }),
            wrong("secretManagrTypes is unknown; secretManagerTypes was perhaps meant"),
        ),
        (json!({ "tenancy": { "foo": null } }), wrong("tenancy.foo is unknown")),
    ];
    for (settings, answer) in table {
        assert_eq!(validated(&settings), answer, "{settings}");
    }
}

/// The host's own JSON, and what is none.
#[test]
fn answers_are_as_the_host_reads_them() {
    let global = json!({ "valid": true, "message": GLOBAL_IS_SKIPPED });
    let table = [
        ("validate_settings", "{}", json!({ "valid": true })),
        ("validate_settings", "{\"secretManagerTypes\":[\"Global\",\"K8s\"]}", global),
        ("validate_settings", "{\"foo\":1}", json!({ "valid": false, "message": "settings: foo is unknown" })),
        ("validate_settings", "", json!({ "valid": false, "message": "settings: the section: an object wanted" })),
        (
            "validate_settings",
            "{",
            json!({ "valid": false, "message": "settings: the section: a comma or the end wanted" }),
        ),
        (
            "validate_settings",
            "{\"secretEnvVarPrefix\":\"\\ud800\"}",
            json!({ "valid": false, "message": "settings: secretEnvVarPrefix: a string of Unicode characters wanted" }),
        ),
        ("protocol_version", "", json!("v1")),
    ];
    for (function, payload, answer) in table {
        let found = policy().call(function, payload.as_bytes(), &nothing()).map_err(|wrong| wrong.to_string());
        let found = found.and_then(|text| serde_json::from_slice::<Value>(&text).map_err(|wrong| wrong.to_string()));
        assert_eq!(found, Ok(answer), "{function} {payload}");
    }
}
