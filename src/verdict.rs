//! The answer: accepted, changed or refused, with its code, in the words that a user sees, as the host wants it.
//!
//! Errors become text here and nowhere else.

use crate::json::{Malformed, Writer};
use crate::managers::{Injected, Reason, Refusal, Severity};
use crate::pod::{Conflict, Edited, TooLarge};
use crate::requests;
use crate::settings;

/// The policy's answer to an admission request.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// The pod stays as it is.
    Accept {
        /// What the pod's author should know.
        warnings: Vec<String>,
    },
    /// The pod is changed.
    Mutate {
        /// The pod as it is to be.
        pod: Edited<'a>,
        /// What became of each request, in words; see [`audit`].
        audit: String,
        /// What the pod's author should know.
        warnings: Vec<String>,
    },
    /// The pod is refused.
    Reject(Box<Rejection<'a>>),
}

/// Why a pod is refused.
#[derive(Debug, thiserror::Error)]
pub enum Rejection<'a> {
    /// The payload is not what the API server sends.
    #[error("the pod cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// An annotation holds no request.
    #[error(transparent)]
    Request(#[from] requests::Error),
    /// The settings cannot be used.
    #[error("{0}; the operator must correct the policy's settings")]
    Settings(#[from] settings::Error),
    /// Something in the pod is in the way.
    #[error("secrets cannot be injected: {0}")]
    Conflict(#[from] Conflict),
    /// Kubernetes would not store the pod, with secrets or without.
    #[error("secrets cannot be injected: {0}")]
    TooLarge(#[from] TooLarge),
    /// A request cannot be served, or two get in each other's way.
    #[error("{}", describe(.0))]
    Refusal(Box<Refusal<'a>>),
}

impl<'a> From<Box<Refusal<'a>>> for Rejection<'a> {
    fn from(refusal: Box<Refusal<'a>>) -> Self {
        Self::Refusal(refusal)
    }
}

fn describe(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Request { request, tried } => {
            let mut text = format!("secret {} (annotation {}) cannot be injected", request.request, request.annotation);
            for (manager, reason) in tried {
                text.push_str(&format!("\n{manager}: {reason}"));
            }
            text
        }
        Refusal::TooLarge { request, problem } => {
            format!("secret {} (annotation {}) cannot be injected: {problem}", request.request, request.annotation)
        }
        Refusal::Clash { first, second, clash } => format!(
            "secrets {} (annotation {}) and {} (annotation {}) cannot both be injected: {}",
            first.request, first.annotation, second.request, second.annotation, clash.over
        ),
    }
}

impl Rejection<'_> {
    /// The HTTP status that the API server answers with: 400 for what the author of the pod must change, 403 for what
    /// they may not have, 503 for what may pass on a retry or when the operator acts.
    pub fn code(&self) -> u16 {
        let severity = match self {
            Self::Settings(_) => Severity::Unavailable,
            Self::Refusal(refusal) => match refusal.as_ref() {
                Refusal::Request { tried, .. } => {
                    tried.iter().map(|(_, reason)| Reason::severity(reason)).max().unwrap_or(Severity::Invalid)
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

impl Verdict<'_> {
    /// The answer as the host wants it: Kubewarden's `ValidationResponse`, in JSON.
    pub fn into_json(self) -> Vec<u8> {
        let mut json = Writer::default();
        if let Self::Mutate { pod, audit, .. } = &self {
            json.reserve(pod.size() + audit.len() + 256);
        }
        json.object().key("accepted").boolean(!matches!(self, Self::Reject(_)));
        match self {
            Self::Accept { warnings } => write_warnings(&warnings, &mut json),
            Self::Mutate { pod, audit, warnings } => {
                json.key("audit_annotations").object().member("secrets", &audit).end_object();
                write_warnings(&warnings, &mut json);
                // The SDK's own response would have the pod parsed first.
                pod.write(json.key("mutated_object"));
            }
            Self::Reject(rejection) => {
                json.key("code").raw(rejection.code().to_string().as_bytes()).member("message", &rejection.to_string());
            }
        }
        json.end_object();
        json.into_bytes()
    }
}

fn write_warnings(warnings: &[String], json: &mut Writer) {
    if !warnings.is_empty() {
        json.key("warnings").strings(warnings);
    }
}

/// Which manager took each request, and under which name it finds the secret; the API server puts the webhook's name in
/// front of the annotation's key.
pub fn audit(injected: &[Injected]) -> String {
    let mut text = String::new();
    for Injected { annotation, manager, source } in injected {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.extend([annotation, ": ", manager.name(), " "]);
        // A source must not look like the next entry.
        for (number, part) in source.split(';').enumerate() {
            text.extend([if number > 0 { "%3B" } else { "" }, part]);
        }
    }
    text
}
