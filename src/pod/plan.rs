//! What is to be added to a pod, as plain data: the same for every container, so small and independent of the pod.
//!
//! Managers each yield a plan for one request; [`Merged`] puts them together in the order of the requests and decides
//! whether two of them get in each other's way.

use std::borrow::Cow;

use super::SECRETS_DIR;

/// Additions to a pod. Lists are in the order in which things are to be named.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// For every container that is not ours. The last one named ends up first.
    pub variables: Vec<Variable>,
    /// For every container that is not ours.
    pub mounts: Vec<Mount>,
    /// Volumes.
    pub volumes: Vec<Volume>,
    /// Init-containers of ours.
    pub init_containers: Vec<InitContainer>,
    /// Annotations.
    pub annotations: Vec<Annotation>,
    /// Names of Secrets that serve to pull images.
    pub image_pull_secrets: Vec<String>,
    /// Files that will be there; two requests may name a path only if they mean the same.
    pub files: Vec<File>,
    /// Whether a later webhook mounts a volume of its own where ours would be.
    pub foreign_mount: bool,
}

/// An environment variable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub source: Source,
}

/// Where a variable's value comes from.
#[derive(Clone, Eq, PartialEq)]
pub enum Source {
    /// The value itself; what Kubernetes would expand in it is escaped when it is written.
    Literal(String),
    /// A key of a Secret in the pod's namespace.
    SecretKey {
        /// The Secret.
        secret: String,
        /// The key in it.
        key: String,
        /// Whether the pod starts without it.
        optional: bool,
    },
}

impl std::fmt::Debug for Source {
    /// A literal may be a secret's value.
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Literal(…)"),
            Self::SecretKey { secret, key, .. } => write!(f, "SecretKey({secret}/{key})"),
        }
    }
}

/// A mount, always read-only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mount {
    /// The volume, or `None` for the one in memory.
    pub volume: Option<String>,
    /// Where.
    pub path: String,
}

/// A volume of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Volume {
    /// Of some keys of a Secret; at most one for each Secret.
    Secret(SecretVolume),
    /// In memory, filled by init-containers of ours. There is at most one, and the first to name it wins.
    Memory(String),
}

/// A volume of some keys of a Secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecretVolume {
    /// The volume's name.
    pub name: String,
    /// The Secret.
    pub secret: String,
    /// Its keys, as files.
    pub items: Vec<SecretItem>,
    /// Whether the pod starts without it.
    pub optional: bool,
}

/// One key of a Secret as a file (`KeyToPath`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecretItem {
    /// The key.
    pub key: String,
    /// The file, relative to the mount.
    pub path: String,
}

/// An init-container of ours, which writes into the volume in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct InitContainer {
    /// How it is called.
    pub name: ContainerName,
    /// Its image.
    pub image: String,
    /// Its command; empty for the image's own.
    pub command: Vec<String>,
    /// Its variables, in order. Values may be secrets; see [`Source`].
    pub variables: Vec<Variable>,
    /// Where it mounts the volume in memory, writable.
    pub mount_path: &'static str,
    /// Requests and limits.
    pub resources: Resources,
}

/// Amounts by resource.
pub type Amounts = Vec<(Cow<'static, str>, Cow<'static, str>)>;

/// Amounts by resource, as Kubernetes writes them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Resources {
    /// Limits.
    pub limits: Amounts,
    /// Requests.
    pub requests: Amounts,
}

/// How an init-container of ours is called.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ContainerName {
    /// This prefix and the number of init-containers before it, or the next one that is free: one for each request.
    Numbered(&'static str),
    /// This name, or with `-1`, `-2`, … behind it if a container of the user's has it: one for all requests, and the
    /// values of their variables are joined.
    Shared(String),
}

/// An annotation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Annotation {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Whether it replaces one that the pod has; otherwise the pod's own stays.
    pub replaces: bool,
}

/// A file that a plan brings into being.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct File {
    /// Its absolute path.
    pub path: String,
    /// Says where its contents come from: the same for two requests that mean the same.
    pub contents: String,
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
pub struct Merged {
    plan: Plan,
    /// By name: the last of this name in the plan.
    variables: Index,
    /// By path: its place in the plan.
    files: Index,
    /// For each variable and each file of the plan: whose it is.
    variable_requests: Vec<usize>,
    file_requests: Vec<usize>,
    memory_volume: Option<usize>,
    foreign_mount: Option<usize>,
}

impl Merged {
    /// What has been put together so far.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// All of it.
    pub fn into_plan(self) -> Plan {
        self.plan
    }

    /// Adds the plan of request number `request` after what is here.
    ///
    /// # Errors
    /// It gets in the way of an earlier request; then neither can be had, and nothing here is of use any more.
    pub fn add(&mut self, request: usize, plan: Plan) -> Result<(), Clash> {
        let clash = |first, over| Err(Clash { first, second: request, over });
        for (at, variable) in plan.variables.iter().enumerate() {
            let known = self.variables.insert(&variable.name, self.plan.variables.len() + at);
            let known = known.and_then(|at| Some((self.plan.variables.get(at)?, self.variable_requests.get(at)?)));
            match known {
                Some((known, first)) if known.source != variable.source => {
                    return clash(*first, Contested::Variable(variable.name.clone()));
                }
                _ => {}
            }
        }
        for (at, File { path, contents }) in plan.files.iter().enumerate() {
            if let Some((folder, first)) = self.file_and_folder(path) {
                return clash(first, Contested::Folder(folder));
            }
            let known = self.files.insert(path, self.plan.files.len() + at);
            let known = known.and_then(|at| Some((self.plan.files.get(at)?, self.file_requests.get(at)?)));
            match known {
                Some((known, first)) if known.contents != *contents => {
                    return clash(*first, Contested::File(path.clone()));
                }
                _ => {}
            }
        }
        self.variable_requests.resize(self.plan.variables.len() + plan.variables.len(), request);
        self.file_requests.resize(self.plan.files.len() + plan.files.len(), request);
        self.memory_volume = self.memory_volume.or(plan.memory_volume().map(|_| request));
        self.foreign_mount = self.foreign_mount.or(plan.foreign_mount.then_some(request));
        match (self.memory_volume, self.foreign_mount) {
            (Some(ours), Some(foreign)) => clash(ours.min(foreign), Contested::Mount(SECRETS_DIR)),
            _ => {
                self.plan.extend(plan);
                Ok(())
            }
        }
    }

    /// A file above or below `path`.
    fn file_and_folder(&self, path: &str) -> Option<(String, usize)> {
        let mut above = path;
        while let Some((folder, _)) = above.rsplit_once('/') {
            if let Some(first) = self.files.get(folder).and_then(|at| self.file_requests.get(at)) {
                return Some((folder.to_owned(), *first));
            }
            above = folder;
        }
        let inside = [path, "/"].concat();
        let at = self.files.first_with(&inside)?;
        Some((path.to_owned(), *self.file_requests.get(at)?))
    }
}

/// Where things of a name stand.
#[derive(Clone, Debug, Default)]
struct Index(Vec<(String, usize)>);

impl Index {
    fn search(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }

    fn get(&self, name: &str) -> Option<usize> {
        self.search(name).ok().and_then(|place| self.0.get(place)).map(|(_, at)| *at)
    }

    /// The first whose name starts so.
    fn first_with(&self, prefix: &str) -> Option<usize> {
        let (Ok(place) | Err(place)) = self.search(prefix);
        self.0.get(place).filter(|(name, _)| name.starts_with(prefix)).map(|(_, at)| *at)
    }

    /// Sets a place, and says which it was before.
    fn insert(&mut self, name: &str, at: usize) -> Option<usize> {
        match self.search(name) {
            Ok(place) => self.0.get_mut(place).map(|(_, known)| std::mem::replace(known, at)),
            Err(place) => {
                self.0.insert(place, (name.to_owned(), at));
                None
            }
        }
    }
}

impl SecretVolume {
    fn extend(&mut self, items: Vec<SecretItem>) {
        for item in items {
            if !self.items.contains(&item) {
                self.items.push(item);
            }
        }
    }
}

impl Plan {
    /// The name of the volume in memory.
    pub fn memory_volume(&self) -> Option<&str> {
        self.volumes.iter().find_map(|volume| match volume {
            Volume::Memory(name) => Some(name.as_str()),
            Volume::Secret(_) => None,
        })
    }

    /// The volume of a Secret.
    pub fn secret_volume(&self, secret: &str) -> Option<&SecretVolume> {
        self.volumes.iter().find_map(|volume| match volume {
            Volume::Secret(volume) if volume.secret == secret => Some(volume),
            _ => None,
        })
    }

    fn secret_volume_mut(&mut self, secret: &str) -> Option<&mut SecretVolume> {
        self.volumes.iter_mut().find_map(|volume| match volume {
            Volume::Secret(volume) if volume.secret == secret => Some(volume),
            _ => None,
        })
    }

    fn extend(&mut self, other: Self) {
        self.variables.extend(other.variables);
        for mount in other.mounts {
            if !self.mounts.contains(&mount) {
                self.mounts.push(mount);
            }
        }
        for volume in other.volumes {
            match volume {
                Volume::Memory(_) if self.memory_volume().is_some() => {}
                Volume::Secret(more) => match self.secret_volume_mut(&more.secret) {
                    Some(known) => known.extend(more.items),
                    None => self.volumes.push(Volume::Secret(more)),
                },
                memory => self.volumes.push(memory),
            }
        }
        for container in other.init_containers {
            let same = |known: &&mut InitContainer| {
                matches!(known.name, ContainerName::Shared(_)) && known.name == container.name
            };
            match self.init_containers.iter_mut().find(same) {
                Some(known) => known.join(container.variables),
                None => self.init_containers.push(container),
            }
        }
        for annotation in other.annotations {
            if !self.annotations.iter().any(|known| known.key == annotation.key) {
                self.annotations.push(annotation);
            }
        }
        self.image_pull_secrets.extend(other.image_pull_secrets);
        self.files.extend(other.files);
        self.foreign_mount |= other.foreign_mount;
    }
}

impl InitContainer {
    fn join(&mut self, variables: Vec<Variable>) {
        for variable in variables {
            let known = self.variables.iter_mut().find(|known| known.name == variable.name);
            match (known.map(|known| &mut known.source), &variable.source) {
                (Some(Source::Literal(value)), Source::Literal(more)) => value.push_str(more),
                _ => self.variables.push(variable),
            }
        }
    }
}
