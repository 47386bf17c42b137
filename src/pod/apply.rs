//! The edit of a pod, in one place.
//!
//! Existing additions are kept, so a second evaluation changes nothing. Unknown fields are kept.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::core::v1 as k8s;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::SECRETS_DIR;
use super::document::{Container, Malformed, Pod, Spec, read};
use super::init_containers::InitContainers;
use super::limits::TooLarge;
use super::placement::{CONTAINERS, Placement};
use super::plan::{Annotation, Merged, Volume};
use crate::inserted;
use crate::reason_code::ReasonCode;

/// A conflict of the pod with the additions.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Conflict {
    /// A field has another type than in Kubernetes.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The pod exceeds a limit of Kubernetes or of nodes.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// A volume of the user has a name of the policy.
    #[error("volume {0:?} conflicts with the secrets volume of the same name; rename it")]
    Volume(String),
    /// The pod's annotation names an unknown container.
    #[error("annotation {CONTAINERS}: unknown container {0:?}; expected names of the pod's containers")]
    UnknownContainer(String),
    /// The pod has a grant that is not the policy's.
    #[error("container {0:?} or a token for the secret gateway is not what the policy grants; remove it")]
    Granted(String),
    /// A mount of the user has the path of the secrets, or is below a read-only one, where the runtime cannot create its
    /// mount point.
    #[error(
        "container {container:?}: mount of {volume:?} at {} conflicts with {with}; use another path",
        path.escape_debug()
    )]
    Mount {
        /// The container.
        container: String,
        /// The volume.
        volume: String,
        /// The path.
        path: String,
        /// The mount of secrets.
        with: String,
    },
}

impl Conflict {
    /// Returns the reason code of a rejection.
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::Malformed(_) | Self::UnknownContainer(_) => ReasonCode::InvalidPod,
            Self::TooLarge(_) => ReasonCode::LimitExceeded,
            Self::Granted(_) => ReasonCode::GrantMismatch,
            Self::Volume(_) | Self::Mount { .. } => ReasonCode::Conflict,
        }
    }
}

/// A pod with its additions, in JSON.
#[derive(Serialize)]
#[serde(transparent)]
pub struct MutatedPod(Box<RawValue>);

impl MutatedPod {
    /// Returns the JSON.
    pub fn json(&self) -> &str {
        self.0.get()
    }
}

impl fmt::Debug for MutatedPod {
    /// Prints nothing of the pod, which can contain values.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("MutatedPod(…)")
    }
}

/// Returns the pod with the additions.
///
/// # Errors
/// The pod conflicts with the additions.
pub fn apply(pod: Pod, mut merged: Merged, placement: &Placement) -> Result<MutatedPod, Conflict> {
    merged.make_mount_points();
    let init = InitContainers::of(&pod, &mut merged, placement)?;
    let (variables, mounts) = (each_to_json(merged.variables())?, each_to_json(&merged.mounts)?);
    let additions = Additions { placement, merged: &merged, variables, mounts };
    let volumes = volumes(&pod, &merged)?;
    let annotations = annotations(&pod, &merged)?;
    let references = merged.image_pull_secrets.iter().map(|name| k8s::LocalObjectReference { name: name.to_owned() });
    let references = each_to_json(references)?;
    // From here on the pod also borrows the additions.
    let mut pod: Pod = pod;
    let metadata = pod.metadata.get_mut().ok_or(Malformed("metadata"))?;
    let spec = pod.spec.get_mut().ok_or(Malformed("spec"))?;
    spec.containers.own_mut().iter_mut().try_for_each(|container| additions.edit(container))?;
    for (at, container) in spec.init_containers.own_mut().iter_mut().enumerate() {
        match init.own.get(&at) {
            Some(own) => set_variables(container, &own.json, |name| own.names.contains(name))?,
            None => additions.edit(container)?,
        }
    }
    if !init.added.is_empty() {
        let containers = spec.init_containers.get_or_default();
        let side = if placement.init_containers_first { &mut containers.before } else { &mut containers.behind };
        *side = &init.added;
    }
    for (place, json) in &volumes {
        let volumes = spec.volumes.get_or_default();
        match place.and_then(|place| volumes.get_mut(place)) {
            Some(own) => *own = json,
            None => volumes.push(json),
        }
    }
    for (name, (place, json)) in &annotations {
        metadata.annotations.get_or_default().set(*place, name, json);
    }
    add_image_pull_secrets(spec, &merged, &references)?;
    Ok(MutatedPod(to_json(&pod)?))
}

/// Returns the JSON of a value; the types of the additions always have one.
pub(super) fn to_json(value: &impl Serialize) -> Result<Box<RawValue>, Malformed> {
    to_raw_value(value).map_err(|_| Malformed("pod"))
}

pub(super) fn each_to_json<T: Serialize>(values: impl IntoIterator<Item = T>) -> Result<Vec<Box<RawValue>>, Malformed> {
    values.into_iter().map(|value| to_json(&value)).collect()
}

/// The name of an element of a list.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
}

/// The additions to each container of the user, with their JSON, which is encoded once.
struct Additions<'a> {
    placement: &'a Placement,
    merged: &'a Merged,
    variables: Vec<Box<RawValue>>,
    mounts: Vec<Box<RawValue>>,
}

impl Additions<'_> {
    /// Adds variables and mounts to a container of the user.
    fn edit<'p>(&'p self, container: &mut Container<'p>) -> Result<(), Conflict> {
        let name = container.name()?;
        if !self.placement.includes(&name) {
            return Ok(());
        }
        set_variables(container, &self.variables, |name| self.merged.variables.contains_key(name))?;
        let missing = self.missing_mounts(container, &name)?;
        if !missing.is_empty() {
            container.volume_mounts.get_or_default().extend(missing);
        }
        Ok(())
    }

    /// Returns the mounts that a container lacks, if those of the user leave room for them.
    fn missing_mounts(&self, container: &Container, name: &str) -> Result<Vec<&RawValue>, Conflict> {
        let mut there: BTreeMap<String, Mount> = BTreeMap::new();
        if self.mounts.is_empty() {
            return Ok(Vec::new());
        }
        for json in container.volume_mounts.items().iter().chain(container.volume_devices.items()) {
            let mount: Mount = read(json, "containers.volumeMounts")?;
            there.entry(plain_path(&mount.path).into_owned()).or_insert(mount);
        }
        let conflict = |mount: &Mount, with| {
            let (volume, path) = (mount.name.to_string(), mount.path.to_string());
            Err(Conflict::Mount { container: name.to_owned(), volume, path, with })
        };
        let mut missing = Vec::with_capacity(self.mounts.len());
        for (planned, json) in self.merged.mounts.iter().zip(&self.mounts) {
            match there.get(planned.mount_path.as_str()) {
                None => missing.push(&**json),
                Some(mount) if mount.name == planned.name => {}
                Some(mount) => return conflict(mount, "the mount of secrets".to_owned()),
            }
        }
        let Some(root) = self.merged.mounts.iter().find(|it| it.mount_path == SECRETS_DIR) else { return Ok(missing) };
        let below = |rest: &str| rest.starts_with('/') && !self.merged.mounted.contains(rest);
        match there.iter().find(|(path, _)| path.strip_prefix(SECRETS_DIR).is_some_and(below)) {
            None => Ok(missing),
            Some((_, mount)) => conflict(mount, format!("read-only {:?} at {SECRETS_DIR}", root.name)),
        }
    }
}

/// Adds variables before those of a container, of which the `replaced` ones are removed.
fn set_variables<'a>(
    container: &mut Container<'a>,
    variables: &'a [Box<RawValue>],
    replaced: impl Fn(&str) -> bool,
) -> Result<(), Malformed> {
    if variables.is_empty() {
        return Ok(());
    }
    let env = container.env.get_or_default();
    let mut all: Vec<&RawValue> = Vec::with_capacity(variables.len() + env.len());
    all.extend(variables.iter().map(|json| &**json));
    for json in &*env {
        let Named { name } = read(json, "containers.env")?;
        if !replaced(&name) {
            all.push(json);
        }
    }
    *env = all;
    Ok(())
}

/// A mount or a device.
#[derive(Deserialize)]
struct Mount<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default, rename = "mountPath", alias = "devicePath")]
    path: Cow<'a, str>,
}

/// Returns a path as resolved by container runtimes: without `.`, `..` and empty parts. Relative paths start at the
/// root.
fn plain_path(path: &str) -> Cow<'_, str> {
    let odd = |pair: &[u8]| matches!(pair, b"//" | b"/.");
    if path.starts_with('/') && !path.ends_with('/') && !path.as_bytes().windows(2).any(odd) {
        return Cow::Borrowed(path);
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Cow::Owned(["/", &parts.join("/")].concat())
}

/// The JSON of a volume or an annotation, with the place of the one that it replaces.
type Edit = (Option<usize>, Box<RawValue>);

/// Returns missing volumes, and those of the policy that lack items with their places.
fn volumes(pod: &Pod, merged: &Merged) -> Result<Vec<Edit>, Conflict> {
    let there = pod.spec.get().map_or(&[][..], |spec| spec.volumes.items());
    let mut places: BTreeMap<Cow<str>, (usize, &RawValue)> = BTreeMap::new();
    if !merged.volumes.is_empty() {
        for (at, json) in there.iter().enumerate() {
            let Named { name } = read(json, "spec.volumes")?;
            // The first one of a name counts.
            places.entry(name).or_insert((at, json));
        }
    }
    let mut volumes = Vec::new();
    for planned in &merged.volumes {
        match places.get(planned.name.as_str()) {
            None => volumes.push((None, to_json(planned)?)),
            Some((at, json)) => volumes.extend(with_items(json, planned)?.map(|json| (Some(*at), json))),
        }
    }
    Ok(volumes)
}

/// Returns an existing volume with its missing items or sources; `None` if it lacks none.
fn with_items(own: &RawValue, planned: &Volume) -> Result<Option<Box<RawValue>>, Conflict> {
    let conflict = || Conflict::Volume(planned.name.clone());
    let mut own: Value = read(own, "spec.volumes")?;
    let secret = own.pointer("/secret/secretName").and_then(Value::as_str);
    let place = match planned {
        Volume { projected: Some(_), .. } => "/projected/sources",
        Volume { secret: Some(source), .. } if secret == source.secret_name.as_deref() => "/secret/items",
        Volume { empty_dir: Some(_), .. } if own.pointer("/emptyDir/medium").is_some_and(|it| it == "Memory") => {
            return Ok(None);
        }
        _ => return Err(conflict()),
    };
    let there = own.pointer_mut(place).and_then(Value::as_array_mut).ok_or_else(conflict)?;
    let before = there.len();
    if let Some(planned) = &planned.projected {
        let known: BTreeSet<String> = inserted(there.iter().map(Value::to_string));
        let sources = planned.sources.iter().flatten().map(|source| json!(source));
        there.extend(sources.filter(|source| !known.contains(&source.to_string())));
    }
    if let Some(planned) = &planned.secret {
        let text = |item: &Value, name| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        // The kubelet writes the last one of a path.
        let known: BTreeMap<_, _> = inserted(there.iter().map(|item| (text(item, "path"), text(item, "key"))));
        for item in planned.items.iter().flatten() {
            match known.get(&item.path) {
                None => there.push(json!(item)),
                Some(key) if *key == item.key => {}
                Some(_) => return Err(conflict()),
            }
        }
    }
    if there.len() == before { Ok(None) } else { Ok(Some(to_json(&own)?)) }
}

/// Returns missing annotations, and those that replace annotations of the pod with their places.
fn annotations<'a>(pod: &Pod, merged: &'a Merged) -> Result<Vec<(&'a str, Edit)>, Malformed> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    if !merged.annotations.is_empty() {
        places.extend(pod.all_annotations().enumerate().map(|(at, (name, _))| (name, at)));
    }
    let mut edits = Vec::new();
    for Annotation { key, value, replaces } in merged.annotations.values() {
        let place = places.get(key.as_str()).copied();
        if *replaces || place.is_none() {
            edits.push((key.as_str(), (place, to_json(value)?)));
        }
    }
    Ok(edits)
}

/// Adds image pull secrets. If one is new, the list is sorted by name, as in Flyte.
fn add_image_pull_secrets<'a>(
    spec: &mut Spec<'a>,
    merged: &'a Merged,
    json: &'a [Box<RawValue>],
) -> Result<(), Malformed> {
    if json.is_empty() {
        return Ok(());
    }
    let list = spec.image_pull_secrets.get_or_default();
    let named = list.iter().map(|json| Ok((read::<Named>(json, "spec.imagePullSecrets")?.name, *json)));
    let mut all = named.collect::<Result<Vec<_>, Malformed>>()?;
    let before = all.len();
    let there: BTreeSet<Cow<str>> = inserted(all.iter().map(|(name, _)| name.clone()));
    let planned = merged.image_pull_secrets.iter().map(|name| Cow::Borrowed(name.as_str()));
    all.extend(planned.zip(json.iter().map(|json| &**json)).filter(|(name, _)| !there.contains(name)));
    if all.len() > before {
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        *list = all.into_iter().map(|(_, json)| json).collect();
    }
    Ok(())
}
