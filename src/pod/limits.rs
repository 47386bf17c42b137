//! Limits of Kubernetes for a pod with its additions.
//!
//! They are checked before a value is fetched, and before a small pod becomes a large answer.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::apply::Conflict;
use super::document::{Malformed, Pod, optional_text, text};
use super::placement::Placement;
use super::plan::{Annotation, Merged};
use crate::inserted;

/// Limit of all annotations of an object, keys and values (`TotalAnnotationSizeLimitB` of apimachinery).
const ANNOTATIONS: usize = 256 * 1024;
/// Limit of an object in etcd by default (`--max-request-bytes`).
pub const OBJECT_LIMIT: usize = 1536 * 1024;
/// Limit of a path on Linux (`PATH_MAX`). No store has longer names.
pub const PATH_LIMIT: usize = 4096;

/// A limit that is exceeded.
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

/// Checks a field of a secret request, before it is part of paths.
pub(crate) fn check_text(field: &'static str, text: &str) -> Result<(), TooLarge> {
    within(text.len(), PATH_LIMIT, |length| TooLarge::Text(field, length))
}

/// Limits for additions to a pod.
pub struct Limits<'a> {
    pod: &'a Pod<'a>,
    /// Number of containers that get the additions.
    containers: usize,
    /// Maximum number of init containers of the policy, including those with similar names.
    init_containers: usize,
    annotation_bytes: usize,
    /// Its annotations, once one is to be added.
    annotations: OnceCell<BTreeMap<&'a str, &'a RawValue>>,
}

impl<'a> Limits<'a> {
    /// Checks the original pod. `string_bytes` is the length of all its strings, a lower bound of its size in etcd.
    ///
    /// # Errors
    /// The pod is too large.
    pub fn new(pod: &'a Pod<'a>, string_bytes: usize) -> Result<Self, Conflict> {
        // Other types than strings are rejected elsewhere.
        let length = |json| text(json, "metadata.annotations").map_or(0, |value| value.len());
        let annotation_bytes = pod.all_annotations().map(|(key, json)| key.len() + length(json)).sum();
        within(annotation_bytes, ANNOTATIONS, TooLarge::Annotations)?;
        within(string_bytes, OBJECT_LIMIT, TooLarge::Object)?;
        Ok(Self { pod, containers: 0, init_containers: 0, annotation_bytes, annotations: OnceCell::new() })
    }

    /// Returns the limits for a placement of additions.
    pub fn with(self, placement: &Placement) -> Self {
        Self { containers: placement.count(self.pod), init_containers: placement.init_container_limit, ..self }
    }

    /// Checks the additions so far.
    pub(crate) fn check(&self, merged: &Merged) -> Result<(), TooLarge> {
        check_init_containers(merged.init_containers.len(), self.init_containers)?;
        within(merged.weight(self.containers), OBJECT_LIMIT, TooLarge::Object)?;
        within(self.annotation_bytes + merged.annotation_bytes, ANNOTATIONS, TooLarge::Annotations)
    }

    /// Returns the value of an annotation that the pod has.
    pub(crate) fn annotation(&self, key: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
        optional_text(self.annotations().get(key).copied(), "metadata.annotations")
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

/// Checks the number of init containers with names of the policy.
pub(super) fn check_init_containers(found: usize, limit: usize) -> Result<(), TooLarge> {
    within(found, limit, |_| TooLarge::InitContainers(limit))
}

fn within(size: usize, limit: usize, too_large: impl Fn(usize) -> TooLarge) -> Result<(), TooLarge> {
    if size > limit { Err(too_large(size)) } else { Ok(()) }
}
