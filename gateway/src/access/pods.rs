//! Which pod asks, and what it was granted: a TokenReview, and the pod as the API server has it. Nothing that a caller says
//! counts but its token.

use std::time::Duration;

use flyte_secrets_policy::grant::{self, Grant};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client, Error as KubeError};
use serde::Serialize;
use tokio::sync::Semaphore;

/// How many questions the API server is asked at once.
const AT_ONCE: usize = 64;

/// What users are called that are service accounts.
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
    /// The service account that it runs as.
    pub service_account: String,
    /// Where it runs, once that is known.
    pub node: Option<String>,
}

/// Why a caller gets nothing.
#[derive(Debug, thiserror::Error)]
pub enum NotIdentified {
    /// No `Authorization: Bearer`.
    #[error("missing bearer token")]
    NoToken,
    /// The cluster does not know it, it has expired, or it is for somebody else.
    #[error("invalid token: unknown, expired or for another audience")]
    Token,
    /// A service account's, or a user's.
    #[error("token is not bound to a pod; expected a projected service account token")]
    NotOfAPod,
    /// It was deleted, or is another one of the same name.
    #[error("pod of the token not found; it was deleted or replaced")]
    NoPod,
    /// It needs no secrets any more.
    #[error("pod has completed or is being deleted")]
    Ended,
    /// The policy has granted nothing.
    #[error("no valid grant in init container {name:?}: {0}", name = grant::CONTAINER)]
    NoGrant(String),
    /// The API server says nothing.
    #[error("cannot identify the pod: {0}; retry later")]
    Unavailable(&'static str),
}

/// Asks the cluster.
pub struct Identifier {
    cluster: Client,
    audience: String,
    timeout: Duration,
    turns: Semaphore,
}

impl Identifier {
    /// Tokens must be for `audience`.
    pub fn new(cluster: Client, audience: String, timeout: Duration) -> Self {
        Self { cluster, audience, timeout, turns: Semaphore::new(AT_ONCE) }
    }

    /// The pod that a token is bound to.
    ///
    /// # Errors
    /// There is none, or it cannot be known.
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

    /// What a pod was granted, if it still needs it.
    ///
    /// # Errors
    /// Nothing, or it cannot be known.
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
        // Without the label, the policy judges pods with such a volume alone. Labels can change after admission, and tokens
        // can be requested for any pod; volumes cannot change.
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

    /// An object, or none if there is none.
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

/// The pod of a user that is a service account, used in a pod.
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
