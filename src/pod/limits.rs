//! Whether Kubernetes would store a pod with its additions. Knows sizes, and not what they are of.
//!
//! What it would reject is rejected here first: before a value is fetched for it, and before a small pod becomes a large
//! answer.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::document::{Malformed, Pod, text};
use super::placement::Placement;
use super::plan::{Annotation, Merged};
use crate::inserted;

/// All annotations of an object, keys and values (`TotalAnnotationSizeLimitB` of apimachinery).
const ANNOTATIONS: usize = 256 * 1024;
/// An object as etcd takes it, by default (`--max-request-bytes`).
pub const OBJECT_LIMIT: usize = 1536 * 1024;
/// A path on Linux (`PATH_MAX`); no store has longer names.
pub const PATH_LIMIT: usize = 4096;

/// What exceeds a limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TooLarge {
    /// Annotations, in bytes.
    #[error("annotations of {0} bytes exceed the limit of {ANNOTATIONS} bytes; shorten them, or request fewer secrets")]
    Annotations(usize),
    /// The pod, in bytes.
    #[error(
        "pod of at least {0} bytes exceeds the limit of {OBJECT_LIMIT} bytes in etcd; make it smaller, or request \
         fewer or smaller secrets"
    )]
    Object(usize),
    /// A field of a secret request, in bytes.
    #[error("{0} of {1} bytes exceeds the limit of {PATH_LIMIT} bytes; shorten it")]
    Text(&'static str, usize),
    /// Init containers.
    #[error(
        "pod exceeds the limit of {0} init containers for secrets; request fewer secrets, or raise \
         limits.initContainers in the policy settings"
    )]
    InitContainers(usize),
}

/// Checks a field of a secret request, before paths are made of it.
///
/// # Errors
/// It is too long.
pub fn check_text(field: &'static str, text: &str) -> Result<(), TooLarge> {
    within(text.len(), PATH_LIMIT, |length| TooLarge::Text(field, length))
}

/// What a pod takes before anything is added.
pub struct Limits<'a> {
    pod: &'a Pod<'a>,
    /// How many containers get the additions.
    containers: usize,
    /// How many init containers of ours there may be, with those that are named like them.
    init_containers: usize,
    annotation_bytes: usize,
    /// Its annotations, once one is to be added.
    annotations: OnceCell<BTreeMap<&'a str, &'a RawValue>>,
}

impl<'a> Limits<'a> {
    /// Checks a pod as it came in. `string_bytes` is the length of all its strings, a lower bound of what etcd stores.
    ///
    /// # Errors
    /// It is too large.
    pub fn new(pod: &'a Pod<'a>, string_bytes: usize) -> Result<Self, TooLarge> {
        let annotation_bytes = annotation_bytes(pod);
        within(annotation_bytes, ANNOTATIONS, TooLarge::Annotations)?;
        within(string_bytes, OBJECT_LIMIT, TooLarge::Object)?;
        Ok(Self { pod, containers: 0, init_containers: 0, annotation_bytes, annotations: OnceCell::new() })
    }

    /// Returns the limits for additions that are placed so.
    pub fn with(self, placement: &Placement) -> Self {
        Self { containers: placement.count(self.pod), init_containers: placement.init_container_limit, ..self }
    }

    /// Checks what has been put together so far for the pod.
    ///
    /// # Errors
    /// It is too large.
    pub fn check(&self, merged: &Merged) -> Result<(), TooLarge> {
        check_init_containers(merged.init_containers.len(), self.init_containers)?;
        within(merged.weight(self.containers), OBJECT_LIMIT, TooLarge::Object)?;
        within(self.annotation_bytes + merged.annotation_bytes, ANNOTATIONS, TooLarge::Annotations)
    }

    /// The value of an annotation that the pod has.
    ///
    /// # Errors
    /// It is not a string.
    pub fn annotation(&self, key: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
        self.annotations().get(key).map(|json| text(json, "metadata.annotations")).transpose()
    }

    fn annotations(&self) -> &BTreeMap<&'a str, &'a RawValue> {
        self.annotations.get_or_init(|| inserted(self.pod.all_annotations()))
    }

    /// Returns how many bytes an annotation adds to those that the pod has.
    pub(super) fn bytes_of(&self, planned: &Annotation) -> usize {
        match self.annotations().get(planned.key.as_str()) {
            None => planned.key.len() + planned.value.len(),
            Some(own) if planned.replaces => planned.value.len().saturating_sub(own.get().len()),
            Some(_) => 0,
        }
    }
}

/// Keys and values; what is not a string is rejected elsewhere.
fn annotation_bytes(pod: &Pod) -> usize {
    let length = |json| text(json, "metadata.annotations").map_or(0, |value| value.len());
    pod.all_annotations().map(|(key, json)| key.len() + length(json)).sum()
}

/// Checks how many init containers there are that are named like ours.
pub(super) fn check_init_containers(found: usize, limit: usize) -> Result<(), TooLarge> {
    within(found, limit, |_| TooLarge::InitContainers(limit))
}

fn within(size: usize, limit: usize, too_large: impl Fn(usize) -> TooLarge) -> Result<(), TooLarge> {
    if size > limit { Err(too_large(size)) } else { Ok(()) }
}
