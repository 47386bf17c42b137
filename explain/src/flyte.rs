//! Flyte's configuration as Flyte reads it: the files of one ConfigMap, merged in the order of their names, and Flyte's
//! defaults.
//!
//! Source of the merge: `flytestdlib/config/viper` and viper's `MergeConfig`. Sources of the defaults, which differ:
//! `flytepropeller/pkg/webhook/config` of Flyte 1, `flyteplugins/go/tasks/pluginmachinery/secret/config` of Flyte 2.

use std::slice;

use flyte_secrets_policy::settings::{self, ManagerType, Provider};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::check::{Finding, Severity};
use crate::{at, named, text};

/// Flyte's major version.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(into = "u8")]
pub enum Version {
    /// Flyte 1: propeller, with tasks in a namespace for each project and domain.
    One = 1,
    /// Flyte 2: one executor, with all tasks in one namespace.
    Two = 2,
}

impl Version {
    /// Returns the version with this number.
    pub fn from_number(number: &str) -> Option<Self> {
        [Self::One, Self::Two].into_iter().find(|version| u8::from(*version).to_string() == number)
    }

    /// Returns the sections that only this version registers, its default manager, and its default prefix of variables.
    fn facts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::One => (
                "admin catalog-cache cluster_resources datacatalog domains event flyte flyteadmin namespace_mapping propeller \
                 queues scheduler task_resources",
                "K8s",
                "_FSEC_",
            ),
            Self::Two => {
                ("actions apps cache_service dataproxy events executor internalapps runs secret", "Embedded", "_UNION_")
            }
        }
    }
}

impl From<Version> for u8 {
    fn from(version: Version) -> Self {
        version as Self
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Flyte {}", *self as u8)
    }
}

/// Fields of the section `webhook` that Flyte 1 does not have, and ignores.
const NEW_IN_TWO: [&str; 4] =
    ["secretManagerTypes", "secretEnvVarPrefix", "embeddedSecretManagerConfig", "azureSecretManager"];

/// Resources of init containers that are settings.
const RESOURCES: [&[&str]; 4] = [
    &["awsSecretManager", "resources"],
    &["gcpSecretManager", "resources"],
    &["azureSecretManager", "resources"],
    &["embeddedSecretManagerConfig", "fileMountInitContainer", "resources"],
];

/// One file of a configuration.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name, which determines the order; empty if the text is the file.
    pub name: String,
    /// Its content.
    pub content: Value,
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

/// Merges the files of a configuration as viper does: maps key by key, case-insensitively. Lists and scalars are
/// replaced as a whole. A map remains if a later file has another type. Also returns which settings are replaced.
fn merge(files: &[File]) -> (Value, Vec<String>) {
    let (mut merged, mut replaced) = (json!({}), Vec::new());
    for (turn, file) in files.iter().enumerate() {
        let mut paths = Vec::new();
        merge_into(&mut merged, &file.content, &[], &mut paths);
        for path in paths {
            let keys: Vec<&str> = path.iter().map(String::as_str).collect();
            if let ["webhook", setting @ ..] = keys.as_slice() {
                let before = last_with(files.get(..turn).unwrap_or_default(), &keys).unwrap_or_default();
                replaced.push(format!("{} replaces {} of {before}", file.name, setting.join(".")));
            }
        }
    }
    (merged, replaced)
}

fn merge_into(target: &mut Value, source: &Value, path: &[String], replaced: &mut Vec<Vec<String>>) {
    match (target, source) {
        (Value::Object(known), Value::Object(entries)) => {
            for (key, value) in entries {
                match known.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(key)) {
                    Some((name, target)) => {
                        merge_into(target, value, &[path, slice::from_ref(name)].concat(), replaced)
                    }
                    None => _ = known.insert(key.clone(), value.clone()),
                }
            }
        }
        (Value::Object(_), _) => {}
        (target, source) if target == source => {}
        (target, source) => {
            replaced.push(path.to_vec());
            *target = source.clone();
        }
    }
}

/// Returns the name of the last file that has a value at a path of keys.
fn last_with<'f>(files: &'f [File], path: &[&str]) -> Option<&'f str> {
    files.iter().rev().find(|file| has(&file.content, path)).map(|file| file.name.as_str())
}

fn has(value: &Value, path: &[&str]) -> bool {
    let Some((key, rest)) = path.split_first() else { return !value.is_null() };
    value.as_object().into_iter().flatten().any(|(name, value)| name.eq_ignore_ascii_case(key) && has(value, rest))
}

/// Detects the version by sections that only one version has, or by labels of Flyte's charts.
fn recognize(root: &Value, config_map: &Value) -> (Option<Version>, String) {
    let sections = |version: Version| -> Vec<String> {
        let (known, ..) = version.facts();
        let keys = root.as_object().into_iter().flatten().map(|(key, _)| key.to_ascii_lowercase());
        keys.filter(|key| known.split(' ').any(|known| known == key)).collect()
    };
    let (one, two) = (sections(Version::One), sections(Version::Two));
    let (version, sections) = if one.len() > two.len() { (Version::One, one) } else { (Version::Two, two) };
    match sections.as_slice() {
        [] => {}
        [section] => return (Some(version), format!("section {section}")),
        sections => return (Some(version), format!("sections {}", sections.join(", "))),
    }
    let label = |name: &str| text(config_map, &["metadata", "labels", name]);
    let (app, chart) = (label("app.kubernetes.io/version"), label("helm.sh/chart"));
    match app.trim_start_matches('v').split('.').next().and_then(Version::from_number) {
        Some(version) => (Some(version), format!("label app.kubernetes.io/version={app}")),
        None if chart.starts_with("flyte-core-") => (Some(Version::One), format!("label helm.sh/chart={chart}")),
        None => (None, String::new()),
    }
}

/// Whether files without section `webhook` are of the component of Flyte that runs the webhook.
pub fn runs_webhook(files: &[File]) -> bool {
    let has = |section: &&str| files.iter().any(|file| file.content.get(section).is_some());
    ["propeller", "actions", "executor"].iter().any(has)
}

/// What a configuration is read from.
pub struct Input<'a> {
    /// The files, in the order of merging.
    pub files: &'a [File],
    /// The ConfigMap, or null.
    pub config_map: &'a Value,
    /// `namespace_mapping.template` of another ConfigMap of the same namespace.
    pub namespace_template: Option<&'a str>,
    /// The version given by the user.
    pub version: Option<Version>,
}

/// Returns the text at a path of keys, or its default.
fn text_or<'v>(value: &'v Value, path: &[&str], default: &'v str) -> &'v str {
    Some(text(value, path)).filter(|text| !text.is_empty()).unwrap_or(default)
}

const EMBEDDED: &str = "embeddedSecretManagerConfig";

impl Configuration {
    /// Reads a configuration.
    pub fn read(input: &Input) -> Self {
        let (root, replaced) = merge(input.files);
        let (recognized, evidence) = recognize(&root, input.config_map);
        let name = ["namespace", "name"].map(|field| text(input.config_map, &["metadata", field])).join("/");
        let with_section = input.files.iter().filter(|file| has(&file.content, &["webhook"]));
        let mut configuration = Self {
            name: name.trim_start_matches('/').to_owned(),
            flyte: input.version.or(recognized),
            evidence: input.version.map_or(evidence, |_| "as given".to_owned()),
            files: with_section.map(|file| file.name.clone()).collect(),
            replaced,
            settings: member(&root, "webhook").filter(|section| section.is_object()).cloned().unwrap_or(json!({})),
            ..Self::default()
        };
        configuration.lower_requests();
        if let Some(version) = configuration.flyte {
            configuration.complete(version, &root, input);
        }
        configuration
    }

    /// Adds the defaults of Flyte.
    fn complete(&mut self, version: Version, root: &Value, input: &Input) {
        let (_, manager, prefix) = version.facts();
        let managers =
            ["secretManagerTypes", "secretManagerType"].into_iter().find(|key| match member(&self.settings, key) {
                None | Some(Value::Null) => false,
                Some(Value::Array(list)) => !list.is_empty(),
                Some(_) => true,
            });
        let key = managers.unwrap_or("secretManagerTypes");
        if managers.is_none() {
            self.set(&[key], json!([manager]));
        }
        let managers: Vec<String> = match member(&self.settings, key) {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            other => other.and_then(Value::as_str).map(str::to_owned).into_iter().collect(),
        };
        self.show("managers", &managers.join(", "), &self.origin(&["webhook", key], input));
        self.settle("prefix of variables", &["secretEnvVarPrefix"], prefix, input);
        let embedded = managers.iter().any(|manager| manager.eq_ignore_ascii_case("Embedded"));
        match version {
            Version::One => self.flyte_one(embedded, &managers, root, input),
            Version::Two => self.flyte_two(embedded, root, input),
        }
        let provider = text(&self.settings, &[EMBEDDED, "type"]).to_owned();
        self.does = managers.iter().filter_map(|manager| does(manager, &provider)).collect();
        let variables = text_or(root, &["secrets", "env-prefix"], "FLYTE_SECRET_");
        let folder = text_or(root, &["secrets", "secrets-prefix"], "/etc/secrets");
        self.missing.push(format!(
            "Global, which {version} always tries first: secrets in variables {variables}* and files in {folder} of the \
             webhook's own pod; store them where a manager above finds them"
        ));
        if at(&self.settings, &[EMBEDDED, "imagePullSecrets", "enabled"]) == Some(&json!(true)) {
            self.missing.push("copies of image pull secrets: the policy says what to copy where".to_owned());
        }
    }

    fn flyte_one(&mut self, embedded: bool, managers: &[String], root: &Value, input: &Input) {
        let own = text_or(&self.settings, &["secretManagerType"], "K8s").to_owned();
        let section = member(root, "webhook").unwrap_or(&Value::Null);
        let given = |field: &&str| member(section, field).is_some_and(|value| !value.is_null());
        for field in NEW_IN_TWO.into_iter().filter(given) {
            let unknown = format!("{field} is not a field of Flyte 1, whose webhook ignores it");
            let used = managers.join(", ");
            if field != "secretManagerTypes" {
                self.warn(field, format!("{unknown}; the policy uses it"));
            } else if used != own {
                let advice = format!("Set it to [{own}] to keep what tasks get today");
                self.warn(field, format!("{unknown} and uses {own}; the policy uses {used}. {advice}"));
            }
        }
        if embedded {
            let field = ["secretManagerTypes", "secretManagerType"].into_iter().find(given).unwrap_or_default();
            let problem = "Embedded needs the label organization, which Flyte 1 does not set, so it finds no secret";
            self.warn(field, format!("{problem}; set the label by a pod template, or use another manager"));
        }
        let given = at(root, &["namespace_mapping", "template"]).and_then(Value::as_str);
        let (template, from) = match input.namespace_template.or(given) {
            Some(template) => (template, "namespace_mapping"),
            None => ("{{ project }}-{{ domain }}", "default of Flyte 1"),
        };
        self.tenancy.insert("namespaceTemplate".to_owned(), json!(template));
        self.show("namespaces of tasks", template, from);
    }

    fn flyte_two(&mut self, embedded: bool, root: &Value, input: &Input) {
        if embedded {
            let clouds = Provider::ALL.iter().filter(|provider| provider.is_cloud());
            let mut places = clouds.filter_map(|provider| provider.facts().setting.split_once('.'));
            if text(&self.settings, &[EMBEDDED, "type"]).is_empty()
                && let Some((place, _)) =
                    places.find(|(it, key)| !text(&self.settings, &[EMBEDDED, it, key]).is_empty())
            {
                let problem = "type is not set, and Flyte 2 reads Kubernetes Secrets then, in spite of";
                self.warn(EMBEDDED, format!("{EMBEDDED}.{problem} {place}; set type"));
            }
            let provider = self.settle("Embedded reads", &[EMBEDDED, "type"], "K8s", input);
            if provider.eq_ignore_ascii_case("K8s") {
                let path = [EMBEDDED, "k8sConfig", "namespace"];
                let namespace = self.settle("namespace of Secrets", &path, "flyte", input);
                let written = text_or(root, &["secret", "kubernetes", "namespace"], "flyte");
                if written != namespace {
                    let stored = "`flyte create secret` stores Secrets in the namespace";
                    let read = format!("Embedded reads {namespace:?}; set both to the same");
                    self.warn(EMBEDDED, format!("{stored} {written:?} (secret.kubernetes.namespace), and {read}"));
                }
            }
        }
        let path = ["actions", "kubernetes", "namespace"];
        let (namespace, from) = match text(root, &path) {
            "" => ("flyte", "default of Flyte 2".to_owned()),
            namespace => (namespace, self.origin(&path, input)),
        };
        self.tenancy.insert("namespaceTemplate".to_owned(), json!(namespace));
        self.show("namespace of tasks", namespace, &from);
        self.tenancy.insert("organizations".to_owned(), json!(["flyte"]));
        self.show("label organization", "flyte", "a constant of Flyte 2");
        // Flyte's chart gives the service account the name of the release, and the webhook's Service a suffix.
        let service = text(&self.settings, &["serviceName"]);
        let namespace = text(input.config_map, &["metadata", "namespace"]);
        if let (Some(name), false) = (service.strip_suffix("-webhook"), namespace.is_empty()) {
            let creator = format!("system:serviceaccount:{namespace}:{name}");
            self.tenancy.insert("creators".to_owned(), json!([creator]));
            self.show("creator of task pods", &creator, "serviceName without -webhook, as Flyte's chart names it");
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
        for path in RESOURCES {
            let limits = at(&self.settings, &[path, &["limits"]].concat()).and_then(Value::as_object).cloned();
            for (resource, limit) in limits.into_iter().flatten() {
                let request = [path, &["requests", &resource]].concat();
                let valid = |resources: Value| {
                    let nested = path.iter().rev().fold(resources, |inner, key| json!({ *key: inner }));
                    settings::validate(nested.to_string().as_bytes()).is_ok()
                };
                let limits = json!({ &resource: limit });
                if at(&self.settings, &request).is_none()
                    && !valid(json!({ "limits": limits }))
                    && valid(json!({ "limits": limits, "requests": limits }))
                {
                    self.set(&request, limit.clone());
                    let limit = limit.as_str().map_or_else(|| limit.to_string(), str::to_owned);
                    let path = path.join(".");
                    let problem = "is under Flyte's default request, so Kubernetes rejects Flyte's pods";
                    let message =
                        format!("{path}: the limit of {limit} {resource} {problem}; the policy requests {limit} too");
                    self.warn(&path, message);
                }
            }
        }
    }

    /// Sets a setting of the section to its default if it is empty, shows it, and returns it.
    fn settle(&mut self, name: &'static str, path: &[&str], default: &str, input: &Input) -> String {
        if text(&self.settings, path).is_empty() {
            self.set(path, json!(default));
        }
        let value = text(&self.settings, path).to_owned();
        self.show(name, &value, &self.origin(&[&["webhook"], path].concat(), input));
        value
    }

    /// Returns the last file that has a value at a path of keys, or the version with the default.
    fn origin(&self, path: &[&str], input: &Input) -> String {
        let default = || self.flyte.map(|version| format!("default of {version}")).unwrap_or_default();
        last_with(input.files, path).map_or_else(default, str::to_owned)
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

    fn show(&mut self, name: &'static str, value: &str, from: &str) {
        self.effective.push(Setting { name, value: value.to_owned(), from: from.to_owned() });
    }

    fn warn(&mut self, field: &str, message: String) {
        self.warnings.push(Finding::new(Severity::Warning, field, message, None));
    }

    /// Returns a summary: what was found and where, settings in effect, behavior of the policy.
    pub fn summary(&self) -> Vec<String> {
        let name = if self.name.is_empty() { "configuration".to_owned() } else { format!("ConfigMap {}", self.name) };
        let version = self.flyte.map_or_else(
            || "neither Flyte 1 nor Flyte 2 recognized, whose defaults differ; see --flyte-version".to_owned(),
            |version| format!("{version} ({})", self.evidence),
        );
        let mut lines = vec![format!("{name}: {version}")];
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
    Some(match named(manager)? {
        ManagerType::K8s => "K8s refers to Secrets in the pod's namespace".to_owned(),
        ManagerType::Vault => "Vault adds annotations for the Vault Agent Injector".to_owned(),
        ManagerType::Embedded if provider.is_empty() || named(provider) == Some(Provider::K8s) => {
            "Embedded looks up secrets in Kubernetes Secrets, by the pod's labels".to_owned()
        }
        ManagerType::Embedded => {
            format!("Embedded looks up secrets in {provider}, by the pod's labels, through the secret gateway")
        }
        ManagerType::Aws | ManagerType::Gcp | ManagerType::Azure => {
            format!("{manager} adds an init container for each secret, which fetches it with the pod's identity")
        }
        ManagerType::Global => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn files(contents: &[&str]) -> Vec<File> {
        let value = |content: &str| yaml::value(&yaml::read(content).expect("YAML").remove(0));
        let file = |(turn, content): (usize, &&str)| File { name: format!("{turn}.yaml"), content: value(content) };
        contents.iter().enumerate().map(file).collect()
    }

    #[test]
    fn files_are_merged_as_viper_merges_them() {
        let table: [(&[&str], Value, &[&str]); 6] = [
            (&["a: {b: 1, c: 2}", "a: {b: 3, d: 4}"], json!({ "a": { "b": 3, "c": 2, "d": 4 } }), &[]),
            (
                &["webhook: {l: [1]}", "webhook: {l: [2]}"],
                json!({ "webhook": { "l": [2] } }),
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
            let replaced = replaced.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(merge(&files(contents)), (expected, replaced));
        }
    }

    #[test]
    fn versions_are_recognized_by_sections_then_by_labels() {
        let labels = json!({ "app.kubernetes.io/version": "1.16.0", "helm.sh/chart": "flyte-binary-v0.1.10" });
        let core = json!({ "helm.sh/chart": "flyte-core-v1.15.0" });
        let table = [
            ("{webhook: {}, propeller: {}}", &Value::Null, Some(Version::One), "section propeller"),
            ("{runs: {}, Actions: {}, propeller: {}}", &labels, Some(Version::Two), "sections runs, actions"),
            ("{webhook: {}}", &labels, Some(Version::One), "label app.kubernetes.io/version=1.16.0"),
            ("{webhook: {}}", &core, Some(Version::One), "label helm.sh/chart=flyte-core-v1.15.0"),
            ("{webhook: {}, logger: {}, storage: {}}", &Value::Null, None, ""),
        ];
        for (content, labels, version, evidence) in table {
            let config_map = &json!({ "metadata": { "labels": labels } });
            let (files, namespace_template) = (&files(&[content]), None);
            let found = Configuration::read(&Input { files, config_map, namespace_template, version: None });
            assert_eq!((found.flyte, found.evidence.as_str()), (version, evidence), "{content}");
        }
    }
}
