//! Answers of `explain` as JSON, for JavaScript.
//!
//! The exported functions return JSON, which the browser parses without additional wasm, or throw an error. `make
//! generate` writes the TypeScript types of the answers (feature `schema`). Missing options are empty texts.

use flyte_secrets_explain::check::{self, Finding};
use flyte_secrets_explain::preview::{Admission, Preview};
use flyte_secrets_explain::requests::{self, AskedRequests, DecodedRequest};
use flyte_secrets_explain::source::Source;
use flyte_secrets_explain::store::Store;
use flyte_secrets_explain::{Error, named, names};
use flyte_secrets_policy::secret_request::{self, SecretRequest};
use flyte_secrets_policy::settings::UnknownFields;
use serde::Serialize;
use serde_json::Value;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

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

/// Returns the policy's answer for each pod in a text: [`Previews`]. An empty text is the default.
#[wasm_bindgen]
pub fn preview(
    pod: String,
    settings: String,
    secrets: String,
    namespace: &str,
    values: bool,
) -> Result<String, JsError> {
    let mut findings = InputFindings::default();
    let pods = found(called("the pod", pod).pods(), &mut findings.pod).unwrap_or_default();
    let settings = read_settings(settings, &mut findings.settings);
    // Without a text, a store with every requested secret.
    let secrets = found(Store::read(&called("the text", secrets)), &mut findings.secrets);
    let secrets = secrets.map(|store| Some(store).filter(|store| !store.is_empty()));
    let mut previews = Vec::new();
    if let (Some(settings), Some(secrets)) = (&settings, &secrets) {
        for pod in &pods {
            let admission = Admission::new(pod, given(namespace), settings, secrets.as_ref());
            let preview = admission.decide();
            let (before, after) = admission.before_and_after(&preview, values)?;
            previews.push(PodPreview { preview, before, after });
        }
    }
    json(&Previews { pods: previews, assumed: matches!(secrets, Some(None)), findings })
}

/// Returns an answer, or adds its error to findings.
fn found<Answer>(answer: Result<Answer, Error>, findings: &mut Vec<Finding>) -> Option<Answer> {
    answer.map_err(|error| findings.push(Finding::from(&error))).ok()
}

/// Returns the settings, if they are valid.
fn read_settings(text: String, findings: &mut Vec<Finding>) -> Option<Value> {
    let is_empty = text.trim().is_empty();
    let checked = found(check::check(&called("the text", text), None), findings)?;
    // Defaults have no place in the text.
    findings.extend(checked.findings.into_iter().filter(|_| !is_empty));
    if checked.sections.len() > 1 {
        findings.push(Finding::from(&Error::Sections("the text".to_owned(), checked.sections)));
    }
    checked.settings
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
) -> Result<String, JsError> {
    let provider = named(store).ok_or(Unknown("store", store))?;
    let schemes = schemes.split_whitespace().map(|scheme| named(scheme).ok_or(Unknown("scheme", scheme)));
    let schemes = schemes.collect::<Result<Vec<_>, _>>()?;
    let (domain, project, place) = (given(domain), given(project), given(place));
    json(&names::look_up(&names::Query { organization, domain, project, key, provider, place, schemes: &schemes })?)
}

/// Returns a decoded name: `DecodedName`.
#[wasm_bindgen(js_name = decodeName)]
pub fn decode_name(name: &str) -> Result<String, JsError> {
    json(&names::decode(name.trim())?)
}

/// Returns the decoded value of an annotation, or the requests of pods: `DecodedRequests`.
#[wasm_bindgen(js_name = decodeRequests)]
pub fn decode_requests(given: String) -> Result<String, JsError> {
    // The value of an annotation has none of these characters.
    if !given.trim().contains([':', '\n', '{']) {
        let requests = vec![DecodedRequest { annotation: None, answer: requests::decode(&given) }];
        let pods = vec![AskedRequests { name: String::new(), requests, ignored: Vec::new() }];
        return json(&DecodedRequests { pods, findings: Vec::new() });
    }
    let mut findings = Vec::new();
    let pods = found(called("the text", given).pods(), &mut findings).unwrap_or_default();
    json(&DecodedRequests {
        pods: pods.iter().map(|pod| requests::read(pod, UnknownFields::Reject)).collect(),
        findings,
    })
}

/// Returns a secret request as the value of an annotation.
#[wasm_bindgen(js_name = encodeRequest)]
pub fn encode_request(
    group: String,
    group_version: String,
    key: String,
    mount: &str,
    env_var: String,
) -> Result<String, JsError> {
    let mount_requirement = requests::mount(mount).ok_or(Unknown("mount", mount))?;
    json(&secret_request::encode(&SecretRequest { group, group_version, key, mount_requirement, env_var }))
}

/// Returns the findings in Flyte's `webhook` section, or a text that contains it: `CheckedSettings`.
#[wasm_bindgen(js_name = checkSettings)]
pub fn check_settings(given: String) -> Result<String, JsError> {
    json(&check::check(&called("the text", given), None)?)
}

/// A value that the package's types do not allow.
#[derive(Debug, thiserror::Error)]
#[error("invalid {0} {1:?}")]
struct Unknown<'a>(&'static str, &'a str);

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn called(name: &str, text: String) -> Source {
    Source { name: name.to_owned(), text }
}

fn json(answer: &impl Serialize) -> Result<String, JsError> {
    Ok(serde_json::to_string(answer)?)
}
