//! A text that somebody has given: its documents, and the pods in it.
//!
//! Knows nothing of secrets or settings, and not where the text comes from.

use serde_json::{Map, Value, json};

use crate::yaml::{self, Invalid, Node};
use crate::{at, text};

/// Why a text cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not YAML.
    #[error("{0} is not YAML: {1}")]
    Yaml(String, Invalid),
    /// It is something else.
    #[error("{0} holds no pod; expected a Pod, a List of Pods, or a workload with a pod template")]
    NoPod(String),
}

/// A text, and what it is called.
#[derive(Debug)]
pub struct Source {
    /// A file's name, or what else people call it.
    pub name: String,
    /// YAML or JSON.
    pub text: String,
}

impl Source {
    /// Returns the documents in it.
    ///
    /// # Errors
    /// It is not YAML.
    pub fn documents(&self) -> Result<Vec<Node>, Error> {
        yaml::read(&self.text).map_err(|problem| Error::Yaml(self.name.clone(), problem))
    }

    /// Returns the pods in it.
    ///
    /// # Errors
    /// There are none, or it is not YAML.
    pub fn pods(&self) -> Result<Vec<Pod>, Error> {
        let mut pods = Vec::new();
        for document in &self.documents()? {
            collect_pods(&yaml::value(document), &mut pods);
        }
        if pods.is_empty() { Err(Error::NoPod(self.name.clone())) } else { Ok(pods) }
    }
}

/// A pod, or what a workload makes pods of.
#[derive(Clone, Debug)]
pub struct Pod {
    /// As people call it: kind and name.
    pub name: String,
    /// Where it is to be created, if it says so.
    pub namespace: Option<String>,
    /// The pod.
    pub object: Value,
}

/// Where workloads have their pods: Deployments, Jobs and the like; CronJobs; PodTemplates.
const TEMPLATES: [&[&str]; 3] = [&["spec", "template"], &["spec", "jobTemplate", "spec", "template"], &["template"]];

fn collect_pods(object: &Value, pods: &mut Vec<Pod>) {
    let kind = text(object, &["kind"]);
    if let Some(items) = object.get("items").and_then(Value::as_array).filter(|_| kind.ends_with("List")) {
        items.iter().for_each(|item| collect_pods(item, pods));
        return;
    }
    let template = |path: &&[&str]| at(object, path).and_then(Value::as_object).filter(|it| it.contains_key("spec"));
    let pod = match (kind, TEMPLATES.iter().find_map(template)) {
        ("Pod", _) => object.clone(),
        (_, Some(template)) => {
            let mut pod = Map::from_iter([("apiVersion".to_owned(), json!("v1")), ("kind".to_owned(), json!("Pod"))]);
            pod.extend(template.clone());
            pod.into()
        }
        _ => return,
    };
    let metadata = |field| Some(text(object, &["metadata", field])).filter(|text| !text.is_empty());
    let name = metadata("name").or(metadata("generateName")).unwrap_or("without a name");
    pods.push(Pod { name: format!("{kind} {name}"), namespace: metadata("namespace").map(str::to_owned), object: pod });
}
