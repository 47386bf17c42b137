//! Rancher's forms: for the policy (`questions-ui.yml`), and for the chart (its `questions.yaml`). Each question is for
//! an existing key.

use std::collections::BTreeSet;

use flyte_secrets_policy::settings::parse;
use flyte_secrets_testing::repository;
use serde_json::{Value, json};

use crate::helm::{CHART, template_of};

/// What Rancher's form and its extension for Kubewarden know of a question, as far as it is used here.
const FIELDS: &[&str] = &["variable", "type", "label", "default", "options", "show_if", "description", "group"];

fn yaml(path: &str) -> Value {
    repository::yaml(path).expect("a file of YAML")
}

fn questions(path: &str) -> Vec<Value> {
    yaml(path)["questions"].as_array().cloned().expect("a list")
}

fn text<'a>(question: &'a Value, key: &str) -> &'a str {
    question[key].as_str().unwrap_or_else(|| panic!("no {key}: {question}"))
}

/// Puts a value at the end of a path with dots.
fn put(values: &mut Value, path: &str, value: Value) {
    let place = path.split('.').fold(values, |place, key| &mut place[key]);
    *place = value;
}

/// The defaults of questions, as the form fills them in.
fn defaults(questions: &[Value]) -> Value {
    let mut values = json!({});
    for question in questions {
        if let Some(default) = question.get("default") {
            put(&mut values, text(question, "variable"), default.clone());
        }
    }
    values
}

/// Values that a question can be answered with.
fn answers(question: &Value) -> Vec<Value> {
    let options = question["options"].as_array().cloned().unwrap_or_default();
    match text(question, "type") {
        "array[" => vec![json!([])],
        "boolean" => vec![json!(true), json!(false)],
        "enum" => options,
        "int" => vec![json!(2)],
        "map[" => vec![json!({})],
        "string" => question.get("default").into_iter().cloned().collect(),
        other => panic!("Rancher has no type {other}"),
    }
}

fn well_formed(questions: &[Value]) {
    let variables: BTreeSet<&str> = questions.iter().map(|question| text(question, "variable")).collect();
    assert_eq!(variables.len(), questions.len(), "a variable is asked for twice");
    for question in questions {
        let unknown = question.as_object().expect("an object").keys().find(|key| !FIELDS.contains(&key.as_str()));
        assert_eq!(unknown, None, "{question}");
        for key in ["label", "description", "group"] {
            assert_ne!(text(question, key), "", "{question}");
        }
        if let Some(default) = question.get("default") {
            let is_text = text(question, "type") == "string" && default.is_string();
            assert!(is_text || answers(question).contains(default), "{question}");
        }
        if let Some(condition) = question.get("show_if") {
            let (variable, value) = condition.as_str().and_then(|it| it.split_once('=')).expect("a condition");
            let variable = variable.trim_end_matches('!');
            let asked = questions.iter().find(|other| text(other, "variable") == variable).expect("its question");
            assert!(answers(asked).iter().any(|it| it.to_string().trim_matches('"') == value), "{question}");
        }
    }
}

#[test]
fn questions_have_rancher_format() {
    well_formed(&questions("questions-ui.yml"));
    well_formed(&questions("deploy/chart/questions.yaml"));
}

#[test]
fn questions_are_for_existing_settings() {
    for question in questions("questions-ui.yml") {
        let answers = answers(&question);
        assert!(!answers.is_empty(), "{question}");
        for answer in answers {
            let mut settings = json!({});
            put(&mut settings, text(&question, "variable"), answer);
            parse(&settings.to_string()).unwrap_or_else(|error| panic!("{question}: {error}"));
        }
    }
}

#[test]
fn other_questions_are_for_existing_values() {
    let values = yaml("deploy/chart/values.yaml");
    for question in questions("deploy/chart/questions.yaml") {
        let variable = text(&question, "variable");
        let value = variable.split('.').try_fold(&values, |place, key| place.get(key));
        let default = question.get("default").cloned().unwrap_or_default();
        match value {
            // Settings have no values of their own in the chart.
            None => assert!(variable.starts_with("policy.settings."), "{variable} is no value of the chart"),
            // Options are strings.
            Some(Value::Number(value)) if default.is_string() => assert_eq!(default, value.to_string(), "{variable}"),
            Some(value) => assert_eq!(default, *value, "{variable}"),
        }
    }
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn default_answers_render() {
    let values = defaults(&questions(&format!("{CHART}/questions.yaml")));
    template_of(&values).unwrap_or_else(|said| panic!("{said}"));
}
