//! Invalid values, which helm rejects with a reason. Invalid settings are rejected by the schema or by the policy.

use std::thread;

use flyte_secrets_policy::settings::{Error, validate};
use flyte_secrets_testing::settings;
use serde_json::{Value, json};

use crate::helm::{documents, holds, repository, template_of};

/// Returns the policy's error for settings.
fn policy_says(settings: &Value) -> Result<(), Error> {
    validate(settings.to_string().as_bytes()).map(drop)
}

fn values(settings: &Value) -> Value {
    json!({ "policy": { "settings": settings } })
}

/// Returns helm's error for values, without its prefix.
fn helm_says(values: &Value) -> Result<String, String> {
    template_of(values).map_err(|said| {
        let said = said.trim_end().trim_end_matches("Use --debug flag to render out invalid YAML").trim_end();
        let said = said.strip_prefix("Error: ").unwrap_or(said);
        match said.split_once("flyte-secrets-policy:\n- ") {
            Some((_, broken)) => broken.to_owned(),
            None => match said.strip_prefix("execution error at (").and_then(|rest| rest.split_once("): ")) {
                Some((_, reason)) => reason.to_owned(),
                None => said.to_owned(),
            },
        }
    })
}

/// Runs a check on each row; helm takes most of the time.
fn each<T: Sync, R: Send>(rows: &[T], check: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let check = &check;
        let rows = rows.chunks(rows.len().div_ceil(threads));
        let running: Vec<_> =
            rows.map(|rows| scope.spawn(move || rows.iter().map(check).collect::<Vec<R>>())).collect();
        running.into_iter().flat_map(|it| it.join().expect("the check of a row has failed, see above")).collect()
    })
}

/// Helm rejects what the schema rejects, with messages of its library; the policy rejects the rest when it starts. A
/// golden file has both, so that a change is visible.
#[test]
#[ignore = "needs helm: make chart-test"]
fn settings_that_the_policy_rejects_are_rejected_or_passed_on() {
    let said = each(&settings::refused(), |(settings, problem)| {
        policy_says(settings).expect_err("the table says so");
        let said = helm_says(&values(settings)).err().unwrap_or_else(|| format!("the policy: {problem}"));
        format!("{settings}\n    {}\n", said.replace('\n', "\n    "))
    });
    holds(&repository("tests/chart/golden/settings.txt"), &said.concat());
}

/// The chart is not stricter than the policy, and passes settings on unchanged, except managers, which it always sets.
#[test]
#[ignore = "needs helm: make chart-test"]
fn settings_that_the_policy_accepts_are_passed_on() {
    let more = json!({
        "delivery": "Auto",
        "flyte": { "tenancy": false, "taskNamespaces": ["flytesnacks-development"] },
        "policy": {},
    });
    each(&settings::accepted(), |settings| {
        policy_says(settings).expect("the table says so");
        let mut values = more.clone();
        values["policy"]["settings"] = settings.clone();
        let rendered = helm_says(&values).unwrap_or_else(|said| panic!("{settings}: {said}"));
        let policies = documents(&rendered).into_iter().filter(|it| it["kind"] == "ClusterAdmissionPolicy");
        let handed: Vec<Value> = policies.map(|policy| policy["spec"]["settings"].clone()).collect();
        let [handed] = handed.as_slice() else { panic!("{settings}: not one policy") };
        let mut given = settings.clone();
        if let Some(Value::Array(managers)) = handed.get("secretManagerTypes") {
            given["secretManagerTypes"] = json!(managers);
        }
        let [given, handed] = [&given, handed].map(|settings| validate(settings.to_string().as_bytes()));
        assert_eq!(handed, given, "{settings}");
    });
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn other_invalid_values_are_rejected() {
    let gateway = |values: Value| {
        let config = json!({ "providers": { "aws": { "regions": ["eu-west-1"] } } });
        let mut gateway = json!({ "enabled": true, "config": config });
        gateway.as_object_mut().expect("an object").extend(values.as_object().expect("an object").clone());
        json!({ "gateway": gateway })
    };
    let config = |config: Value| json!({ "gateway": { "enabled": true, "config": config } });
    let policy = |values: Value| json!({ "policy": values });
    let aws = json!({ "embeddedSecretManagerConfig": { "awsConfig": { "region": "eu-west-1" } } });
    let elsewhere = json!({ "providers": { "aws": { "regions": ["eu-west-2"] } } });
    let rows = [
        (json!({ "polices": {} }), "at '': additional properties 'polices' not allowed"),
        (policy(json!({ "mode": "audit" })), "at '/policy/mode': value must be one of 'protect', 'monitor'"),
        (
            policy(json!({ "mode": "monitor" })),
            "policy.mode: monitor with Embedded would log secret values in the policy server and change no pod; use \
             protect, or managers without Embedded",
        ),
        (
            policy(json!({ "name": "Flyte" })),
            "at '/policy/name': 'Flyte' does not match pattern \
             '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'",
        ),
        (policy(json!({ "timeoutSeconds": 31 })), "at '/policy/timeoutSeconds': maximum: got 31, want 30"),
        (
            policy(json!({ "timeoutSeconds": 5, "timeoutEvalSeconds": 6 })),
            "policy.timeoutEvalSeconds: 6 exceeds policy.timeoutSeconds, 5; lower it or raise policy.timeoutSeconds",
        ),
        (
            policy(json!({ "namespaceSelector": { "matchLabel": {} } })),
            "at '/policy/namespaceSelector': additional properties 'matchLabel' not allowed",
        ),
        (
            json!({
                "flyte": { "tenancy": false },
                "policy": { "settings": { "embeddedSecretManagerConfig": { "imagePullSecrets": { "enabled": true } } } },
            }),
            "flyte.taskNamespaces: required with imagePullSecrets.enabled; list the namespaces of task pods, or set \
             policyServer.rbac.create to false and grant access yourself",
        ),
        (
            json!({
                "flyte": { "version": 1 },
                "policy": { "settings": { "k8sSecretManager": { "verify": true } } },
            }),
            "flyte.taskNamespaces: required with k8sSecretManager.verify; list the namespaces of task pods, or set \
             policyServer.rbac.create to false and grant access yourself",
        ),
        (
            json!({
                "delivery": "Auto",
                "gateway": {
                    "enabled": true,
                    "config": { "providers": { "aws": { "regions": ["eu-west-1"] } }, "pods": { "maxSecrets": 9 } },
                },
            }),
            "gateway.config.pods: requires delivery: Pull; omit it or set delivery",
        ),
        (
            policy(json!({ "settings": { "embeddedSecretManagerConfig": { "type": "gcp" } } })),
            "policy.settings.embeddedSecretManagerConfig.gcpConfig.project: required with type GCP",
        ),
        (json!({ "flyte": { "version": 3 } }), "at '/flyte/version': value must be one of 1, 2, '1', '2'"),
        (
            policy(json!({ "tenancy": { "namespaces": [] } })),
            "at '/policy': additional properties 'tenancy' not allowed",
        ),
        (
            json!({ "policyServer": { "serviceAccount": { "name": "a b" } } }),
            "at '/policyServer/serviceAccount/name': 'a b' does not match pattern \
             '^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$'",
        ),
        (
            json!({ "delivery": "Auto", "gateway": { "enabled": true } }),
            "gateway.config.providers: required with gateway.enabled; set it, or a cloud in \
             policy.settings.embeddedSecretManagerConfig",
        ),
        (
            json!({ "delivery": "pull" }),
            "at '/delivery': value must be one of '', 'Auto', 'Value', 'Reference', 'Pull'",
        ),
        (
            json!({ "policyServer": { "create": true, "name": "default", "image": "a/b:1" } }),
            "policyServer.name: must not be default with policyServer.create, because Kubewarden has that one; use another name",
        ),
        (
            json!({ "policyServer": { "create": true } }),
            "policyServer.image: required with policyServer.create where the PolicyServer default is not found; set it to the \
             image of Kubewarden's version",
        ),
        (
            json!({ "policyServer": { "logLevel": "debug" } }),
            "at '/policyServer/logLevel': value must be one of 'error', 'warn', 'info'",
        ),
        (
            config(json!({ "providers": { "gcp": {} } })),
            "gateway.config.providers.gcp.projects: must not be empty; list what the gateway serves, or omit gcp",
        ),
        (
            config(json!({ "providers": { "aws": { "regions": ["EU west"] } } })),
            "at '/gateway/config/providers/aws/regions/0': 'EU west' does not match pattern '^[A-Za-z0-9.:-]+$'",
        ),
        (config(json!({ "listen": "0.0.0.0:1" })), "at '/gateway/config': additional properties 'listen' not allowed"),
        (
            config(json!({ "cache": { "ttl": "30" } })),
            "at '/gateway/config/cache/ttl': '30' does not match pattern '^([0-9]+ *[a-z]+ *)+$'",
        ),
        (
            json!({ "policy": { "settings": aws }, "gateway": { "config": elsewhere } }),
            "gateway.config.providers.aws.regions: missing \"eu-west-1\", from which the policy reads; add it or omit the key",
        ),
        (
            gateway(json!({ "name": "1st" })),
            "at '/gateway/name': '1st' does not match pattern '^[a-z]([-a-z0-9]*[a-z0-9])?$'",
        ),
        (
            gateway(json!({ "image": { "digest": "sha256:0" } })),
            "at '/gateway/image/digest': 'sha256:0' does not match pattern '^(sha256:[0-9a-f]{64})?$'",
        ),
        (
            gateway(json!({ "tls": { "caBundle": "LS0t" } })),
            "at '/gateway/tls/caBundle': 'LS0t' does not match pattern '^(-----BEGIN CERTIFICATE-----\\\\s|$)'",
        ),
        (
            gateway(json!({ "serviceAccount": { "annotations": { "a.example/b": true } } })),
            "at '/gateway/serviceAccount/annotations/a.example~1b': got boolean, want string",
        ),
        (
            gateway(json!({ "serviceMonitor": { "enabled": true } })),
            "gateway.networkPolicy.metricsFrom: required with gateway.serviceMonitor.enabled; set it to Prometheus' namespace or pods",
        ),
        (
            gateway(json!({ "serviceMonitor": { "enabled": true }, "metrics": { "enabled": false } })),
            "gateway.serviceMonitor.enabled: requires gateway.metrics.enabled; enable it",
        ),
        (
            gateway(json!({ "prometheusRule": { "enabled": true }, "metrics": { "enabled": false } })),
            "gateway.prometheusRule.enabled: requires gateway.metrics.enabled; enable it",
        ),
        (
            gateway(json!({ "podDisruptionBudget": { "maxUnavailable": 0 } })),
            "at '/gateway/podDisruptionBudget/maxUnavailable': minimum: got 0, want 1",
        ),
        (
            json!({ "tests": { "image": { "pullPolicy": "Sometimes" } } }),
            "at '/tests/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'",
        ),
    ];
    each(&rows, |(values, reason)| {
        let said = helm_says(values).expect_err(&format!("the chart lets it pass: {values}"));
        assert_eq!(said, *reason, "{values}");
    });
}
