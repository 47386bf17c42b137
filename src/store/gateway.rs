//! Values of AWS, GCP and Azure, which a policy cannot reach: one object of the secret gateway's API for each.
//!
//! The gateway answers with what the store holds, `{"stringValue"}` or `{"binaryValue"}`; what Flyte packed into it
//! for Azure is unpacked by [`azure_value`].

use serde::Deserialize;

use super::{
    azure_value, decode_base64, describe, not_empty, read, Cluster, Error, GetResource, SecretStore, SecretValue,
};
use crate::names::{azure, NameScheme, Scope};

/// The API that the gateway serves.
const API_VERSION: &str = "secret-gateway.flyte.org/v1alpha1";

pub(super) struct Gateway<'a> {
    cluster: &'a dyn Cluster,
    kind: &'static str,
    /// Region, project or vault host: the part of an object's name before the colon.
    place: &'a str,
    /// Empty for Azure, which has a scheme of its own.
    schemes: &'a [NameScheme],
}

pub(super) fn aws<'a>(cluster: &'a dyn Cluster, region: &'a str, schemes: &'a [NameScheme]) -> Gateway<'a> {
    Gateway { cluster, kind: "AWSSecret", place: region, schemes }
}

pub(super) fn gcp<'a>(cluster: &'a dyn Cluster, project: &'a str, schemes: &'a [NameScheme]) -> Gateway<'a> {
    Gateway { cluster, kind: "GCPSecret", place: project, schemes }
}

pub(super) fn azure<'a>(cluster: &'a dyn Cluster, vault_host: &'a str) -> Gateway<'a> {
    Gateway { cluster, kind: "AzureSecret", place: vault_host, schemes: &[] }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    string_value: Option<String>,
    binary_value: Option<String>,
}

impl SecretStore for Gateway<'_> {
    fn names(&self, scope: Scope, key: &str) -> Result<Vec<String>, Error> {
        match self.schemes {
            [] => Ok(vec![azure::encode(scope, key)?]),
            schemes => Ok(scope.candidates(key, schemes)),
        }
    }

    fn location(&self, name: &str) -> String {
        format!("{name} ({} in {})", self.kind, self.place)
    }

    fn fetch(&self, name: &str) -> Result<SecretValue, Error> {
        let name = [self.place, name].join(":");
        let request = GetResource {
            api_version: API_VERSION,
            kind: self.kind,
            name: &name,
            namespace: None,
            disable_cache: true,
            field_masks: &["stringValue", "binaryValue"],
        };
        let object = || describe(&request);
        let answer = read(self.cluster, &request)?;
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|_| Error::BadValue { object: object(), problem: "something else than a value" })?;
        let text = answer.string_value.filter(|text| !text.is_empty());
        let bytes = match (text, answer.binary_value) {
            (Some(text), _) if self.schemes.is_empty() => azure_value::unpack(&text)
                .map_err(|problem| Error::BadValue { object: object(), problem })?
                .into_bytes(),
            (Some(text), _) => text.into_bytes(),
            (None, Some(encoded)) => decode_base64(&encoded, object)?,
            (None, None) => Vec::new(),
        };
        not_empty(bytes, object)
    }
}
