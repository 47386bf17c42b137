//! Requests and limits of the init containers that the policy adds.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource;
use serde::{Deserialize, Deserializer, Serialize};

use super::de::{Name, settings};
use crate::inserted;

/// Flyte's default CPU and memory of the init containers that run a cloud's tool.
pub(super) const SIDECAR: [&str; 2] = ["200m", "500Mi"];
/// Flyte's default CPU and memory of the init container that writes files.
pub(super) const FILE_MOUNT: [&str; 2] = ["100m", "100Mi"];

settings! {
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
    /// Returns amounts of CPU and memory as requests and limits.
    pub(super) fn of([cpu, memory]: [&str; 2]) -> Self {
        let amounts = [("cpu", cpu), ("memory", memory)];
        let amounts: BTreeMap<_, _> =
            inserted(amounts.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))));
        Self { limits: amounts.clone(), requests: amounts }
    }

    /// Returns them in Kubernetes' own type, merged over a default of CPU and memory.
    pub(super) fn over(&self, [cpu, memory]: [&str; 2]) -> ResourceRequirements {
        let merged = |given: &BTreeMap<String, Quantity>| {
            let given = given.iter().map(|(name, Quantity(amount))| (name.as_str(), amount.as_str()));
            let amounts = [("cpu", cpu), ("memory", memory)].into_iter().chain(given);
            Some(inserted(amounts.map(|(name, amount)| (name.to_owned(), resource::Quantity(amount.to_owned())))))
        };
        ResourceRequirements { limits: merged(&self.limits), requests: merged(&self.requests), claims: None }
    }
}
