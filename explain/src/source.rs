//! A text that somebody has given: its documents, and the pods in it.
//!
//! Knows nothing of secrets or settings, and not where the text comes from.

use crate::tree::{self, BadYaml, Node, Place};

/// Why a text cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no YAML.
    #[error("{0} is not YAML: {1}")]
    Yaml(String, BadYaml),
    /// It is something else.
    #[error("{0} holds no pod; a Pod, a List of them, or a workload with a pod's template is wanted")]
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
    /// The documents in it.
    ///
    /// # Errors
    /// It is no YAML.
    pub fn documents(&self) -> Result<Vec<Node>, Error> {
        tree::parse(&self.text).map_err(|wrong| Error::Yaml(self.name.clone(), wrong))
    }

    /// The pods in it.
    ///
    /// # Errors
    /// There are none, or it is no YAML.
    pub fn pods(&self) -> Result<Vec<Pod>, Error> {
        let mut pods = Vec::new();
        for document in &self.documents()? {
            collect_pods(document, &mut pods);
        }
        if pods.is_empty() { Err(Error::NoPod(self.name.clone())) } else { Ok(pods) }
    }

    /// The YAML in a text within this one, such as an entry of a ConfigMap. Places are those of this text if the text
    /// within is a literal block, else the whole text's.
    pub fn within(&self, node: &Node) -> Option<Node> {
        let text = node.text()?;
        let mut documents = tree::parse(text).ok()?;
        let mut inner = documents.pop().filter(|_| documents.is_empty())?;
        // A literal block starts behind the line of its indicator, with the same lines, indented.
        let (above, first) = text.lines().enumerate().find(|(_, line)| !line.trim().is_empty())?;
        let mut lines = self.text.lines().enumerate().skip(node.place.line.saturating_sub(1)).take(above + 2);
        let indent = |line: &str| line.len() - line.trim_start().len();
        match lines.find(|(_, line)| line.trim() == first.trim()) {
            Some((number, line)) => inner.shift(&|place| Place {
                line: (place.line + number).saturating_sub(above),
                column: (place.column + indent(line)).saturating_sub(indent(first)),
                ..place
            }),
            None => inner.shift(&|_| node.place),
        }
        Some(inner)
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
    pub object: Node,
}

/// Where workloads have their pods: Deployments, Jobs and the like; CronJobs; PodTemplates.
const TEMPLATES: [&[&str]; 3] = [&["spec", "template"], &["spec", "jobTemplate", "spec", "template"], &["template"]];

fn collect_pods(object: &Node, pods: &mut Vec<Pod>) {
    let kind = object.text_at(&["kind"]).unwrap_or_default();
    if let Some(items) = object.get("items").and_then(Node::items).filter(|_| kind.ends_with("List")) {
        items.iter().for_each(|item| collect_pods(item, pods));
        return;
    }
    let name = object.text_at(&["metadata", "name"]).or(object.text_at(&["metadata", "generateName"]));
    let namespace = object.text_at(&["metadata", "namespace"]);
    let template = TEMPLATES.iter().find_map(|path| object.at(path).filter(|it| it.get("spec").is_some()));
    let pod = match (kind, template) {
        ("Pod", _) => object.clone(),
        (_, Some(template)) => {
            let mut pod = Node::of("apiVersion", "v1".into());
            pod.set("kind", "Pod".into());
            template.entries().iter().for_each(|entry| pod.set(&entry.key, entry.value.clone()));
            pod
        }
        _ => return,
    };
    let name = format!("{kind} {}", name.unwrap_or("without a name"));
    pods.push(Pod { name, namespace: namespace.map(str::to_owned), object: pod });
}
