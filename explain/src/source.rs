//! An input text: its documents, and the pods in it.
//!
//! Does not know secrets, settings, or the origin of the text.

use serde_json::{Map, Value, json};

use crate::yaml::{self, Node};
use crate::{Error, at, text};

/// A text with its name.
#[derive(Debug)]
pub struct Source {
    /// Name of the file, or a description.
    pub name: String,
    /// YAML or JSON.
    pub text: String,
}

impl Source {
    /// Returns the documents in it.
    ///
    /// # Errors
    /// The text is not YAML.
    pub fn documents(&self) -> Result<Vec<Node>, Error> {
        yaml::read(&self.text).map_err(|problem| Error::Yaml(self.name.clone(), problem))
    }

    /// Returns the pods in it.
    ///
    /// # Errors
    /// The text has no pod, or is not YAML.
    pub fn pods(&self) -> Result<Vec<Pod>, Error> {
        let mut pods = Vec::new();
        for document in &self.documents()? {
            collect_pods(&yaml::value(document), &mut pods);
        }
        if pods.is_empty() { Err(Error::NoPod(self.name.clone())) } else { Ok(pods) }
    }
}

/// A pod, or the pod template of a workload.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Kind and name of the object.
    pub name: String,
    /// The object's namespace, if it has one.
    pub namespace: Option<String>,
    /// The pod.
    pub object: Value,
}

/// Paths of pod templates: in Deployments, Jobs and similar; in CronJobs; in PodTemplates.
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
