//! Placement of additions in a pod: the containers that get them, and the position of init containers.

use std::collections::BTreeSet;

use super::apply::Conflict;
use super::document::{Container, Malformed, Pod};
use crate::inserted;
use crate::settings::{InitContainerOrder, InjectInto, Settings};

/// Annotation for the author of a pod, with the containers that get secrets, separated by commas.
pub const CONTAINERS: &str = "flyte-secrets.flyte.org/containers";

/// Annotation with the container that runs the task (`PrimaryContainerKey` of Flyte's plugins).
const PRIMARY: &str = "primary_container_name";

/// The container in which Knative runs the user's image.
const KNATIVE: &str = "user-container";

/// Placement of additions in a pod.
pub struct Placement {
    /// Names of the containers and init containers that get additions [default: all].
    containers: Option<BTreeSet<String>>,
    /// Whether init containers of the policy are before the pod's own.
    pub(super) init_containers_first: bool,
    /// Maximum number of init containers of the policy, including those with similar names.
    pub(super) init_container_limit: usize,
}

impl Placement {
    /// Returns the placement in the settings; the pod's annotation [`CONTAINERS`] takes precedence.
    ///
    /// # Errors
    /// The annotation names a container that the pod does not have.
    pub fn of(pod: &Pod, settings: &Settings) -> Result<Self, Conflict> {
        let named: Option<BTreeSet<String>> = match pod.annotation(CONTAINERS)? {
            Some(names) => {
                Some(inserted(names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned)))
            }
            None if settings.inject_into == InjectInto::Primary => Some(inserted([primary(pod)?])),
            None => None,
        };
        let mut there = BTreeSet::new();
        for container in pod.containers() {
            there.insert(container.name()?);
        }
        match named.iter().flatten().find(|name| !there.contains(name.as_str())) {
            Some(unknown) => Err(Conflict::UnknownContainer(unknown.clone())),
            None => Ok(Self {
                containers: named,
                init_containers_first: settings.init_containers == InitContainerOrder::First,
                init_container_limit: settings.limits.init_containers,
            }),
        }
    }

    /// Whether a container gets the additions.
    pub(super) fn includes(&self, name: &str) -> bool {
        self.containers.as_ref().is_none_or(|names| names.contains(name))
    }

    /// Returns the number of containers that get the additions.
    pub(super) fn count(&self, pod: &Pod) -> usize {
        // Several may have one name, as the API server checks that later.
        pod.containers().filter(|container| container.name().is_ok_and(|name| self.includes(&name))).count()
    }
}

/// Returns the container named by Flyte's annotation, that of Knative, or the first one, as in kubectl.
fn primary(pod: &Pod) -> Result<String, Malformed> {
    let own = pod.spec.get().map_or(&[][..], |spec| spec.containers.own());
    let names = own.iter().map(Container::name).collect::<Result<Vec<_>, _>>()?;
    let first = names.iter().find(|name| *name == KNATIVE).or(names.first()).cloned();
    Ok(pod.annotation(PRIMARY)?.or(first).unwrap_or_default().into_owned())
}
