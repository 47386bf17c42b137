//! A sandbox for scripts of init containers: with a given shell and programs, and a temporary folder as
//! `/etc/flyte/secrets`. Does not know managers.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Result, bail, ensure};
use flyte_secrets_testing::golden::same;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::applets;

const SECRETS_DIR: &str = "/etc/flyte/secrets";

/// A command that creates a namespace in which `/etc` can be mounted; without one, paths in scripts are replaced.
pub type Namespace = Option<&'static [&'static str]>;

/// Returns the command that works on this machine: for root, or for other users.
pub fn namespace() -> Result<Namespace> {
    let folder = TempDir::new()?;
    let works = |namespace: &&[&str]| {
        let mut command = Command::new("env");
        command.args(*namespace).args(["mount", "--bind"]).arg(folder.path()).arg("/etc");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let all: [&[&str]; 2] = [&["unshare", "--mount"], &["unshare", "--user", "--map-root-user", "--mount"]];
    Ok(all.into_iter().find(works))
}

/// A shell, and the programs in its PATH.
pub struct Shell {
    namespace: Namespace,
    /// Folder with `sh`.
    programs: TempDir,
    /// Rest of PATH.
    path: String,
}

impl Shell {
    /// Returns busybox, with its applets only.
    pub fn busybox(namespace: Namespace, busybox: &Path) -> Result<Self> {
        let programs = TempDir::new()?;
        applets(busybox)?.iter().try_for_each(|applet| symlink(busybox, programs.path().join(applet)))?;
        Ok(Self { namespace, programs, path: String::new() })
    }

    /// Returns a shell with the programs of this machine.
    pub fn plain(namespace: Namespace, shell: &Path) -> Result<Self> {
        let programs = TempDir::new()?;
        symlink(shell, programs.path().join("sh"))?;
        Ok(Self { namespace, programs, path: format!(":{}", std::env::var("PATH")?) })
    }
}

/// A pod's volume, and the file system of its init containers.
pub struct Sandbox<'a> {
    shell: &'a Shell,
    folder: TempDir,
}

impl<'a> Sandbox<'a> {
    pub fn new(shell: &'a Shell) -> Result<Self> {
        let sandbox = Self { shell, folder: TempDir::new()? };
        for folder in ["bin", "etc/flyte/secrets", "work"] {
            fs::create_dir_all(sandbox.path(folder))?;
        }
        // Mode of an emptyDir.
        fs::set_permissions(sandbox.secrets(), Permissions::from_mode(0o777))?;
        Ok(sandbox)
    }

    /// Returns a path outside of the secrets. Scripts run in `work`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the folder of secrets on this machine.
    pub fn secrets(&self) -> PathBuf {
        self.path("etc/flyte/secrets")
    }

    /// Adds a program that records its arguments and runs a script in the same shell.
    pub fn stub(&self, name: &str, script: &str) -> Result<()> {
        let (shell, record) = (self.shell.programs.path().join("sh"), self.path("calls"));
        let (shell, record) = (shell.display(), record.display());
        let note = format!("for word in \"$@\"; do printf '%s\\n' \"$word\"; done >> '{record}'; echo >> '{record}'");
        let file = self.path("bin").join(name);
        fs::write(&file, format!("#!{shell}\n{note}\n{script}\n"))?;
        Ok(fs::set_permissions(&file, Permissions::from_mode(0o755))?)
    }

    /// Returns the calls of stubs: a word in each line, and an empty line after each call.
    pub fn calls(&self) -> String {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.replace(&*self.secrets().to_string_lossy(), SECRETS_DIR)
    }

    /// Checks the calls of stubs.
    pub fn called(&self, calls: &str) -> Result<()> {
        let lines = |text: &str| json!(text.lines().collect::<Vec<_>>());
        same(&lines(calls), &lines(&self.calls()))
    }

    /// Runs a container's command with its variables and additional ones. Fails if it cannot be started.
    pub fn run(&self, container: &Value, more: &[(&str, &str)]) -> io::Result<Output> {
        let words = container["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut command = Command::new("timeout");
        command.arg("60").args(self.shell.namespace.unwrap_or_default());
        // With the umask of container runtimes. Arguments: the folder for `/etc`, PATH, the command.
        let (mount, secrets) = match self.shell.namespace {
            Some(_) => ("mount --bind \"$1\" /etc; ", SECRETS_DIR.to_owned()),
            None => ("", self.secrets().to_string_lossy().into_owned()),
        };
        let enter = format!("umask 022; {mount}PATH=$2; shift 2; exec \"$@\"");
        let (own, shell) = (self.path("bin"), self.shell.programs.path());
        let path = format!("{}:{}{}", own.display(), shell.display(), self.shell.path);
        command.args(["sh", "-ec", &enter, "sh"]).arg(self.path("etc")).arg(path);
        command.args(words.map(|word| word.replace(SECRETS_DIR, &secrets)));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for variable in container["env"].as_array().into_iter().flatten() {
            let text = |key: &str| variable[key].as_str().unwrap_or_default();
            command.env(text("name"), text("value"));
        }
        command.envs(more.iter().copied()).current_dir(self.path("work")).stdin(Stdio::null()).output()
    }

    /// Runs containers, which must succeed in silence.
    pub fn succeeds(&self, containers: &[Value], variables: &[(&str, &str)]) -> Result<()> {
        for container in containers {
            let output = self.run(container, variables)?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{} failed: {}\n{said}", container["name"], output.status);
            let said = String::from_utf8_lossy(&output.stdout);
            ensure!(said.is_empty(), "{} says {said:?}", container["name"]);
        }
        Ok(())
    }

    /// Runs the only container, which must start and fail. Returns its exit code.
    pub fn fails(&self, containers: &[Value], variables: &[(&str, &str)]) -> Result<Option<i32>> {
        let [container] = containers else { bail!("there are {} init-containers", containers.len()) };
        let output = self.run(container, variables)?;
        ensure!(!output.status.success(), "{} succeeds", container["name"]);
        Ok(output.status.code())
    }

    /// Checks that these files exist and no others, and that other users can read them.
    pub fn holds(&self, expected: &[(&str, &[u8])]) -> Result<()> {
        let expected: BTreeMap<PathBuf, &[u8]> = expected.iter().map(|(name, bytes)| (name.into(), *bytes)).collect();
        let found = self.files()?;
        ensure!(expected.keys().eq(found.keys()), "there are {:?}, not {:?}", found.keys(), expected.keys());
        for ((name, expected), found) in expected.iter().zip(found.values()) {
            let equal = found.iter().zip(*expected).take_while(|(one, other)| one == other).count();
            let (length, of) = (found.len(), expected.len());
            ensure!(found == *expected, "{} has {length} bytes, not {of}; the first {equal} are right", name.display());
            for (path, needed) in name.ancestors().zip([0o004].into_iter().chain(std::iter::repeat(0o001))) {
                let mode = fs::metadata(self.secrets().join(path))?.permissions().mode();
                ensure!(mode & needed != 0, "{} has mode {mode:o}, closed to others", path.display());
            }
        }
        let litter: Vec<_> = fs::read_dir(self.path("work"))?.flatten().map(|entry| entry.file_name()).collect();
        ensure!(litter.is_empty(), "the script has made {litter:?} in its working directory");
        Ok(())
    }

    /// Returns the files in the folder of secrets.
    fn files(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let (root, mut files) = (self.secrets(), BTreeMap::new());
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(files.insert(path.strip_prefix(&root)?.to_owned(), fs::read(&path)?)),
                }
            }
        }
        Ok(files)
    }
}
