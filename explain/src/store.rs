//! A cluster that somebody has written down: the secrets that stores hold, as the policy's host would answer.
//!
//! Unless values are to be shown, it hands out a placeholder in each one's place, so that the core never sees a value
//! that is printed.

use std::cell::RefCell;

use base64ct::{Base64, Encoding};
use flyte_secrets_policy::names::{azure, flyte};
use flyte_secrets_policy::store::{Cluster, GetResource, host_error};

use crate::source::{self, Source};
use crate::tree::{Entry, Kind, Node, Place};

/// Why a text is no store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// It has something else in it.
    #[error("{file} is no store: {key:?} is none of K8s, AWS, GCP and Azure, and no Secret of Kubernetes")]
    Unknown {
        /// The text.
        file: String,
        /// What is unknown.
        key: String,
        /// Where it stands.
        place: Place,
    },
    /// Secrets live in namespaces.
    #[error("{file} holds the Secret {name} without a namespace; write it into metadata.namespace")]
    NoNamespace {
        /// The text.
        file: String,
        /// The Secret.
        name: String,
    },
}

/// What there is.
#[derive(Clone, Debug)]
enum Contents {
    /// As in the text: store → name → value; for K8s namespace → Secret → data.
    Listed(Node),
    /// Whatever is asked for; Secrets by the names that they are hashes of.
    Assumed(Vec<Hashed>),
}

/// A name, and the Secret that holds the value stored under it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hashed {
    /// The Secret's name, which is a hash.
    pub secret: String,
    /// The name.
    pub name: String,
}

/// One question, and whether there was such an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// Kind, namespace if there is one, and name.
    pub object: String,
    /// The object's name.
    pub name: String,
    /// Whether it is there.
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
        Self::new(Contents::Listed(Node::default()))
    }

    /// A store that has each secret whose name is among `names`.
    pub fn assumed(names: Vec<Hashed>) -> Self {
        Self { instead: Some(VALUE), ..Self::new(Contents::Assumed(names)) }
    }

    /// A store that is written down: in the format of the golden cases, or as Secrets as kubectl prints them.
    ///
    /// # Errors
    /// It is neither.
    pub fn read(source: &Source) -> Result<Self, Error> {
        let mut contents = Kind::Map(Vec::new()).into();
        for document in source.documents()? {
            add(&document, &source.name, &mut contents)?;
        }
        Ok(Self::new(Contents::Listed(contents)))
    }

    /// Whether nothing at all is written down.
    pub fn is_empty(&self) -> bool {
        matches!(&self.contents, Contents::Listed(contents) if contents.entries().is_empty())
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

    fn secret(&self, namespace: &str, name: &str) -> Option<Node> {
        let data = match &self.contents {
            Contents::Listed(contents) => contents.at(&["K8s", namespace, name])?.clone(),
            Contents::Assumed(names) => {
                let known = names.iter().find(|known| known.secret == name)?;
                Node::of(&known.name, "assumed".into())
            }
        };
        let encoded = |words: &str, key: &str| Base64::encode_string(placeholder(words, key).as_bytes());
        Some(Node::of("data", self.shown(data, encoded)))
    }

    fn stored(&self, store: &str, name: &str) -> Option<Node> {
        let value = match &self.contents {
            Contents::Listed(contents) => contents.at(&[store, name])?.clone(),
            Contents::Assumed(_) => Node::of("stringValue", "assumed".into()),
        };
        Some(self.shown(value, |words, field| match (field, store) {
            ("binaryValue", _) => Base64::encode_string(placeholder(words, name).as_bytes()),
            (_, "Azure") => {
                let mut value = Node::of("type", "STRING".into());
                value.set("value", placeholder(words, name).as_str().into());
                String::from_utf8(value.to_json()).unwrap_or_default()
            }
            _ => placeholder(words, name),
        }))
    }

    /// An object's fields, with placeholders for those that are not empty.
    fn shown(&self, mut object: Node, placeholder: impl Fn(&str, &str) -> String) -> Node {
        let Some(words) = self.instead else { return object };
        for Entry { key, value, .. } in object.entries_mut().into_iter().flatten() {
            if value.text().is_some_and(|text| !text.is_empty()) && key != "error" {
                *value = placeholder(words, key).as_str().into();
            }
        }
        object
    }

    fn object(&self, request: &GetResource) -> Result<Node, String> {
        let GetResource { kind, name, namespace, .. } = request;
        let found = match (*kind, namespace) {
            ("Secret", Some(namespace)) => self.secret(namespace, name),
            _ => {
                let store = kind.strip_suffix("Secret").unwrap_or(kind);
                let stored = name.rsplit_once(':').map_or(*name, |(_, stored)| stored);
                if !is_name_in(store, stored) {
                    return Err("ApiError: no such names (ErrorResponse { code: 400 })".to_owned());
                }
                self.stored(store, stored)
            }
        };
        let found = found.ok_or_else(|| host_error::missing(request))?;
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
        let object = match request.namespace {
            Some(namespace) => [request.kind, " ", namespace, "/", request.name].concat(),
            None => [request.kind, " ", request.name].concat(),
        };
        self.asked.borrow_mut().push(Asked { object, name: request.name.to_owned(), found: answer.is_ok() });
        answer.map(|object| object.to_json())
    }
}

/// What placeholders of values say.
pub const VALUE: &str = "value of";

fn placeholder(words: &str, name: &str) -> String {
    let decoded = flyte::decode_documented(name).or_else(|_| azure::decode(name));
    ["<", words, " ", decoded.as_ref().map_or(name, |decoded| &decoded.key), ">"].concat()
}

fn add(document: &Node, file: &str, contents: &mut Node) -> Result<(), Error> {
    let text = |path: &[&str]| document.text_at(path).unwrap_or_default();
    match (text(&["kind"]), document.get("items").and_then(Node::items)) {
        ("Secret", _) => {
            let (name, namespace) = (text(&["metadata", "name"]), text(&["metadata", "namespace"]));
            if namespace.is_empty() {
                return Err(Error::NoNamespace { file: file.to_owned(), name: name.to_owned() });
            }
            let empty = || Kind::Map(Vec::new()).into();
            let mut data = document.get("data").cloned().unwrap_or_else(empty);
            for Entry { key, value, .. } in document.get("stringData").map(Node::entries).unwrap_or_default() {
                let encoded = value.text().map(|text| Base64::encode_string(text.as_bytes()));
                data.set(key, encoded.unwrap_or_default().as_str().into());
            }
            merge(contents, Node::of("K8s", Node::of(namespace, Node::of(name, data))));
        }
        (_, Some(items)) => items.iter().try_for_each(|item| add(item, file, contents))?,
        _ => {
            let unknown = |entry: &&Entry| !["K8s", "AWS", "GCP", "Azure"].contains(&entry.key.as_str());
            if let Some(unknown) = document.entries().iter().find(unknown) {
                return Err(Error::Unknown {
                    file: file.to_owned(),
                    key: unknown.key.clone(),
                    place: unknown.key_place,
                });
            }
            // A document without anything, such as one of comments alone, is no store and no mistake.
            if !document.entries().is_empty() {
                merge(contents, document.clone());
            }
        }
    }
    Ok(())
}

fn merge(into: &mut Node, from: Node) {
    match from.kind {
        Kind::Map(entries) if into.entries_mut().is_some() => {
            for Entry { key, value, .. } in entries {
                match into.get_mut(&key) {
                    Some(known) => merge(known, value),
                    None => into.set(&key, value),
                }
            }
        }
        kind => *into = kind.into(),
    }
}
