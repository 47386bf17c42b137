//! `delivery: Pull`: when it is the default, the same settings and authority for policy and gateway, no permission on
//! Secrets for the policy server, and rejected values. [`super::rendered`] has the manifests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::{Scope, azure, flyte};
use serde_json::{Value, json};

use crate::helm::{documents, template_of, template_with};

fn with(more: Value) -> Value {
    let mut values = json!({ "delivery": "Pull" });
    merge(&mut values, more);
    values
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(json!({})), value));
        }
        (into, from) => *into = from,
    }
}

fn rendered(values: &Value) -> Vec<Value> {
    documents(&template_of(values).unwrap_or_else(|said| panic!("{values}: {said}")))
}

/// The one document of a kind that has a name.
fn named<'a>(all: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = all.iter().filter(|document| document["kind"] == kind && document["metadata"]["name"] == name);
    let first = found.next().unwrap_or_else(|| panic!("no {kind} {name}"));
    assert!(found.next().is_none(), "several {kind} {name}");
    first
}

/// The resources that the roles of a component name, with namespaces for those of Roles.
fn rights(all: &[Value], component: &str) -> Vec<String> {
    let roles = all.iter().filter(|it| ["Role", "ClusterRole"].iter().any(|kind| it["kind"] == *kind));
    let roles = roles.filter(|it| it["metadata"]["labels"]["app.kubernetes.io/component"] == component);
    let of = |role: &Value| {
        let place = role["metadata"]["namespace"].as_str().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let rules = role["rules"].as_array().cloned().expect("rules").into_iter();
        let lines = rules.flat_map(|rule| {
            let resources = rule["resources"].as_array().cloned().expect("resources").into_iter();
            let verbs = rule["verbs"].as_array().cloned().expect("verbs");
            resources.flat_map(move |resource| verbs.clone().into_iter().map(move |verb| (verb, resource.clone())))
        });
        let words = |word: &Value| word.as_str().expect("a word").to_owned();
        lines.map(|(verb, resource)| format!("{} {place}{}", words(&verb), words(&resource))).collect::<Vec<_>>()
    };
    let mut rights: Vec<String> = roles.flat_map(of).collect();
    rights.sort();
    rights
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn gateway_and_policy_have_the_same_settings_and_one_authority() {
    let all = rendered(&with(json!({})));
    let made = &named(&all, "Secret", "secret-gateway-tls")["data"]["ca.crt"];
    let policy = &named(&all, "ClusterAdmissionPolicy", "flyte-secrets")["spec"];
    let config = named(&all, "ConfigMap", "secret-gateway")["data"]["config.yaml"].as_str().expect("a file");
    let config: Value = serde_yaml::from_str(config).expect("YAML");
    assert_eq!(config["pods"]["settings"], policy["settings"]);
    assert_eq!(config["pods"]["listen"], "0.0.0.0:8444");
    assert_eq!(config["providers"], json!({ "k8s": { "namespaces": ["flyte"] } }));
    let pull = &policy["settings"]["embeddedSecretManagerConfig"]["pull"];
    assert_eq!(pull["gateway"], "https://secret-gateway-pods.flyte.svc:8444");
    assert_eq!(STANDARD.encode(pull["ca"].as_str().expect("PEM")), made.as_str().expect("base64"));
    assert_eq!(named(&all, "APIService", "v1alpha1.secret-gateway.flyte.org")["spec"]["caBundle"], *made);
    assert_eq!(named(&all, "Service", "secret-gateway-pods")["spec"]["ports"][0]["port"], 8444);
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn permissions_are_minimal() {
    let aws = json!({ "policy": { "settings": { "embeddedSecretManagerConfig": { "awsConfig": { "region": "eu-west-1" } } } } });
    let off = json!({ "policy": { "settings": { "embeddedSecretManagerConfig": { "lookup": "Off" } } } });
    let everywhere = json!({ "flyte": { "tenancy": false } });
    let listed = json!({ "flyte": { "tenancy": false, "taskNamespaces": ["a", "b"] } });
    let verify = json!({ "policy": { "settings": { "k8sSecretManager": { "verify": true }, "secretManagerTypes": ["Embedded", "K8s"] } } });
    let reviews = ["create subjectaccessreviews", "create tokenreviews"];
    let lookups = &["get secretlookups"][..];
    let rows: [(Value, &[&str], &[&str]); 6] = [
        (json!({}), lookups, &["get flyte/pods", "get flyte/secrets"]),
        (aws, lookups, &["get flyte/pods"]),
        (off, &[], &["get flyte/pods", "get flyte/secrets"]),
        (everywhere, lookups, &["get flyte/secrets", "get pods"]),
        (listed, lookups, &["get a/pods", "get b/pods", "get flyte/secrets"]),
        // The ClusterRole is bound in the namespaces of tasks alone.
        (verify, &["get secretlookups", "get secrets"], &["get flyte/pods", "get flyte/secrets"]),
    ];
    for (values, policy, gateway) in rows {
        let all = rendered(&with(values.clone()));
        assert_eq!(rights(&all, "policy"), policy, "{values}");
        assert_eq!(rights(&all, "gateway"), [&reviews, gateway].concat(), "{values}");
    }
    let all = rendered(
        &json!({ "delivery": "Auto", "gateway": { "enabled": true, "config": { "providers": { "gcp": { "projects": ["acme"] } } } } }),
    );
    assert_eq!(rights(&all, "policy"), ["get flyte/secrets", "get namespaces"]);
    assert_eq!(rights(&all, "gateway"), ["create subjectaccessreviews"]);
}

/// Names of other organizations are not served, however the store encodes them.
#[test]
#[ignore = "needs helm: make chart-test"]
fn the_gateway_serves_the_organizations_of_tenancy() {
    let providers = json!({
        "aws": { "regions": ["eu-west-1"] }, "azure": { "vaults": ["a.vault.azure.net"] }, "gcp": { "projects": ["a"] },
    });
    let served = |more: Value| {
        let mut values = json!({
            "gateway": { "enabled": true, "config": { "providers": providers } },
            "policy": { "settings": { "tenancy": { "organizations": ["acme", "b-0"] } } },
        });
        merge(&mut values, more);
        let all = rendered(&values);
        let config = named(&all, "ConfigMap", "secret-gateway")["data"]["config.yaml"].as_str().expect("a file");
        serde_yaml::from_str::<Value>(config).expect("YAML")["prefixes"].clone()
    };
    let prefixes = served(json!({}));
    let serves = |provider: &str, name: &str| {
        let prefixes = prefixes[provider].as_array().expect("prefixes");
        prefixes.iter().any(|prefix| name.starts_with(prefix.as_str().expect("a prefix")))
    };
    for (organization, expected) in
        [("acme", true), ("b-0", true), ("acme2", false), ("b", false), ("b-", false), ("", false)]
    {
        for (domain, project) in [("", ""), ("d", ""), ("d", "p")] {
            let scope = Scope { organization, domain, project };
            for provider in ["aws", "gcp", "k8s"] {
                for name in [flyte::encode(scope, "k"), flyte::encode_documented(scope, "k")] {
                    assert_eq!(serves(provider, &name), expected, "{provider} {name}");
                }
            }
            let name = azure::encode(scope, "k").expect("a name");
            assert_eq!(serves("azure", &name), expected, "{name}");
        }
    }
    // What is given stays, and without organizations the gateway has its own default.
    let given = served(json!({ "gateway": { "config": { "prefixes": { "gcp": [] } } } }));
    assert_eq!((&given["gcp"], &given["aws"]), (&json!([]), &prefixes["aws"]));
    assert_eq!(served(json!({ "policy": { "settings": { "tenancy": { "organizations": null } } } })), Value::Null);
}

/// Returns how values are delivered under the settings of the policy.
fn delivery(values: &Value, version: &str) -> String {
    let rendered =
        template_with(values, &["--kube-version", version]).unwrap_or_else(|said| panic!("{values}: {said}"));
    let all = documents(&rendered);
    let settings = &named(&all, "ClusterAdmissionPolicy", "flyte-secrets")["spec"]["settings"];
    settings["embeddedSecretManagerConfig"]["delivery"].as_str().unwrap_or("Auto").to_owned()
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn kubernetes_before_1_35_is_rejected() {
    let said = template_with(&with(json!({})), &["--kube-version", "v1.34.9"]).expect_err("1.34 has no env files");
    let reason = "delivery: Pull requires Kubernetes 1.35, this is v1.34.9; set delivery to Auto, or name the cluster's version \
                  to helm template by --kube-version";
    assert!(said.contains(reason), "{said}");
    for version in ["v1.35.0-rc.1", "v1.35.0", "v1.36.2-gke.1"] {
        assert_eq!(delivery(&with(json!({})), version), "Pull", "{version}");
    }
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn pull_is_the_default_if_possible() {
    let aws = |more: Value| {
        let config = json!({ "awsConfig": { "region": "eu-west-1" } });
        let mut values = json!({ "policy": { "settings": { "embeddedSecretManagerConfig": config } } });
        merge(&mut values, more);
        values
    };
    let own = |delivery: &str| {
        aws(json!({ "policy": { "settings": { "embeddedSecretManagerConfig": { "delivery": delivery } } } }))
    };
    let rows = [
        (aws(json!({})), "v1.35.0", "Pull"),
        (aws(json!({})), "v1.34.9", "Auto"),
        (aws(json!({ "delivery": "Auto" })), "v1.35.0", "Auto"),
        (aws(json!({ "delivery": "Value" })), "v1.35.0", "Value"),
        (own("value"), "v1.35.0", "value"),
        // The key in the settings takes precedence.
        (aws(json!({ "delivery": "Pull", "policy": own("Auto")["policy"] })), "v1.34.9", "Auto"),
        // Without a gateway there is nothing to pull from.
        (json!({}), "v1.35.0", "Auto"),
        (aws(json!({ "gateway": { "enabled": false } })), "v1.35.0", "Auto"),
        (json!({ "flyte": { "version": 1 } }), "v1.35.0", "Auto"),
        (json!({ "gateway": { "enabled": true } }), "v1.35.0", "Pull"),
        (json!({ "delivery": "Pull" }), "v1.35.0", "Pull"),
        // What would be rejected with `delivery: Pull`.
        (aws(json!({ "policy": { "failurePolicy": "Ignore" } })), "v1.35.0", "Auto"),
        (aws(json!({ "policy": { "objectSelector": { "matchLabels": { "canary": "true" } } } })), "v1.35.0", "Auto"),
        (aws(json!({ "gateway": { "tls": { "certManager": { "enabled": true } } } })), "v1.35.0", "Auto"),
    ];
    for (values, version, expected) in rows {
        assert_eq!(delivery(&values, version), expected, "{version}: {values}");
    }
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn values_that_rule_out_pull_are_rejected() {
    let policy = |values: Value| json!({ "policy": values });
    let embedded = |values: Value| json!({ "policy": { "settings": { "embeddedSecretManagerConfig": values } } });
    let why = "a pod that the policy does not judge could grant itself secrets";
    let protected = format!("requires policy.mode: protect and policy.failurePolicy: Fail; {why}");
    let elsewhere = "requires embeddedSecretManagerConfig.pull.gateway and pull.ca with gateway.enabled: false; set them to the \
                     address and the authority of the other release's gateway";
    let rows = [
        (
            json!({ "gateway": { "tls": { "certManager": { "enabled": true } } } }),
            "requires embeddedSecretManagerConfig.pull.ca with gateway.tls.certManager.enabled; set it to ca.crt of Secret \
             secret-gateway-tls"
                .to_owned(),
        ),
        (json!({ "gateway": { "enabled": false } }), elsewhere.to_owned()),
        (
            json!({
                "gateway": { "enabled": false },
                "policy": { "settings": { "embeddedSecretManagerConfig": { "pull": { "gateway": "https://a:8444" } } } },
            }),
            elsewhere.to_owned(),
        ),
        (
            embedded(json!({ "imagePullSecrets": { "enabled": true } })),
            "does not support embeddedSecretManagerConfig.imagePullSecrets.enabled, because the policy reads no Secret; disable it"
                .to_owned(),
        ),
        (policy(json!({ "mode": "monitor" })), protected.clone()),
        (policy(json!({ "failurePolicy": "Ignore" })), protected),
        (
            policy(json!({ "objectSelector": { "matchLabels": { "canary": "true" } } })),
            format!("does not support policy.objectSelector; {why}"),
        ),
        (
            json!({ "flyte": { "tenancy": false }, "policy": { "namespaceSelector": { "matchLabels": { "a": "b" } } } }),
            format!("requires tenancy.namespaceTemplate with policy.namespaceSelector; {why}"),
        ),
    ];
    for (values, reason) in rows {
        let said = template_of(&with(values.clone())).expect_err(&format!("the chart accepts it: {values}"));
        assert!(said.contains(&format!("delivery: Pull {reason}\n")), "{values}: {said}");
    }
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn puller_image_has_a_digest() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let version = env!("CARGO_PKG_VERSION");
    let own = json!({ "policy": { "settings": { "embeddedSecretManagerConfig": { "pull": { "image": "a/b:1" } } } } });
    let rows = [
        (json!({}), format!("ghcr.io/flyte-secrets-policy/pull:v{version}")),
        (json!({ "pull": { "image": { "digest": digest } } }), format!("ghcr.io/flyte-secrets-policy/pull@{digest}")),
        (json!({ "pull": { "image": { "repository": "a/pull", "tag": "v9" } } }), "a/pull:v9".to_owned()),
        (own, "a/b:1".to_owned()),
    ];
    for (values, image) in rows {
        let all = rendered(&with(values.clone()));
        let settings = &named(&all, "ClusterAdmissionPolicy", "flyte-secrets")["spec"]["settings"];
        assert_eq!(settings["embeddedSecretManagerConfig"]["pull"]["image"], image, "{values}");
    }
}
