//! What is to be added to a pod, as plain data: the same for every container, so small and independent of the pod.
//!
//! Managers each yield a plan for one request; [`Merged`] puts them together in the order of the requests and decides
//! whether two of them get in each other's way.

use super::SECRETS_DIR;
use crate::index::Index;

/// Additions to a pod. Lists are in the order in which things are to be named.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan<'a> {
    /// For every container that is not ours. The last one named ends up first.
    pub variables: Vec<Variable<'a>>,
    /// For every container that is not ours.
    pub mounts: Vec<Mount<'a>>,
    /// Volumes.
    pub volumes: Vec<Volume<'a>>,
    /// Init-containers of ours.
    pub init_containers: Vec<InitContainer<'a>>,
    /// Annotations.
    pub annotations: Vec<Annotation<'a>>,
    /// Names of Secrets that serve to pull images.
    pub image_pull_secrets: Vec<&'a str>,
    /// Files that will be there; two requests may name a path only if they mean the same.
    pub files: Vec<File<'a>>,
    /// Whether a later webhook mounts a volume of its own where ours would be.
    pub foreign_mount: bool,
}

/// An environment variable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub source: Source<'a>,
}

/// Where a variable's value comes from.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Source<'a> {
    /// The value itself; what Kubernetes would expand in it is escaped when it is written.
    Literal(&'a str),
    /// A key of a Secret in the pod's namespace.
    SecretKey {
        /// The Secret.
        secret: &'a str,
        /// The key in it.
        key: &'a str,
        /// Whether the pod starts without it.
        optional: bool,
    },
}

impl std::fmt::Debug for Source<'_> {
    /// A literal may be a secret's value.
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Literal(…)"),
            Self::SecretKey { secret, key, .. } => write!(f, "SecretKey({secret}/{key})"),
        }
    }
}

/// A mount, always read-only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mount<'a> {
    /// The volume, or `None` for the one in memory.
    pub volume: Option<&'a str>,
    /// Where.
    pub path: &'a str,
}

/// A volume of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Volume<'a> {
    /// Of some keys of a Secret; at most one for each Secret.
    Secret(SecretVolume<'a>),
    /// In memory, filled by init-containers of ours. There is at most one, and the first to name it wins.
    Memory(&'a str),
}

/// A volume of some keys of a Secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecretVolume<'a> {
    /// The volume's name.
    pub name: &'a str,
    /// The Secret.
    pub secret: &'a str,
    /// Its keys, as files.
    pub items: Vec<SecretItem<'a>>,
    /// Whether the pod starts without it.
    pub optional: bool,
}

/// One key of a Secret as a file (`KeyToPath`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SecretItem<'a> {
    /// The key.
    pub key: &'a str,
    /// The file, relative to the mount.
    pub path: &'a str,
}

/// An init-container of ours, which writes into the volume in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct InitContainer<'a> {
    /// How it is called.
    pub name: ContainerName<'a>,
    /// Its image.
    pub image: &'a str,
    /// Its command; empty for the image's own.
    pub command: Vec<&'a str>,
    /// Its variables, in order.
    pub variables: Vec<OwnVariable<'a>>,
    /// Where it mounts the volume in memory, writable.
    pub mount_path: &'static str,
    /// Requests and limits.
    pub resources: &'a Resources<'a>,
}

/// A variable of an init-container of ours. Its value may be a secret.
#[derive(Clone, Eq, PartialEq)]
pub struct OwnVariable<'a> {
    /// Its name.
    pub name: &'static str,
    /// Its value, in parts: what several requests hand to one init-container stands one after the other.
    pub parts: Vec<&'a str>,
}

impl OwnVariable<'_> {
    /// Its value.
    pub fn value(&self) -> String {
        self.parts.concat()
    }
}

impl std::fmt::Debug for OwnVariable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

/// Amounts by resource.
pub type Amounts<'a> = Vec<(&'a str, &'a str)>;

/// Amounts by resource, as Kubernetes writes them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Resources<'a> {
    /// Limits.
    pub limits: Amounts<'a>,
    /// Requests.
    pub requests: Amounts<'a>,
}

/// How an init-container of ours is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ContainerName<'a> {
    /// This prefix and the number of init-containers before it, or the next one that is free: one for each request.
    Numbered(&'static str),
    /// This name, or with `-1`, `-2`, … behind it if a container of the user's has it: one for all requests, and the
    /// values of their variables are joined.
    Shared(&'a str),
}

/// An annotation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Annotation<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its value.
    pub value: &'a str,
    /// Whether it replaces one that the pod has; otherwise the pod's own stays.
    pub replaces: bool,
}

/// A file that a plan brings into being.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct File<'a> {
    /// Its absolute path.
    pub path: &'a str,
    /// Says where its contents come from: the same for two requests that mean the same.
    pub contents: &'a str,
}

/// Two requests that cannot both have what they ask for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Clash {
    /// The one that came first, as it was numbered.
    pub first: usize,
    /// The one that came second.
    pub second: usize,
    /// What both want.
    pub over: Contested,
}

/// What two requests want in different ways.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Contested {
    /// Two values for one variable.
    #[error("both set the variable {0}; give one of them an env_var of its own")]
    Variable(String),
    /// Two contents for one file.
    #[error("both write the file {0}, where names are in lower case; rename one of them")]
    File(String),
    /// One's file is the other's folder.
    #[error("one needs {0} as a file, the other as a folder; rename one of them")]
    Folder(String),
    /// A volume of ours, and one that a later webhook mounts.
    #[error("each needs a volume of its own at {0}; Vault's agent mounts one there itself")]
    Mount(&'static str),
}

/// The plans of several requests, put together.
#[derive(Clone, Debug, Default)]
pub struct Merged<'a> {
    plan: Plan<'a>,
    /// By name: the last of this name in the plan.
    variables: Index<'a>,
    /// By path: its place in the plan.
    files: Index<'a>,
    /// By path: the request whose file made it a folder.
    folders: Index<'a>,
    /// Paths of the mounts; their places say nothing.
    mounts: Index<'a>,
    /// By Secret: its place in the plan.
    secret_volumes: Index<'a>,
    /// Keys of the annotations; likewise.
    annotations: Index<'a>,
    /// For each variable of the plan: whose it is, unless a later one of its name counts.
    variable_requests: Vec<Option<usize>>,
    /// For each file of the plan: whose it is.
    file_requests: Vec<usize>,
    memory_volume: Option<usize>,
    foreign_mount: Option<usize>,
    /// Bytes that each container gets, and bytes that the pod gets once, both at least.
    repeated: usize,
    single: usize,
}

impl<'a> Merged<'a> {
    /// What has been put together so far.
    pub fn plan(&self) -> &Plan<'a> {
        &self.plan
    }

    /// The variables, each name once, the last one named first.
    pub fn variables(&self) -> impl Iterator<Item = &Variable<'a>> {
        let all = self.plan.variables.iter().zip(&self.variable_requests).rev();
        all.filter_map(|(variable, request)| request.map(|_| variable))
    }

    /// How many bytes the additions take at least in a pod of so many containers, as Kubernetes stores it.
    pub fn weight(&self, containers: usize) -> usize {
        self.repeated.saturating_mul(containers).saturating_add(self.single)
    }

    /// Whether there is a variable of this name.
    pub fn has_variable(&self, name: &str) -> bool {
        self.variables.get(name).is_some()
    }

    /// The volume of a Secret.
    pub fn secret_volume(&self, secret: &str) -> Option<&SecretVolume<'a>> {
        match self.plan.volumes.get(self.secret_volumes.get(secret)?)? {
            Volume::Secret(volume) => Some(volume),
            Volume::Memory(_) => None,
        }
    }

    /// An init-container of ours.
    pub fn init_container(&self, name: ContainerName) -> Option<&InitContainer<'a>> {
        self.plan.init_containers.iter().find(|container| container.name == name)
    }

    /// Adds the plan of request number `request` after what is here.
    ///
    /// # Errors
    /// It gets in the way of an earlier request; then neither can be had, and nothing here is of use any more.
    pub fn add(&mut self, request: usize, plan: Plan<'a>) -> Result<(), Clash> {
        let clash = |first, over| Err(Clash { first, second: request, over });
        for variable in plan.variables {
            let known = self.variables.insert(variable.name, self.plan.variables.len());
            if known.is_none() {
                self.repeated += variable.weight();
            }
            let known = known.and_then(|at| Some((self.plan.variables.get(at)?, self.variable_requests.get_mut(at)?)));
            match known.map(|(known, request)| (known, request.take())) {
                Some((known, Some(first))) if known.source != variable.source => {
                    return clash(first, Contested::Variable(variable.name.to_owned()));
                }
                _ => {}
            }
            self.plan.variables.push(variable);
            self.variable_requests.push(Some(request));
        }
        for file in plan.files {
            if let Some((folder, first)) = self.file_and_folder(file.path, request) {
                return clash(first, Contested::Folder(folder.to_owned()));
            }
            let known = self.files.insert(file.path, self.plan.files.len());
            let known = known.and_then(|at| Some((self.plan.files.get(at)?, self.file_requests.get(at)?)));
            match known {
                Some((known, first)) if known.contents != file.contents => {
                    return clash(*first, Contested::File(file.path.to_owned()));
                }
                _ => {}
            }
            self.plan.files.push(file);
            self.file_requests.push(request);
        }
        for mount in plan.mounts {
            if self.mounts.insert(mount.path, 0).is_none() {
                self.repeated += mount.path.len() + mount.volume.map_or(0, str::len);
                self.plan.mounts.push(mount);
            }
        }
        for volume in plan.volumes {
            match volume {
                Volume::Memory(_) if self.memory_volume.is_some() => {}
                Volume::Memory(_) => {
                    self.memory_volume = Some(request);
                    self.plan.volumes.push(volume);
                }
                Volume::Secret(more) => self.add_secret_volume(more),
            }
        }
        for container in plan.init_containers {
            self.single += container.weight();
            let shared = matches!(container.name, ContainerName::Shared(_));
            match self.plan.init_containers.iter_mut().find(|known| shared && known.name == container.name) {
                Some(known) => known.join(container.variables),
                None => self.plan.init_containers.push(container),
            }
        }
        for annotation in plan.annotations {
            if self.annotations.insert(annotation.key, 0).is_none() {
                self.plan.annotations.push(annotation);
            }
        }
        self.plan.image_pull_secrets.extend(plan.image_pull_secrets);
        self.foreign_mount = self.foreign_mount.or(plan.foreign_mount.then_some(request));
        match (self.memory_volume, self.foreign_mount) {
            (Some(ours), Some(foreign)) => clash(ours.min(foreign), Contested::Mount(SECRETS_DIR)),
            _ => Ok(()),
        }
    }

    fn add_secret_volume(&mut self, more: SecretVolume<'a>) {
        let known = self.secret_volumes.get(more.secret).and_then(|at| self.plan.volumes.get_mut(at));
        if let Some(Volume::Secret(known)) = known {
            for item in more.items {
                if !known.items.contains(&item) {
                    self.single += item.key.len() + item.path.len();
                    known.items.push(item);
                }
            }
        } else {
            self.secret_volumes.insert(more.secret, self.plan.volumes.len());
            self.plan.volumes.push(Volume::Secret(more));
        }
    }

    /// A file above `path`, or one below it; if there is none, the folders above become folders.
    fn file_and_folder(&mut self, path: &'a str, request: usize) -> Option<(&'a str, usize)> {
        let mut above = path;
        while let Some((folder, _)) = above.rsplit_once('/') {
            if let Some(first) = self.files.get(folder).and_then(|at| self.file_requests.get(at)) {
                return Some((folder, *first));
            }
            if self.folders.get(folder).is_some() {
                // What is above a known folder is known.
                break;
            }
            self.folders.insert(folder, request);
            above = folder;
        }
        self.folders.get(path).map(|first| (path, first))
    }
}

impl Variable<'_> {
    /// Protobuf puts two bytes or more before each part.
    fn weight(&self) -> usize {
        self.name.len()
            + match self.source {
                Source::Literal(value) => 6 + value.len(),
                Source::SecretKey { secret, key, .. } => 16 + secret.len() + key.len(),
            }
    }
}

impl InitContainer<'_> {
    /// What requests share counts once for each: that is less than what each brings, and more than nothing.
    fn weight(&self) -> usize {
        self.variables.iter().flat_map(|variable| &variable.parts).map(|part| part.len()).sum()
    }
}

impl Plan<'_> {
    /// The name of the volume in memory.
    pub fn memory_volume(&self) -> Option<&str> {
        self.volumes.iter().find_map(|volume| match volume {
            Volume::Memory(name) => Some(*name),
            Volume::Secret(_) => None,
        })
    }
}

impl<'a> InitContainer<'a> {
    fn join(&mut self, variables: Vec<OwnVariable<'a>>) {
        for variable in variables {
            match self.variables.iter_mut().find(|known| known.name == variable.name) {
                Some(known) => known.parts.extend(variable.parts),
                None => self.variables.push(variable),
            }
        }
    }
}
