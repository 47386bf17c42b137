//! Additions to a pod, in types of Kubernetes. They are the same for every container, so they are small and independent
//! of the pod.
//!
//! A manager returns a [`Plan`] for one secret request. [`Merged`] combines plans in the order of the requests, and
//! finds conflicts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound::{Included, Unbounded};

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, EnvVar, EnvVarSource, FileKeySelector, KeyToPath, ProjectedVolumeSource,
    ResourceRequirements, SecretKeySelector, SecretProjection, SecretVolumeSource, ServiceAccountTokenProjection,
    VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::Serialize;
use serde_json::{Map, Value};

use super::SECRETS_DIR;
use super::limits::Limits;

/// Additions to a pod. Lists are in Flyte's order.
#[derive(Default)]
pub struct Plan {
    /// Variables for every container of the user. The last one added is the first in the container.
    pub variables: Vec<EnvVar>,
    /// Mounts for every container of the user.
    pub mounts: Vec<VolumeMount>,
    /// Volumes: of some keys of a Secret, of keys of several, or in memory. A pod has at most one in memory, one of
    /// several Secrets, and one for each Secret: the first is used for all.
    pub volumes: Vec<Volume>,
    /// Volumes that only init containers of the policy mount, each once.
    pub private_volumes: Vec<Volume>,
    /// Init containers of the policy.
    pub init_containers: Vec<InitContainer>,
    /// Annotations.
    pub annotations: Vec<Annotation>,
    /// Image pull secrets.
    pub image_pull_secrets: Vec<String>,
    /// Files that will exist, of which two requests may name one only if they mean the same; and then the keys of
    /// Secrets in `volumes` are there already, too.
    pub files: Vec<File>,
    /// Whether a later webhook mounts its own volume at the folder of secrets.
    pub foreign_mount: bool,
}

impl fmt::Debug for Plan {
    /// Prints no variables, which can contain values.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Plan({} variables, {} files)", self.variables.len(), self.files.len())
    }
}

/// A container, with the fields that the policy adds. That of `k8s-openapi` has probes, hooks and ports, which take 60
/// kB of wasm.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_pull_policy: Option<String>,
    /// Empty for the image's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) args: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) env: Vec<EnvVar>,
    pub(crate) resources: ResourceRequirements,
    /// As in the settings.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) security_context: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) volume_mounts: Vec<VolumeMount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) termination_message_policy: Option<&'static str>,
    /// `Always` for a native sidecar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restart_policy: Option<&'static str>,
    /// Other containers start once it succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) startup_probe: Option<Value>,
}

/// A volume, with the sources that the policy adds. That of `k8s-openapi` has thirty more, with dates, which are a
/// tenth of the wasm.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    pub(super) name: String,
    /// Some keys of a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<SecretVolumeSource>,
    /// Keys of several Secrets, or a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) projected: Option<ProjectedVolumeSource>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) empty_dir: Option<EmptyDirVolumeSource>,
}

/// What a volume holds: of one content, there is one volume.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
enum Content {
    Memory,
    /// Keys of several Secrets.
    Projected,
    /// Keys of one Secret.
    Secret(String),
    /// What only init containers of the policy mount, by the volume's name.
    Private(String),
}

impl Volume {
    fn content(&self) -> Content {
        match &self.secret {
            _ if self.projected.is_some() => Content::Projected,
            Some(source) => Content::Secret(source.secret_name.clone().unwrap_or_default()),
            None => Content::Memory,
        }
    }

    /// Appends another's items or sources, and returns the bytes of the items.
    fn join(&mut self, other: Self) -> usize {
        if let (Some(known), Some(more)) = (&mut self.projected, other.projected) {
            known.sources.get_or_insert_default().extend(more.sources.unwrap_or_default());
        }
        let (Some(known), Some(more)) = (&mut self.secret, other.secret) else { return 0 };
        let items = more.items.unwrap_or_default();
        let bytes = items.iter().map(|item| item.key.len() + item.path.len()).sum();
        known.items.get_or_insert_default().extend(items);
        bytes
    }
}

/// Returns a variable with a literal value, escaped against expansion by Kubernetes.
pub fn variable(name: impl Into<String>, value: &str) -> EnvVar {
    let value = (!value.is_empty()).then(|| escape_expansion(value));
    EnvVar { name: name.into(), value, value_from: None }
}

/// Returns a variable whose value is a key of a Secret in the pod's namespace.
pub fn secret_variable(name: impl Into<String>, secret: &str, key: &str, optional: Option<bool>) -> EnvVar {
    let selector = Some(SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), optional });
    let value_from = Some(EnvVarSource { secret_key_ref: selector, ..EnvVarSource::default() });
    EnvVar { name: name.into(), value: None, value_from }
}

/// Returns a variable whose value the kubelet reads from an env file (KEP-3721, Kubernetes 1.35).
pub fn file_variable(name: impl Into<String>, volume: &str, path: &str, key: String) -> EnvVar {
    let (volume_name, path) = (volume.to_owned(), path.to_owned());
    let selector = Some(FileKeySelector { volume_name, path, key, optional: Some(false) });
    let value_from = Some(EnvVarSource { file_key_ref: selector, ..EnvVarSource::default() });
    EnvVar { name: name.into(), value: None, value_from }
}

/// Returns a volume of one key of a Secret.
pub fn secret_volume(name: &str, secret: &str, key: &str, path: &str, optional: bool) -> Volume {
    let source = SecretVolumeSource {
        secret_name: Some(secret.to_owned()),
        items: item(key, path),
        optional: Some(optional),
        default_mode: None,
    };
    Volume { name: name.to_owned(), secret: Some(source), ..Volume::default() }
}

/// Returns a volume of one key of a Secret, to which those of other Secrets can be added.
pub fn projected_volume(name: &str, secret: &str, key: &str, path: &str) -> Volume {
    let source = SecretProjection { name: secret.to_owned(), items: item(key, path), optional: None };
    projected(name, VolumeProjection { secret: Some(source), ..VolumeProjection::default() })
}

/// Returns a volume of a token of the pod's service account, for one audience, which the kubelet renews.
pub fn token_volume(name: &str, audience: &str, path: &str) -> Volume {
    let (audience, path) = (Some(audience.to_owned()), path.to_owned());
    let source = ServiceAccountTokenProjection { audience, expiration_seconds: Some(600), path };
    projected(name, VolumeProjection { service_account_token: Some(source), ..VolumeProjection::default() })
}

fn item(key: &str, path: &str) -> Option<Vec<KeyToPath>> {
    Some(vec![KeyToPath { key: key.to_owned(), path: path.to_owned(), mode: None }])
}

/// Returns a volume of one source, whose files everybody in the container may read.
fn projected(name: &str, source: VolumeProjection) -> Volume {
    let projected = ProjectedVolumeSource { sources: Some(vec![source]), default_mode: Some(0o444) };
    Volume { name: name.to_owned(), projected: Some(projected), ..Volume::default() }
}

/// Returns a volume in memory, to which init containers of the policy write.
pub fn memory_volume(name: &str, size_limit: &str) -> Volume {
    let size_limit = Some(Quantity(size_limit.to_owned()));
    let source = EmptyDirVolumeSource { medium: Some("Memory".to_owned()), size_limit };
    Volume { name: name.to_owned(), empty_dir: Some(source), ..Volume::default() }
}

/// Returns a mount; those of the task's containers are read-only.
pub fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    let (name, mount_path, read_only) = (volume.to_owned(), path.to_owned(), read_only.then_some(true));
    VolumeMount { name, mount_path, read_only, ..VolumeMount::default() }
}

/// Doubles each `$` that Kubernetes would take for the start of `$(NAME)` or for an escaped `$`, and those before a
/// character beyond ASCII, of which Kubernetes before 1.36 carries over one byte alone (kubernetes/kubernetes#136325).
///
/// Source: `third_party/forked/golang/expansion` of Kubernetes.
fn escape_expansion(value: &str) -> String {
    let behind_last_parenthesis = value.rsplit(')').next().map_or(0, str::len);
    let mut escaped = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at + 1);
        escaped.push_str(before);
        let closed = after.len() > behind_last_parenthesis;
        if after.starts_with(|next: char| next == '$' || !next.is_ascii() || (next == '(' && closed)) {
            escaped.push('$');
        }
        rest = after;
    }
    escaped + rest
}

/// An init container of the policy. It mounts the volume in memory, writable.
pub struct InitContainer {
    pub(crate) name: ContainerName,
    pub(crate) container: Container,
}

impl InitContainer {
    /// Returns the value of one of its variables.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let variables = self.container.env.iter();
        variables.filter(|known| known.name == name).find_map(|known| known.value.as_deref())
    }

    /// Appends another's values to those of the variables with the same names.
    fn join(&mut self, other: Self) {
        for mount in other.container.volume_mounts {
            if !self.container.volume_mounts.contains(&mount) {
                self.container.volume_mounts.push(mount);
            }
        }
        let variables = &mut self.container.env;
        for more in other.container.env {
            match variables.iter_mut().find(|known| known.name == more.name) {
                Some(known) => known.value.get_or_insert_default().push_str(&more.value.unwrap_or_default()),
                None => variables.push(more),
            }
        }
    }
}

/// Naming of an init container of the policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ContainerName {
    /// This prefix and the number of init containers before it, or the next one that is free: one for each request.
    Numbered(&'static str),
    /// This name, or with `-1`, `-2`, … appended if another container has it: one for all requests, whose variables'
    /// values are joined.
    Shared(String),
    /// This name and no other: one for all requests.
    Exact(&'static str),
}

/// An annotation.
pub struct Annotation {
    pub(crate) key: String,
    pub(crate) value: String,
    /// Whether it replaces one that the pod has; otherwise the pod's own stays.
    pub(crate) replaces: bool,
}

/// A file that a plan creates.
pub struct File {
    /// Its path below [`SECRETS_DIR`].
    pub(crate) path: String,
    /// Source of its contents, to compare requests.
    pub(crate) contents: String,
}

/// A conflict of a secret request with the one of number `first`.
#[derive(Debug)]
pub struct RequestConflict {
    pub(crate) first: usize,
    pub(crate) cause: ConflictCause,
}

fn conflict<T>(first: usize, cause: ConflictCause) -> Result<T, RequestConflict> {
    Err(RequestConflict { first, cause })
}

/// Cause of a conflict of two secret requests.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConflictCause {
    /// Two values for one variable.
    #[error("both set the variable {0}; set another `env_var` in one of them")]
    Variable(String),
    /// Two contents for one file.
    #[error("both write the file {0} (file names are in lower case); rename one of them")]
    File(String),
    /// One's file is the other's folder.
    #[error("{0} is a file for one and a folder for the other; rename one of them")]
    Folder(String),
    /// One's folder is a volume that hides what the other writes there.
    #[error("both use the folder {0}; rename one of them")]
    Mounted(String),
    /// A volume of Secrets, and one in memory.
    #[error("each requires its own volume at {SECRETS_DIR}; set embeddedSecretManagerConfig.delivery to Auto")]
    Reference,
    /// A volume of the policy, and one that a later webhook mounts.
    #[error("each requires its own volume at {SECRETS_DIR}, as the Vault agent does; use separate tasks")]
    Mount,
}

/// The combined plans of several requests.
#[derive(Default)]
pub struct Merged {
    /// Places among the additions, by name.
    pub(super) variables: BTreeMap<String, usize>,
    /// In order, with the last request that sets each; a variable that is added again leaves its place.
    additions: Vec<Option<Box<(EnvVar, usize)>>>,
    pub(super) mounts: Vec<VolumeMount>,
    /// Their paths, without [`SECRETS_DIR`].
    pub(super) mounted: BTreeSet<String>,
    pub(super) volumes: Vec<Volume>,
    /// Index of each volume, and the first request that needs it.
    places: BTreeMap<Content, (usize, usize)>,
    pub(super) init_containers: Vec<InitContainer>,
    pub(crate) annotations: BTreeMap<String, Annotation>,
    pub(super) annotation_bytes: usize,
    pub(super) image_pull_secrets: BTreeSet<String>,
    /// The first request that wants each, and its contents. By path, with NULs for slashes: what is in a folder follows
    /// its name at once.
    files: BTreeMap<String, (usize, String)>,
    /// The topmost folders, the first request for each, and whether a volume is mounted there.
    folders: BTreeMap<String, (usize, bool)>,
    foreign_mount: Option<usize>,
    /// Minimum number of bytes for each container, and for the pod.
    repeated: usize,
    single: usize,
}

impl fmt::Debug for Merged {
    /// Prints what [`Plan`] prints.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Merged({} variables, {} files)", self.variables.len(), self.files.len())
    }
}

impl Merged {
    /// Returns the variables, the last one added first.
    pub(super) fn variables(&self) -> Vec<&EnvVar> {
        self.additions.iter().rev().flatten().map(|addition| &addition.0).collect()
    }

    /// Returns the volume with some content.
    fn volume(&self, content: &Content) -> Option<&Volume> {
        self.volumes.get(self.places.get(content)?.0)
    }

    /// Returns the minimum size in etcd of the additions to a pod with this number of containers.
    pub(super) fn weight(&self, containers: usize) -> usize {
        self.repeated.saturating_mul(containers).saturating_add(self.single)
    }

    /// Returns the name of the volume of a Secret.
    pub fn volume_of(&self, secret: &str) -> Option<&str> {
        self.volume(&Content::Secret(secret.to_owned())).map(|volume| volume.name.as_str())
    }

    /// Whether there is a volume of several Secrets.
    pub fn has_projected_volume(&self) -> bool {
        self.places.contains_key(&Content::Projected)
    }

    /// Whether a file is there.
    pub fn has_file(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Returns the init container that requests share.
    pub fn shared_init_container(&self, name: &str) -> Option<&InitContainer> {
        self.init_containers.iter().find(|known| match &known.name {
            ContainerName::Shared(known) => known == name,
            ContainerName::Exact(known) => *known == name,
            ContainerName::Numbered(_) => false,
        })
    }

    /// Sets the arguments of the init container that all requests share.
    pub fn set_args(&mut self, name: &'static str, args: Vec<String>) {
        let shared = self.init_containers.iter_mut().find(|known| known.name == ContainerName::Exact(name));
        if let Some(shared) = shared {
            shared.container.args = args;
        }
    }

    /// Adds the plan of request number `request` to what is here, in a pod of these limits.
    ///
    /// # Errors
    /// The plan conflicts with an earlier request. Then the combined plans must not be used.
    pub fn add(&mut self, request: usize, plan: Plan, limits: &Limits) -> Result<(), RequestConflict> {
        for variable in plan.variables {
            let known = self.variables.insert(variable.name.clone(), self.additions.len());
            match known.and_then(|place| self.additions.get_mut(place)?.take()) {
                Some(known) if known.0 != variable => return conflict(known.1, ConflictCause::Variable(variable.name)),
                Some(_) => {}
                None => self.repeated += weight_of_variable(&variable),
            }
            self.additions.push(Some(Box::new((variable, request))));
        }
        let mounted = plan.mounts.iter().any(|mount| mount.mount_path != SECRETS_DIR);
        let mut is_new = false;
        for file in plan.files {
            self.add_folder(request, &file.path, mounted)?;
            is_new |= self.add_file(request, file)?;
        }
        let shared = self.add_volumes(request, plan.volumes, plan.private_volumes, is_new);
        let share = |mount: &mut VolumeMount| {
            if let Some((planned, used)) = &shared
                && mount.name == *planned
            {
                mount.name.clone_from(used);
            }
        };
        for mut mount in plan.mounts {
            share(&mut mount);
            // Comparing names with a common prefix is slow.
            let place = mount.mount_path.strip_prefix(SECRETS_DIR).unwrap_or(&mount.mount_path);
            if self.mounted.insert(place.to_owned()) {
                self.repeated += mount.mount_path.len() + mount.name.len();
                self.mounts.push(mount);
            }
        }
        for mut init in plan.init_containers {
            self.single += init.container.env.iter().filter_map(|it| it.value.as_ref()).map(String::len).sum::<usize>();
            init.container.volume_mounts.iter_mut().for_each(share);
            let shared = !matches!(init.name, ContainerName::Numbered(_));
            match self.init_containers.iter_mut().find(|known| shared && known.name == init.name) {
                Some(known) => known.join(init),
                None => self.init_containers.push(init),
            }
        }
        for annotation in plan.annotations {
            if !self.annotations.contains_key(&annotation.key) {
                self.annotation_bytes += limits.bytes_of(&annotation);
                self.annotations.insert(annotation.key.clone(), annotation);
            }
        }
        self.image_pull_secrets.extend(plan.image_pull_secrets);
        self.foreign_mount = self.foreign_mount.or(plan.foreign_mount.then_some(request));
        let first = |content| self.places.get(content).map(|(_, request)| *request);
        let (memory, projected) = (first(&Content::Memory), first(&Content::Projected));
        match (memory, projected, self.foreign_mount) {
            (Some(ours), _, Some(foreign)) | (None, Some(ours), Some(foreign)) => {
                conflict(foreign.min(ours), ConflictCause::Mount)
            }
            (Some(memory), Some(projected), None) => conflict(memory.min(projected), ConflictCause::Reference),
            _ => Ok(()),
        }
    }

    /// Adds mount points for mounts below the volume in memory, which is read-only in tasks
    /// (kubernetes/kubernetes#121294): the kubelet creates the folders of `subPath` mounts, which the first init
    /// container that writes the volume gets.
    pub(super) fn make_mount_points(&mut self) {
        let Some(volume) = self.volume(&Content::Memory).map(|volume| volume.name.clone()) else { return };
        let Some(init) = self.init_containers.first_mut() else { return };
        let ours = &mut init.container.volume_mounts;
        let Some(root) = ours.first().map(|mount| mount.mount_path.clone()) else { return };
        ours.extend(self.mounts.iter().filter_map(|nested| {
            let folder = nested.mount_path.strip_prefix(SECRETS_DIR)?.strip_prefix('/')?;
            let path = [&root, "/", folder].concat();
            Some(VolumeMount { sub_path: Some(folder.to_owned()), ..mount(&volume, &path, false) })
        }));
    }

    /// Adds volumes, or their items to those with the same content if its files are new. If another volume in memory is
    /// used for the plan's, returns the plan's name for it and its own.
    fn add_volumes(
        &mut self,
        request: usize,
        volumes: Vec<Volume>,
        private: Vec<Volume>,
        is_new: bool,
    ) -> Option<(String, String)> {
        let mut shared = None;
        let private = private.into_iter().map(|volume| (Content::Private(volume.name.clone()), volume));
        for (content, volume) in volumes.into_iter().map(|volume| (volume.content(), volume)).chain(private) {
            match self.places.get(&content).and_then(|(place, _)| self.volumes.get_mut(*place)) {
                Some(known) => match content {
                    Content::Private(_) => {}
                    Content::Memory => shared = Some((volume.name, known.name.clone())),
                    Content::Projected | Content::Secret(_) if is_new => self.single += known.join(volume),
                    Content::Projected | Content::Secret(_) => {}
                },
                None => {
                    self.places.insert(content, (self.volumes.len(), request));
                    self.volumes.push(volume);
                }
            }
        }
        shared
    }

    /// Records whether the topmost folder of a file is a mount.
    fn add_folder(&mut self, request: usize, path: &str, mounted: bool) -> Result<(), RequestConflict> {
        let Some((folder, _)) = path.split_once('/') else { return Ok(()) };
        let (first, known) = *self.folders.entry(folder.to_owned()).or_insert((request, mounted));
        if known == mounted { Ok(()) } else { conflict(first, ConflictCause::Mounted(absolute(folder))) }
    }

    /// Adds a file, and tells whether it is new.
    fn add_file(&mut self, request: usize, File { path, contents }: File) -> Result<bool, RequestConflict> {
        let place = path.replace('/', "\0");
        let is_below = |path: &str, folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('\0'));
        // A file in whose place there were a folder would be the last one before what is in the folder.
        let range = |from, to| self.files.range::<String, _>((from, to));
        match range(Unbounded, Included(&place)).next_back() {
            Some((known, (_, same))) if *known == place && *same == contents => return Ok(false),
            Some((known, (first, _))) if *known == place => {
                return conflict(*first, ConflictCause::File(absolute(&path)));
            }
            Some((known, (first, _))) if is_below(&place, known) => {
                return conflict(*first, ConflictCause::Folder(absolute(&known.replace('\0', "/"))));
            }
            _ => {}
        }
        let inside = range(Included(&place), Unbounded).take_while(|(known, _)| is_below(known, &place));
        if let Some(first) = inside.map(|(_, (first, _))| *first).min() {
            return conflict(first, ConflictCause::Folder(absolute(&path)));
        }
        self.files.insert(place, (request, contents));
        Ok(true)
    }
}

fn absolute(path: &str) -> String {
    [SECRETS_DIR, "/", path].concat()
}

/// Returns the minimum size of a variable: protobuf adds at least two bytes for each part.
fn weight_of_variable(variable: &EnvVar) -> usize {
    let reference = variable.value_from.as_ref().and_then(|source| source.secret_key_ref.as_ref());
    variable.name.len()
        + variable.value.as_ref().map_or(0, |value| 6 + value.len())
        + reference.map_or(0, |reference| 16 + reference.name.len() + reference.key.len())
}
