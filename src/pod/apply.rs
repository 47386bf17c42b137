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
    /// The pod cannot be encoded as JSON, which does not happen with its types.
    #[error("pod cannot be encoded as JSON")]
    Json,
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
            Self::Json | Self::Volume(_) | Self::Mount { .. } => ReasonCode::Conflict,
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
    let additions = Additions::of(&merged)?;
    let volumes = volumes(&pod, &merged)?;
    let annotations = annotations(&pod, &merged)?;
    let references = merged.image_pull_secrets.iter().map(|name| k8s::LocalObjectReference { name: name.to_owned() });
    let references = each_to_json(references)?;
    // From here on the pod also borrows the additions.
    let mut pod: Pod = pod;
    let metadata = pod.metadata.get_mut().ok_or(Malformed("metadata"))?;
    let spec = pod.spec.get_mut().ok_or(Malformed("spec"))?;
    for container in spec.containers.own_mut() {
        if placement.includes(&container.name()?) {
            additions.edit(container)?;
        }
    }
    for (at, container) in spec.init_containers.own_mut().iter_mut().enumerate() {
        match init.own.get(&at) {
            Some(own) => set_variables(container, &own.json, |name| own.names.contains(name))?,
            None if placement.includes(&container.name()?) => additions.edit(container)?,
            None => {}
        }
    }
    if !init.added.is_empty() {
        let containers = spec.init_containers.get_or_default();
        let side = if placement.init_containers_first { &mut containers.before } else { &mut containers.behind };
        *side = &init.added;
    }
    for Edit { place, json } in &volumes {
        let volumes = spec.volumes.get_or_default();
        match place.and_then(|place| volumes.get_mut(place)) {
            Some(own) => *own = json,
            None => volumes.push(json),
        }
    }
    for (name, Edit { place, json }) in &annotations {
        metadata.annotations.get_or_default().set(*place, name, json);
    }
    add_image_pull_secrets(spec, &merged, &references)?;
    to_json(&pod).map(MutatedPod)
}

pub(super) fn to_json(value: &impl Serialize) -> Result<Box<RawValue>, Conflict> {
    to_raw_value(value).map_err(|_| Conflict::Json)
}

pub(super) fn each_to_json<T: Serialize>(values: impl IntoIterator<Item = T>) -> Result<Vec<Box<RawValue>>, Conflict> {
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
    merged: &'a Merged,
    variables: Vec<Box<RawValue>>,
    mounts: Vec<Box<RawValue>>,
}

impl<'a> Additions<'a> {
    fn of(merged: &'a Merged) -> Result<Self, Conflict> {
        Ok(Self { merged, variables: each_to_json(merged.variables())?, mounts: each_to_json(&merged.mounts)? })
    }

    /// Adds variables and mounts to a container of the user.
    fn edit<'p>(&'p self, container: &mut Container<'p>) -> Result<(), Conflict> {
        set_variables(container, &self.variables, |name| self.merged.variables.contains_key(name))?;
        let missing = self.missing_mounts(container)?;
        if !missing.is_empty() {
            container.volume_mounts.get_or_default().extend(missing);
        }
        Ok(())
    }

    /// Returns the mounts that a container lacks.
    fn missing_mounts(&self, container: &Container) -> Result<Vec<&RawValue>, Conflict> {
        let mut there: BTreeMap<Cow<str>, Mount> = BTreeMap::new();
        if self.mounts.is_empty() {
            return Ok(Vec::new());
        }
        for json in container.volume_mounts.items().iter().chain(container.volume_devices.items()) {
            let mount: Mount = read(json, "containers.volumeMounts")?;
            there.entry(plain_path(&mount.path).into_owned().into()).or_insert(mount);
        }
        let mut missing = Vec::with_capacity(self.mounts.len());
        for (planned, json) in self.merged.mounts.iter().zip(&self.mounts) {
            match there.get(planned.mount_path.as_str()) {
                None => missing.push(&**json),
                Some(mount) if mount.name == planned.name => {}
                Some(mount) => return Err(mount.conflict(container, "the mount of secrets".to_owned())?),
            }
        }
        self.check_nested(container, &there)?;
        Ok(missing)
    }

    /// Checks that no mount of the user is below the folder of secrets, if that is one mount.
    fn check_nested(&self, container: &Container, there: &BTreeMap<Cow<str>, Mount>) -> Result<(), Conflict> {
        let Some(ours) = self.merged.mounts.iter().find(|mount| mount.mount_path == SECRETS_DIR) else { return Ok(()) };
        let below = |path: &str| path.strip_prefix(SECRETS_DIR).is_some_and(|rest| rest.starts_with('/'));
        match there.iter().find(|(path, _)| below(path) && !self.merged.mounts_below(path)) {
            None => Ok(()),
            Some((_, mount)) => Err(mount.conflict(container, format!("read-only {:?} at {SECRETS_DIR}", ours.name))?),
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
pub(super) struct Mount<'a> {
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default, rename = "mountPath", alias = "devicePath")]
    pub path: Cow<'a, str>,
}

impl Mount<'_> {
    /// Returns the conflict of a container's mount with one of secrets.
    fn conflict(&self, container: &Container, with: String) -> Result<Conflict, Malformed> {
        let container = container.name()?.into_owned();
        Ok(Conflict::Mount { container, volume: self.name.to_string(), path: self.path.to_string(), with })
    }
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

/// The JSON of an element of a list or a member: a replacement at a place, or a new one.
struct Edit {
    place: Option<usize>,
    json: Box<RawValue>,
}

/// Returns missing volumes, and those of the policy that lack items.
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
            None => volumes.push(Edit { place: None, json: to_json(planned)? }),
            Some((at, json)) => volumes.extend(with_items(json, planned)?.map(|json| Edit { place: Some(*at), json })),
        }
    }
    Ok(volumes)
}

/// Returns an existing volume with its missing items; `None` if it lacks none.
fn with_items(own: &RawValue, planned: &Volume) -> Result<Option<Box<RawValue>>, Conflict> {
    let conflict = || Conflict::Volume(planned.name.clone());
    let mut own: Value = read(own, "spec.volumes")?;
    if let Some(projected) = &planned.projected {
        let sources = own.pointer_mut("/projected/sources").and_then(Value::as_array_mut).ok_or_else(conflict)?;
        let before = sources.len();
        let there: BTreeSet<String> = inserted(sources.iter().map(Value::to_string));
        let planned = projected.sources.iter().flatten().map(|source| json!(source));
        sources.extend(planned.filter(|source| !there.contains(&source.to_string())));
        return if sources.len() == before { Ok(None) } else { to_json(&own).map(Some) };
    }
    let Some(source) = &planned.secret else {
        let memory = own.pointer("/emptyDir/medium").is_some_and(|medium| medium == "Memory");
        return if memory { Ok(None) } else { Err(conflict()) };
    };
    if own.pointer("/secret/secretName").and_then(Value::as_str) != source.secret_name.as_deref() {
        return Err(conflict());
    }
    let items = own.pointer_mut("/secret/items").and_then(Value::as_array_mut).ok_or_else(conflict)?;
    let before = items.len();
    let text = |item: &Value, name| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let paths: BTreeSet<String> = inserted(items.iter().map(|item| text(item, "path")));
    // What is planned holds no NUL.
    let whole: BTreeSet<String> = inserted(items.iter().map(|item| [text(item, "path"), text(item, "key")].join("\0")));
    for item in source.items.iter().flatten() {
        match paths.contains(&item.path) {
            false => items.push(json!(item)),
            true if whole.contains(&[&*item.path, &item.key].join("\0")) => {}
            true => return Err(conflict()),
        }
    }
    if items.len() == before { Ok(None) } else { to_json(&own).map(Some) }
}

/// Returns missing annotations, and those that replace annotations of the pod.
fn annotations<'a>(pod: &Pod, merged: &'a Merged) -> Result<Vec<(&'a str, Edit)>, Conflict> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut planned = merged.annotations.values().peekable();
    if planned.peek().is_some() {
        places.extend(pod.all_annotations().enumerate().map(|(at, (name, _))| (name, at)));
    }
    let missing = |planned: &&Annotation| planned.replaces || !places.contains_key(planned.key.as_str());
    let place = |planned: &Annotation| places.get(planned.key.as_str()).copied();
    let edit = |it: &'a Annotation| Ok((it.key.as_str(), Edit { place: place(it), json: to_json(&it.value)? }));
    planned.filter(missing).map(edit).collect()
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
    let mut all = Vec::with_capacity(list.len());
    for json in &*list {
        let Named { name } = read(json, "spec.imagePullSecrets")?;
        all.push((name, *json));
    }
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
