//! What a cluster that runs Flyte's own webhook needs to run the policy in its place.
//!
//! The manifests are those of the Helm chart; `--values` prints what the chart wants to know.

use flyte_secrets_explain::check::Settings;
use flyte_secrets_explain::flyte::Version;
use flyte_secrets_explain::yaml;
use flyte_secrets_policy::settings::{self, Delivery, EmbeddedSecretManager, ManagerType, Provider};
use serde_json::{Value, json};

use crate::check::{self, Flyte};
use crate::output::{self, Answer};

/// Print the policy and its rights for a cluster that runs Flyte's own webhook today, and what to switch off there
#[derive(clap::Args)]
pub struct Arguments {
    /// Flyte's configuration, as `check` reads it
    #[arg(short, long)]
    file: String,
    /// Print values for the Helm chart, which installs the secret gateway too
    #[arg(long)]
    values: bool,
    /// The namespace that a pod must be in, if the settings have none [default: Flyte 2's namespace of tasks, Flyte 1's
    /// namespace_mapping, else `{{ project }}-{{ domain }}`]
    #[arg(long, value_name = "TEMPLATE")]
    namespace_template: Option<String>,
    /// The ConfigMap, where the file has several with a webhook section
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    config_map: Option<String>,
    #[command(flatten)]
    flyte: Flyte,
    /// A namespace of tasks, where images are pulled with secrets; several times
    #[arg(long, value_name = "NAMESPACE")]
    task_namespace: Vec<String>,
    /// The policy server
    #[arg(long, value_name = "NAME", default_value = "default")]
    policy_server: String,
    /// Its service account
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "kubewarden/policy-server", value_parser = account)]
    service_account: Account,
    /// How the manifests are written
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Shape,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Shape {
    Yaml,
    Json,
}

#[derive(Clone, Debug)]
struct Account {
    namespace: String,
    name: String,
}

fn account(text: &str) -> Result<Account, String> {
    let (namespace, name) = text.split_once('/').ok_or("expected NAMESPACE/NAME")?;
    Ok(Account { namespace: namespace.to_owned(), name: name.to_owned() })
}

/// Why there are no manifests.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Settings(#[from] check::Error),
    #[error("invalid settings: {0}; see --namespace-template")]
    Invalid(#[from] settings::Error),
    #[error(
        "imagePullSecrets.enabled needs the right to read Secrets where tasks run; name these namespaces with \
         --task-namespace"
    )]
    NoTaskNamespace,
}

const NAME: &str = "flyte-secrets-policy";
const GATEWAY: &str = "secret-gateway.flyte.org";

pub fn run(arguments: &Arguments) -> Result<Answer, Error> {
    let Settings { settings, configuration } =
        check::configured(&arguments.file, &arguments.flyte, arguments.config_map.as_deref())?;
    let mut configuration = configuration.unwrap_or_default();
    if configuration.flyte.is_some() {
        configuration.summary().iter().for_each(|line| output::note(line));
    }
    configuration.settings = if settings.is_null() { json!({}) } else { settings };
    let template = match (&arguments.namespace_template, configuration.tenancy.get("namespaceTemplate")) {
        (None, Some(template)) => template.clone(),
        (given, _) => json!(given.as_deref().unwrap_or("{{ project }}-{{ domain }}")),
    };
    configuration.tenancy.insert("namespaceTemplate".to_owned(), template);
    let section = configuration.tenant();
    configuration.warnings.iter().for_each(|warning| output::warning(&warning.message));
    let (parsed, warnings) = settings::validate(section.to_string().as_bytes())?;
    warnings.iter().for_each(|warning| output::warning(warning));
    let config = Some(&parsed.embedded_secret_manager_config)
        .filter(|_| parsed.managers().any(|manager| manager == ManagerType::Embedded));
    let reads = match config {
        Some(config) => Reads::of(config, &arguments.task_namespace)?,
        None => Reads::default(),
    };
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
    if let (Some(kind), false) = (reads.kind, arguments.values) {
        output::note(&format!("{kind} is served by the secret gateway; the chart installs it: see --values"));
    }
    let embedded = parsed.managers().any(|manager| manager == ManagerType::Embedded);
    if embedded && parsed.embedded_secret_manager_config.delivery == Delivery::Pull {
        output::warning("the rights that delivery Pull needs are not printed");
    }
    if parsed.k8s_secret_manager.verify {
        output::warning(
            "the rights that k8sSecretManager.verify needs are not printed; grant get on Secrets in the namespaces of tasks, and \
             Secrets in contextAwareResources",
        );
    }
    let (since, writer) = match configuration.flyte {
        Some(Version::One) => ("Flyte 1.16.8", "propeller"),
        Some(Version::Two) => ("Flyte 2.0.28", "Flyte's executor"),
        None => ("Flyte 1.16.8 and 2.0.28", "propeller"),
    };
    output::note(&format!(
        "switch Flyte's own webhook off: set disableCreateMutatingWebhookConfig: true in the section webhook (since {since}), \
         restart Flyte, and remove its MutatingWebhookConfiguration"
    ));
    output::note(&format!("{writer} must go on to run: it writes the label and the annotations that the policy reads"));
    Ok(Answer::Yes)
}

/// What the policy reads of the cluster.
#[derive(Default)]
struct Reads<'a> {
    /// The namespace of the Secrets with values.
    namespace: Option<&'a str>,
    /// The gateway's kind.
    kind: Option<&'static str>,
    /// Namespaces with Secrets to pull images with.
    tasks: &'a [String],
}

impl<'a> Reads<'a> {
    fn of(config: &'a EmbeddedSecretManager, tasks: &'a [String]) -> Result<Self, Error> {
        let pulls = config.image_pull_secrets.enabled;
        if pulls && tasks.is_empty() {
            return Err(Error::NoTaskNamespace);
        }
        let kind = match config.provider()? {
            Provider::Aws => Some("AWSSecret"),
            Provider::Gcp => Some("GCPSecret"),
            Provider::Azure => Some("AzureSecret"),
            Provider::K8s => None,
        };
        // The twins of image pull secrets are looked for in the store's namespace too.
        let namespace = (kind.is_none() || pulls).then_some(config.k8s_config.namespace.as_str());
        Ok(Self { namespace, kind, tasks: if pulls { tasks } else { &[] } })
    }

    fn manifests(&self, arguments: &Arguments, settings: &Value) -> Vec<Value> {
        let Account { namespace, name } = &arguments.service_account;
        let subjects = json!([{ "kind": "ServiceAccount", "name": name, "namespace": namespace }]);
        let rbac = |kind: &str, metadata: Value| {
            let version = "rbac.authorization.k8s.io/v1";
            json!({ "apiVersion": version, "kind": kind, "metadata": metadata })
        };
        let role = |kind: &str, metadata: Value, group: &str, resource: &str| {
            let rule = json!({ "apiGroups": [group], "resources": [resource], "verbs": ["get"] });
            with(rbac(kind, metadata), [("rules", json!([rule]))])
        };
        let binding = |kind: &str, metadata: Value, role: &str| {
            let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": NAME });
            with(rbac(kind, metadata), [("roleRef", role), ("subjects", subjects.clone())])
        };
        let mut manifests = Vec::new();
        let mut resources = Vec::new();
        let mut namespaces: Vec<&str> = self.namespace.into_iter().collect();
        for namespace in self.tasks {
            if !namespaces.contains(&namespace.as_str()) {
                namespaces.push(namespace);
            }
        }
        for namespace in &namespaces {
            let metadata = json!({ "name": NAME, "namespace": namespace });
            manifests.push(role("Role", metadata.clone(), "", "secrets"));
            manifests.push(binding("RoleBinding", metadata, "Role"));
        }
        if !namespaces.is_empty() {
            resources.push(json!({ "apiVersion": "v1", "kind": "Secret" }));
        }
        if let Some(kind) = self.kind {
            let metadata = json!({ "name": NAME });
            let resource = format!("{}s", kind.to_ascii_lowercase());
            manifests.push(role("ClusterRole", metadata.clone(), GATEWAY, &resource));
            manifests.push(binding("ClusterRoleBinding", metadata, "ClusterRole"));
            resources.push(json!({ "apiVersion": format!("{GATEWAY}/v1alpha1"), "kind": kind }));
        }
        let module = concat!(
            "registry://ghcr.io/flyte-secrets-policy/policies/flyte-secrets-policy:v",
            env!("CARGO_PKG_VERSION")
        );
        let mut spec = json!({
            "policyServer": arguments.policy_server,
            "module": module,
            "mode": "protect",
            "mutating": true,
            "backgroundAudit": false,
            "failurePolicy": "Fail",
            "timeoutSeconds": 10,
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"] }],
            "objectSelector": { "matchLabels": { "inject-flyte-secrets": "true" } },
        });
        if !resources.is_empty() {
            spec = with(spec, [("contextAwareResources", Value::Array(resources))]);
        }
        manifests.push(json!({
            "apiVersion": "policies.kubewarden.io/v1",
            "kind": "ClusterAdmissionPolicy",
            "metadata": { "name": "flyte-secrets" },
            "spec": with(spec, [("settings", settings.clone())]),
        }));
        manifests
    }
}

fn with<const N: usize>(mut object: Value, members: [(&str, Value); N]) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.extend(members.map(|(key, value)| (key.to_owned(), value)));
    }
    object
}

/// What the chart makes the same of. It finds out by itself whether the gateway is needed, and for which places.
fn values(arguments: &Arguments, version: Option<Version>, settings: &Value) -> Value {
    let Account { namespace, name } = &arguments.service_account;
    // The settings are complete: what the chart adds for a version that is not known would be a guess.
    let flyte = version.map_or(json!({ "tenancy": false }), |version| json!({ "version": version }));
    json!({
        "flyte": flyte,
        "policy": { "settings": settings, "imagePullSecretNamespaces": arguments.task_namespace },
        "policyServer": {
            "name": arguments.policy_server,
            "serviceAccount": { "name": name, "namespace": namespace },
        },
    })
}
