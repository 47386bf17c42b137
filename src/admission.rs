//! The whole policy, from payload to verdict, in order.

use std::mem;

use crate::cut;
use crate::grant;
use crate::managers::{self, Context, Injected, Outcome};
use crate::pod::{self, Conflict, Limits, Placement};
use crate::review::{self, LABEL};
use crate::secret_request;
use crate::settings;
use crate::store::{Cluster, Reader};
use crate::verdict::{Rejection, Verdict, audit};

/// Maximum number of warnings of one kind; Kubernetes limits them, too.
const WARNINGS: usize = 16;

/// Answers an admission request: the payload of Kubewarden's `validate`, `{"request": …, "settings": …}`.
pub fn validate(payload: &[u8], cluster: &dyn Cluster) -> Verdict {
    explain(payload, cluster).0
}

/// Returns the verdict of [`validate`], and the result of each secret request; if the pod is rejected, of those before.
pub fn explain(payload: &[u8], cluster: &dyn Cluster) -> (Verdict, Vec<Injected>) {
    let mut outcome = Outcome::default();
    let verdict = decide(payload, cluster, &mut outcome);
    (verdict.unwrap_or_else(|rejection| Verdict::Reject(Box::new(rejection))), outcome.injected)
}

fn decide(payload: &[u8], cluster: &dyn Cluster, outcome: &mut Outcome) -> Result<Verdict, Rejection> {
    let Some(review) = review::read(payload)? else { return Ok(Verdict::Accept { warnings: Vec::new() }) };
    let settings = settings::parse(review.settings);
    let pull = settings.as_ref().ok().and_then(|settings| settings.embedded_secret_manager_config.pull.as_ref());
    let audience = pull.map_or(grant::AUDIENCE, |pull| &pull.audience);
    let granted = review.pod.has_grant(grant::CONTAINER, grant::COMMAND, audience)?;
    let check_grant = |planned: bool| match granted && !planned {
        true => Err(Conflict::Granted(grant::CONTAINER.to_owned())),
        false => Ok(()),
    };
    let annotations = review.pod.annotations(secret_request::ANNOTATION_PREFIX)?;
    let (label, value) = LABEL;
    if review.pod.label(label)?.as_deref() != Some(value) {
        check_grant(false)?;
        let asks = annotations.iter().any(|(key, _)| secret_request::number_of(key).is_some());
        let warning = format!("pod has secret requests but gets no secrets: missing label {label}: \"{value}\"");
        return Ok(Verdict::Accept { warnings: asks.then_some(warning).into_iter().collect() });
    }
    let settings = settings?;
    let limits = Limits::new(&review.pod, review.string_bytes)?;
    let pairs = annotations.iter().map(|(key, value)| (*key, &**value));
    let found = secret_request::read(pairs, settings.unknown_fields)?;
    let ignored = |key: &String| format!("ignored annotation {:?}: expected flyte.secrets/s<number>", cut(key));
    let unknown = |(key, field): &(String, String)| format!("annotation {key}: ignored unknown field {field:?}");
    let mut warnings: Vec<String> = found.ignored.iter().take(WARNINGS).map(ignored).collect();
    warnings.extend(found.unknown.iter().map(unknown));
    if found.requests.is_empty() {
        check_grant(false)?;
        return Ok(Verdict::Accept { warnings });
    }
    let placement = Placement::of(&review.pod, &settings)?;
    let limits = limits.with(&placement);
    let reader = Reader::new(cluster, settings.limits.reads);
    let context = Context {
        pod: &review.pod,
        limits: &limits,
        namespace: &review.namespace,
        creator: &review.creator,
        settings: &settings,
        files_by_value: false,
        reader: &reader,
    };
    managers::inject(outcome, &found.requests, context)?;
    check_grant(outcome.merged.shared_init_container(grant::CONTAINER).is_some())?;
    warnings.append(&mut outcome.warnings);
    let audit = audit(&outcome.injected);
    let pod = pod::apply(review.pod, mem::take(&mut outcome.merged), &placement)?;
    Ok(Verdict::Mutate { pod, audit, warnings })
}
