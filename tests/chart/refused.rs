//! Invalid values, which helm rejects with a reason. Invalid settings are rejected by the schema or by the policy.

use std::thread;

use flyte_secrets_policy::settings::{Error, validate};
use flyte_secrets_testing::settings;
use serde_json::{Value, json};

use crate::helm::{documents, holds, repository, template_of, template_set};

/// Returns the policy's error for settings.
fn policy_says(settings: &Value) -> Result<(), Error> {
    validate(settings.to_string().as_bytes()).map(drop)
}

fn values(settings: &Value) -> Value {
    json!({ "policy": { "settings": settings } })
}

/// Returns the reason in helm's error.
fn reason(said: String) -> String {
    let said = said.trim_end().trim_end_matches("Use --debug flag to render out invalid YAML").trim_end();
    let said = said.strip_prefix("Error: ").unwrap_or(said);
    let of_schema = said.split_once("flyte-secrets-policy:\n- ");
    let of_template = || said.strip_prefix("execution error at (")?.split_once("): ");
    of_schema.or_else(of_template).map_or(said, |(_, reason)| reason).to_owned()
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
        let said =
            template_of(&values(settings)).map_err(reason).err().unwrap_or_else(|| format!("the policy: {problem}"));
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
        let rendered = template_of(&values).unwrap_or_else(|said| panic!("{settings}: {said}"));
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

/// What turns the gateway on.
const GATEWAY: &str = r#"gateway.enabled=true,gateway.config.providers.aws.regions=["eu-west-1"]"#;

#[test]
#[ignore = "needs helm: make chart-test"]
fn other_invalid_values_are_rejected() {
    let rows = [
        ("polices={}", "at '': additional properties 'polices' not allowed"),
        (r#"policy.mode="audit""#, "at '/policy/mode': value must be one of 'protect', 'monitor'"),
        (
            r#"policy.mode="monitor""#,
            "policy.mode: monitor with Embedded would log secret values in the policy server and change no pod; use \
             protect, or managers without Embedded",
        ),
        (
            r#"policy.name="Flyte""#,
            "at '/policy/name': 'Flyte' does not match pattern \
             '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'",
        ),
        ("policy.timeoutSeconds=31", "at '/policy/timeoutSeconds': maximum: got 31, want 30"),
        (
            "policy.timeoutSeconds=5,policy.timeoutEvalSeconds=6",
            "policy.timeoutEvalSeconds: 6 exceeds policy.timeoutSeconds, 5; lower it or raise policy.timeoutSeconds",
        ),
        (
            "policy.namespaceSelector.matchLabel={}",
            "at '/policy/namespaceSelector': additional properties 'matchLabel' not allowed",
        ),
        (
            "flyte.tenancy=false,policy.settings.embeddedSecretManagerConfig.imagePullSecrets.enabled=true",
            "flyte.taskNamespaces: required with imagePullSecrets.enabled; list the namespaces of task pods, or set \
             policyServer.rbac.create to false and grant access yourself",
        ),
        (
            "flyte.version=1,policy.settings.k8sSecretManager.verify=true",
            "flyte.taskNamespaces: required with k8sSecretManager.verify; list the namespaces of task pods, or set \
             policyServer.rbac.create to false and grant access yourself",
        ),
        (
            r#"delivery="Auto",gateway.enabled=true,gateway.config.providers.aws.regions=["eu-west-1"],gateway.config.pods.maxSecrets=9"#,
            "gateway.config.pods: requires delivery: Pull; omit it or set delivery",
        ),
        (
            r#"policy.settings.embeddedSecretManagerConfig.type="gcp""#,
            "policy.settings.embeddedSecretManagerConfig.gcpConfig.project: required with type GCP",
        ),
        ("flyte.version=3", "at '/flyte/version': value must be one of 1, 2, '1', '2'"),
        ("policy.tenancy.namespaces=[]", "at '/policy': additional properties 'tenancy' not allowed"),
        (
            r#"policyServer.serviceAccount.name="a b""#,
            "at '/policyServer/serviceAccount/name': 'a b' does not match pattern \
             '^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$'",
        ),
        (
            r#"delivery="Auto",gateway.enabled=true"#,
            "gateway.config.providers: required with gateway.enabled; set it, or a cloud in \
             policy.settings.embeddedSecretManagerConfig",
        ),
        (r#"delivery="pull""#, "at '/delivery': value must be one of '', 'Auto', 'Value', 'Reference', 'Pull'"),
        (
            r#"policyServer.create=true,policyServer.name="default",policyServer.image="a/b:1""#,
            "policyServer.name: must not be default with policyServer.create, because Kubewarden has that one; use \
             another name",
        ),
        (
            "policyServer.create=true",
            "policyServer.image: required with policyServer.create where the PolicyServer default is not found; set it \
             to the image of Kubewarden's version",
        ),
        (
            r#"policyServer.logLevel="debug""#,
            "at '/policyServer/logLevel': value must be one of 'error', 'warn', 'info'",
        ),
        (
            "gateway.enabled=true,gateway.config.providers.gcp={}",
            "gateway.config.providers.gcp.projects: must not be empty; list what the gateway serves, or omit gcp",
        ),
        (
            r#"gateway.enabled=true,gateway.config.providers.aws.regions=["EU west"]"#,
            "at '/gateway/config/providers/aws/regions/0': 'EU west' does not match pattern '^[A-Za-z0-9.:-]+$'",
        ),
        (
            r#"gateway.enabled=true,gateway.config.listen="0.0.0.0:1""#,
            "at '/gateway/config': additional properties 'listen' not allowed",
        ),
        (
            r#"gateway.enabled=true,gateway.config.cache.ttl="30""#,
            "at '/gateway/config/cache/ttl': '30' does not match pattern '^([0-9]+ *[a-z]+ *)+$'",
        ),
        (
            r#"policy.settings.embeddedSecretManagerConfig.awsConfig.region="eu-west-1",gateway.config.providers.aws.regions=["eu-west-2"]"#,
            "gateway.config.providers.aws.regions: missing \"eu-west-1\", from which the policy reads; add it or omit \
             the key",
        ),
        (
            r#"tests.image.pullPolicy="Sometimes""#,
            "at '/tests/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'",
        ),
    ];
    let of_the_gateway = [
        (r#"name="1st""#, "at '/gateway/name': '1st' does not match pattern '^[a-z]([-a-z0-9]*[a-z0-9])?$'"),
        (
            r#"image.digest="sha256:0""#,
            "at '/gateway/image/digest': 'sha256:0' does not match pattern '^(sha256:[0-9a-f]{64})?$'",
        ),
        (
            r#"tls.caBundle="LS0t""#,
            "at '/gateway/tls/caBundle': 'LS0t' does not match pattern '^(-----BEGIN CERTIFICATE-----\\\\s|$)'",
        ),
        (
            r#"serviceAccount.annotations={"a.example/b":true}"#,
            "at '/gateway/serviceAccount/annotations/a.example~1b': got boolean, want string",
        ),
        (
            "serviceMonitor.enabled=true",
            "gateway.networkPolicy.metricsFrom: required with gateway.serviceMonitor.enabled; set it to Prometheus' \
             namespace or pods",
        ),
        (
            "serviceMonitor.enabled=true,gateway.metrics.enabled=false",
            "gateway.serviceMonitor.enabled: requires gateway.metrics.enabled; enable it",
        ),
        (
            "prometheusRule.enabled=true,gateway.metrics.enabled=false",
            "gateway.prometheusRule.enabled: requires gateway.metrics.enabled; enable it",
        ),
        (
            "podDisruptionBudget.maxUnavailable=0",
            "at '/gateway/podDisruptionBudget/maxUnavailable': minimum: got 0, want 1",
        ),
    ];
    let of_the_gateway = of_the_gateway.map(|(values, reason)| (format!("{GATEWAY},gateway.{values}"), reason));
    let rows: Vec<_> =
        rows.into_iter().map(|(values, reason)| (values.to_owned(), reason)).chain(of_the_gateway).collect();
    each(&rows, |(values, expected)| {
        let said = template_set(values, None).expect_err(&format!("the chart lets it pass: {values}"));
        assert_eq!(reason(said), *expected, "{values}");
    });
}
