//! What requests for secrets ask for, in words.

use flyte_secrets_policy::json::Writer;
use flyte_secrets_policy::secret_request::{self as requests, ANNOTATION_PREFIX, Annotated, MountRequirement, SecretRequest};

use crate::source::Pod;
use crate::tree::Entry;

/// What a pod asks for.
#[derive(Debug)]
pub struct Found<'a> {
    /// Its requests, in the policy's order.
    pub requests: Vec<Annotated<'a>>,
    /// Annotations that hold no request.
    pub unreadable: Vec<(&'a str, requests::Error)>,
    /// Annotations that start as requests do and have no number.
    pub ignored: Vec<&'a str>,
}

/// Reads the requests of a pod; unlike the policy, those that can be read also where others cannot.
pub fn read<'a>(pod: &'a Pod, texts: &'a Texts) -> Found<'a> {
    let annotations = pod.object.at(&["metadata", "annotations"]).into_iter().flat_map(|it| it.entries());
    let pair = |entry: &'a Entry| Some((entry.key.as_str(), entry.value.text()?));
    let mut readable = Vec::new();
    let mut unreadable = Vec::new();
    for pair in annotations.filter_map(pair).filter(|(key, _)| key.starts_with(ANNOTATION_PREFIX)) {
        match requests::read(vec![pair].into_iter(), texts) {
            Ok(_) => readable.push(pair),
            Err(wrong) => unreadable.push((pair.0, wrong)),
        }
    }
    let found = requests::read(readable.into_iter(), texts).unwrap_or_default();
    Found { requests: found.requests, unreadable, ignored: found.ignored }
}

impl Found<'_> {
    /// As a list in JSON: `{"annotation", "request", "asks"}` or `{"annotation", "error"}` each.
    pub fn write(&self, json: &mut Writer) {
        json.list();
        for Annotated { annotation, request } in &self.requests {
            write_request(request, json.object().member("annotation", annotation));
            json.end_object();
        }
        for (annotation, wrong) in &self.unreadable {
            json.object().member("annotation", annotation).member("error", &wrong.to_string()).end_object();
        }
        json.end_list();
    }
}

/// The members `request` and `asks` of an object in JSON.
pub fn write_request(request: &SecretRequest, json: &mut Writer) {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    json.key("request").object();
    for (field, value) in [("key", key), ("group", group), ("groupVersion", group_version), ("envVar", env_var)] {
        if !value.is_empty() {
            json.member(field, value);
        }
    }
    match mount_requirement {
        MountRequirement::Any => json.member("mount", "any"),
        MountRequirement::EnvVar => json.member("mount", "env"),
        MountRequirement::File => json.member("mount", "file"),
        MountRequirement::Unknown(number) => json.key("mount").raw(number.to_string().as_bytes()),
    };
    json.end_object().member("asks", &sentence(request));
}

/// What a request asks for, in words.
pub fn sentence(request: &SecretRequest) -> String {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    let mut text = match (*group, *key) {
        ("", "") => "a secret without group and key".to_owned(),
        ("", key) => format!("key {key:?}"),
        (group, "") => format!("group {group:?}"),
        (group, key) => format!("key {key:?} of group {group:?}"),
    };
    if !group_version.is_empty() {
        text.push_str(&format!(" in version {group_version:?}"));
    }
    text.push_str(&match (mount_requirement, *env_var) {
        (MountRequirement::EnvVar, "") => ", as a variable".to_owned(),
        (MountRequirement::EnvVar, name) => format!(", as the variable {name}"),
        (MountRequirement::File, "") => ", as a file".to_owned(),
        (MountRequirement::File, name) => format!(", as a file whose path is in the variable {name}"),
        (MountRequirement::Any, "") => {
            ", as its manager likes best: a variable from Embedded, a file from others".to_owned()
        }
        (MountRequirement::Any, name) => {
            format!(
                ", as its manager likes best: the variable {name} from Embedded, a file from others with its path there"
            )
        }
        (MountRequirement::Unknown(number), _) => {
            format!(", with the mount_requirement {number}, which no manager serves")
        }
    });
    text
}
