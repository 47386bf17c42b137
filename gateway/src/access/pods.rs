//! Authentication of pods that pull: a TokenReview, and the grant in the pod as the API server has it. Only the token
//! of the request is used.

use std::time::Duration;

use flyte_secrets_policy::grant::{self, Grant};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client, Error as KubeError};
use serde::Serialize;
use tokio::sync::Semaphore;

/// Maximum number of concurrent requests to the API server.
const AT_ONCE: usize = 64;

/// Prefix of the names of users that are service accounts.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// The pod that a token is bound to.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bound {
    /// The pod's namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// Its service account.
    pub service_account: String,
    /// Its node, once known.
    pub node: Option<String>,
}

/// Why a caller is rejected.
#[derive(Debug, thiserror::Error)]
pub enum NotIdentified {
    /// The header `Authorization: Bearer` is missing.
    #[error("missing bearer token")]
    NoToken,
    /// The token is unknown, expired, or for another audience.
    #[error("invalid token: unknown, expired or for another audience")]
    Token,
    /// The token is of a service account or a user, and not bound to a pod.
    #[error("token is not bound to a pod; expected a projected service account token")]
    NotOfAPod,
    /// The pod was deleted, or replaced by another one of the same name.
    #[error("pod of the token not found; it was deleted or replaced")]
    NoPod,
    /// The pod has completed or is being deleted.
    #[error("pod has completed or is being deleted")]
    Ended,
    /// The pod has no valid grant.
    #[error("no valid grant in init container {name:?}: {0}", name = grant::CONTAINER)]
    NoGrant(String),
    /// The API server does not answer.
    #[error("cannot identify the pod: {0}; retry later")]
    Unavailable(&'static str),
}

/// Identifies pods by requests to the API server.
pub struct Identifier {
    cluster: Client,
    audience: String,
    timeout: Duration,
    turns: Semaphore,
}

impl Identifier {
    /// Returns an identifier for tokens of an audience.
    pub fn new(cluster: Client, audience: String, timeout: Duration) -> Self {
        Self { cluster, audience, timeout, turns: Semaphore::new(AT_ONCE) }
    }

    /// Returns the pod that a token is bound to.
    ///
    /// # Errors
    /// The token is not valid or not bound to a pod, or the API server does not answer.
    pub async fn review(&self, token: &str) -> Result<Bound, NotIdentified> {
        let spec = TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![self.audience.clone()]) };
        let reviews = Api::<TokenReview>::all(self.cluster.clone());
        let review = TokenReview { spec, ..TokenReview::default() };
        let params = PostParams::default();
        let review = self.ask("tokenreviews", reviews.create(&params, &review)).await?;
        let status = review.and_then(|review| review.status).unwrap_or_default();
        let for_us = status.audiences.is_some_and(|audiences| audiences.contains(&self.audience));
        match status.user {
            Some(user) if status.authenticated == Some(true) && for_us => bound(user).ok_or(NotIdentified::NotOfAPod),
            _ => Err(NotIdentified::Token),
        }
    }

    /// Returns the grant of a pod that has not completed.
    ///
    /// # Errors
    /// The pod has no valid grant, or the API server does not answer.
    pub async fn grant(&self, bound: &mut Bound) -> Result<Grant, NotIdentified> {
        let pods = Api::<Pod>::namespaced(self.cluster.clone(), &bound.namespace);
        let pod = self.ask("pods", pods.get(&bound.pod)).await?.ok_or(NotIdentified::NoPod)?;
        if pod.metadata.uid.as_ref() != Some(&bound.uid) {
            return Err(NotIdentified::NoPod);
        }
        let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
        if pod.metadata.deletion_timestamp.is_some() || matches!(phase.as_str(), "Succeeded" | "Failed") {
            return Err(NotIdentified::Ended);
        }
        let spec = pod.spec.unwrap_or_default();
        bound.node = spec.node_name;
        // The policy evaluates every pod with such a volume, also without the label. Labels can change after admission,
        // and tokens can be requested for any pod; volumes cannot change.
        let sources = spec.volumes.into_iter().flatten().filter_map(|volume| volume.projected?.sources).flatten();
        let mut audiences = sources.filter_map(|source| source.service_account_token?.audience);
        if !audiences.any(|audience| audience == self.audience) {
            let problem = format!("pod has no volume with a token for audience {:?}", self.audience);
            return Err(NotIdentified::NoGrant(problem));
        }
        let mut containers = spec.init_containers.unwrap_or_default().into_iter();
        let ours = containers.find(|container| container.name == grant::CONTAINER);
        let args =
            ours.ok_or_else(|| NotIdentified::NoGrant("container not found".to_owned()))?.args.unwrap_or_default();
        Grant::parse(&args).map_err(|error| NotIdentified::NoGrant(error.to_string()))
    }

    /// Returns the object in a response, or none for status 404.
    async fn ask<T>(
        &self,
        resource: &'static str,
        question: impl Future<Output = Result<T, KubeError>>,
    ) -> Result<Option<T>, NotIdentified> {
        let asking = async {
            let _turn = self.turns.acquire().await;
            question.await
        };
        match tokio::time::timeout(self.timeout, asking).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(KubeError::Api(status))) if status.code == 404 => Ok(None),
            Ok(Err(error)) => {
                tracing::error!(%error, resource, "cannot identify the pod");
                Err(NotIdentified::Unavailable(match error {
                    KubeError::Api(status) if status.is_forbidden() => {
                        "the gateway's service account must be allowed to create tokenreviews and get pods"
                    }
                    KubeError::Api(_) => "the API server returned an error",
                    _ => "the API server is unavailable",
                }))
            }
            Err(_) => Err(NotIdentified::Unavailable("timed out waiting for the API server")),
        }
    }
}

/// Returns the pod of a user, if it is a service account with a token bound to a pod.
fn bound(user: UserInfo) -> Option<Bound> {
    let name = user.username?;
    let (namespace, service_account) = name.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    let extra = user.extra.unwrap_or_default();
    let claim =
        |name: &str| match extra.get(["authentication.kubernetes.io/", name].concat().as_str()).map(Vec::as_slice) {
            Some([value]) => Some(value.clone()),
            _ => None,
        };
    Some(Bound {
        namespace: namespace.to_owned(),
        pod: claim("pod-name")?,
        uid: claim("pod-uid")?,
        service_account: service_account.to_owned(),
        node: claim("node-name"),
    })
}
