//! A cluster with the secrets in a file, which answers as the policy's host does.
//!
//! Unless values are shown, it returns placeholders, so that the core never has a value that is printed.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::{azure, flyte, version};
use flyte_secrets_policy::settings::Provider;
use flyte_secrets_policy::store::{Cluster, GetResource, host_error};
use serde_json::{Map, Value, json};

use crate::source::Source;
use crate::yaml::{self, Node};
use crate::{Error, at, text};

/// The contents of a store.
#[derive(Clone, Debug)]
enum Contents {
    /// The contents of a text: store → name → value; for K8s namespace → Secret → data.
    Listed(Value),
    /// Every requested secret: names by the Secrets that have their values, whose names are hashes.
    Assumed(BTreeMap<String, String>),
}

/// A cluster with secrets.
#[derive(Clone, Debug)]
pub struct Store {
    contents: Contents,
    /// Text of placeholders before the key; none to return values.
    instead: Option<&'static str>,
}

impl Store {
    /// Returns an empty store.
    pub fn empty() -> Self {
        Self { contents: Contents::Listed(Value::default()), instead: None }
    }

    /// Returns a store that has each of these secrets: names by Secrets.
    pub fn assumed(names: BTreeMap<String, String>) -> Self {
        Self { contents: Contents::Assumed(names), instead: Some(VALUE) }
    }

    /// Parses a store in the format of the golden cases, or Secrets as printed by kubectl.
    ///
    /// # Errors
    /// The text has another format.
    pub fn read(source: &Source) -> Result<Self, Error> {
        let mut contents = json!({});
        for document in source.documents()? {
            add(&yaml::value(&document), &document, &source.name, &mut contents)?;
        }
        Ok(Self { contents: Contents::Listed(contents), instead: None })
    }

    /// Whether the text has no secrets.
    pub fn is_empty(&self) -> bool {
        matches!(&self.contents, Contents::Listed(contents) if contents.as_object().is_none_or(Map::is_empty))
    }

    /// Returns the same store with placeholders instead of values.
    pub fn with_placeholders(&self, words: &'static str) -> Self {
        Self { instead: Some(words), ..self.clone() }
    }

    fn secret(&self, namespace: &str, name: &str) -> Option<Value> {
        let data = match &self.contents {
            Contents::Listed(contents) => at(contents, &["K8s", namespace, name])?.clone(),
            Contents::Assumed(names) => json!({ names.get(name)?: "assumed" }),
        };
        let encoded = |words: &str, key: &str| STANDARD.encode(placeholder(words, key));
        Some(json!({ "data": self.shown(data, encoded) }))
    }

    fn stored(&self, store: Provider, name: &str) -> Option<Value> {
        let value = match &self.contents {
            Contents::Listed(contents) => at(contents, &[&store.to_string(), name])?.clone(),
            Contents::Assumed(_) => json!({ "stringValue": "assumed" }),
        };
        Some(self.shown(value, |words, field| match (field, store) {
            ("binaryValue", _) => STANDARD.encode(placeholder(words, name)),
            (_, Provider::Azure) => json!({ "type": "STRING", "value": placeholder(words, name) }).to_string(),
            _ => placeholder(words, name),
        }))
    }

    /// Returns an object's fields, with placeholders for those that are not empty.
    fn shown(&self, mut object: Value, placeholder: impl Fn(&str, &str) -> String) -> Value {
        let Some(words) = self.instead else { return object };
        for (key, value) in object.as_object_mut().into_iter().flatten() {
            if value.as_str().is_some_and(|text| !text.is_empty()) && key != "error" {
                *value = placeholder(words, key).into();
            }
        }
        object
    }
}

impl Cluster for Store {
    fn get_resource(&self, request: &GetResource) -> Result<Vec<u8>, String> {
        let GetResource { kind, name, namespace, .. } = request;
        let found = match (*kind, namespace) {
            ("Secret", Some(namespace)) => self.secret(namespace, name),
            // Shows that the store exists.
            ("Namespace" | "SecretLookup", _) => Some(json!({})),
            _ => {
                let provider = Provider::ALL.iter().find(|it| it.facts().kind == *kind);
                let (unversioned, version) = version::split(name);
                let stored = unversioned.rsplit_once(':').map_or(unversioned, |(_, stored)| stored);
                let Some(provider) = provider.filter(|it| it.check_name(stored).is_ok()) else {
                    return Err("ApiError: no such names (ErrorResponse { code: 400 })".to_owned());
                };
                self.stored(*provider, &version::join(stored, version.unwrap_or_default()))
            }
        };
        let found = found.ok_or_else(|| host_error::missing(request))?;
        match found.get("error") {
            Some(_) => Err("ApiError: the store says so (ErrorResponse { code: 503 })".to_owned()),
            None => Ok(found.to_string().into_bytes()),
        }
    }
}

/// Text of placeholders.
pub const VALUE: &str = "value of";

fn placeholder(words: &str, name: &str) -> String {
    let name = version::split(name).0;
    let decoded = flyte::decode_documented(name).or_else(|_| azure::decode(name));
    format!("<{words} {}>", decoded.as_ref().map_or(name, |decoded| &decoded.key))
}

/// Adds the contents of a document; `node` is the same with places.
fn add(document: &Value, node: &Node, file: &str, contents: &mut Value) -> Result<(), Error> {
    let name = text(document, &["metadata", "name"]);
    match (text(document, &["kind"]), document.get("items").and_then(Value::as_array)) {
        ("Secret", _) => {
            let namespace = text(document, &["metadata", "namespace"]);
            if namespace.is_empty() {
                return Err(Error::NoNamespace(file.to_owned(), name.to_owned()));
            }
            let members = |field| document.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
            let mut data = members("data");
            let encoded = |value: &Value| STANDARD.encode(value.as_str().unwrap_or_default()).into();
            data.extend(members("stringData").into_iter().map(|(key, value)| (key, encoded(&value))));
            merge(contents, json!({ "K8s": { namespace: { name: data } } }));
        }
        (_, Some(items)) => items.iter().try_for_each(|item| add(item, node, file, contents))?,
        // An empty document, such as one with only comments, is allowed.
        _ => {
            let mut keys = document.as_object().into_iter().flat_map(Map::keys);
            if let Some(key) = keys.find(|key| Provider::ALL.iter().all(|provider| provider.to_string() != **key)) {
                let mut places = node.data.as_mapping().into_iter().flat_map(|entries| entries.keys());
                let place = places.find(|node| yaml::name(node) == *key).map(|node| node.span.into());
                return Err(Error::NotStore(file.to_owned(), key.clone(), place));
            }
            if document.is_object() {
                merge(contents, document.clone());
            }
        }
    }
    Ok(())
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
