//! From payload to verdict: the whole policy, in the order in which it happens.

use crate::managers::{self, Context};
use crate::pod;
use crate::requests::{self, ANNOTATION_PREFIX};
use crate::review::{self, Review, LABEL};
use crate::settings;
use crate::store::Cluster;
use crate::texts::{cut, Texts};
use crate::verdict::{audit, Rejection, Verdict};

/// Answers an admission request: the payload of Kubewarden's `validate`, `{"request": …, "settings": …}`.
///
/// Everything that is made for the answer is kept in `texts`.
pub fn validate<'a>(payload: &'a [u8], texts: &'a Texts, cluster: &dyn Cluster) -> Verdict<'a> {
    decide(payload, texts, cluster).unwrap_or_else(|rejection| Verdict::Reject(Box::new(rejection)))
}

fn decide<'a>(payload: &'a [u8], texts: &'a Texts, cluster: &dyn Cluster) -> Result<Verdict<'a>, Rejection<'a>> {
    let Some(Review { pod: view, namespace, labelled, settings }) = review::read(payload)? else {
        return Ok(Verdict::Accept { warnings: Vec::new() });
    };
    if labelled {
        pod::check_pod(&view)?;
    }
    let annotations = view.annotations(ANNOTATION_PREFIX, texts)?;
    if !labelled {
        let asks = annotations.iter().any(|(key, _)| requests::number_of(key).is_some());
        let (label, value) = LABEL;
        let warning = format!("the pod asks for secrets but gets none: it lacks the label {label}: \"{value}\"");
        return Ok(Verdict::Accept { warnings: asks.then_some(warning).into_iter().collect() });
    }
    let found = requests::read(annotations.into_iter(), texts)?;
    // Kubernetes passes on no more of them either.
    let ignored = found.ignored.iter().take(16);
    let mut warnings: Vec<String> = ignored
        .map(|key| format!("annotation {:?} is no secret request: s and a number are wanted", cut(key)))
        .collect();
    if found.requests.is_empty() {
        return Ok(Verdict::Accept { warnings });
    }
    let settings = settings::parse(settings, texts)?;
    let context = Context { view: &view, namespace: &namespace, settings: &settings, cluster, texts };
    let outcome = managers::inject(&found.requests, context)?;
    warnings.extend(outcome.warnings);
    let pod = pod::apply(&view, &outcome.merged)?;
    Ok(Verdict::Mutate { pod, audit: audit(&outcome.injected), warnings })
}
