//! The policy's answer: accepted, mutated or rejected, with reason code and message.
//!
//! Errors become text only here.

use crate::managers::{Injected, InjectionError};
use crate::pod::{self, Conflict, MutatedPod};
use crate::reason_code::ReasonCode;
use crate::review::Malformed;
use crate::secret_request;
use crate::settings;

/// The policy's answer to an admission request.
#[derive(Debug)]
pub enum Verdict {
    /// The pod is unchanged.
    Accept {
        /// Warnings for the author of the pod.
        warnings: Vec<String>,
    },
    /// The pod is mutated.
    Mutate {
        /// The mutated pod.
        pod: MutatedPod,
        /// The value of the audit annotation; see [`audit`].
        audit: String,
        /// Warnings for the author of the pod.
        warnings: Vec<String>,
    },
    /// The pod is rejected.
    Reject(Box<Rejection>),
}

/// Why a pod is rejected.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The payload is not an admission request.
    #[error("{code}: {0}", code = self.code())]
    Malformed(#[from] Malformed),
    /// A field of the pod has another type than in Kubernetes.
    #[error("{code}: {0}", code = self.code())]
    Pod(#[from] pod::Malformed),
    /// An annotation is not a valid secret request.
    #[error("{code}: {0}", code = self.code())]
    Request(#[from] secret_request::Error),
    /// The settings are invalid.
    #[error("{code}: {0}; ask the operator to correct the policy settings", code = self.code())]
    Settings(#[from] settings::Error),
    /// The pod conflicts with the additions.
    #[error("{code}: secrets cannot be injected: {0}", code = self.code())]
    Conflict(#[from] Conflict),
    /// A secret request cannot be served, or two conflict.
    #[error("{code}: {0}", code = self.code())]
    Injection(#[from] Box<InjectionError>),
}

impl Rejection {
    /// Returns the reason code with which the message starts.
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::Malformed(_) => ReasonCode::InvalidAdmissionRequest,
            Self::Pod(_) => ReasonCode::InvalidPod,
            Self::Request(_) => ReasonCode::InvalidSecretRequest,
            Self::Settings(_) => ReasonCode::InvalidSettings,
            Self::Conflict(conflict) => conflict.code(),
            Self::Injection(error) => error.code(),
        }
    }
}

/// Returns the value of the audit annotation: the manager of each secret request, and the name of the secret. The API
/// server adds the webhook's name as prefix of the annotation's key.
pub fn audit(injected: &[Injected]) -> String {
    let entry = |Injected { annotation, manager, source, .. }: &Injected| {
        // A source must not look like the next entry.
        [annotation, ": ", &manager.to_string(), " ", &source.replace(';', "%3B")].concat()
    };
    injected.iter().map(entry).collect::<Vec<_>>().join("; ")
}
