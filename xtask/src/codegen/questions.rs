//! Rancher's forms. `questions.in.yaml` has the settings, their order and labels. Types, defaults, options and
//! descriptions are those of the settings, unless it has others.

use anyhow::{Context, Result, bail};
use flyte_secrets_policy::settings::{Facts, Provider};
use flyte_secrets_testing::repository;
use serde_json::{Map, Value, json};

use super::{description, kind, names, resolved};

/// Path of the handwritten file.
const WRITTEN: &str = "deploy/chart/questions.in.yaml";
/// Path of Rancher's form for the chart.
const CHART: &str = "deploy/chart/questions.yaml";
/// Path of the form for Rancher's extension for Kubewarden.
const POLICY: &str = "questions-ui.yml";
/// Path of the package for Artifact Hub, which contains the latter.
const PACKAGE: &str = "artifacthub-pkg.yml";

/// Returns the files.
///
/// # Errors
/// A file cannot be read, or a question is for an unknown field of the settings.
pub fn files() -> Result<Vec<(&'static str, String)>> {
    let root = super::schema();
    let written = repository::yaml(WRITTEN)?;
    let (mut of_chart, mut of_policy) = (Vec::new(), Vec::new());
    let questions = written["questions"].as_array().with_context(|| format!("{WRITTEN} has no questions"))?;
    for question in questions.iter().cloned().flat_map(for_each_provider) {
        let mut question = question.as_object().cloned().with_context(|| format!("{question} is no question"))?;
        let in_chart = question.remove("chart");
        if let Some(key) = question.shift_remove("setting") {
            let key = key.as_str().unwrap_or_default();
            let setting = setting(&root, key, &question)?;
            of_policy.push(setting.clone());
            question = in_the_chart(setting);
        }
        question.extend(in_chart.as_ref().and_then(Value::as_object).cloned().unwrap_or_default());
        question.retain(|_, value| !value.is_null());
        of_chart.push(question);
    }
    let of_policy = text("Rancher's extension for Kubewarden asks", of_policy);
    let package = annotated(&repository::read(PACKAGE)?, "questions-ui", &of_policy)?;
    // kwctl sorts them.
    let mut kinds: Vec<&str> = super::gateway_kinds().chain(["SecretLookup"]).collect();
    kinds.sort_unstable();
    let gateway = kinds.iter().map(|kind| ("secret-gateway.flyte.org/v1alpha1", *kind));
    let resources = gateway.chain([("v1", "Namespace"), ("v1", "Secret")]);
    let resources: String = resources.map(|(of, kind)| format!("- apiVersion: {of}\n  kind: {kind}\n")).collect();
    let package = annotated(&package, "contextAwareResources", &resources)?;
    Ok(vec![
        (CHART, text("Rancher asks before it installs the chart", of_chart)),
        (POLICY, of_policy),
        (PACKAGE, package),
    ])
}

/// Returns a question for the place in each cloud, of the one for `CLOUD`.
fn for_each_provider(question: Value) -> Vec<Value> {
    if question["setting"] != "embeddedSecretManagerConfig.CLOUD" {
        return vec![question];
    }
    let ask = |provider: &Provider| {
        let Facts { place, setting, .. } = provider.facts();
        json!({
            "setting": format!("embeddedSecretManagerConfig.{setting}"),
            "label": format!("Embedded: {place}"),
            "show_if": format!("embeddedSecretManagerConfig.type={provider}"),
        })
    };
    Provider::ALL.iter().filter(|it| it.is_cloud()).map(ask).collect()
}

/// Returns the package with another annotation of Kubewarden.
fn annotated(package: &str, name: &str, text: &str) -> Result<String> {
    let key = format!("\n  kubewarden/{name}: |\n");
    let (before, after) = package.split_once(&key).with_context(|| format!("{PACKAGE} has no{key}"))?;
    let end = after.find("\n  kubewarden/").with_context(|| format!("{PACKAGE} ends with{key}"))?;
    let within: String = text.lines().map(|line| format!("    {line}\n")).collect();
    Ok(format!("{before}{key}{within}{}", after.get(end + 1..).unwrap_or_default()))
}

fn text(what: &str, questions: Vec<Map<String, Value>>) -> String {
    let questions = serde_yaml::to_string(&json!({ "questions": questions })).unwrap_or_default();
    format!("# What {what}. Made by `make generate` of {WRITTEN}\n# and the settings' types.\n{questions}")
}

/// Returns a question for a setting. The handwritten file takes precedence.
fn setting(root: &Value, key: &str, written: &Map<String, Value>) -> Result<Map<String, Value>> {
    let mut property = root;
    for part in key.split('.') {
        property = &resolved(root, property)["properties"][part];
        if property.is_null() {
            bail!("{WRITTEN}: the settings have no {key}");
        }
    }
    let definition = resolved(root, property);
    let names = names(definition);
    let kind = match (kind(definition), &names) {
        (_, Some(_)) => "enum",
        ("array", _) => "array[",
        ("object", _) => "map[",
        ("boolean", _) => "boolean",
        ("integer", _) => "int",
        ("string", _) => "string",
        (other, _) => bail!("{WRITTEN}: nothing asks for a value of type {other:?}, as {key} has"),
    };
    let parts = [
        ("variable", json!(key)),
        ("type", json!(kind)),
        ("label", Value::Null),
        ("default", property["default"].clone()),
        ("options", json!(names)),
        ("show_if", Value::Null),
        ("description", json!(description(property).replace('`', ""))),
        ("group", json!("Settings")),
    ];
    let parts = parts.map(|(part, value)| (part.to_owned(), written.get(part).cloned().unwrap_or(value)));
    Ok(parts.into_iter().filter(|(_, value)| !value.is_null()).collect())
}

/// Returns the question with the path of the settings in the chart's values.
fn in_the_chart(mut question: Map<String, Value>) -> Map<String, Value> {
    for key in ["variable", "show_if"] {
        if let Some(Value::String(setting)) = question.get_mut(key) {
            setting.insert_str(0, "policy.settings.");
        }
    }
    question
}
