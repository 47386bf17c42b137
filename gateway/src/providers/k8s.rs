//! Kubernetes Secrets in Flyte 2's format: the name of the Secret is a hash, and its `data` has the value under the
//! full name. Required permission of the gateway's service account: `get secrets` in the configured namespaces.

use std::collections::HashSet;

use flyte_secrets_policy::names::kubernetes::secret_name;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, Error as KubeError};

use super::{Answer, look_up, not_served, refuse};
use crate::config;
use crate::provider::{BoxFuture, Failure, Provider, Value};

/// Kubernetes Secrets in the configured namespaces.
pub struct Secrets {
    namespaces: HashSet<String>,
    cluster: Client,
}

impl Secrets {
    /// Returns the provider with the permissions of the cluster's client.
    pub fn open(config: &config::K8s, cluster: Client) -> Self {
        Self { namespaces: config.namespaces.iter().cloned().collect(), cluster }
    }
}

impl Provider for Secrets {
    fn fetch<'a>(&'a self, place: &'a str, name: &'a str) -> BoxFuture<'a, Result<Value, Failure>> {
        if !self.namespaces.contains(place) {
            return refuse(not_served(place));
        }
        let secrets = Api::namespaced(self.cluster.clone(), place);
        look_up(get(secrets, place.to_owned(), name.to_owned()))
    }
}

async fn get(secrets: Api<Secret>, namespace: String, name: String) -> Answer {
    let object = secret_name(&name);
    let secret = secrets.get(&object).await.map_err(|error| match error {
        KubeError::Api(status) => match status.code {
            404 => Failure::NotFound,
            401 | 403 => Failure::Forbidden(format!(
                "allow the gateway's service account to get secrets in namespace {namespace}"
            )),
            429 => Failure::Throttled(None),
            code => Failure::Unreachable(format!("the API server returned status {code}")),
        },
        _ => Failure::Unreachable("the API server is unavailable".to_owned()),
    })?;
    match secret.data.unwrap_or_default().remove(&name) {
        Some(value) => Ok(Value::Binary(value.0.into())),
        None => Err(Failure::Garbage(format!("missing key {name:?} in Secret {namespace}/{object}"))),
    }
}
