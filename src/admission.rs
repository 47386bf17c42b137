//! From payload to verdict: the whole policy, in the order in which it happens.

use crate::cut;
use crate::managers::{self, Context};
use crate::pod::{self, Limits};
use crate::review::{self, LABEL};
use crate::secret_request;
use crate::settings;
use crate::store::Cluster;
use crate::verdict::{Rejection, Verdict, audit};

/// How many warnings of one kind are given; Kubernetes passes on no more either.
const WARNINGS: usize = 16;

/// Answers an admission request: the payload of Kubewarden's `validate`, `{"request": …, "settings": …}`.
pub fn validate(payload: &[u8], cluster: &dyn Cluster) -> Verdict {
    decide(payload, cluster).unwrap_or_else(|rejection| Verdict::Reject(Box::new(rejection)))
}

fn decide(payload: &[u8], cluster: &dyn Cluster) -> Result<Verdict, Rejection> {
    let Some(review) = review::read(payload)? else { return Ok(Verdict::Accept { warnings: Vec::new() }) };
    let annotations = review.pod.annotations(secret_request::ANNOTATION_PREFIX)?;
    if !review.is_labelled()? {
        let asks = annotations.iter().any(|(key, _)| secret_request::number_of(key).is_some());
        let (label, value) = LABEL;
        let warning = format!("the pod asks for secrets but gets none: it lacks the label {label}: \"{value}\"");
        return Ok(Verdict::Accept { warnings: asks.then_some(warning).into_iter().collect() });
    }
    let limits = Limits::new(&review.pod, review.string_bytes)?;
    let found = secret_request::read(annotations.iter().map(|(key, value)| (*key, &**value)))?;
    let mut warnings: Vec<String> = found
        .ignored
        .iter()
        .take(WARNINGS)
        .map(|key| format!("annotation {:?} is no secret request: s and a number are wanted", cut(key)))
        .collect();
    if found.requests.is_empty() {
        return Ok(Verdict::Accept { warnings });
    }
    let settings = settings::parse(review.settings)?;
    let context =
        Context { pod: &review.pod, limits: &limits, namespace: &review.namespace, settings: &settings, cluster };
    let outcome = managers::inject(&found.requests, context)?;
    warnings.extend(outcome.warnings);
    let audit = audit(&outcome.injected);
    let pod = pod::apply(review.pod, outcome.merged)?;
    Ok(Verdict::Mutate { pod, audit, warnings })
}
