//! `policy`: manifests that replace Flyte's webhook by the policy, or values for the Helm chart.
//!
//! The manifests are those that the chart renders.

use flyte_secrets_explain::flyte::Version;
use flyte_secrets_explain::{check, yaml};
use flyte_secrets_policy::settings::{self, Delivery, LookupMode, ManagerType, Provider};
use serde_json::{Value, json};

use crate::check::Flyte;
use crate::{Error, output, read};

/// Print manifests of the policy and its permissions from the configuration of Flyte's webhook
#[derive(clap::Args)]
pub struct Arguments {
    /// File with Flyte's configuration, as for `check`
    #[arg(short, long)]
    file: String,
    /// Print values for the Helm chart, which also installs the secret gateway
    #[arg(long)]
    values: bool,
    /// Template for the namespace of a pod, if the settings have none [default: Flyte 2's namespace of tasks, Flyte 1's
    /// namespace_mapping, or `{{ project }}-{{ domain }}`]
    #[arg(long, value_name = "TEMPLATE")]
    namespace_template: Option<String>,
    /// ConfigMap to read, if the file has several with a webhook section
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    config_map: Option<String>,
    #[command(flatten)]
    flyte: Flyte,
    /// Namespace of tasks, where the policy reads Secrets for imagePullSecrets and k8sSecretManager.verify; repeatable
    /// [default: the namespace template, if it is one namespace]
    #[arg(long, value_name = "NAMESPACE")]
    task_namespace: Vec<String>,
    /// Name of the policy server
    #[arg(long, value_name = "NAME", default_value = "default")]
    policy_server: String,
    /// Service account of the policy server
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "kubewarden/policy-server", value_parser = account)]
    service_account: (String, String),
    /// Output format
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Shape,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Shape {
    Yaml,
    Json,
}

/// Splits the namespace and the name of a service account.
fn account(text: &str) -> Result<(String, String), &'static str> {
    let (namespace, name) = text.split_once('/').ok_or("expected NAMESPACE/NAME")?;
    Ok((namespace.to_owned(), name.to_owned()))
}

const NAME: &str = "flyte-secrets-policy";
const TASK_SECRETS: &str = "flyte-secrets-policy-task-secrets";
const GATEWAY: &str = "secret-gateway.flyte.org";

/// Returns the expression that selects pods with the label, or with a token for the gateway, as in the chart: labels
/// can be added after admission.
fn expression(audience: &str) -> String {
    let audience = json!(audience);
    format!(
        "(has(object.metadata.labels) && \"inject-flyte-secrets\" in object.metadata.labels && \
         object.metadata.labels[\"inject-flyte-secrets\"] == \"true\") || (has(object.spec.volumes) && \
         object.spec.volumes.exists(volume, has(volume.projected) && has(volume.projected.sources) && \
         volume.projected.sources != null && volume.projected.sources.exists(source, has(source.serviceAccountToken) && \
         has(source.serviceAccountToken.audience) && source.serviceAccountToken.audience == {audience})))"
    )
}

pub fn run(arguments: &Arguments) -> Result<bool, Error> {
    let Arguments { file, flyte, config_map, .. } = arguments;
    let mut configuration = check::settings(&read(file)?, flyte.flyte_version, config_map.as_deref())?;
    if configuration.flyte.is_some() {
        configuration.summary().iter().for_each(|line| output::note(line));
    }
    if configuration.settings.is_null() {
        configuration.settings = json!({});
    }
    let tenancy = &mut configuration.tenancy;
    if let Some(template) = &arguments.namespace_template {
        tenancy.insert("namespaceTemplate".to_owned(), json!(template));
    }
    tenancy.entry("namespaceTemplate").or_insert_with(|| json!("{{ project }}-{{ domain }}"));
    let section = configuration.tenant();
    configuration.warnings.iter().for_each(|warning| output::warning(&warning.message));
    let (parsed, warnings) = settings::validate(section.to_string().as_bytes())?;
    warnings.iter().for_each(|warning| output::warning(warning));
    let template = section.pointer("/tenancy/namespaceTemplate").and_then(Value::as_str);
    let bound = template.filter(|template| !template.contains("{{"));
    let reads = Reads::of(&parsed, &arguments.task_namespace, bound)?;
    let documents = match arguments.values {
        true => vec![values(arguments, configuration.flyte, &section)],
        false => reads.manifests(arguments, &section),
    };
    match arguments.output {
        Shape::Yaml => {
            let documents: Vec<String> = documents.iter().map(yaml::write).collect();
            output::data(&documents.join("---\n"));
        }
        Shape::Json if arguments.values => documents.iter().for_each(output::json),
        Shape::Json => output::json(&json!({ "apiVersion": "v1", "kind": "List", "items": documents })),
    }
    if !arguments.values {
        let gateway = "the secret gateway; to install it, use the chart with --values";
        match reads.served.first() {
            _ if reads.audience.is_some() => output::note(&format!("pods pull secrets from {gateway}")),
            Some(kind) => output::note(&format!("{kind} is served by {gateway}")),
            None => {}
        }
    }
    let (since, writer) = match configuration.flyte {
        Some(Version::One) => ("Flyte 1.16.8", "propeller"),
        Some(Version::Two) => ("Flyte 2.0.28", "Flyte's executor"),
        None => ("Flyte 1.16.8 and 2.0.28", "propeller"),
    };
    output::note(&format!(
        "disable Flyte's webhook: set disableCreateMutatingWebhookConfig: true in the section webhook (since {since}), \
         restart Flyte, and delete its MutatingWebhookConfiguration"
    ));
    output::note(&format!("keep {writer} running: it writes the label and the annotations that the policy reads"));
    Ok(true)
}

/// Objects that the policy reads, as in the facts of the chart.
#[derive(Default)]
struct Reads {
    /// Namespace of Secrets with values, or of the copies that pull images.
    secrets: Option<String>,
    /// Namespace of the store, which is read if a secret is not found.
    store: Option<String>,
    /// Kinds of the gateway.
    served: Vec<&'static str>,
    /// Namespaces of tasks whose Secrets it reads.
    tasks: Vec<String>,
    /// Audience of the tokens with which pods pull.
    audience: Option<String>,
}

impl Reads {
    fn of(settings: &settings::Settings, tasks: &[String], bound: Option<&str>) -> Result<Self, Error> {
        const LOOKUPS: &str = "SecretLookup";
        let has = |manager| settings.managers().any(|it| it == manager);
        let mut reads = Self::default();
        let mut why =
            (has(ManagerType::K8s) && settings.k8s_secret_manager.verify).then_some("k8sSecretManager.verify");
        if has(ManagerType::Embedded) {
            let config = &settings.embedded_secret_manager_config;
            let provider = config.provider()?;
            let namespace = Some(config.k8s_config.namespace.clone());
            if config.delivery == Delivery::Pull {
                reads.served = Some(LOOKUPS).filter(|_| config.lookup != LookupMode::Off).into_iter().collect();
                reads.audience = Some(config.pull.clone().unwrap_or_default().audience);
            } else if provider == Provider::K8s {
                reads.secrets.clone_from(&namespace);
                reads.store.clone_from(&namespace);
            } else {
                reads.served = vec![provider.facts().kind, LOOKUPS];
            }
            if config.image_pull_secrets.enabled {
                // Image pull secrets are looked up in the store's namespace, too.
                reads.secrets = namespace;
                why = Some("imagePullSecrets.enabled");
            }
        }
        if let Some(why) = why {
            reads.tasks = match tasks {
                [] => vec![bound.ok_or(Error::NoTaskNamespace(why))?.to_owned()],
                tasks => tasks.to_vec(),
            };
            reads.tasks.sort_unstable();
            reads.tasks.dedup();
        }
        Ok(reads)
    }

    fn manifests(&self, arguments: &Arguments, settings: &Value) -> Vec<Value> {
        let (namespace, name) = &arguments.service_account;
        let subjects = json!([{ "kind": "ServiceAccount", "name": name, "namespace": namespace }]);
        let object = |kind: &str, name: &str, namespace: Option<&String>, fields: Value| {
            let head = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind });
            with(with(head, json!({ "metadata": { "name": name, "namespace": namespace } })), fields)
        };
        let role = |kind: &str, name: &str, namespace: Option<&String>, resources: Value| {
            let rule = with(resources, json!({ "verbs": ["get"] }));
            object(kind, name, namespace, json!({ "rules": [rule] }))
        };
        let binding = |kind: &str, name: &str, namespace: Option<&String>| {
            let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name });
            let kind = if namespace.is_some() { "RoleBinding" } else { "ClusterRoleBinding" };
            object(kind, name, namespace, json!({ "roleRef": role, "subjects": subjects }))
        };
        let secrets = || json!({ "apiGroups": [""], "resources": ["secrets"] });
        let mut manifests = Vec::new();
        if let namespace @ Some(_) = self.secrets.as_ref() {
            manifests.extend([role("Role", NAME, namespace, secrets()), binding("Role", NAME, namespace)]);
        }
        let plurals: Vec<String> = self.served.iter().map(|kind| format!("{}s", kind.to_ascii_lowercase())).collect();
        let cluster = match &self.store {
            Some(store) => Some(json!({ "apiGroups": [""], "resources": ["namespaces"], "resourceNames": [store] })),
            None => (!self.served.is_empty()).then(|| json!({ "apiGroups": [GATEWAY], "resources": plurals })),
        };
        if let Some(resources) = cluster {
            manifests.extend([role("ClusterRole", NAME, None, resources), binding("ClusterRole", NAME, None)]);
        }
        if !self.tasks.is_empty() {
            manifests.push(role("ClusterRole", TASK_SECRETS, None, secrets()));
        }
        manifests.extend(self.tasks.iter().map(|tasks| binding("ClusterRole", TASK_SECRETS, Some(tasks))));
        let gateway = format!("{GATEWAY}/v1alpha1");
        let own = [("Secret", self.secrets.is_some() || !self.tasks.is_empty()), ("Namespace", self.store.is_some())];
        let own = own.into_iter().filter_map(|(kind, is_read)| is_read.then_some(("v1", kind)));
        let read = own.chain(self.served.iter().map(|kind| (gateway.as_str(), *kind)));
        let resources: Vec<Value> =
            read.map(|(version, kind)| json!({ "apiVersion": version, "kind": kind })).collect();
        let labelled = self.audience.is_none().then(|| json!({ "matchLabels": { "inject-flyte-secrets": "true" } }));
        let condition =
            |audience: &String| json!([{ "name": "pods-with-secrets", "expression": expression(audience) }]);
        let registry = "registry://ghcr.io/flyte-secrets-policy/policies/flyte-secrets-policy";
        let spec = json!({
            "policyServer": arguments.policy_server,
            "module": format!("{registry}:v{}", env!("CARGO_PKG_VERSION")),
            "mode": "protect",
            "mutating": true,
            "backgroundAudit": false,
            "failurePolicy": "Fail",
            "timeoutSeconds": 10,
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"] }],
            "objectSelector": labelled,
            "matchConditions": self.audience.as_ref().map(condition),
            "contextAwareResources": Some(resources).filter(|resources| !resources.is_empty()),
        });
        let mut spec = with(json!({}), spec);
        if let Some(spec) = spec.as_object_mut() {
            // As they are, with `null`.
            spec.insert("settings".to_owned(), settings.clone());
        }
        manifests.push(json!({
            "apiVersion": "policies.kubewarden.io/v1",
            "kind": "ClusterAdmissionPolicy",
            "metadata": { "name": "flyte-secrets" },
            "spec": spec,
        }));
        manifests
    }
}

/// Returns an object with more fields. Those that are `null` are left out.
fn with(mut object: Value, fields: Value) -> Value {
    json_patch::merge(&mut object, &fields);
    object
}

/// Returns values with which the chart renders the same. The chart decides whether the gateway is required, and for
/// what.
fn values(arguments: &Arguments, version: Option<Version>, settings: &Value) -> Value {
    let (namespace, name) = &arguments.service_account;
    // The settings are complete. Without a known version, defaults of the chart would be a guess.
    let flyte = version.map_or(json!({ "tenancy": false }), |version| json!({ "version": version }));
    let tasks = Some(&arguments.task_namespace).filter(|tasks| !tasks.is_empty());
    json!({
        "flyte": with(flyte, json!({ "taskNamespaces": tasks })),
        "policy": { "settings": settings, "imagePullSecretNamespaces": arguments.task_namespace },
        "policyServer": {
            "name": arguments.policy_server,
            "serviceAccount": { "name": name, "namespace": namespace },
        },
    })
}
