//! Stores of Embedded: one Kubernetes object for each secret, read through the cluster.
//!
//! [`SecretStore`] is the trait of stores, and [`open`] returns the one in the settings. All of them read through
//! [`Cluster`], which is the host capability in the policy, and data in tests, the command line and the playground.
//! [`host_error`] converts error texts of the host to a kind.

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

/// Reads objects of a cluster, by the host capability `kubernetes/get_resource` or a replacement.
pub trait Cluster {
    /// Returns an object as JSON.
    ///
    /// # Errors
    /// The host's message, which only [`host_error`] reads.
    fn get_resource(&self, request: &GetResource) -> Result<Vec<u8>, String>;
}

/// A request for an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GetResource<'a> {
    /// `v1`, or group and version.
    pub api_version: &'a str,
    /// The object's kind.
    pub kind: &'a str,
    /// The object's name, validated before.
    pub name: &'a str,
    /// Its namespace, if it has one.
    pub namespace: Option<&'a str>,
    /// Requested fields.
    pub field_masks: &'a [&'a str],
}

/// The value of a secret, which `Debug` does not print.
#[derive(Clone, Eq, PartialEq)]
pub struct SecretValue(Vec<u8>);

impl SecretValue {
    /// Returns a value of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, which only the pod may contain.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// Why a store returns no value for a name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The object does not exist. The next name is tried.
    #[error("not found")]
    NotFound,
    /// The name is not valid in the store.
    #[error("{0:?} is not a valid secret name in this store; use a key of letters, digits, '.', '_' and '-'")]
    Name(String),
    /// The scope has no name in this store.
    #[error(transparent)]
    NoName(#[from] crate::names::Error),
    /// The object exists without the value.
    #[error("{object} has no key {key:?}; store the value under that key")]
    NoValue {
        /// The object.
        object: String,
        /// The missing key.
        key: String,
    },
    /// The object exists with an invalid value.
    #[error("{object} holds {problem}; store the secret again")]
    BadValue {
        /// The object.
        object: String,
        /// The problem.
        problem: &'static str,
    },
    /// The store itself does not exist.
    #[error("{0} not found, so secrets cannot be looked up; ask the operator to restore it")]
    NoStore(String),
    /// The pod exceeds the limit of reads.
    #[error("the pod's secret requests exceed the limit of {0} lookups; request fewer secrets")]
    TooManyReads(usize),
    /// The object cannot be read.
    #[error("{object} could not be read: {problem}")]
    Host {
        /// The object.
        object: String,
        /// The kind of failure.
        problem: HostError,
    },
}

/// One step of a lookup, for messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lookup {
    /// A name was looked up.
    Name {
        /// The secret's name.
        name: String,
        /// The object with that name, or its kind and place.
        object: String,
    },
    /// A scope has no name for the key.
    NoName {
        /// The scope.
        scope: String,
        /// The reason.
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
    /// Returns the names of a key in a scope, in lookup order.
    ///
    /// # Errors
    /// The scope has no name for the key.
    fn names(&self, scope: Scope, key: &str) -> Result<Vec<String>, Error>;

    /// Returns the lookup of a name, for messages.
    fn lookup(&self, name: &str) -> Lookup;

    /// Returns the object that exists whenever the store does.
    fn guard(&self) -> GetResource<'_>;

    /// Returns the value of a name.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the name does not exist. All others end the lookup.
    fn fetch(&self, name: &str) -> Result<SecretValue, Error>;
}

/// Returns the store in the settings.
///
/// # Errors
/// The settings name several stores.
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

/// Reads objects for one pod, each once, up to a limit.
pub struct Reader<'a> {
    cluster: &'a dyn Cluster,
    limit: usize,
    /// Objects that have been read, by kind, namespace, name and fields.
    known: RefCell<BTreeMap<String, Result<Vec<u8>, Error>>>,
}

impl<'a> Reader<'a> {
    /// Returns a reader of a cluster for up to `limit` objects.
    pub fn new(cluster: &'a dyn Cluster, limit: usize) -> Self {
        Self { cluster, limit, known: RefCell::default() }
    }

    /// Whether `namespace` has a Secret of this name, without reading its content.
    ///
    /// # Errors
    /// The Secret cannot be read.
    pub fn has_secret(&self, namespace: &str, name: &str) -> Result<bool, Error> {
        match self.read(&secret_request(name, namespace, &["metadata.name"])) {
            Ok(_) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Checks that a store exists in which nothing was found.
    ///
    /// Missing permission is ignored, because an older gateway does not have the object.
    ///
    /// # Errors
    /// The store does not exist or cannot be read.
    pub fn check_guard(&self, guard: &GetResource) -> Result<(), Error> {
        use HostError::{Forbidden, GatewayForbidden, NotGranted, UnknownKind};
        match self.read(guard) {
            Ok(_) | Err(Error::Host { problem: Forbidden | GatewayForbidden | NotGranted | UnknownKind, .. }) => Ok(()),
            Err(Error::NotFound) => Err(Error::NoStore(describe(guard))),
            Err(failure) => Err(failure),
        }
    }

    /// Reads one object. Names are validated first, because kube's client inserts them into the URL without escaping.
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

/// Returns the description of an object, for messages.
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
