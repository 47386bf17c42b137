//! Placement of additions in a pod: the containers that get them, and the position of init containers.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::apply::Conflict;
use super::document::{Container, Pod};
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
        let primary_only = settings.inject_into == InjectInto::Primary;
        let annotation = |name| Ok::<_, Conflict>(pod.annotations(name)?.into_iter().find(|(key, _)| *key == name));
        let named: Option<BTreeSet<String>> = match annotation(CONTAINERS)? {
            Some((_, names)) => {
                Some(inserted(names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned)))
            }
            None if primary_only => Some(inserted([primary(pod, annotation(PRIMARY)?.map(|(_, name)| name))?])),
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
fn primary(pod: &Pod, annotated: Option<Cow<str>>) -> Result<String, Conflict> {
    if let Some(name) = annotated {
        return Ok(name.into_owned());
    }
    let own = pod.spec.get().map_or(&[][..], |spec| spec.containers.own());
    let names = own.iter().map(Container::name).collect::<Result<Vec<_>, _>>()?;
    let chosen = names.iter().find(|name| *name == KNATIVE).or(names.first());
    Ok(chosen.map(|name| name.clone().into_owned()).unwrap_or_default())
}
