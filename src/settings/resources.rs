//! Requests and limits of the init containers that the policy adds.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource;
use serde::{Deserialize, Deserializer, Serialize};

use super::de::{Name, setting};
use super::error::Error;
use super::quantity;
use crate::inserted;
use crate::names::kubernetes::is_qualified_name;

setting! {
    /// A container's requests and limits. What is given is merged over the default, amount by amount.
    pub struct Resources {
        /// Limits by resource.
        #[cfg_attr(feature = "schema", schemars(extend("propertyNames" = { "pattern": super::patterns::RESOURCE })))]
        pub limits: BTreeMap<String, Quantity>,
        /// Requests by resource.
        #[cfg_attr(feature = "schema", schemars(extend("propertyNames" = { "pattern": super::patterns::RESOURCE })))]
        pub requests: BTreeMap<String, Quantity>,
    }
}

/// An amount, such as `200m` or `500Mi`; a string or a number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quantity(pub String);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Name).map(Self)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Quantity {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number"], "pattern": super::patterns::QUANTITY, "minimum": 0 })
    }
}

impl Resources {
    /// Returns the same amounts as requests and limits.
    pub(super) fn of(cpu: &str, memory: &str) -> Self {
        let amounts = [("cpu", cpu), ("memory", memory)];
        let amounts = amounts.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())));
        let both: BTreeMap<_, _> = inserted(amounts);
        Self { limits: both.clone(), requests: both }
    }

    /// Reads what is given over the default of the init containers that run a cloud's tool.
    pub(super) fn over_sidecar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Self as Deserialize>::deserialize(deserializer).map(|given| Self::sidecar().merged(given))
    }

    /// Reads what is given over the default of the init container that writes files.
    pub(super) fn over_file_mount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Self as Deserialize>::deserialize(deserializer).map(|given| Self::file_mount().merged(given))
    }

    /// Returns Flyte's default for the init containers that run a cloud's tool.
    pub(super) fn sidecar() -> Self {
        Self::of("200m", "500Mi")
    }

    /// Returns Flyte's default for the init container that writes files.
    pub(super) fn file_mount() -> Self {
        Self::of("100m", "100Mi")
    }

    fn merged(mut self, given: Self) -> Self {
        self.limits.extend(given.limits);
        self.requests.extend(given.requests);
        self
    }

    /// Returns them in Kubernetes' own type.
    pub fn requirements(&self) -> ResourceRequirements {
        let amounts = |amounts: &BTreeMap<String, Quantity>| {
            inserted(amounts.iter().map(|(name, Quantity(amount))| (name.clone(), resource::Quantity(amount.clone()))))
        };
        ResourceRequirements {
            limits: Some(amounts(&self.limits)),
            requests: Some(amounts(&self.requests)),
            claims: None,
        }
    }

    /// Checks what Kubernetes would reject in each pod.
    pub(super) fn check(&self, path: &str) -> Result<(), Error> {
        let refused = |problem: String| Err(Error::value(path, problem));
        let unsupported = |name: &str| refused(format!("unsupported resource {name:?} for an init container"));
        let amount = |name: &str, Quantity(text): &Quantity| {
            let problem = || format!("{name}: invalid quantity {text:?}; expected one such as 200m or 500Mi");
            quantity::parse(text).ok_or_else(|| Error::value(path, problem()))
        };
        for (name, limit) in &self.limits {
            let limit = amount(name, limit)?;
            match name.as_str() {
                "cpu" | "memory" | "ephemeral-storage" => {}
                // Extended resources (`ValidateContainerResourceName`, `ValidateResourceQuantityValue`): whole numbers.
                extended if extended.contains('/') && is_qualified_name(extended) && limit % 1000 == 0 => {}
                _ => return unsupported(name),
            }
        }
        for (name, request) in &self.requests {
            let requested = amount(name, request)?;
            let limit = self.limits.get(name).map(|limit| amount(name, limit)).transpose()?;
            if name.contains('/') && limit != Some(requested) {
                return refused(format!("{name}: request and limit must be equal for an extended resource"));
            }
            match limit {
                None if !matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") => return unsupported(name),
                Some(limit) if requested > limit => {
                    let Quantity(request) = request;
                    return refused(format!(
                        "{name}: request of {request} exceeds the limit of {}; raise the limit too",
                        self.limits.get(name).map_or("", |Quantity(limit)| limit)
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
