//! Answers of `explain` as JSON, for JavaScript.
//!
//! The exported functions return JSON, which the browser parses without additional wasm. `make generate` writes the
//! TypeScript types of the answers (feature `schema`). Errors are `{"error"}`, which the package throws. Missing
//! options are empty texts.

use std::fmt::Display;

use flyte_secrets_explain::check::{self, Finding};
use flyte_secrets_explain::preview::{Admission, Preview};
use flyte_secrets_explain::requests::{self, AskedRequests, DecodedRequest};
use flyte_secrets_explain::source::Source;
use flyte_secrets_explain::store::{self, Store};
use flyte_secrets_explain::{named, names};
use flyte_secrets_policy::secret_request::{self, SecretRequest};
use serde::Serialize;
use serde_json::Value;
use wasm_bindgen::prelude::wasm_bindgen;

/// The policy's answers for the pods in a text.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Previews {
    /// Answers in the order of the pods.
    pods: Vec<PodPreview>,
    /// Whether secrets are not given, so that each requested secret is assumed to exist.
    assumed: bool,
    /// Findings in each text. With an error there are no pods.
    findings: InputFindings,
}

/// Findings in the inputs of a preview.
#[derive(Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InputFindings {
    pod: Vec<Finding>,
    settings: Vec<Finding>,
    secrets: Vec<Finding>,
}

/// The policy's answer for one pod, with the pod. JavaScript writes YAML, because a writer takes 10 kB of gzipped wasm.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PodPreview {
    #[serde(flatten)]
    preview: Preview,
    /// The original pod.
    before: Value,
    /// The mutated pod.
    after: Value,
}

/// The secret requests in a text.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DecodedRequests {
    /// Pods; one without a name for the value of an annotation.
    pods: Vec<AskedRequests>,
    /// Errors of the text.
    findings: Vec<Finding>,
}

/// An error, which the package throws.
#[derive(Serialize)]
struct Refused {
    error: String,
}

/// Returns the policy's answer for each pod in a text: [`Previews`]. An empty text is the default.
#[wasm_bindgen]
pub fn preview(pod: String, settings: String, secrets: String, namespace: &str, values: bool) -> String {
    let mut findings = InputFindings::default();
    let pods = called("the pod", pod).pods().unwrap_or_else(|error| {
        findings.pod.push(Finding::unreadable(&error));
        Vec::new()
    });
    let settings = read_settings(settings, &mut findings.settings);
    let secrets = read_secrets(secrets, &mut findings.secrets);
    let mut previews = Vec::new();
    if let (Some(settings), Some(secrets)) = (&settings, &secrets) {
        for pod in &pods {
            let admission = Admission::new(pod, given(namespace), settings, secrets.as_ref());
            let preview = admission.decide();
            match admission.before_and_after(&preview, values) {
                Ok((before, after)) => previews.push(PodPreview { preview, before, after }),
                Err(error) => return refused(error),
            }
        }
    }
    text(&Previews { pods: previews, assumed: matches!(secrets, Some(None)), findings })
}

/// Returns the settings, if they are valid.
fn read_settings(text: String, findings: &mut Vec<Finding>) -> Option<Value> {
    let is_empty = text.trim().is_empty();
    match check::check(&called("the text", text), None) {
        Ok(checked) => {
            // Defaults have no place in the text.
            findings.extend(checked.findings.into_iter().filter(|_| !is_empty));
            if checked.sections.len() > 1 {
                let several = check::Error::Several { name: "the text".to_owned(), sections: checked.sections };
                findings.push(Finding::error(several.to_string(), None));
            }
            checked.settings
        }
        Err(error) => {
            findings.push(Finding::error(error.to_string(), None));
            None
        }
    }
}

/// Returns the store, if it is valid; without a text, a store with every requested secret.
fn read_secrets(text: String, findings: &mut Vec<Finding>) -> Option<Option<Store>> {
    match Store::read(&called("the text", text)) {
        Ok(store) => Some(Some(store).filter(|store| !store.is_empty())),
        Err(error) => {
            findings.push(match &error {
                store::Error::Source(error) => Finding::unreadable(error),
                store::Error::Unknown { place, .. } => Finding::error(error.to_string(), *place),
                store::Error::NoNamespace { .. } => Finding::error(error.to_string(), None),
            });
            None
        }
    }
}

/// Returns the names that the policy looks up, with commands that store a secret: a list of `StoredName`.
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
    let Some(provider) = named(store) else { return refused(Unknown("store", store)) };
    let mut known = Vec::new();
    for scheme in schemes.split_whitespace() {
        let Some(scheme) = named(scheme) else { return refused(Unknown("scheme", scheme)) };
        known.push(scheme);
    }
    answer(names::look_up(&names::Query {
        organization,
        domain: given(domain),
        project: given(project),
        key,
        provider,
        place: given(place),
        schemes: &known,
    }))
}

/// Returns a decoded name: `DecodedName`.
#[wasm_bindgen(js_name = decodeName)]
pub fn decode_name(name: &str) -> String {
    answer(names::decode(name.trim()))
}

/// Returns the decoded value of an annotation, or the requests of pods: `DecodedRequests`.
#[wasm_bindgen(js_name = decodeRequests)]
pub fn decode_requests(given: String) -> String {
    let mut findings = Vec::new();
    // The value of an annotation has none of these characters.
    let pods = if given.trim().contains([':', '\n', '{']) {
        let pods = called("the text", given).pods();
        pods.map(|pods| pods.iter().map(requests::read).collect()).unwrap_or_else(|error| {
            findings.push(Finding::unreadable(&error));
            Vec::new()
        })
    } else {
        let requests = vec![DecodedRequest { annotation: None, answer: requests::decode(&given) }];
        vec![AskedRequests { name: String::new(), requests, ignored: Vec::new() }]
    };
    text(&DecodedRequests { pods, findings })
}

/// Returns a secret request as the value of an annotation.
#[wasm_bindgen(js_name = encodeRequest)]
pub fn encode_request(group: String, group_version: String, key: String, mount: &str, env_var: String) -> String {
    let Some(mount_requirement) = requests::mount(mount) else { return refused(Unknown("mount", mount)) };
    text(&secret_request::encode(&SecretRequest { group, group_version, key, mount_requirement, env_var }))
}

/// Returns the findings in Flyte's `webhook` section, or a text that contains it: `CheckedSettings`.
#[wasm_bindgen(js_name = checkSettings)]
pub fn check_settings(given: String) -> String {
    answer(check::check(&called("the text", given), None))
}

/// A value that the package's types do not allow.
#[derive(Debug, thiserror::Error)]
#[error("invalid {0} {1:?}")]
struct Unknown<'a>(&'static str, &'a str);

fn answer(answer: Result<impl Serialize, impl Display>) -> String {
    match answer {
        Ok(answer) => text(&answer),
        Err(error) => refused(error),
    }
}

fn refused(error: impl Display) -> String {
    text(&Refused { error: error.to_string() })
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn called(name: &str, text: String) -> Source {
    Source { name: name.to_owned(), text }
}

fn text(answer: &impl Serialize) -> String {
    // It fails only for keys that are not strings.
    serde_json::to_string(answer).unwrap_or_default()
}
