//! What of a machine a node could change and must not: processes, mounts, cgroups and sysctls.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const CGROUPS: &str = "/sys/fs/cgroup";

/// A machine at one moment, each fact a line.
pub struct Machine(BTreeSet<String>);

impl Machine {
    /// The machine as it is now: sysctls that can be set, mounts, cgroups at the top of each hierarchy, processes in
    /// other namespaces than ours, and children of ours.
    pub fn now() -> Result<Self> {
        let mut facts = BTreeSet::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        facts.extend(mounts.lines().map(|mount| format!("mount {mount}")));
        sysctls(Path::new("/proc/sys"), &mut facts);
        for hierarchy in hierarchies() {
            facts.extend(folders(&hierarchy).map(|cgroup| format!("cgroup {}", cgroup.display())));
        }
        facts.extend(Controllers::now().0.into_iter().map(|controller| format!("cgroup controller {controller}")));
        processes(&mut facts)?;
        Ok(Self(facts))
    }

    /// What there is now and was not before, and the other way round.
    pub fn changes(&self, before: &Self) -> Vec<String> {
        let new = self.0.difference(&before.0).map(|fact| format!("+ {fact}"));
        new.chain(before.0.difference(&self.0).map(|fact| format!("- {fact}"))).collect()
    }
}

/// The controllers that the root of cgroups, version 2, hands down. A container runtime turns on all that there are.
pub struct Controllers(BTreeSet<String>);

impl Controllers {
    const FILE: &str = "/sys/fs/cgroup/cgroup.subtree_control";

    /// Those that are on now; none with version 1.
    pub fn now() -> Self {
        let text = fs::read_to_string(Self::FILE).unwrap_or_default();
        Self(text.split_whitespace().map(str::to_owned).collect())
    }

    /// Turns off those that were not on before; one that somebody else uses stays.
    pub fn restore(&self) {
        for new in Self::now().0.difference(&self.0) {
            let _ = fs::write(Self::FILE, format!("-{new}"));
        }
    }
}

/// Removes a cgroup, and those below it, from all hierarchies; those in use stay.
pub fn remove_cgroups(name: &str) {
    for hierarchy in hierarchies() {
        remove(&hierarchy.join(name));
    }
}

fn remove(cgroup: &Path) {
    folders(cgroup).for_each(|below| remove(&below));
    let _ = fs::remove_dir(cgroup);
}

/// The root of version 2, or those of version 1, one for each controller.
fn hierarchies() -> Vec<PathBuf> {
    let root = PathBuf::from(CGROUPS);
    match root.join("cgroup.controllers").exists() {
        true => vec![root],
        false => folders(&root).collect(),
    }
}

fn folders(path: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

/// The number of the last process is one that can be set, too.
fn sysctls(folder: &Path, facts: &mut BTreeSet<String>) {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.metadata() {
            Ok(about) if about.is_dir() => sysctls(&path, facts),
            Ok(about) if about.permissions().mode() & 0o222 != 0 && !path.ends_with("ns_last_pid") => {
                if let Ok(value) = fs::read_to_string(&path) {
                    facts.insert(format!("sysctl {} = {value:?}", path.display()));
                }
            }
            _ => {}
        }
    }
}

fn processes(facts: &mut BTreeSet<String>) -> Result<()> {
    let own = std::process::id().to_string();
    let namespaces = |process: &Path| ["pid", "mnt"].map(|kind| fs::read_link(process.join("ns").join(kind)).ok());
    let ours = namespaces(Path::new("/proc/self"));
    for process in folders(Path::new("/proc")) {
        // Some have ended meanwhile, and what the kernel runs has no namespaces to read.
        let theirs = namespaces(&process);
        let Ok(status) = fs::read_to_string(process.join("stat")) else { continue };
        let (name, rest) = status.rsplit_once(") ").context("/proc/*/stat has another form")?;
        let child = rest.split(' ').nth(1) == Some(&own);
        if child || (theirs.iter().all(Option::is_some) && theirs != ours) {
            facts.insert(format!("process {name})"));
        }
    }
    Ok(())
}
