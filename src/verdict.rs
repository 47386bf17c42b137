//! The policy's answer: accepted, mutated or rejected, with its code, in the words that a user sees.
//!
//! Errors become text here and nowhere else.

use crate::managers::{Injected, Refusal, Severity};
use crate::pod::{self, Conflict, MutatedPod, TooLarge};
use crate::review::Malformed;
use crate::secret_request;
use crate::settings;

/// The policy's answer to an admission request.
#[derive(Debug)]
pub enum Verdict {
    /// The pod stays as it is.
    Accept {
        /// What the pod's author should know.
        warnings: Vec<String>,
    },
    /// The pod is mutated.
    Mutate {
        /// The pod as it is to be.
        pod: MutatedPod,
        /// What became of each secret request, in words; see [`audit`].
        audit: String,
        /// What the pod's author should know.
        warnings: Vec<String>,
    },
    /// The pod is rejected.
    Reject(Box<Rejection>),
}

/// Why a pod is rejected.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The payload is not what the API server sends.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A field of the pod is not what Kubernetes has there.
    #[error(transparent)]
    Pod(#[from] pod::Malformed),
    /// An annotation holds no secret request.
    #[error(transparent)]
    Request(#[from] secret_request::Error),
    /// The settings cannot be used.
    #[error("{0}; ask the operator to correct the policy settings")]
    Settings(#[from] settings::Error),
    /// Something in the pod conflicts with what is to be added.
    #[error("secrets cannot be injected: {0}")]
    Conflict(#[from] Conflict),
    /// Kubernetes would not store the pod, with secrets or without.
    #[error("secrets cannot be injected: {0}")]
    TooLarge(#[from] TooLarge),
    /// A request cannot be served, or two conflict.
    #[error(transparent)]
    Refusal(#[from] Box<Refusal>),
}

impl Rejection {
    /// The HTTP status that the API server answers with: 400 for what the author of the pod must change, 403 for what
    /// they may not have, 503 for what may pass on a retry or when the operator acts.
    pub fn code(&self) -> u16 {
        let severity = match self {
            Self::Settings(_) => Severity::Unavailable,
            Self::Conflict(Conflict::Granted(_)) => Severity::Forbidden,
            Self::Refusal(refusal) => match refusal.as_ref() {
                Refusal::Request { tried, .. } => {
                    tried.iter().map(|(_, reason)| reason.severity()).max().unwrap_or(Severity::Invalid)
                }
                Refusal::TooLarge { .. } | Refusal::Clash { .. } => Severity::Invalid,
            },
            _ => Severity::Invalid,
        };
        match severity {
            Severity::Invalid => 400,
            Severity::Forbidden => 403,
            Severity::Unavailable => 503,
        }
    }
}

/// Which manager took each secret request, and under which name it finds the secret; the API server puts the webhook's
/// name in front of the annotation's key.
pub fn audit(injected: &[Injected]) -> String {
    let entry = |Injected { annotation, manager, source, .. }: &Injected| {
        // A source must not look like the next entry.
        [annotation, ": ", &manager.to_string(), " ", &source.replace(';', "%3B")].concat()
    };
    injected.iter().map(entry).collect::<Vec<_>>().join("; ")
}
