//! A cluster from a file: the secrets that stores hold, as the policy's host would answer.
//!
//! Unless values are to be shown, it hands out a placeholder in each one's place, so that the core never sees a value
//! that is printed.

use std::cell::RefCell;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::{azure, flyte, kubernetes};
use flyte_secrets_policy::store::{Cluster, GetResource};
use serde_json::{Map, Value, json};

use crate::files::{self, Source};

/// Why a file is no store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] files::Error),
    #[error("{file} is no store: {key:?} is none of K8s, AWS, GCP and Azure, and no Secret of Kubernetes")]
    Unknown { file: String, key: String },
    #[error("{file} holds the Secret {name} without a namespace; write it into metadata.namespace")]
    NoNamespace { file: String, name: String },
}

/// What there is.
#[derive(Clone, Debug)]
enum Contents {
    /// As in the file: store → name → value; for K8s namespace → Secret → data.
    Listed(Value),
    /// Whatever is asked for; Secrets by the names that they are hashes of.
    Assumed(BTreeMap<String, String>),
}

/// One question, and whether there was such an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    pub object: String,
    /// The name that a Secret's is the hash of, if it is known; else the object's.
    pub name: String,
    pub found: bool,
}

/// The cluster.
#[derive(Debug)]
pub struct Store {
    contents: Contents,
    /// The words that stand before a key in the place of its value; without them values are handed out.
    instead: Option<&'static str>,
    asked: RefCell<Vec<Asked>>,
}

impl Store {
    fn new(contents: Contents) -> Self {
        Self { contents, instead: None, asked: RefCell::default() }
    }

    /// A store with nothing in it.
    pub fn empty() -> Self {
        Self::new(Contents::Listed(Value::Null))
    }

    /// A store that has each secret whose name is among `names`.
    pub fn assumed(names: impl IntoIterator<Item = String>) -> Self {
        let hashed = names.into_iter().map(|name| (kubernetes::secret_name(&name), name));
        Self { instead: Some(VALUE), ..Self::new(Contents::Assumed(hashed.collect())) }
    }

    /// A store from a file: the format of the golden cases, or Secrets as kubectl prints them.
    pub fn load(path: &str) -> Result<Self, Error> {
        let source = Source::read(path)?;
        let mut contents = json!({});
        for document in source.values()? {
            add(&document, &source.name, &mut contents)?;
        }
        Ok(Self::new(Contents::Listed(contents)))
    }

    /// The same store, of which nothing has been asked.
    pub fn fresh(&self) -> Self {
        Self { instead: self.instead, ..Self::new(self.contents.clone()) }
    }

    /// The same store with a placeholder in each value's place.
    pub fn with_placeholders(&self, words: &'static str) -> Self {
        Self { instead: Some(words), ..self.fresh() }
    }

    /// What has been asked since this was called last.
    pub fn take_asked(&self) -> Vec<Asked> {
        self.asked.take()
    }

    fn secret(&self, namespace: &str, name: &str) -> Option<Value> {
        let data = match &self.contents {
            Contents::Listed(contents) => contents.get("K8s")?.get(namespace)?.get(name)?.clone(),
            Contents::Assumed(names) => json!({ names.get(name)?: "assumed" }),
        };
        Some(json!({ "data": self.shown(&data, |words, key| STANDARD.encode(placeholder(words, key))) }))
    }

    fn stored(&self, store: &str, name: &str) -> Option<Value> {
        let value = match &self.contents {
            Contents::Listed(contents) => contents.get(store)?.get(name)?.clone(),
            Contents::Assumed(_) => json!({ "stringValue": "assumed" }),
        };
        Some(self.shown(&value, |words, field| match (field, store) {
            ("binaryValue", _) => STANDARD.encode(placeholder(words, name)),
            (_, "Azure") => json!({ "type": "STRING", "value": placeholder(words, name) }).to_string(),
            _ => placeholder(words, name),
        }))
    }

    /// An object's fields, with placeholders for those that are not empty.
    fn shown(&self, object: &Value, placeholder: impl Fn(&str, &str) -> String) -> Value {
        let fields = object.as_object().cloned().unwrap_or_default().into_iter();
        let shown = fields.map(|(key, value)| match (self.instead, value.as_str()) {
            (Some(words), Some(text)) if !text.is_empty() && key != "error" => {
                let instead = placeholder(words, &key);
                (key, json!(instead))
            }
            _ => (key, value),
        });
        shown.collect::<Map<String, Value>>().into()
    }

    fn object(&self, request: &GetResource) -> Result<Value, String> {
        let GetResource { api_version, kind, name, namespace, .. } = request;
        let found = match (*kind, namespace) {
            ("Secret", Some(namespace)) => self.secret(namespace, name),
            _ => {
                let store = kind.trim_end_matches("Secret");
                let stored = name.rsplit_once(':').map_or(*name, |(_, stored)| stored);
                if !is_name_in(store, stored) {
                    return Err("ApiError: no such names (ErrorResponse { code: 400 })".to_owned());
                }
                self.stored(store, stored)
            }
        };
        let found = found.ok_or_else(|| {
            format!("Cannot find {api_version}/{kind} named '{name}' inside of namespace '{namespace:?}'")
        })?;
        match found.get("error") {
            Some(_) => Err("ApiError: the store says so (ErrorResponse { code: 503 })".to_owned()),
            None => Ok(found),
        }
    }
}

/// What the secret gateway knows of providers' names.
fn is_name_in(store: &str, name: &str) -> bool {
    let (longest, others): (usize, &[u8]) = match store {
        "AWS" => (512, b"_+=.@-"),
        "GCP" => (255, b"_-"),
        _ => (127, b"-"),
    };
    (1..=longest).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_alphanumeric() || others.contains(&c))
}

impl Cluster for Store {
    fn get_resource(&self, request: &GetResource) -> Result<Vec<u8>, String> {
        let answer = self.object(request);
        let place = request.namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
        self.asked.borrow_mut().push(Asked {
            object: format!("{} {place}{}", request.kind, request.name),
            name: request.name.to_owned(),
            found: answer.is_ok(),
        });
        answer.map(|object| object.to_string().into_bytes())
    }
}

/// What placeholders of values say.
pub const VALUE: &str = "value of";

fn placeholder(words: &str, name: &str) -> String {
    let decoded = flyte::decode_documented(name).or_else(|_| azure::decode(name));
    format!("<{words} {}>", decoded.map_or(name.to_owned(), |decoded| decoded.key))
}

fn add(document: &Value, file: &str, contents: &mut Value) -> Result<(), Error> {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match (text("/kind"), document.get("items").and_then(Value::as_array)) {
        ("Secret", _) => {
            let (name, namespace) = (text("/metadata/name"), text("/metadata/namespace"));
            if namespace.is_empty() {
                return Err(Error::NoNamespace { file: file.to_owned(), name: name.to_owned() });
            }
            let field = |name: &str| document.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
            let mut data = field("data");
            data.extend(field("stringData").into_iter().map(|(key, value)| {
                let encoded = value.as_str().map(|text| STANDARD.encode(text));
                (key, json!(encoded.unwrap_or_default()))
            }));
            merge(contents, json!({ "K8s": { namespace: { name: data } } }));
        }
        (_, Some(items)) => items.iter().try_for_each(|item| add(item, file, contents))?,
        _ => {
            for key in document.as_object().into_iter().flat_map(Map::keys) {
                if !["K8s", "AWS", "GCP", "Azure"].contains(&key.as_str()) {
                    return Err(Error::Unknown { file: file.to_owned(), key: key.clone() });
                }
            }
            merge(contents, document.clone());
        }
    }
    Ok(())
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}
