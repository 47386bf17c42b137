//! Authorization by the cluster: SubjectAccessReviews, with a short cache.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use moka::Expiry;
use moka::future::Cache;
use tokio::sync::Semaphore;

use super::front_proxy::User;
use crate::api::{GROUP, VERSION};
use crate::config;
use crate::metrics::{ByResult, Metrics};
use crate::names::Kind;

/// Maximum number of concurrent reviews, each of which has a connection.
const AT_ONCE: usize = 64;

/// An action to review. The verb is always `get`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Action {
    /// Read an object, by its full name.
    Read(Kind, String),
    /// Read a path that is not a resource.
    See(&'static str),
}

/// A user and an action.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Question {
    /// The user.
    pub user: User,
    /// The action.
    pub action: Action,
}

impl Question {
    /// Returns its size in memory, rounded up: users can have hundreds of groups.
    fn kibibytes(&self) -> u32 {
        let User { name, uid, groups, extra } = &self.user;
        let action = match &self.action {
            Action::Read(_, name) => name.len(),
            Action::See(path) => path.len(),
        };
        let extra = extra.iter().flat_map(|(key, values)| values.iter().chain([key]));
        let texts = groups.iter().chain(uid).chain([name]).chain(extra);
        let bytes = action + texts.map(|text| size_of::<String>() + text.len()).sum::<usize>();
        u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
    }
}

/// Why an action is rejected.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The cluster denies it.
    #[error("denied by the cluster (reason: {reason:?})")]
    Denied {
        /// The authorizer's reason, or empty.
        reason: String,
    },
    /// The cluster does not answer.
    #[error("cannot check access: {0}; retry later")]
    Unavailable(&'static str),
}

#[derive(Clone)]
enum Answer {
    Allowed,
    Denied(String),
}

struct Lifetime {
    allowed: Duration,
    denied: Duration,
}

impl Expiry<Question, Answer> for Lifetime {
    fn expire_after_create(&self, _: &Question, answer: &Answer, _: Instant) -> Option<Duration> {
        Some(match answer {
            Answer::Allowed => self.allowed,
            Answer::Denied(_) => self.denied,
        })
    }
}

/// Reviews actions, with a cache.
pub struct Reviewer {
    reviews: Api<SubjectAccessReview>,
    timeout: Duration,
    turns: Semaphore,
    answers: Cache<Question, Answer>,
    metrics: Arc<Metrics>,
}

impl Reviewer {
    /// Returns a reviewer with an empty cache.
    pub fn new(config: &config::Access, cluster: Client, metrics: Arc<Metrics>) -> Self {
        let lifetime = Lifetime { allowed: config.allowed_ttl, denied: config.denied_ttl };
        Self {
            reviews: Api::all(cluster),
            timeout: config.timeout,
            turns: Semaphore::new(AT_ONCE),
            answers: Cache::builder()
                .max_capacity(config.max_entries)
                .weigher(|question: &Question, _| question.kibibytes())
                .expire_after(lifetime)
                .build(),
            metrics,
        }
    }

    /// Checks that the user may do the action.
    ///
    /// # Errors
    /// The cluster denies the action, or does not answer.
    pub async fn review(&self, question: &Question) -> Result<(), Refusal> {
        match self.answers.try_get_with_by_ref(question, self.ask(question)).await {
            Ok(Answer::Allowed) => Ok(()),
            Ok(Answer::Denied(reason)) => Err(Refusal::Denied { reason }),
            Err(refusal) => Err(Refusal::clone(&refusal)),
        }
    }

    async fn ask(&self, question: &Question) -> Result<Answer, Refusal> {
        let create = async {
            let _turn = self.turns.acquire().await;
            self.reviews.create(&PostParams::default(), &review_of(question)).await
        };
        let answer = match tokio::time::timeout(self.timeout, create).await {
            Ok(Ok(review)) => {
                let status = review.status.unwrap_or_default();
                if let Some(error) = status.evaluation_error {
                    tracing::warn!(error, "SubjectAccessReview evaluated with errors");
                }
                let reason = status.reason.unwrap_or_default();
                Ok(if status.allowed { Answer::Allowed } else { Answer::Denied(reason) })
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot create SubjectAccessReview");
                Err(Refusal::Unavailable(match error {
                    kube::Error::Api(status) if status.is_forbidden() => {
                        "the gateway's service account must be allowed to create subjectaccessreviews"
                    }
                    kube::Error::Api(_) => "the API server returned an error",
                    _ => "the API server is unavailable",
                }))
            }
            Err(_) => Err(Refusal::Unavailable("timed out waiting for the API server")),
        };
        let result = match &answer {
            Ok(Answer::Allowed) => "allowed",
            Ok(Answer::Denied(_)) => "denied",
            Err(_) => "failed",
        };
        self.metrics.reviews.get_or_create(&ByResult { result }).inc();
        answer
    }
}

fn review_of(Question { user, action }: &Question) -> SubjectAccessReview {
    let verb = Some("get".to_owned());
    let mut spec = SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        uid: user.uid.clone(),
        groups: Some(user.groups.clone()),
        extra: Some(user.extra.clone()),
        ..Default::default()
    };
    match action {
        Action::Read(kind, name) => {
            spec.resource_attributes = Some(ResourceAttributes {
                group: Some(GROUP.to_owned()),
                version: Some(VERSION.to_owned()),
                resource: Some(kind.plural().to_owned()),
                name: Some(name.clone()),
                verb,
                ..Default::default()
            });
        }
        Action::See(path) => {
            spec.non_resource_attributes = Some(NonResourceAttributes { path: Some((*path).to_owned()), verb });
        }
    }
    SubjectAccessReview { spec, ..Default::default() }
}
