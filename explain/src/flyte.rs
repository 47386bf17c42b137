//! Flyte's configuration as Flyte reads it: the files of one ConfigMap, merged in the order of their names, and Flyte's
//! defaults.
//!
//! Source of the merge: `flytestdlib/config/viper` and viper's `MergeConfig`. Sources of the defaults, which differ:
//! `flytepropeller/pkg/webhook/config` of Flyte 1, `flyteplugins/go/tasks/pluginmachinery/secret/config` of Flyte 2.

use flyte_secrets_policy::settings;
use saphyr::YamlDataOwned;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::check::{Finding, Severity};
use crate::yaml::{self, Node};
use crate::{at, text};

/// Flyte's major version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// Flyte 1: propeller, with tasks in a namespace for each project and domain.
    One,
    /// Flyte 2: one executor, with all tasks in one namespace.
    Two,
}

impl Version {
    fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Flyte {}", self.number())
    }
}

/// Sections that only one of the two versions registers.
const SECTIONS: [(Version, &[&str]); 2] = [
    (
        Version::One,
        &[
            "admin",
            "catalog-cache",
            "cluster_resources",
            "datacatalog",
            "domains",
            "event",
            "flyte",
            "flyteadmin",
            "namespace_mapping",
            "propeller",
            "queues",
            "scheduler",
            "task_resources",
        ],
    ),
    (
        Version::Two,
        &["actions", "apps", "cache_service", "dataproxy", "events", "executor", "internalapps", "runs", "secret"],
    ),
];

/// Fields of the section `webhook` that Flyte 1 does not have, and ignores.
const NEW_IN_TWO: [&str; 4] =
    ["secretManagerTypes", "secretEnvVarPrefix", "embeddedSecretManagerConfig", "azureSecretManager"];

/// Init containers whose resources are settings.
const INIT_CONTAINERS: [&[&str]; 4] = [
    &["awsSecretManager"],
    &["gcpSecretManager"],
    &["azureSecretManager"],
    &["embeddedSecretManagerConfig", "fileMountInitContainer"],
];

/// One file of a configuration.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name, which determines the order; empty if the text is the file.
    pub name: String,
    /// Its content.
    pub node: Node,
}

/// A setting and its origin.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Setting {
    /// Its description.
    pub name: &'static str,
    /// Its value in words.
    pub value: String,
    /// A file, or the version of Flyte whose default it is.
    pub from: String,
}

/// A configuration as Flyte reads it.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// Namespace and name of the ConfigMap; empty if the text is the configuration.
    pub name: String,
    /// Major version of Flyte, if known.
    #[cfg_attr(feature = "schema", schemars(with = "Option<u8>"))]
    pub flyte: Option<Version>,
    /// How the version was detected.
    pub evidence: String,
    /// Files with a section `webhook`, in the order of merging.
    pub files: Vec<String>,
    /// Values that a later file replaces.
    pub replaced: Vec<String>,
    /// Settings in effect.
    pub effective: Vec<Setting>,
    /// Behavior of the policy by manager.
    pub does: Vec<String>,
    /// Features of Flyte's webhook that the policy does not have.
    pub missing: Vec<String>,
    /// The section `webhook` with Flyte's defaults.
    #[serde(skip)]
    pub settings: Value,
    /// `tenancy` for this Flyte.
    #[serde(skip)]
    pub tenancy: Map<String, Value>,
    /// Warnings, each with its field of the section.
    #[serde(skip)]
    pub warnings: Vec<Finding>,
}

/// The origin of a configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    /// The ConfigMap's namespace.
    pub namespace: &'a str,
    /// The ConfigMap's name.
    pub name: &'a str,
    /// The ConfigMap's labels.
    pub labels: Option<&'a Value>,
    /// The version given by the user.
    pub version: Option<Version>,
    /// `namespace_mapping.template`, which can be in another ConfigMap of the same namespace.
    pub namespace_template: Option<&'a str>,
}

/// Merges the files of a configuration as viper does: maps key by key, case-insensitively. Lists and scalars are
/// replaced as a whole. A map remains if a later file has another type.
pub fn merge(files: &[File]) -> (Node, Vec<String>) {
    let mut merged = Node::value_from_str("{}");
    merged.data = YamlDataOwned::Mapping(Default::default());
    let mut replaced = Vec::new();
    for (turn, file) in files.iter().enumerate() {
        let earlier = files.get(..turn).unwrap_or_default();
        merge_into(&mut merged, &file.node, &mut Vec::new(), &mut |path: &[String]| {
            let keys: Vec<&str> = path.iter().map(String::as_str).collect();
            if let Some(("webhook", rest)) = keys.split_first().map(|(first, rest)| (*first, rest)) {
                let before = last_with(earlier, &keys).unwrap_or_default();
                replaced.push(format!("{} replaces {} of {before}", file.name, rest.join(".")));
            }
        });
    }
    (merged, replaced)
}

fn merge_into(target: &mut Node, source: &Node, path: &mut Vec<String>, replaced: &mut impl FnMut(&[String])) {
    let (YamlDataOwned::Mapping(known), YamlDataOwned::Mapping(entries)) = (&mut target.data, &source.data) else {
        if !target.data.is_mapping() && yaml::value(target) != yaml::value(source) {
            replaced(path);
            *target = source.clone();
        }
        return;
    };
    for (key, value) in entries {
        let name = yaml::name(key);
        match known.iter().map(|(known, _)| known).find(|known| yaml::name(known).eq_ignore_ascii_case(&name)).cloned()
        {
            None => {
                known.insert(key.clone(), value.clone());
            }
            Some(same) => {
                path.push(yaml::name(&same));
                if let Some(target) = known.get_mut(&same) {
                    merge_into(target, value, path, replaced);
                }
                path.pop();
            }
        }
    }
}

/// Returns the name of the last file that has a value at a path of keys.
fn last_with<'f>(files: &'f [File], path: &[&str]) -> Option<&'f str> {
    files.iter().rev().find(|file| has(&file.node, path)).map(|file| file.name.as_str())
}

fn has(node: &Node, path: &[&str]) -> bool {
    let Some((key, rest)) = path.split_first() else { return !node.data.is_null() };
    let mut entries = node.data.as_mapping().into_iter().flatten();
    entries.any(|(name, value)| yaml::name(name).eq_ignore_ascii_case(key) && has(value, rest))
}

/// Detects the version by sections that only one version has, or by labels of Flyte's charts.
fn recognize(root: &Value, labels: Option<&Value>) -> (Option<Version>, String) {
    let keys: Vec<String> = root.as_object().into_iter().flatten().map(|(key, _)| key.to_ascii_lowercase()).collect();
    let found = SECTIONS.map(|(version, names)| {
        let known = keys.iter().map(String::as_str).filter(|key| names.contains(key));
        (version, known.collect::<Vec<&str>>())
    });
    let [one, two] = &found;
    let (version, sections) = if one.1.len() > two.1.len() { one } else { two };
    if !sections.is_empty() {
        let word = if sections.len() == 1 { "section" } else { "sections" };
        return (Some(*version), format!("{word} {}", sections.join(", ")));
    }
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).and_then(Value::as_str).unwrap_or_default();
    let (app, chart) = (label("app.kubernetes.io/version"), label("helm.sh/chart"));
    let version = match app.trim_start_matches('v').split('.').next() {
        Some("1") => Some(Version::One),
        Some("2") => Some(Version::Two),
        _ => None,
    };
    match version {
        Some(_) => (version, format!("label app.kubernetes.io/version={app}")),
        None if chart.starts_with("flyte-core-") => (Some(Version::One), format!("label helm.sh/chart={chart}")),
        None => (None, String::new()),
    }
}

/// Whether a configuration without section `webhook` is of the component of Flyte that runs the webhook.
pub fn runs_webhook(root: &Value) -> bool {
    ["propeller", "actions", "executor"].iter().any(|section| root.get(section).is_some())
}

impl Configuration {
    /// Reads a configuration.
    pub fn read(files: &[File], origin: Origin) -> Self {
        let (merged, replaced) = merge(files);
        let root = yaml::value(&merged);
        let (recognized, evidence) = recognize(&root, origin.labels);
        let mut configuration = Self {
            name: match origin.namespace {
                "" => origin.name.to_owned(),
                namespace => format!("{namespace}/{}", origin.name),
            },
            flyte: origin.version.or(recognized),
            evidence: match origin.version {
                Some(_) => "as given".to_owned(),
                None => evidence,
            },
            files: files.iter().filter(|file| has(&file.node, &["webhook"])).map(|file| file.name.clone()).collect(),
            replaced,
            settings: member(&root, "webhook").filter(|section| section.is_object()).cloned().unwrap_or(json!({})),
            ..Self::default()
        };
        configuration.lower_requests();
        if let Some(version) = configuration.flyte {
            configuration.complete(version, files, &root, origin);
        }
        configuration
    }

    /// Adds the defaults of Flyte.
    fn complete(&mut self, version: Version, files: &[File], root: &Value, origin: Origin) {
        let default = format!("default of {version}");
        let from = |path: &[&str]| {
            let path = [&["webhook"], path].concat();
            last_with(files, &path).map_or_else(|| default.clone(), str::to_owned)
        };
        let managers =
            ["secretManagerTypes", "secretManagerType"].into_iter().find(|key| match member(&self.settings, key) {
                None | Some(Value::Null) => false,
                Some(Value::Array(list)) => !list.is_empty(),
                Some(_) => true,
            });
        let key = managers.unwrap_or("secretManagerTypes");
        if managers.is_none() {
            let manager = match version {
                Version::One => "K8s",
                Version::Two => "Embedded",
            };
            self.set(&[key], json!([manager]));
        }
        let named: Vec<String> = match member(&self.settings, key) {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            other => other.and_then(Value::as_str).map(str::to_owned).into_iter().collect(),
        };
        self.show("managers", named.join(", "), from(&[key]));
        let prefix = match version {
            Version::One => "_FSEC_",
            Version::Two => "_UNION_",
        };
        if text(&self.settings, &["secretEnvVarPrefix"]).is_empty() {
            self.set(&["secretEnvVarPrefix"], json!(prefix));
        }
        let prefix = text(&self.settings, &["secretEnvVarPrefix"]).to_owned();
        self.show("prefix of variables", prefix, from(&["secretEnvVarPrefix"]));
        let embedded = named.iter().any(|manager| manager.eq_ignore_ascii_case("Embedded"));
        if version == Version::One {
            self.flyte_one(embedded, &named, root, origin);
        } else {
            self.flyte_two(embedded, files, root, origin);
        }
        let provider = text(&self.settings, &["embeddedSecretManagerConfig", "type"]).to_owned();
        self.does = named.iter().filter_map(|manager| does(manager, &provider)).collect();
        let secrets = |key, default: &'static str| match text(root, &["secrets", key]) {
            "" => default.to_owned(),
            given => given.to_owned(),
        };
        let (variables, folder) = (secrets("env-prefix", "FLYTE_SECRET_"), secrets("secrets-prefix", "/etc/secrets"));
        self.missing.push(format!(
            "Global, which {version} always tries first: secrets in variables {variables}* and files in {folder} of the \
             webhook's own pod; store them where a manager above finds them"
        ));
        if at(&self.settings, &["embeddedSecretManagerConfig", "imagePullSecrets", "enabled"]) == Some(&json!(true)) {
            self.missing.push("copies of image pull secrets: the policy says what to copy where".to_owned());
        }
    }

    fn flyte_one(&mut self, embedded: bool, named: &[String], root: &Value, origin: Origin) {
        let own = match text(&self.settings, &["secretManagerType"]) {
            "" => "K8s",
            own => own,
        };
        let own = own.to_owned();
        let section = member(root, "webhook").unwrap_or(&Value::Null);
        let given = |field: &&str| member(section, field).is_some_and(|value| !value.is_null());
        for field in NEW_IN_TWO.into_iter().filter(given) {
            let unknown = format!("{field} is not a field of Flyte 1, whose webhook ignores it");
            if field != "secretManagerTypes" {
                self.warn(field, format!("{unknown}; the policy uses it"));
            } else if named != [own.as_str()] {
                let named = named.join(", ");
                self.warn(
                    field,
                    format!("{unknown} and uses {own}; the policy uses {named}. Set it to [{own}] to keep what tasks get today"),
                );
            }
        }
        if embedded {
            let field = ["secretManagerTypes", "secretManagerType"].into_iter().find(given).unwrap_or_default();
            self.warn(
                field,
                "Embedded needs the label organization, which Flyte 1 does not set, so it finds no secret; set the label by a \
                 pod template, or use another manager"
                    .to_owned(),
            );
        }
        let given = origin.namespace_template.or_else(|| at(root, &["namespace_mapping", "template"])?.as_str());
        let (template, from) = match given {
            Some(template) => (template, "namespace_mapping"),
            None => ("{{ project }}-{{ domain }}", "default of Flyte 1"),
        };
        self.tenancy.insert("namespaceTemplate".to_owned(), json!(template));
        self.show("namespaces of tasks", template.to_owned(), from.to_owned());
    }

    fn flyte_two(&mut self, embedded: bool, files: &[File], root: &Value, origin: Origin) {
        let default = "default of Flyte 2";
        let file = |path: &[&str]| last_with(files, path).unwrap_or(default).to_owned();
        let config = "embeddedSecretManagerConfig";
        if embedded {
            if text(&self.settings, &[config, "type"]).is_empty() {
                let places = [("awsConfig", "region"), ("gcpConfig", "project"), ("azureConfig", "vaultURI")];
                let place = places.iter().find(|(key, field)| !text(&self.settings, &[config, key, field]).is_empty());
                if let Some((place, _)) = place {
                    self.warn(
                        config,
                        format!("{config}.type is not set, and Flyte 2 reads Kubernetes Secrets then, in spite of {place}; set type"),
                    );
                }
                self.set(&[config, "type"], json!("K8s"));
            }
            let provider = text(&self.settings, &[config, "type"]).to_owned();
            self.show("Embedded reads", provider.clone(), file(&["webhook", config, "type"]));
            if provider.eq_ignore_ascii_case("K8s") {
                if text(&self.settings, &[config, "k8sConfig", "namespace"]).is_empty() {
                    self.set(&[config, "k8sConfig", "namespace"], json!("flyte"));
                }
                let namespace = text(&self.settings, &[config, "k8sConfig", "namespace"]).to_owned();
                let written = match text(root, &["secret", "kubernetes", "namespace"]) {
                    "" => "flyte",
                    written => written,
                };
                if written != namespace {
                    self.warn(
                        config,
                        format!(
                            "`flyte create secret` stores Secrets in the namespace {written:?} (secret.kubernetes.namespace), and \
                             Embedded reads {namespace:?}; set both to the same"
                        ),
                    );
                }
                self.show("namespace of Secrets", namespace, file(&["webhook", config, "k8sConfig", "namespace"]));
            }
        }
        let path = ["actions", "kubernetes", "namespace"];
        let (namespace, from) = match text(root, &path) {
            "" => ("flyte", default.to_owned()),
            namespace => (namespace, file(&path)),
        };
        self.tenancy.insert("namespaceTemplate".to_owned(), json!(namespace));
        self.show("namespace of tasks", namespace.to_owned(), from);
        self.tenancy.insert("organizations".to_owned(), json!(["flyte"]));
        self.show("label organization", "flyte".to_owned(), "a constant of Flyte 2".to_owned());
        // Flyte's chart gives the service account the name of the release, and the webhook's Service a suffix.
        let service = text(&self.settings, &["serviceName"]);
        if let (Some(name), false) = (service.strip_suffix("-webhook"), origin.namespace.is_empty()) {
            let creator = format!("system:serviceaccount:{}:{name}", origin.namespace);
            self.tenancy.insert("creators".to_owned(), json!([creator]));
            self.show(
                "creator of task pods",
                creator,
                "serviceName without -webhook, as Flyte's chart names it".to_owned(),
            );
        }
    }

    /// Returns the settings with `tenancy` for this Flyte. Existing values take precedence.
    pub fn tenant(&self) -> Value {
        let mut settings = self.settings.clone();
        if let Some(section) = settings.as_object_mut().filter(|_| !self.tenancy.is_empty()) {
            let mut tenancy = self.tenancy.clone();
            if let Some(Value::Object(given)) = section.remove("tenancy") {
                tenancy.extend(given);
            }
            section.insert("tenancy".to_owned(), tenancy.into());
        }
        settings
    }

    /// Lowers Flyte's default resource requests to configured limits, because Kubernetes rejects requests above limits.
    fn lower_requests(&mut self) {
        for path in INIT_CONTAINERS {
            let limits =
                at(&self.settings, &[path, &["resources", "limits"]].concat()).and_then(Value::as_object).cloned();
            for (resource, limit) in limits.into_iter().flatten() {
                let request = [path, &["resources", "requests", &resource]].concat();
                if at(&self.settings, &request).is_some() {
                    continue;
                }
                let valid = |resources: Value| {
                    let nested =
                        path.iter().rev().fold(json!({ "resources": resources }), |inner, key| json!({ *key: inner }));
                    settings::validate(nested.to_string().as_bytes()).is_ok()
                };
                let limits = json!({ &resource: limit });
                if !valid(json!({ "limits": limits })) && valid(json!({ "limits": limits, "requests": limits })) {
                    self.set(&request, limit.clone());
                    let limit = limit.as_str().map_or_else(|| limit.to_string(), str::to_owned);
                    self.warn(
                        &[path, &["resources"]].concat().join("."),
                        format!(
                            "{}: the limit of {limit} {resource} is under Flyte's default request, so Kubernetes rejects Flyte's \
                             pods; the policy requests {limit} too",
                            [path, &["resources"]].concat().join(".")
                        ),
                    );
                }
            }
        }
    }

    fn set(&mut self, path: &[&str], value: Value) {
        let mut target = &mut self.settings;
        for key in path {
            if !target.is_object() {
                *target = json!({});
            }
            let Some(object) = target.as_object_mut() else { return };
            target = object.entry(*key).or_insert(Value::Null);
        }
        *target = value;
    }

    fn show(&mut self, name: &'static str, value: String, from: String) {
        self.effective.push(Setting { name, value, from });
    }

    fn warn(&mut self, field: &str, message: String) {
        self.warnings.push(Finding {
            severity: Severity::Warning,
            path: field.to_owned(),
            message,
            place: None,
            file: None,
        });
    }

    /// Returns a summary: what was found and where, settings in effect, behavior of the policy.
    pub fn summary(&self) -> Vec<String> {
        let name = match self.name.as_str() {
            "" => "configuration".to_owned(),
            name => format!("ConfigMap {name}"),
        };
        let mut lines = vec![match self.flyte {
            Some(version) => format!("{name}: {version} ({})", self.evidence),
            None => {
                format!("{name}: neither Flyte 1 nor Flyte 2 recognized, whose defaults differ; see --flyte-version")
            }
        }];
        match self.files.as_slice() {
            [] => lines.push("  no section webhook; all values are defaults".to_owned()),
            [file] if file.is_empty() => {}
            files => lines.push(format!("  section webhook: {}", files.join(", then "))),
        }
        lines.extend(self.replaced.iter().map(|replaced| format!("    {replaced}")));
        lines.extend(self.effective.iter().map(|Setting { name, value, from }| match from.as_str() {
            "" => format!("  {name}: {value}"),
            from => format!("  {name}: {value} ({from})"),
        }));
        lines.extend(self.does.iter().map(|does| format!("  in the policy: {does}")));
        lines.extend(self.missing.iter().map(|missing| format!("  not in the policy: {missing}")));
        lines
    }
}

fn member<'v>(object: &'v Value, key: &str) -> Option<&'v Value> {
    object.as_object()?.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
}

/// Returns the behavior of a manager in the policy.
fn does(manager: &str, provider: &str) -> Option<String> {
    let is = |name: &str| manager.eq_ignore_ascii_case(name);
    let does = match manager {
        _ if is("K8s") => "K8s refers to Secrets in the pod's namespace".to_owned(),
        _ if is("Vault") => "Vault adds annotations for the Vault Agent Injector".to_owned(),
        _ if is("Embedded") && (provider.is_empty() || provider.eq_ignore_ascii_case("K8s")) => {
            "Embedded looks up secrets in Kubernetes Secrets, by the pod's labels".to_owned()
        }
        _ if is("Embedded") => {
            format!("Embedded looks up secrets in {provider}, by the pod's labels, through the secret gateway")
        }
        _ if ["AWS", "GCP", "Azure"].into_iter().any(is) => {
            format!("{manager} adds an init container for each secret, which fetches it with the pod's identity")
        }
        _ => return None,
    };
    Some(does)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(contents: &[&str]) -> Vec<File> {
        let node = |content: &str| yaml::read(content).expect("YAML").remove(0);
        let file = |(turn, content): (usize, &&str)| File { name: format!("{turn}.yaml"), node: node(content) };
        contents.iter().enumerate().map(file).collect()
    }

    #[test]
    fn files_are_merged_as_viper_merges_them() {
        let table: [(&[&str], Value, &[&str]); 6] = [
            (&["a: {b: 1, c: 2}", "a: {b: 3, d: 4}"], json!({ "a": { "b": 3, "c": 2, "d": 4 } }), &[]),
            (
                &["webhook: {l: [1, 2]}", "webhook: {l: [3]}"],
                json!({ "webhook": { "l": [3] } }),
                &["1.yaml replaces l of 0.yaml"],
            ),
            (&["Webhook: {A: 1}", "webhook: {a: 1}"], json!({ "Webhook": { "A": 1 } }), &[]),
            (&["a: {b: 1}", "a: 2", "a:"], json!({ "a": { "b": 1 } }), &[]),
            (&["a: 2", "a: {b: 1}"], json!({ "a": { "b": 1 } }), &[]),
            (
                &["webhook: {x: 1}", "b: 1", "webhook: {x: 2}", "webhook: {x: 3}"],
                json!({ "webhook": { "x": 3 }, "b": 1 }),
                &["2.yaml replaces x of 0.yaml", "3.yaml replaces x of 2.yaml"],
            ),
        ];
        for (contents, expected, replaced) in table {
            let (merged, found) = merge(&files(contents));
            assert_eq!((yaml::value(&merged), found), (expected, replaced.iter().map(|it| (*it).to_owned()).collect()));
        }
    }

    #[test]
    fn versions_are_recognized_by_sections_then_by_labels() {
        let labels = json!({ "app.kubernetes.io/version": "1.16.0", "helm.sh/chart": "flyte-binary-v0.1.10" });
        let core = json!({ "helm.sh/chart": "flyte-core-v1.15.0" });
        let table = [
            ("{webhook: {}, propeller: {}}", None, Some(Version::One), "section propeller"),
            ("{webhook: {}, Runs: {}, secret: {}}", None, Some(Version::Two), "sections runs, secret"),
            ("{runs: {}, actions: {}, propeller: {}}", Some(&labels), Some(Version::Two), "sections runs, actions"),
            ("{webhook: {}}", Some(&labels), Some(Version::One), "label app.kubernetes.io/version=1.16.0"),
            ("{webhook: {}}", Some(&core), Some(Version::One), "label helm.sh/chart=flyte-core-v1.15.0"),
            ("{webhook: {}, logger: {}, storage: {}}", None, None, ""),
        ];
        for (content, labels, version, evidence) in table {
            let found = Configuration::read(&files(&[content]), Origin { labels, ..Origin::default() });
            assert_eq!((found.flyte, found.evidence.as_str()), (version, evidence), "{content}");
        }
    }
}
