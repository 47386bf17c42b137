//! Flyte's secrets by scope and key: the policy's own names, read through the gateway's reader.
//!
//! Knows neither HTTP nor who asks. Which names, and in which order, is the policy's core.

use std::sync::Arc;

use flyte_secrets_policy::grant::Granted;
use flyte_secrets_policy::names::{Scope, version};
use flyte_secrets_policy::settings::{self, EmbeddedSecretManager, Provider};
use flyte_secrets_policy::store::{self, Cluster, GetResource, Lookup, azure_value};
use secrecy::ExposeSecret;

use crate::config::Pods;
use crate::names::{Kind, Name, NotServed, Served};
use crate::provider::{Failure, Value};
use crate::reader::{Failed, Reader};

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    /// Looked up everywhere.
    #[error("not found; looked up {}; store it under one of these names", list(.0))]
    Nowhere(Vec<Lookup>),
    /// It has no name in the store.
    #[error(transparent)]
    Name(#[from] store::Error),
    /// The gateway's configuration does not serve its name.
    #[error(transparent)]
    NotServed(#[from] NotServed),
    /// What is stored is no value.
    #[error("invalid value of {0}: {1}; store the secret again")]
    Value(Name, &'static str),
    /// What is stored has no such property.
    #[error(transparent)]
    Property(#[from] store::NoProperty),
    /// The store could not be read.
    #[error("{1}")]
    Failed(Name, Failed),
}

fn list(lookups: &[Lookup]) -> String {
    lookups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A secret, and the name under which it is stored.
pub struct Found {
    /// Its value, unpacked, or its property.
    pub value: Arc<Value>,
    /// The name in the store, with its version.
    pub name: String,
}

/// The store that the policy's settings name.
pub struct Store {
    kind: Kind,
    place: String,
    settings: EmbeddedSecretManager,
    served: Served,
    reader: Reader,
}

/// Names are asked for, values are not.
struct NamesOnly;

impl Cluster for NamesOnly {
    fn get_resource(&self, _: &GetResource) -> Result<Vec<u8>, String> {
        Err("the gateway reads through its reader".to_owned())
    }
}

impl Store {
    /// A store that reads through `reader`.
    ///
    /// # Errors
    /// The settings name several stores.
    pub fn open(pods: &Pods, served: Served, reader: Reader) -> Result<Self, settings::Error> {
        let (kind, place) = pods.store()?;
        let settings = pods.settings.embedded_secret_manager_config.clone();
        Ok(Self { kind, place, settings, served, reader })
    }

    /// The first value that is found, nearest scope first.
    ///
    /// # Errors
    /// There is none, or it cannot be known.
    pub async fn find(&self, scope: Scope<'_>, granted: &Granted) -> Result<Found, NotFound> {
        let mut looked_up = Vec::new();
        for scope in scope.cascade() {
            for (name, lookup) in self.names(scope, granted, &mut looked_up)? {
                looked_up.push(lookup);
                self.served.check(&name)?;
                match self.reader.read(&name).await.outcome {
                    Ok(value) => {
                        let value = unpack(&name, value, self.served.plain_values())?;
                        return Ok(Found { value: property(value, granted)?, name: name.secret });
                    }
                    Err(Failed::Provider(Failure::NotFound)) => {}
                    Err(failed) => return Err(NotFound::Failed(name, failed)),
                }
            }
        }
        Err(NotFound::Nowhere(looked_up))
    }

    /// The names in one scope, each checked as the policy checks it before it asks.
    fn names(
        &self,
        scope: Scope,
        granted: &Granted,
        looked_up: &mut Vec<Lookup>,
    ) -> Result<Vec<(Name, Lookup)>, NotFound> {
        let names_only = store::Reader::new(&NamesOnly, 0);
        let store = store::open(&self.settings, &names_only).map_err(|_| NotFound::Nowhere(Vec::new()))?;
        let names = match store.names(scope, granted.secret()) {
            Ok(names) => names,
            Err(problem @ store::Error::NoName(_)) => {
                looked_up.push(Lookup::NoName { scope: scope.to_string(), problem });
                return Ok(Vec::new());
            }
            Err(problem) => return Err(problem.into()),
        };
        let names = names.iter().map(|name| version::join(name, &granted.version));
        let parse = |name: String| match Name::parse(self.kind, &[&self.place, &*name].join(":")) {
            Ok(parsed) => Ok((parsed, store.lookup(&name))),
            Err(_) => Err(store::Error::Name(name).into()),
        };
        names.map(parse).collect()
    }
}

/// Returns what is granted of a value: all of it, or a property.
fn property(value: Arc<Value>, granted: &Granted) -> Result<Arc<Value>, NotFound> {
    if granted.group.is_empty() {
        return Ok(value);
    }
    let property = store::property(value.bytes(), &granted.group, &granted.key)?;
    Ok(Arc::new(Value::Binary(property.bytes().to_vec().into())))
}

/// Returns what Flyte stored, of what the provider holds; with `plain`, what it has not stored as it is.
///
/// # Errors
/// It is no value.
pub fn unpack(name: &Name, value: Arc<Value>, plain: bool) -> Result<Arc<Value>, NotFound> {
    let bad = |problem| NotFound::Value(name.clone(), problem);
    let value = match (name.kind, &*value) {
        (Kind::Store(Provider::Azure), Value::Text(packed)) if !packed.expose_secret().is_empty() => {
            Arc::new(Value::Binary(azure_value::open(packed.expose_secret(), plain).map_err(bad)?.into()))
        }
        _ => value,
    };
    if value.is_empty() { Err(bad("value is empty")) } else { Ok(value) }
}
