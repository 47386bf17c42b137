//! The policy's answer: accepted, mutated or rejected, with reason code and message.
//!
//! Errors become text here and nowhere else.

use crate::managers::{Injected, InjectionError};
use crate::pod::{self, Conflict, MutatedPod, TooLarge};
use crate::reason_code::ReasonCode;
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
    #[error("{code}: {0}", code = self.code())]
    Malformed(#[from] Malformed),
    /// A field of the pod is not what Kubernetes has there.
    #[error("{code}: {0}", code = self.code())]
    Pod(#[from] pod::Malformed),
    /// An annotation is not a valid secret request.
    #[error("{code}: {0}", code = self.code())]
    Request(#[from] secret_request::Error),
    /// The settings cannot be used.
    #[error("{code}: {0}; ask the operator to correct the policy settings", code = self.code())]
    Settings(#[from] settings::Error),
    /// Something in the pod conflicts with what is to be added.
    #[error("{code}: secrets cannot be injected: {0}", code = self.code())]
    Conflict(#[from] Conflict),
    /// Kubernetes would not store the pod, with secrets or without.
    #[error("{code}: secrets cannot be injected: {0}", code = self.code())]
    TooLarge(#[from] TooLarge),
    /// A secret request cannot be served, or two conflict.
    #[error("{code}: {0}", code = self.code())]
    Injection(#[from] Box<InjectionError>),
}

impl Rejection {
    /// Returns the reason code that the message begins with.
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::Malformed(_) => ReasonCode::InvalidAdmissionRequest,
            Self::Pod(_) => ReasonCode::InvalidPod,
            Self::Request(_) => ReasonCode::InvalidSecretRequest,
            Self::Settings(_) => ReasonCode::InvalidSettings,
            Self::Conflict(conflict) => conflict.code(),
            Self::TooLarge(_) => ReasonCode::LimitExceeded,
            Self::Injection(error) => error.code(),
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
