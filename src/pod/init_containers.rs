//! Init containers of the policy: those that exist from an earlier evaluation, and names of new ones.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::apply::{Conflict, each_to_json, to_json};
use super::document::{Container, List, Malformed, Pod, read};
use super::limits::check_init_containers;
use super::placement::Placement;
use super::plan::{ContainerName, InitContainer, Merged};

/// Existing and new init containers of the policy.
pub struct InitContainers {
    /// Existing ones by their index in the pod, with the variables to set there.
    pub own: BTreeMap<usize, Variables>,
    /// New ones in JSON.
    pub added: Vec<Box<RawValue>>,
}

/// Variables of an init container that several requests share; none for others.
#[derive(Default)]
pub struct Variables {
    pub json: Vec<Box<RawValue>>,
    pub names: BTreeSet<String>,
}

impl InitContainers {
    /// Finds existing ones, and names new ones. There can be too many, or some that cannot be decoded.
    pub fn of(pod: &Pod, merged: &mut Merged, placement: &Placement) -> Result<Self, Conflict> {
        let mut init = Self { own: BTreeMap::new(), added: Vec::new() };
        let planned = &mut merged.init_containers;
        let (Some(spec), false) = (pod.spec.get(), planned.is_empty()) else { return Ok(init) };
        let there = spec.init_containers.own();
        // Names must be unique across both lists.
        let count = if placement.init_containers_first { 0 } else { there.len() };
        let mut names = Names { count, ..Names::default() };
        for container in spec.containers.own() {
            names.taken.insert(container.name()?.into_owned());
        }
        let mut candidates = Vec::new();
        for (at, container) in there.iter().enumerate() {
            let name = container.name()?.into_owned();
            if planned.iter().any(|planned| planned.name.covers(&name)) {
                candidates.push((at, Candidate::of(name.clone(), container)?));
            }
            names.taken.insert(name);
        }
        check_init_containers(candidates.len(), placement.init_container_limit)?;
        for planned in planned {
            let Some(found) = candidates.iter().position(|(_, candidate)| candidate.is(planned)) else {
                // An existing grant must be exactly the policy's.
                if let ContainerName::Exact(name) = planned.name
                    && names.taken.contains(name)
                {
                    return Err(Conflict::Granted(name.to_owned()));
                }
                planned.container.name = names.choose(&planned.name);
                init.added.push(to_json(&planned.container)?);
                continue;
            };
            let mut variables = Variables::default();
            if let ContainerName::Shared(_) = planned.name {
                let env = &planned.container.env;
                variables.json = each_to_json(env)?;
                variables.names.extend(env.iter().map(|variable| variable.name.clone()));
            }
            init.own.insert(candidates.remove(found).0, variables);
        }
        Ok(init)
    }
}

/// Names in a list, with the values of variables or the paths of mounts.
type Pairs<'a> = BTreeSet<(Cow<'a, str>, Cow<'a, str>)>;

fn pairs<'a>(list: &List<'a>, field: &'static str) -> Result<Pairs<'a>, Malformed> {
    #[derive(Deserialize)]
    struct Pair<'a> {
        #[serde(borrow, default)]
        name: Cow<'a, str>,
        #[serde(borrow, default, alias = "mountPath")]
        value: Cow<'a, str>,
    }
    let mut pairs = Pairs::new();
    for json in list.items() {
        let Pair { name, value } = read(json, field)?;
        pairs.insert((name, value));
    }
    Ok(pairs)
}

fn has<'a>(pairs: &Pairs<'a>, name: &'a str, value: &'a str) -> bool {
    pairs.contains(&(name.into(), value.into()))
}

/// An existing init container that can be the policy's.
struct Candidate<'a> {
    name: String,
    command: Vec<String>,
    args: Vec<String>,
    variables: Pairs<'a>,
    mounts: Pairs<'a>,
}

impl<'a> Candidate<'a> {
    fn of(name: String, container: &Container<'a>) -> Result<Self, Malformed> {
        let command = container.command.get().map(|json| read(json, "initContainers.command")).transpose()?;
        let args = container.args.get().map(|json| read(json, "initContainers.args")).transpose()?;
        Ok(Self {
            name,
            command: command.unwrap_or_default(),
            args: args.unwrap_or_default(),
            variables: pairs(&container.env, "initContainers.env")?,
            mounts: pairs(&container.volume_mounts, "initContainers.volumeMounts")?,
        })
    }

    /// Whether it is this container of the policy: it has the same command, variables and volume. Variables of a shared
    /// one are not compared, because they can have new values; images are not, because other webhooks can change them.
    fn is(&self, InitContainer { name, container: ours }: &InitContainer) -> bool {
        name.covers(&self.name)
            && self.command == ours.command
            && self.args == ours.args
            && ours.volume_mounts.iter().all(|ours| has(&self.mounts, &ours.name, &ours.mount_path))
            && (matches!(name, ContainerName::Shared(_))
                || ours.env.iter().all(|it| has(&self.variables, &it.name, it.value.as_deref().unwrap_or_default())))
    }
}

impl ContainerName {
    /// Whether a container of the policy can have this name.
    fn covers(&self, name: &str) -> bool {
        let number = |rest: &str| !rest.is_empty() && rest.bytes().all(|digit| digit.is_ascii_digit());
        match self {
            Self::Numbered(prefix) => name.strip_prefix(prefix).is_some_and(number),
            Self::Exact(exact) => name == *exact,
            Self::Shared(base) => {
                let rest = name.strip_prefix(base.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(number))
            }
        }
    }
}

/// Names for new init containers.
#[derive(Default)]
struct Names {
    /// Names of all containers.
    taken: BTreeSet<String>,
    /// Number of init containers before the next one.
    count: usize,
    /// The next number to try for each prefix: lower ones are taken.
    next: BTreeMap<String, usize>,
}

impl Names {
    /// Returns a name for the next init container.
    fn choose(&mut self, name: &ContainerName) -> String {
        let chosen = match name {
            ContainerName::Numbered(prefix) => self.first_free(prefix, self.count),
            ContainerName::Exact(name) => (*name).to_owned(),
            ContainerName::Shared(base) if !self.taken.contains(base) => base.clone(),
            ContainerName::Shared(base) => self.first_free(&[base, "-"].concat(), 1),
        };
        self.count += 1;
        self.taken.insert(chosen.clone());
        chosen
    }

    fn first_free(&mut self, prefix: &str, from: usize) -> String {
        let next = self.next.entry(prefix.to_owned()).or_default();
        *next = from.max(*next);
        loop {
            let name = format!("{prefix}{next}");
            *next += 1;
            if !self.taken.contains(&name) {
                return name;
            }
        }
    }
}
