//! Whether Kubernetes would store a pod with its additions. Knows sizes, and not what they are of.
//!
//! What it would refuse is refused here first: before a value is fetched for it, and before a small pod becomes a large
//! answer.

use super::plan::Merged;
use super::view::View;
use crate::json;

/// All annotations of an object, keys and values (`TotalAnnotationSizeLimitB` of apimachinery).
const ANNOTATIONS: usize = 256 * 1024;
/// An object as etcd takes it, by default (`--max-request-bytes`).
const OBJECT: usize = 1536 * 1024;
/// Init-containers of ours, or called like them. Kubernetes has no limit, but nodes start them one after the other.
const INIT_CONTAINERS: usize = 1000;

/// A path on Linux (`PATH_MAX`); no store has longer names.
const TEXT: usize = 4096;

/// What there is too much of.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TooLarge {
    /// Annotations, in bytes.
    #[error(
        "the pod's annotations would take {0} bytes, more than the {ANNOTATIONS} that Kubernetes allows; shorten them, \
             or ask for fewer secrets"
    )]
    Annotations(usize),
    /// The pod, in bytes.
    #[error(
        "the pod would take at least {0} bytes, more than the {OBJECT} that etcd takes; make it smaller, or ask for fewer \
             or smaller secrets"
    )]
    Object(usize),
    /// A field of a request, in bytes.
    #[error("its {0} takes {1} bytes, more than the {TEXT} of any path; shorten it")]
    Text(&'static str, usize),
    /// Init-containers.
    #[error("the pod has more than {INIT_CONTAINERS} init-containers that pull secrets; ask for fewer secrets")]
    InitContainers,
}

/// Checks a pod as it came in.
///
/// # Errors
/// It is too large.
pub fn check_pod(view: &View) -> Result<(), TooLarge> {
    check_annotations(view, &Merged::default())?;
    // A text is longer than what it means, so that most pods need no closer look.
    match view.text.get(view.pod.clone()) {
        Some(text) if text.len() > OBJECT => within(json::string_bytes(text), OBJECT, TooLarge::Object),
        _ => Ok(()),
    }
}

/// Checks a field of a request, before paths are made of it.
///
/// # Errors
/// It is too long.
pub fn check_text(field: &'static str, text: &str) -> Result<(), TooLarge> {
    within(text.len(), TEXT, |length| TooLarge::Text(field, length))
}

/// Checks what has been put together so far for a pod.
///
/// # Errors
/// It is too large.
pub fn check(view: &View, merged: &Merged) -> Result<(), TooLarge> {
    if merged.plan().init_containers.len() > INIT_CONTAINERS {
        return Err(TooLarge::InitContainers);
    }
    let containers = view.containers.len() + view.init_containers.len();
    within(merged.weight(containers), OBJECT, TooLarge::Object)?;
    match merged.plan().annotations.is_empty() {
        true => Ok(()),
        false => check_annotations(view, merged),
    }
}

/// How many init-containers may be there that are called like ours.
pub(super) fn check_init_containers(found: usize) -> Result<(), TooLarge> {
    match found > INIT_CONTAINERS {
        true => Err(TooLarge::InitContainers),
        false => Ok(()),
    }
}

fn check_annotations(view: &View, merged: &Merged) -> Result<(), TooLarge> {
    let planned = &merged.plan().annotations;
    let most: usize = planned.iter().map(|it| it.key.len() + it.value.len()).sum();
    if view.annotations_field.span.as_ref().map_or(0, |span| span.len()) + most <= ANNOTATIONS {
        return Ok(());
    }
    let added = planned.iter().map(|it| match view.annotation(it.key) {
        None => it.key.len() + it.value.len(),
        Some(own) if it.replaces => it.value.len().saturating_sub(own.span().len()),
        Some(_) => 0,
    });
    within(view.annotation_bytes() + added.sum::<usize>(), ANNOTATIONS, TooLarge::Annotations)
}

fn within(size: usize, limit: usize, too_large: impl Fn(usize) -> TooLarge) -> Result<(), TooLarge> {
    match size > limit {
        true => Err(too_large(size)),
        false => Ok(()),
    }
}
