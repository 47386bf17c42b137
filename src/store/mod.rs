//! Where Embedded's values come from: one Kubernetes object for each secret, read through the cluster.
//!
//! [`SecretStore`] is what the manager asks; [`open`] chooses the store that the settings name. All of them read
//! through [`Cluster`], which is the host capability in the policy and plain data in tests, the command line and the
//! playground. A host's error text ends in [`host_error`]: only its kind goes on.

pub mod azure_value;
pub(crate) mod gateway;
pub mod host_error;
mod kubernetes;
mod property;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::names::Scope;
use crate::settings::{EmbeddedSecretManager, Provider};
pub use gateway::{exists, ready};
use host_error::HostError;
pub use kubernetes::keys;
pub use property::{NoProperty, object, property, property_of};

/// What reads one object of a cluster: the host capability `kubernetes/get_resource`, or something like it.
pub trait Cluster {
    /// The object as JSON.
    ///
    /// # Errors
    /// The text of the failure, in the host's words; it goes no further than [`host_error`].
    fn get_resource(&self, request: &GetResource) -> Result<Vec<u8>, String>;
}

/// Which object is read, and what of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GetResource<'a> {
    /// `v1`, or group and version.
    pub api_version: &'a str,
    /// The object's kind.
    pub kind: &'a str,
    /// The object's name, checked before.
    pub name: &'a str,
    /// Its namespace, if it has one.
    pub namespace: Option<&'a str>,
    /// The fields that are wanted.
    pub field_masks: &'a [&'a str],
}

/// A secret's value. Its `Debug` shows nothing of it.
#[derive(Clone, Eq, PartialEq)]
pub struct SecretValue(Vec<u8>);

impl SecretValue {
    /// Returns a value of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, for the pod and nowhere else.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// Why a store has no value for a name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// No such object: the next name may have it.
    #[error("not found")]
    NotFound,
    /// The name cannot be asked for.
    #[error("{0:?} is not a valid secret name in this store; use a key of letters, digits, '.', '_' and '-'")]
    Name(String),
    /// The scope has no name in this store.
    #[error(transparent)]
    NoName(#[from] crate::names::Error),
    /// The object is there and holds no such value.
    #[error("{object} has no key {key:?}; store the value under that key")]
    NoValue {
        /// What was read.
        object: String,
        /// Where the value should be.
        key: String,
    },
    /// The object is there and what it holds is not a value as Flyte stores it.
    #[error("{object} holds {problem}; store the secret again")]
    BadValue {
        /// What was read.
        object: String,
        /// The fact.
        problem: &'static str,
    },
    /// Nothing is there because the store itself is not.
    #[error("{0} not found, so secrets cannot be looked up; ask the operator to restore it")]
    NoStore(String),
    /// More objects than a pod may make the policy read.
    #[error("the pod's secret requests exceed the limit of {0} lookups; request fewer secrets")]
    TooManyReads(usize),
    /// The cluster did not answer the question.
    #[error("{object} could not be read: {problem}")]
    Host {
        /// What was asked for.
        object: String,
        /// The kind of failure.
        problem: HostError,
    },
}

/// One step of a search, as messages name it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lookup {
    /// A name was looked up.
    Name {
        /// The secret's name.
        name: String,
        /// The object that would hold it, or its kind and place.
        object: String,
    },
    /// A scope has no name for the key.
    NoName {
        /// The scope.
        scope: String,
        /// Why.
        problem: Error,
    },
}

impl fmt::Display for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Name { name, object } => write!(f, "{name} ({object})"),
            Self::NoName { scope, problem } => write!(f, "no name in scope {scope} ({problem})"),
        }
    }
}

/// A store of secret values, by the names of [`crate::names`].
pub trait SecretStore {
    /// The names under which a key may be stored in a scope, in the order in which they are tried.
    ///
    /// # Errors
    /// The scope has no name for it.
    fn names(&self, scope: Scope, key: &str) -> Result<Vec<String>, Error>;

    /// Returns where a name is looked up.
    fn lookup(&self, name: &str) -> Lookup;

    /// Returns the object whose absence shows that the store itself is gone, and not only a name in it.
    fn guard(&self) -> GetResource<'_>;

    /// The value that is stored under a name.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none; the others end the search.
    fn fetch(&self, name: &str) -> Result<SecretValue, Error>;
}

/// The store that the settings name.
///
/// # Errors
/// The settings name several, in words.
pub fn open<'a>(
    settings: &'a EmbeddedSecretManager,
    cluster: &'a Reader<'a>,
) -> Result<Box<dyn SecretStore + 'a>, crate::settings::Error> {
    let schemes = settings.name_schemes.as_slice();
    Ok(match settings.provider()? {
        Provider::K8s => Box::new(kubernetes::Secrets { cluster, namespace: &settings.k8s_config.namespace, schemes }),
        provider => Box::new(gateway::Gateway {
            cluster,
            kind: provider.facts().kind,
            place: settings.place(provider)?,
            schemes: if provider == Provider::Azure { &[] } else { schemes },
            plain_values: settings.azure_config.plain_values,
        }),
    })
}

/// Reads objects for one pod: each once, and not more than so many.
pub struct Reader<'a> {
    cluster: &'a dyn Cluster,
    limit: usize,
    /// What has been read, by kind, namespace, name, and fields.
    known: RefCell<BTreeMap<String, Result<Vec<u8>, Error>>>,
}

impl<'a> Reader<'a> {
    /// Returns a reader of a cluster for up to `limit` objects.
    pub fn new(cluster: &'a dyn Cluster, limit: usize) -> Self {
        Self { cluster, limit, known: RefCell::default() }
    }

    /// Whether `namespace` holds a Secret of this name; its contents are not asked for.
    ///
    /// # Errors
    /// The question could not be asked or was not answered.
    pub fn has_secret(&self, namespace: &str, name: &str) -> Result<bool, Error> {
        match self.read(&secret_request(name, namespace, &["metadata.name"])) {
            Ok(_) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Checks that a store is there in which nothing was found.
    ///
    /// What the policy may not ask for tells nothing, as with a gateway that is older than the object.
    ///
    /// # Errors
    /// It is not, or cannot be reached.
    pub fn check_guard(&self, guard: &GetResource) -> Result<(), Error> {
        use HostError::{Forbidden, GatewayForbidden, NotGranted, UnknownKind};
        match self.read(guard) {
            Ok(_) | Err(Error::Host { problem: Forbidden | GatewayForbidden | NotGranted | UnknownKind, .. }) => Ok(()),
            Err(Error::NotFound) => Err(Error::NoStore(describe(guard))),
            Err(failure) => Err(failure),
        }
    }

    /// Reads one object. Names are looked at first: kube's client puts them into the URL as they are.
    fn read(&self, request: &GetResource) -> Result<Vec<u8>, Error> {
        for name in [Some(request.name), request.namespace].into_iter().flatten() {
            if !is_safe(name) {
                return Err(Error::Name(name.to_owned()));
            }
        }
        let mut known = self.known.borrow_mut();
        let count = known.len();
        match known.entry([&describe(request), " ", &request.field_masks.join(",")].concat()) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(_) if count >= self.limit => Err(Error::TooManyReads(self.limit)),
            Entry::Vacant(free) => free.insert(self.ask(request)).clone(),
        }
    }

    fn ask(&self, request: &GetResource) -> Result<Vec<u8>, Error> {
        self.cluster.get_resource(request).map_err(|text| match HostError::classify(&text, request) {
            HostError::NotFound => Error::NotFound,
            problem => Error::Host { object: describe(request), problem },
        })
    }
}

fn secret_request<'a>(name: &'a str, namespace: &'a str, field_masks: &'a [&'a str]) -> GetResource<'a> {
    GetResource { api_version: "v1", kind: "Secret", name, namespace: Some(namespace), field_masks }
}

fn is_safe(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b':' | b'-'))
}

/// An object, as messages name it.
fn describe(request: &GetResource) -> String {
    let namespace = request.namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
    format!("{} {namespace}{}", request.kind, request.name)
}

fn decode_base64(text: &str, object: impl Fn() -> String) -> Result<Vec<u8>, Error> {
    STANDARD.decode(text).map_err(|_| Error::BadValue { object: object(), problem: "a value that is not valid base64" })
}

fn not_empty(bytes: Vec<u8>, object: impl Fn() -> String) -> Result<SecretValue, Error> {
    match bytes.as_slice() {
        [] => Err(Error::BadValue { object: object(), problem: "an empty value" }),
        _ => Ok(SecretValue(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_travel_are_never_asked_for() {
        struct Nobody;
        impl Cluster for Nobody {
            fn get_resource(&self, request: &GetResource) -> Result<Vec<u8>, String> {
                Err(format!("asked for {}", request.name))
            }
        }
        for name in ["", ".", "..", "../../nodes", "a/b", "a?b", "a#b", "a%2fb", "a b", "é", "a\n"] {
            assert_eq!(
                Reader::new(&Nobody, 1).read(&secret_request(name, "flyte", &[])),
                Err(Error::Name(name.to_owned())),
                "{name:?}"
            );
        }
        assert_eq!(Reader::new(&Nobody, 1).read(&secret_request("a", "..", &[])), Err(Error::Name("..".to_owned())));
        assert!(is_safe("us-west-2:u__org__acme__domain____project____key__a.b"));
    }

    #[test]
    fn a_value_shows_nothing() {
        assert_eq!(format!("{:?}", SecretValue(b"hunter2".to_vec())), "SecretValue(…)");
    }
}
