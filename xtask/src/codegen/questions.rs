//! Rancher's forms. `questions.in.yaml` has the settings, their order and labels. Types, defaults, options and
//! descriptions are those of the settings, unless it has others.

use anyhow::{Context, Result, bail};
use flyte_secrets_testing::repository;
use serde_json::{Map, Value, json};

use super::{kind, names, resolved};

/// Path of the handwritten file.
const WRITTEN: &str = "deploy/chart/questions.in.yaml";
/// Path of Rancher's form for the chart.
const CHART: &str = "deploy/chart/questions.yaml";
/// Path of the form for Rancher's extension for Kubewarden.
const POLICY: &str = "questions-ui.yml";
/// Path of the package for Artifact Hub, which contains the latter.
const PACKAGE: &str = "artifacthub-pkg.yml";
const KEY: &str = "\n  kubewarden/questions-ui: |\n";

/// Returns the files.
///
/// # Errors
/// A file cannot be read, or a question is for an unknown field of the settings.
pub fn files() -> Result<Vec<(&'static str, String)>> {
    let root = super::schema();
    let written = repository::yaml(WRITTEN)?;
    let (mut of_chart, mut of_policy) = (Vec::new(), Vec::new());
    for question in written["questions"].as_array().with_context(|| format!("{WRITTEN} has no questions"))? {
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
    let package = repository::read(PACKAGE)?;
    let (before, after) = package.split_once(KEY).with_context(|| format!("{PACKAGE} has no{KEY}"))?;
    let end = after.find("\n  kubewarden/").with_context(|| format!("{PACKAGE} ends with{KEY}"))?;
    let within: String = of_policy.lines().map(|line| format!("    {line}\n")).collect();
    let package = format!("{before}{KEY}{within}{}", after.get(end + 1..).unwrap_or_default());
    Ok(vec![
        (CHART, text("Rancher asks before it installs the chart", of_chart)),
        (POLICY, of_policy),
        (PACKAGE, package),
    ])
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
    let description = property["description"].as_str().unwrap_or_default().replace('\n', " ").replace('`', "");
    let mut question = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        let value = written.get(key).cloned().or(value).unwrap_or_default();
        if !value.is_null() {
            question.insert(key.to_owned(), value);
        }
    };
    put("variable", Some(json!(key)));
    put("type", Some(json!(kind)));
    put("label", None);
    put("default", property.get("default").cloned());
    put("options", names.map(|names| json!(names)));
    put("show_if", None);
    put("description", Some(json!(description)));
    put("group", Some(json!("Settings")));
    Ok(question)
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
