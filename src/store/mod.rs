//! The store of Embedded: one Kubernetes object for each secret, read through the cluster.
//!
//! [`Store`] knows the names of secrets and fetches values. It reads through [`Cluster`], which is the host capability in
//! the policy, and data in tests, the command line and the playground. [`host_error`] converts error texts of the host to
//! a kind.

mod gateway;
pub mod host_error;
mod kubernetes;
mod property;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::from_json;
use crate::names::{self, NameScheme, Scope, azure, version};
use crate::settings::{self, EmbeddedSecretManager, Provider};
pub(crate) use gateway::READY;
pub use gateway::unpack_azure;
use host_error::HostError;
pub use kubernetes::keys;
pub use property::property;

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

impl fmt::Display for GetResource<'_> {
    /// Prints kind, namespace and name, for messages.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (namespace, slash) = self.namespace.map_or(("", ""), |namespace| (namespace, "/"));
        write!(f, "{} {namespace}{slash}{}", self.kind, self.name)
    }
}

/// The value of a secret, which `Debug` does not print.
pub struct SecretValue {
    bytes: Vec<u8>,
    /// The value as a JSON object, once that has been asked for.
    object: OnceCell<Option<Map<String, Value>>>,
}

impl SecretValue {
    /// Returns a value of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, object: OnceCell::new() }
    }

    /// Returns the bytes, which only the pod may contain.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
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
    NoName(#[from] names::Error),
    /// The object exists without this key.
    #[error("{0} has no key {1:?}; store the value under that key")]
    NoValue(String, String),
    /// The object exists with an invalid value.
    #[error("{0} holds {1}; store the secret again")]
    BadValue(String, &'static str),
    /// The value of this secret does not have this property.
    #[error("secret {0:?} {1}; store a JSON object with a string under {2:?}")]
    NoProperty(String, &'static str, String),
    /// The store itself does not exist.
    #[error("{0} not found, so secrets cannot be looked up; ask the operator to restore it")]
    NoStore(String),
    /// The pod exceeds the limit of reads.
    #[error("the pod's secret requests exceed the limit of {0} lookups; request fewer secrets")]
    TooManyReads(usize),
    /// The object cannot be read.
    #[error("{0} could not be read: {1}")]
    Host(String, HostError),
}

/// One step of a lookup, for messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lookup {
    /// The secret's name, or why the scope has none.
    pub name: Result<String, names::Error>,
    /// The object with that name, or its kind and place; without a name, the scope.
    pub object: String,
}

impl fmt::Display for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.name {
            Ok(name) => write!(f, "{name} ({})", self.object),
            Err(problem) => write!(f, "no name in scope {} ({problem})", self.object),
        }
    }
}

/// The store in the settings.
pub struct Store<'a> {
    /// Its provider.
    pub provider: Provider,
    /// Its region, project, vault or namespace.
    place: String,
    schemes: &'a [NameScheme],
    /// Whether values in Azure that are not Flyte's JSON are used unchanged.
    plain_values: bool,
}

impl<'a> Store<'a> {
    /// Returns the store in the settings.
    ///
    /// # Errors
    /// The settings name several stores, or an invalid place.
    pub fn open(settings: &'a EmbeddedSecretManager) -> Result<Self, settings::Error> {
        let provider = settings.provider()?;
        let (place, plain_values) = (settings.place(provider)?, settings.azure_config.plain_values);
        Ok(Self { provider, place, schemes: &settings.name_schemes, plain_values })
    }

    /// Returns the lookups of a version of a secret with their scopes, narrowest first. An error ends them.
    pub fn lookups<'s>(
        &self,
        scope: Scope<'s>,
        secret: &str,
        version: &str,
    ) -> impl Iterator<Item = Result<(Scope<'s>, Lookup), Error>> {
        scope.cascade().into_iter().flat_map(move |scope| match self.names(scope, secret) {
            Ok(names) => names.iter().map(|name| Ok((scope, self.lookup(version::join(name, version))))).collect(),
            // A name that is too long for the store can be shorter in a broader scope.
            Err(Error::NoName(problem)) => vec![Ok((scope, Lookup { name: Err(problem), object: scope.to_string() }))],
            Err(failure) => vec![Err(failure)],
        })
    }

    /// Returns the names of a key in a scope, in lookup order.
    ///
    /// # Errors
    /// The scope has no name for the key.
    pub fn names(&self, scope: Scope, key: &str) -> Result<Vec<String>, Error> {
        match self.provider {
            Provider::Azure => Ok(vec![azure::encode(scope, key)?]),
            // A colon separates the place and the version.
            Provider::Aws | Provider::Gcp if key.contains(':') => Err(Error::Name(key.to_owned())),
            _ => Ok(scope.candidates(key, self.schemes)),
        }
    }

    fn lookup(&self, name: String) -> Lookup {
        let Self { provider, place, .. } = self;
        let kind = provider.facts().kind;
        let object = match provider {
            Provider::K8s => format!("{kind} {place}/{}", names::kubernetes::secret_name(&name)),
            _ => format!("{kind} in {place}"),
        };
        Lookup { name: Ok(name), object }
    }

    /// Returns the object that exists whenever the store does.
    pub fn guard(&self) -> GetResource<'_> {
        match self.provider {
            Provider::K8s => kubernetes::guard(&self.place),
            _ => READY,
        }
    }

    /// Returns the value of a name.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the name does not exist. All others end the lookup.
    pub fn fetch(&self, reader: &Reader, name: &str) -> Result<SecretValue, Error> {
        match self.provider {
            Provider::K8s => kubernetes::fetch(reader, &self.place, name),
            _ => self.fetch_from_gateway(reader, name),
        }
    }
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
            Ok(_) | Err(Error::Host(_, Forbidden | GatewayForbidden | NotGranted | UnknownKind)) => Ok(()),
            Err(Error::NotFound) => Err(Error::NoStore(guard.to_string())),
            Err(failure) => Err(failure),
        }
    }

    /// Reads fields of one object; `problem` says what it holds if it does not have them.
    fn read_fields<T: DeserializeOwned>(&self, request: &GetResource, problem: &'static str) -> Result<T, Error> {
        from_json(&self.read(request)?).ok_or_else(|| Error::BadValue(request.to_string(), problem))
    }

    /// Reads one object. Names are validated first, because kube's client inserts them into the URL without escaping.
    fn read(&self, request: &GetResource) -> Result<Vec<u8>, Error> {
        if let Some(unsafe_name) = [Some(request.name), request.namespace].into_iter().flatten().find(|it| !is_safe(it))
        {
            return Err(Error::Name(unsafe_name.to_owned()));
        }
        let mut known = self.known.borrow_mut();
        let count = known.len();
        let object = request.to_string();
        match known.entry([&object, " ", &request.field_masks.join(",")].concat()) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(_) if count >= self.limit => Err(Error::TooManyReads(self.limit)),
            Entry::Vacant(free) => {
                let answer = self.cluster.get_resource(request);
                let answer = answer.map_err(|text| match HostError::classify(&text, request) {
                    None => Error::NotFound,
                    Some(problem) => Error::Host(object, problem),
                });
                free.insert(answer).clone()
            }
        }
    }
}

fn secret_request<'a>(name: &'a str, namespace: &'a str, field_masks: &'a [&'a str]) -> GetResource<'a> {
    GetResource { api_version: "v1", kind: "Secret", name, namespace: Some(namespace), field_masks }
}

fn is_safe(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b':' | b'-'))
}

fn decode_base64(text: &str) -> Result<Vec<u8>, &'static str> {
    STANDARD.decode(text).map_err(|_| "a value that is not valid base64")
}

/// Returns the value that an object holds, which must not be empty.
fn value_of(object: &GetResource, decoded: Result<Vec<u8>, &'static str>) -> Result<SecretValue, Error> {
    let bytes = decoded.and_then(|bytes| if bytes.is_empty() { Err("an empty value") } else { Ok(bytes) });
    bytes.map(SecretValue::new).map_err(|problem| Error::BadValue(object.to_string(), problem))
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
        assert_eq!(format!("{:?}", SecretValue::new(b"hunter2".to_vec())), "SecretValue(…)");
    }
}
