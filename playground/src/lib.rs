//! The policy's answers in the browser: what `explain` says, as JSON.
//!
//! Holds the functions that JavaScript calls, and nothing else; `package/` gives them types. An answer is JSON, because a parser of
//! the browser's own costs no byte of wasm. What cannot be asked is answered with `{"error"}`, in words, which the package throws. An
//! option that is not given is an empty text.

use std::fmt::Display;

use flyte_secrets_explain::check::{self, Finding};
use flyte_secrets_explain::names;
use flyte_secrets_explain::preview::{Admission, Outcome};
use flyte_secrets_explain::requests as explained;
use flyte_secrets_explain::source::Source;
use flyte_secrets_explain::store::{self, Store};
use flyte_secrets_explain::tree::Node;
use flyte_secrets_explain::yaml;
use flyte_secrets_policy::json::Writer;
use flyte_secrets_policy::names::NameScheme;
use flyte_secrets_policy::secret_request::{self as requests, MountRequirement, SecretRequest};
use flyte_secrets_policy::settings::Provider;
use wasm_bindgen::prelude::wasm_bindgen;

/// What the policy makes of each pod in a text: `Preview` in `package/index.ts`. Empty texts are as good as none.
#[wasm_bindgen]
pub fn preview(pod: String, settings: String, secrets: String, namespace: &str, values: bool) -> String {
    let (pods, pod_findings) = match called("the pod", pod).pods() {
        Ok(pods) => (pods, Vec::new()),
        Err(wrong) => (Vec::new(), vec![Finding::unreadable(&wrong)]),
    };
    let namespace = given(namespace);
    let (settings, settings_findings) = read_settings(settings);
    let (secrets, secrets_findings) = read_secrets(secrets);
    let mut json = Writer::default();
    json.object().key("pods").list();
    if let (Some(settings), Some(secrets)) = (&settings, &secrets) {
        for pod in &pods {
            let admission = Admission::new(pod, namespace, settings, secrets.as_ref());
            let outcome = admission.decide();
            let (before, after) = match &outcome {
                Outcome::Changed { pod: after, .. } if values => (pod.object.clone(), after.clone()),
                _ => match admission.without_values(&outcome) {
                    Ok(shown) => shown,
                    Err(wrong) => return refused(&wrong),
                },
            };
            admission.write(&outcome, &admission.explain(), json.object());
            json.member("before", &yaml::write(&before)).member("after", &yaml::write(&after)).end_object();
        }
    }
    json.end_list().key("assumed").boolean(matches!(secrets, Some(None)));
    json.key("findings").object();
    let findings = [("pod", pod_findings), ("settings", settings_findings), ("secrets", secrets_findings)];
    for (text, findings) in findings {
        json.key(text);
        write_findings(&findings, &mut json);
    }
    json.end_object().end_object();
    text(json)
}

/// The settings, if they can be used.
fn read_settings(text: String) -> (Option<Node>, Vec<Finding>) {
    match check::check(&called("the text", text)) {
        Ok(checked) => {
            let mut findings = checked.findings;
            if checked.sections.len() > 1 {
                let several = check::Error::Several("the text".to_owned(), checked.sections.len());
                findings.push(Finding::error(several.to_string(), None));
            }
            (checked.settings, findings)
        }
        Err(wrong) => (None, vec![Finding::error(wrong.to_string(), None)]),
    }
}

/// The store, if it can be used: one that has whatever is asked for, if there is no text.
fn read_secrets(text: String) -> (Option<Option<Store>>, Vec<Finding>) {
    match Store::read(&called("the text", text)) {
        Ok(store) => (Some(Some(store).filter(|store| !store.is_empty())), Vec::new()),
        Err(wrong) => {
            let finding = match &wrong {
                store::Error::Source(wrong) => Finding::unreadable(wrong),
                store::Error::Unknown { place, .. } => Finding::error(wrong.to_string(), Some(*place)),
                store::Error::NoNamespace { .. } => Finding::error(wrong.to_string(), None),
            };
            (None, vec![finding])
        }
    }
}

/// The names that the policy tries, with the lines that store a secret there: a list of `StoredName`.
#[wasm_bindgen]
pub fn names(
    organization: &str,
    domain: &str,
    project: &str,
    key: &str,
    store: &str,
    place: &str,
    schemes: &str,
) -> String {
    let provider = match store {
        "k8s" => Provider::K8s,
        "aws" => Provider::Aws,
        "gcp" => Provider::Gcp,
        "azure" => Provider::Azure,
        other => return refused(&Unknown("store", other)),
    };
    let mut named = Vec::new();
    for scheme in schemes.split(' ').filter(|scheme| !scheme.is_empty()) {
        named.push(match scheme {
            "canonical" => NameScheme::Canonical,
            "documented" => NameScheme::Documented,
            other => return refused(&Unknown("scheme", other)),
        });
    }
    let found = match names::look_up(&names::Query {
        organization,
        domain: given(domain),
        project: given(project),
        key,
        provider,
        place: given(place),
        schemes: &named,
    }) {
        Ok(found) => found,
        Err(wrong) => return refused(&wrong),
    };
    let mut json = Writer::default();
    json.list();
    found.iter().for_each(|named| named.write(&mut json));
    json.end_list();
    text(json)
}

/// What a name is made of: `DecodedName`.
#[wasm_bindgen(js_name = decodeName)]
pub fn decode_name(name: &str) -> String {
    let mut json = Writer::default();
    match names::decode(name.trim()) {
        Ok(read) => read.write(&mut json),
        Err(wrong) => return refused(&wrong),
    }
    text(json)
}

/// What an annotation's value asks for, or the pods in a text: `DecodedRequests`.
#[wasm_bindgen(js_name = decodeRequests)]
pub fn decode_requests(given: String) -> String {
    let mut json = Writer::default();
    json.object().key("pods").list();
    let mut findings = Vec::new();
    // A value is one word; a pod is not.
    if !given.trim().contains([':', '\n', '{']) {
        json.object().member("name", "").key("requests").list().object();
        match requests::decode(given.trim()) {
            Ok(request) => explained::write_request(&request, &mut json),
            Err(wrong) => drop(json.member("error", &wrong.to_string())),
        }
        json.end_object().end_list().end_object();
    } else {
        match called("the text", given).pods() {
            Ok(pods) => pods.iter().for_each(|pod| {
                json.object().member("name", &pod.name).key("requests");
                explained::read(pod).write(&mut json);
                json.end_object();
            }),
            Err(wrong) => findings.push(Finding::unreadable(&wrong)),
        }
    }
    json.end_list().key("findings");
    write_findings(&findings, &mut json);
    json.end_object();
    text(json)
}

/// A request as an annotation's value.
#[wasm_bindgen(js_name = encodeRequest)]
pub fn encode_request(group: &str, group_version: &str, key: &str, mount: &str, env_var: &str) -> String {
    let mount_requirement = match mount {
        "any" => MountRequirement::Any,
        "env" => MountRequirement::EnvVar,
        "file" => MountRequirement::File,
        other => return refused(&Unknown("mount", other)),
    };
    let mut json = Writer::default();
    json.string(&requests::encode(&SecretRequest { group, group_version, key, mount_requirement, env_var }));
    text(json)
}

/// What is wrong in Flyte's `webhook` section, or a text that holds some: `CheckedSettings`.
#[wasm_bindgen(js_name = checkSettings)]
pub fn check_settings(given: String) -> String {
    let mut json = Writer::default();
    match check::check(&called("the text", given)) {
        Ok(checked) => checked.write(&mut json),
        Err(wrong) => return refused(&wrong),
    }
    text(json)
}

/// A word that this package's types do not allow.
#[derive(Debug, thiserror::Error)]
#[error("{1:?} is no {0}")]
struct Unknown<'a>(&'static str, &'a str);

fn refused(wrong: &dyn Display) -> String {
    let mut json = Writer::default();
    json.object().member("error", &wrong.to_string()).end_object();
    text(json)
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn called(name: &str, text: String) -> Source {
    Source { name: name.to_owned(), text }
}

fn write_findings(findings: &[Finding], json: &mut Writer) {
    json.list();
    findings.iter().for_each(|finding| finding.write(json));
    json.end_list();
}

fn text(json: Writer) -> String {
    // The writer writes text.
    String::from_utf8(json.into_bytes()).unwrap_or_default()
}
