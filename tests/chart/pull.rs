//! `delivery: Pull`: when it is the default, the same settings and authority for policy and gateway, no permission on
//! Secrets for the policy server, and rejected values. [`super::rendered`] has the manifests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::{Scope, azure, flyte};
use serde_json::{Value, json};

use crate::helm::{documents, template_set};

const PULL: &str = r#"delivery="Pull""#;

/// Where the policy's settings of Embedded are.
const EMBEDDED: &str = "policy.settings.embeddedSecretManagerConfig";

/// `delivery: Pull` with more values, in the format of `--set-json`.
fn with(more: &str) -> String {
    if more.is_empty() { PULL.to_owned() } else { format!("{PULL},{}", more.replace("EMBEDDED", EMBEDDED)) }
}

fn rendered(values: &str) -> Vec<Value> {
    documents(&template_set(values, None).unwrap_or_else(|said| panic!("{values}: {said}")))
}

/// The configuration of the gateway.
fn config(all: &[Value]) -> Value {
    let config = named(all, "ConfigMap", "secret-gateway")["data"]["config.yaml"].as_str().expect("a file");
    serde_yaml::from_str(config).expect("YAML")
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
    let is_role = |it: &&Value| it["kind"] == "Role" || it["kind"] == "ClusterRole";
    let roles =
        all.iter().filter(is_role).filter(|it| it["metadata"]["labels"]["app.kubernetes.io/component"] == component);
    let words = |list: &Value| -> Vec<String> { serde_json::from_value(list.clone()).expect("words") };
    let mut rights = Vec::new();
    for role in roles {
        let place = role["metadata"]["namespace"].as_str().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        for rule in role["rules"].as_array().expect("rules") {
            for resource in words(&rule["resources"]) {
                rights.extend(words(&rule["verbs"]).iter().map(|verb| format!("{verb} {place}{resource}")));
            }
        }
    }
    rights.sort();
    rights
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn gateway_and_policy_have_the_same_settings_and_one_authority() {
    let all = rendered(PULL);
    let made = &named(&all, "Secret", "secret-gateway-tls")["data"]["ca.crt"];
    let policy = &named(&all, "ClusterAdmissionPolicy", "flyte-secrets")["spec"];
    let config = config(&all);
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
    let reviews = ["create subjectaccessreviews", "create tokenreviews"];
    let lookups = &["get secretlookups"][..];
    let pods_and_secrets = &["get flyte/pods", "get flyte/secrets"][..];
    let verify =
        r#"policy.settings.k8sSecretManager.verify=true,policy.settings.secretManagerTypes=["Embedded","K8s"]"#;
    let rows = [
        ("", lookups, pods_and_secrets),
        (r#"EMBEDDED.awsConfig.region="eu-west-1""#, lookups, &["get flyte/pods"]),
        (r#"EMBEDDED.lookup="Off""#, &[], pods_and_secrets),
        ("flyte.tenancy=false", lookups, &["get flyte/secrets", "get pods"]),
        (
            r#"flyte.tenancy=false,flyte.taskNamespaces=["a","b"]"#,
            lookups,
            &["get a/pods", "get b/pods", "get flyte/secrets"],
        ),
        // The ClusterRole is bound in the namespaces of tasks alone.
        (verify, &["get secretlookups", "get secrets"], pods_and_secrets),
    ];
    for (values, policy, gateway) in rows {
        let all = rendered(&with(values));
        assert_eq!(rights(&all, "policy"), policy, "{values}");
        assert_eq!(rights(&all, "gateway"), [&reviews, gateway].concat(), "{values}");
    }
    let all = rendered(r#"delivery="Auto",gateway.enabled=true,gateway.config.providers.gcp.projects=["acme"]"#);
    assert_eq!(rights(&all, "policy"), ["get flyte/secrets", "get namespaces"]);
    assert_eq!(rights(&all, "gateway"), ["create subjectaccessreviews"]);
}

/// Names of other organizations are not served, however the store encodes them.
#[test]
#[ignore = "needs helm: make chart-test"]
fn the_gateway_serves_the_organizations_of_tenancy() {
    let gateway = r#"gateway.enabled=true,gateway.config.providers={
        "aws": { "regions": ["eu-west-1"] }, "azure": { "vaults": ["a.vault.azure.net"] }, "gcp": { "projects": ["a"] }
    }"#;
    let organizations = r#"policy.settings.tenancy.organizations=["acme","b-0"]"#;
    let served = |more: &[&str]| config(&rendered(&[&[gateway], more].concat().join(",")))["prefixes"].clone();
    let prefixes = served(&[organizations]);
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
    let given = served(&[organizations, "gateway.config.prefixes.gcp=[]"]);
    assert_eq!((&given["gcp"], &given["aws"]), (&json!([]), &prefixes["aws"]));
    assert_eq!(served(&["policy.settings.tenancy.organizations=null"]), Value::Null);
}

/// Returns how values are delivered under the settings of the policy.
fn delivery(values: &str, version: &str) -> String {
    let rendered = template_set(values, Some(version)).unwrap_or_else(|said| panic!("{values}: {said}"));
    let all = documents(&rendered);
    let settings = &named(&all, "ClusterAdmissionPolicy", "flyte-secrets")["spec"]["settings"];
    settings["embeddedSecretManagerConfig"]["delivery"].as_str().unwrap_or("Auto").to_owned()
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn kubernetes_before_1_35_is_rejected() {
    let said = template_set(PULL, Some("v1.34.9")).expect_err("1.34 has no env files");
    let reason = "delivery: Pull requires Kubernetes 1.35, this is v1.34.9; set delivery to Auto, or name the cluster's version \
                  to helm template by --kube-version";
    assert!(said.contains(reason), "{said}");
    for version in ["v1.35.0-rc.1", "v1.35.0", "v1.36.2-gke.1"] {
        assert_eq!(delivery(PULL, version), "Pull", "{version}");
    }
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn pull_is_the_default_if_possible() {
    let aws = r#"EMBEDDED.awsConfig.region="eu-west-1""#;
    let rows = [
        (aws, "", "v1.35.0", "Pull"),
        (aws, "", "v1.34.9", "Auto"),
        (aws, r#",delivery="Auto""#, "v1.35.0", "Auto"),
        (aws, r#",delivery="Value""#, "v1.35.0", "Value"),
        (aws, r#",EMBEDDED.delivery="value""#, "v1.35.0", "value"),
        // The key in the settings takes precedence.
        (aws, r#",delivery="Pull",EMBEDDED.delivery="Auto""#, "v1.34.9", "Auto"),
        // Without a gateway there is nothing to pull from.
        ("", "", "v1.35.0", "Auto"),
        (aws, ",gateway.enabled=false", "v1.35.0", "Auto"),
        ("", "flyte.version=1", "v1.35.0", "Auto"),
        ("", "gateway.enabled=true", "v1.35.0", "Pull"),
        ("", PULL, "v1.35.0", "Pull"),
        // What would be rejected with `delivery: Pull`.
        (aws, r#",policy.failurePolicy="Ignore""#, "v1.35.0", "Auto"),
        (aws, r#",policy.objectSelector.matchLabels.canary="true""#, "v1.35.0", "Auto"),
        (aws, ",gateway.tls.certManager.enabled=true", "v1.35.0", "Auto"),
    ];
    for (values, more, version, expected) in rows {
        let values = format!("{values}{more}").replace("EMBEDDED", EMBEDDED);
        assert_eq!(delivery(&values, version), expected, "{version}: {values}");
    }
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn values_that_rule_out_pull_are_rejected() {
    let why = "a pod that the policy does not judge could grant itself secrets";
    let protected = format!("requires policy.mode: protect and policy.failurePolicy: Fail; {why}");
    let elsewhere = "requires embeddedSecretManagerConfig.pull.gateway and pull.ca with gateway.enabled: false; set them to the \
                     address and the authority of the other release's gateway";
    let rows = [
        (
            "gateway.tls.certManager.enabled=true",
            "requires embeddedSecretManagerConfig.pull.ca with gateway.tls.certManager.enabled; set it to ca.crt of \
             Secret secret-gateway-tls",
        ),
        ("gateway.enabled=false", elsewhere),
        (r#"gateway.enabled=false,EMBEDDED.pull.gateway="https://a:8444""#, elsewhere),
        (
            "EMBEDDED.imagePullSecrets.enabled=true",
            "does not support embeddedSecretManagerConfig.imagePullSecrets.enabled, because the policy reads no Secret; \
             disable it",
        ),
        (r#"policy.mode="monitor""#, &protected),
        (r#"policy.failurePolicy="Ignore""#, &protected),
        (
            r#"policy.objectSelector.matchLabels.canary="true""#,
            &format!("does not support policy.objectSelector; {why}"),
        ),
        (
            r#"flyte.tenancy=false,policy.namespaceSelector.matchLabels.a="b""#,
            &format!("requires tenancy.namespaceTemplate with policy.namespaceSelector; {why}"),
        ),
    ];
    for (values, reason) in rows {
        let said = template_set(&with(values), None).expect_err(&format!("the chart accepts it: {values}"));
        assert!(said.contains(&format!("delivery: Pull {reason}\n")), "{values}: {said}");
    }
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn puller_image_has_a_digest() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let version = env!("CARGO_PKG_VERSION");
    let pinned = format!("pull.image.digest={digest:?}");
    let rows = [
        ("", format!("ghcr.io/flyte-secrets-policy/pull:v{version}")),
        (&pinned, format!("ghcr.io/flyte-secrets-policy/pull@{digest}")),
        (r#"pull.image.repository="a/pull",pull.image.tag="v9""#, "a/pull:v9".to_owned()),
        (r#"EMBEDDED.pull.image="a/b:1""#, "a/b:1".to_owned()),
    ];
    for (values, image) in rows {
        let all = rendered(&with(values));
        let settings = &named(&all, "ClusterAdmissionPolicy", "flyte-secrets")["spec"]["settings"];
        assert_eq!(settings["embeddedSecretManagerConfig"]["pull"]["image"], image, "{values}");
    }
}
