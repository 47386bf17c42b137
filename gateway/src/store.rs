//! Flyte's secrets by scope and key: names of the policy's core, read through the gateway's reader.
//!
//! Knows neither HTTP nor callers. The core decides the names and their order.

use std::sync::Arc;

use flyte_secrets_policy::grant::Granted;
use flyte_secrets_policy::names::Scope;
use flyte_secrets_policy::settings::{self, EmbeddedSecretManager, Provider};
use flyte_secrets_policy::store::{self, Lookup};
use secrecy::ExposeSecret;

use crate::config::Pods;
use crate::names::{Kind, Name, NotServed, Served};
use crate::provider::{Failure, Value};
use crate::reader::{Failed, Reader};

/// Why a secret is not returned.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    /// It is not found in any scope.
    #[error("not found; looked up {}; store it under one of these names", list(.0))]
    Nowhere(Vec<Lookup>),
    /// Its name is not valid in the store.
    #[error(transparent)]
    Name(#[from] store::Error),
    /// Its name is not served by the configuration.
    #[error(transparent)]
    NotServed(#[from] NotServed),
    /// The stored value is invalid.
    #[error("invalid value of {0}: {1}; store the secret again")]
    Value(Name, &'static str),
    /// The stored value does not have the property.
    #[error(transparent)]
    Property(store::Error),
    /// The store could not be read.
    #[error("{1}")]
    Failed(Name, Failed),
}

fn list(lookups: &[Lookup]) -> String {
    lookups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A secret, and the name under which it is stored.
pub struct Found {
    /// Its decoded value, or a property of it.
    pub value: Arc<Value>,
    /// The name in the store, with its version.
    pub name: String,
}

/// The store in the policy's settings.
pub struct Store {
    kind: Kind,
    place: String,
    settings: EmbeddedSecretManager,
    served: Served,
    reader: Reader,
}

impl Store {
    /// Returns a store that reads through `reader`.
    ///
    /// # Errors
    /// The settings name several stores.
    pub fn open(pods: &Pods, served: Served, reader: Reader) -> Result<Self, settings::Error> {
        let (kind, place) = pods.store()?;
        let settings = pods.settings.embedded_secret_manager_config.clone();
        Ok(Self { kind, place, settings, served, reader })
    }

    /// Returns the first value found, from the narrowest scope to the broadest.
    ///
    /// # Errors
    /// No scope has a valid value, or the store cannot be read.
    pub async fn find(&self, scope: Scope<'_>, granted: &Granted) -> Result<Found, NotFound> {
        let store = store::Store::open(&self.settings).map_err(|_| NotFound::Nowhere(Vec::new()))?;
        let mut looked_up = Vec::new();
        for lookup in store.lookups(scope, granted.secret(), &granted.version) {
            let (_, lookup) = lookup?;
            let name = lookup.name.as_deref().ok().map(|name| self.parse(name)).transpose()?;
            looked_up.push(lookup);
            let Some(name) = name else { continue };
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
        Err(NotFound::Nowhere(looked_up))
    }

    /// Returns a name of the core, validated as by the policy.
    fn parse(&self, name: &str) -> Result<Name, store::Error> {
        Name::parse(self.kind, &[&self.place, name].join(":")).map_err(|_| store::Error::Name(name.to_owned()))
    }
}

/// Returns the granted part of a value: the whole, or a property.
fn property(value: Arc<Value>, granted: &Granted) -> Result<Arc<Value>, NotFound> {
    if granted.group.is_empty() {
        return Ok(value);
    }
    let property = store::property(value.bytes(), &granted.group, &granted.key).map_err(NotFound::Property)?;
    Ok(Arc::new(Value::Binary(property.bytes().to_vec().into())))
}

/// Decodes a value of the provider. With `plain`, a value that Flyte did not encode is returned unchanged.
///
/// # Errors
/// The value is empty or invalid.
pub fn unpack(name: &Name, value: Arc<Value>, plain: bool) -> Result<Arc<Value>, NotFound> {
    let bad = |problem| NotFound::Value(name.clone(), problem);
    let value = match (name.kind, &*value) {
        (Kind::Store(Provider::Azure), Value::Text(packed)) if !packed.expose_secret().is_empty() => {
            Arc::new(Value::Binary(store::unpack_azure(packed.expose_secret(), plain).map_err(bad)?.into()))
        }
        _ => value,
    };
    if value.is_empty() { Err(bad("value is empty")) } else { Ok(value) }
}
