//! Contents of the stores for a pod's requests: values, invalid values, and failures. All of them contain [`CANARY`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::kubernetes::{image_pull_name, secret_name};
use flyte_secrets_policy::names::{NameScheme, Scope, azure};
use flyte_secrets_policy::secret_request::SecretRequest;
use flyte_secrets_policy::settings::Provider;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{of, rarely};

/// Part of every value, which only pods may contain.
pub const CANARY: &str = "cAnArY-5f2c";

/// Content of one name.
#[derive(Clone, Debug)]
pub enum Content {
    /// Text; empty text is invalid.
    Text(String),
    /// Bytes, which can be text.
    Binary(Vec<u8>),
    /// A value of another type.
    Broken,
    /// The store fails, with a message that starts like this.
    Failure(String),
}

/// A secret of one of a pod's requests.
#[derive(Clone, Debug)]
pub struct Entry {
    request: prop::sample::Index,
    scope: usize,
    scheme: NameScheme,
    content: Content,
    twin: bool,
}

fn content() -> impl Strategy<Value = Content> {
    let text = prop_oneof![
        6 => Just(String::new()),
        4 => of(&["é😀", "$(HOME)", "$$$é$(", "\n=\n", "\"},", "\0", "\u{1}\u{7f}"]),
        1 => "\\PC{0,20}",
    ];
    let text = (text, rarely(1)).prop_map(|(text, large)| {
        let padding = if large { "x".repeat(140_000) } else { String::new() };
        Content::Text(format!("{CANARY}{text}{padding}"))
    });
    let binary = prop::collection::vec(any::<u8>(), 0..9)
        .prop_map(|more| Content::Binary([CANARY.as_bytes(), more.as_slice()].concat()));
    let failure = prop_oneof![
        2 => of(&["500", "code: 400", "code: 403", "cannot get resource", "timed out", "Cannot find v1/Secret"]),
        1 => "\\PC{0,20}",
    ];
    prop_oneof![
        12 => text,
        3 => binary,
        1 => Just(Content::Text(String::new())),
        1 => Just(Content::Broken),
        1 => failure.prop_map(Content::Failure),
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

/// Returns contents for [`crate::host::Store`], with each entry in all stores.
pub fn store(pod: &Value, requests: &[(String, SecretRequest)], settings: &Value, entries: &[Entry]) -> Value {
    let config = &settings["embeddedSecretManagerConfig"];
    let home = config["k8sConfig"]["namespace"].as_str().unwrap_or("flyte");
    let mut store = json!({ "K8s": { home: {} } });
    for Entry { request, scope: broader, scheme, content, twin } in entries {
        let (_, SecretRequest { key, .. }) = request.get(requests);
        let scope = scope(pod).cascade()[*broader];
        let name = scope.candidates(key, &[*scheme]).concat();
        // Another value in each scope.
        let content = match content {
            Content::Text(text) if !text.is_empty() => Content::Text(format!("{text} {broader}")),
            Content::Binary(bytes) => Content::Binary([bytes, format!(" {broader}").as_bytes()].concat()),
            other => other.clone(),
        };
        for provider in Provider::ALL {
            let object = object(*provider, &content, &name);
            let name = match provider {
                Provider::K8s => Ok(secret_name(&name)),
                Provider::Azure => azure::encode(scope, key),
                Provider::Aws | Provider::Gcp => Ok(name.clone()),
            };
            let place = &mut store[provider.to_string()];
            let place = if *provider == Provider::K8s { &mut place[home] } else { place };
            if let Ok(name) = name {
                place[name] = object;
            }
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

/// Returns the content as an object of the gateway, or as a Secret's `data`.
fn object(provider: Provider, content: &Content, name: &str) -> Value {
    let (kind, text) = match content {
        Content::Text(text) => ("STRING", text.clone()),
        Content::Binary(bytes) => ("BINARY", STANDARD.encode(bytes)),
        Content::Broken => ("BROKEN", format!("{CANARY} is not base64")),
        Content::Failure(_) if provider == Provider::K8s => return json!({ "other": STANDARD.encode(CANARY) }),
        Content::Failure(start) => {
            return json!({ "error": format!("{start}: {CANARY}\n\nStack backtrace:\n  0: {CANARY}") });
        }
    };
    match (provider, kind) {
        (Provider::K8s, "STRING") => json!({ name: STANDARD.encode(text) }),
        (Provider::K8s, _) => json!({ name: text }),
        (Provider::Azure, "STRING" | "BINARY") => {
            json!({ "stringValue": json!({ "type": kind, "value": text }).to_string() })
        }
        (Provider::Azure, _) | (_, "STRING") => json!({ "stringValue": text }),
        _ => json!({ "binaryValue": text }),
    }
}
