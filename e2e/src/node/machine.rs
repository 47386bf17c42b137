//! State of the machine that a node must not change: processes, mounts, cgroups and sysctls.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const CGROUPS: &str = "/sys/fs/cgroup";
const CONTROLLERS: &str = "/sys/fs/cgroup/cgroup.subtree_control";

/// A snapshot of a machine, as lines.
pub struct Machine(BTreeSet<String>);

impl Machine {
    /// Returns a snapshot: writable sysctls, mounts, cgroups at the top of each hierarchy, processes in other
    /// namespaces, and child processes.
    pub fn now() -> Result<Self> {
        let mut facts = BTreeSet::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        facts.extend(mounts.lines().map(|mount| format!("mount {mount}")));
        sysctls(Path::new("/proc/sys"), &mut facts);
        for hierarchy in hierarchies() {
            facts.extend(folders(&hierarchy).map(|cgroup| format!("cgroup {}", cgroup.display())));
        }
        facts.extend(controllers().into_iter().map(|controller| format!("cgroup controller {controller}")));
        processes(&mut facts)?;
        Ok(Self(facts))
    }

    /// Returns the differences from an earlier snapshot.
    pub fn changes(&self, before: &Self) -> Vec<String> {
        let new = self.0.difference(&before.0).map(|fact| format!("+ {fact}"));
        new.chain(before.0.difference(&self.0).map(|fact| format!("- {fact}"))).collect()
    }
}

/// Returns the controllers that are enabled in the root of cgroups, version 2; none with version 1.
pub fn controllers() -> BTreeSet<String> {
    let text = fs::read_to_string(CONTROLLERS).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Disables controllers that were not enabled before, except those in use. A container runtime enables all.
pub fn restore_controllers(before: &BTreeSet<String>) {
    for new in controllers().difference(before) {
        let _ = fs::write(CONTROLLERS, format!("-{new}"));
    }
}

/// Removes a cgroup and its children from all hierarchies, except those in use.
pub fn remove_cgroups(name: &str) {
    for hierarchy in hierarchies() {
        remove(&hierarchy.join(name));
    }
}

fn remove(cgroup: &Path) {
    folders(cgroup).for_each(|below| remove(&below));
    let _ = fs::remove_dir(cgroup);
}

/// Returns the root of version 2, or the roots of version 1.
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

/// Adds sysctls, except the writable number of the last process.
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
        // A process can have ended, and kernel threads have no namespaces.
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
