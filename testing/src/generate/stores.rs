//! Contents of the stores for a pod's requests: values, invalid values, and failures. All of them contain [`CANARY`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::kubernetes::{image_pull_name, secret_name};
use flyte_secrets_policy::names::{NameScheme, Scope, azure};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::rarely;
use super::requests::Request;

/// Part of every value, which only pods may contain.
pub const CANARY: &str = "cAnArY-5f2c";

/// Content of one name.
#[derive(Clone, Debug)]
pub enum Content {
    /// Text.
    Text(String),
    /// Bytes, which can be text.
    Binary(Vec<u8>),
    /// An empty value, which is invalid.
    Empty,
    /// A value of another type.
    Broken,
    /// The store fails.
    Failure,
}

/// One secret of a pod's requests.
#[derive(Clone, Debug)]
pub struct Entry {
    request: prop::sample::Index,
    scope: usize,
    scheme: NameScheme,
    content: Content,
    twin: bool,
}

impl Content {
    /// Returns the same entry with a different value for each scope.
    fn in_scope(&self, scope: usize) -> Self {
        match self {
            Self::Text(text) => Self::Text(format!("{text} {scope}")),
            Self::Binary(bytes) => Self::Binary([bytes, format!(" {scope}").as_bytes()].concat()),
            other => other.clone(),
        }
    }
}

fn content() -> impl Strategy<Value = Content> {
    let text = prop_oneof![
        6 => Just(String::new()),
        4 => super::of(&["é😀", "$(HOME)", "$$$é$(", "\n=\n", "\"},", "\0", "\u{1}\u{7f}"]),
        1 => "\\PC{0,20}",
    ];
    let text = (text, rarely(1)).prop_map(|(text, large)| {
        let padding = if large { "x".repeat(140_000) } else { String::new() };
        Content::Text(format!("{CANARY}{text}{padding}"))
    });
    let binary = prop::collection::vec(any::<u8>(), 0..9)
        .prop_map(|more| Content::Binary([CANARY.as_bytes(), more.as_slice()].concat()));
    prop_oneof![
        12 => text,
        3 => binary,
        1 => Just(Content::Empty),
        1 => Just(Content::Broken),
        1 => Just(Content::Failure),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let scheme = prop::sample::select(vec![NameScheme::Canonical, NameScheme::Documented]);
    let parts = (any::<prop::sample::Index>(), 0..3_usize, scheme, content(), rarely(30));
    parts.prop_map(|(request, scope, scheme, content, twin)| Entry { request, scope, scheme, content, twin })
}

/// Generates secrets.
pub fn contents() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(entry(), 0..12)
}

/// Returns the scope of a pod's labels.
pub fn scope(pod: &Value) -> Scope<'_> {
    let label = |name: &str| pod["metadata"]["labels"][name].as_str().unwrap_or_default();
    Scope { organization: label("organization"), domain: label("domain"), project: label("project") }
}

/// Returns contents for [`crate::host::Store`], with each entry in all four stores.
pub fn store(pod: &Value, requests: &[(String, Request)], settings: &Value, entries: &[Entry]) -> Value {
    let config = &settings["embeddedSecretManagerConfig"];
    let home = config["k8sConfig"]["namespace"].as_str().unwrap_or("flyte");
    let mut store = json!({ "K8s": { home: {} }, "AWS": {}, "GCP": {}, "Azure": {} });
    for Entry { request, scope: broader, scheme, content, twin } in entries {
        let (_, Request { key, .. }) = request.get(requests);
        let scope = scope(pod).cascade()[*broader];
        let name = scope.candidates(key, &[*scheme]).concat();
        let (in_secret, in_gateway, in_azure) = shapes(&content.in_scope(*broader), &name);
        store["K8s"][home][secret_name(&name)] = in_secret;
        store["AWS"][&name] = in_gateway.clone();
        store["GCP"][&name] = in_gateway;
        if let Ok(name) = azure::encode(scope, key) {
            store["Azure"][name] = in_azure;
        }
        if *twin {
            let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
            let namespace = if *broader == 0 { namespace } else { home };
            store["K8s"][namespace][image_pull_name(scope, key)] =
                json!({ ".dockerconfigjson": STANDARD.encode(CANARY) });
        }
    }
    store
}

/// Returns the content in a Secret's `data`, in AWS and GCP, and in Azure.
fn shapes(content: &Content, name: &str) -> (Value, Value, Value) {
    let azure = |kind: &str, value: &str| json!({ "stringValue": json!({ "type": kind, "value": value }).to_string() });
    match content {
        Content::Text(text) => {
            (json!({ name: STANDARD.encode(text) }), json!({ "stringValue": text }), azure("STRING", text))
        }
        Content::Binary(bytes) => {
            let text = STANDARD.encode(bytes);
            (json!({ name: text }), json!({ "binaryValue": text }), azure("BINARY", &text))
        }
        Content::Empty => (json!({ name: "" }), json!({ "stringValue": "" }), azure("STRING", "")),
        Content::Broken => {
            let text = format!("{CANARY} is not base64");
            (json!({ name: text }), json!({ "binaryValue": text }), json!({ "stringValue": text }))
        }
        Content::Failure => {
            let failure = json!({ "error": format!("500: {CANARY}\n\nStack backtrace:\n  0: {CANARY}") });
            (json!({ "other": STANDARD.encode(CANARY) }), failure.clone(), failure)
        }
    }
}
