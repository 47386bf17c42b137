//! A sandbox for scripts of init containers: with a given shell and programs, and a temporary folder as
//! `/etc/flyte/secrets`. Does not know managers.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

const SECRETS_DIR: &str = "/etc/flyte/secrets";

/// Commands that create a namespace in which `/etc` can be mounted: for root, and for other users.
const NAMESPACES: [&[&str]; 2] = [&["unshare", "--mount"], &["unshare", "--user", "--map-root-user", "--mount"]];

/// Runs a command as another user, without groups.
const ANOTHER_USER: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Script that enters the sandbox. Arguments: the folder for `/etc`, PATH, the command. The umask is that of container
/// runtimes.
const ENTER: &str = r#"umask 022; mount --bind "$1" /etc; PATH=$2; shift 2; exec "$@""#;
const ENTER_WITHOUT: &str = r#"umask 022; PATH=$2; shift 2; exec "$@""#;

/// Capabilities of this machine.
#[derive(Clone, Copy)]
pub struct Machine {
    /// Command that creates a namespace; without one, paths in scripts are replaced.
    namespace: Option<&'static [&'static str]>,
    /// Whether files can be read as another user; otherwise, mode bits are checked.
    another_user: bool,
}

impl Machine {
    pub fn find() -> Result<Self> {
        let folder = TempDir::new()?;
        let folder = folder.path().to_str().context("the folder for temporary files has a name that is no text")?;
        let works = |words: &[&str]| {
            let mut command = Command::new("env");
            command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let bind = ["mount", "--bind", folder, "/etc"];
        let namespace = NAMESPACES.into_iter().find(|namespace| works(&[namespace, &bind[..]].concat()));
        let another_user = namespace.is_some_and(|namespace| works(&[namespace, ANOTHER_USER, &["true"]].concat()));
        Ok(Self { namespace, another_user })
    }
}

impl Display for Machine {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_str(match self.namespace {
            Some(_) => "in /etc/flyte/secrets",
            None => "with its path replaced, as mount namespaces are not allowed here",
        })?;
        f.write_str(match self.another_user {
            true => ", files read by user 65534",
            false => ", reading by others told from mode bits, as only root can become another user",
        })
    }
}

/// A shell, and the programs in its PATH.
pub struct Shell {
    machine: Machine,
    /// Folder with `sh`.
    programs: TempDir,
    /// Rest of PATH.
    path: String,
}

impl Shell {
    /// Returns busybox, with its applets only.
    pub fn busybox(machine: Machine, busybox: &Path) -> Result<Self> {
        let list = Command::new(busybox).arg("--list").output().context("cannot run busybox")?;
        let programs = TempDir::new()?;
        for applet in String::from_utf8(list.stdout)?.lines() {
            symlink(busybox, programs.path().join(applet))?;
        }
        Ok(Self { machine, programs, path: String::new() })
    }

    /// Returns a shell with the programs of this machine.
    pub fn plain(machine: Machine, shell: &Path) -> Result<Self> {
        let programs = TempDir::new()?;
        symlink(shell, programs.path().join("sh"))?;
        Ok(Self { machine, programs, path: format!(":{}", std::env::var("PATH")?) })
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

    /// Returns a path outside of the secrets.
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

    /// Runs a container's command with its variables and additional ones. Fails if it cannot be started.
    pub fn run(&self, container: &Value, more: &[(&str, &str)]) -> io::Result<Output> {
        let words = container["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let words: Vec<String> = match self.shell.machine.namespace {
            Some(_) => words.map(str::to_owned).collect(),
            None => words.map(|word| word.replace(SECRETS_DIR, &self.secrets().to_string_lossy())).collect(),
        };
        let (own, shell) = (self.path("bin"), self.shell.programs.path());
        let path = format!("{}:{}{}", own.display(), shell.display(), self.shell.path);
        let mut command = self.inside(&path, &words);
        for variable in container["env"].as_array().into_iter().flatten() {
            let text = |key: &str| variable[key].as_str().unwrap_or_default();
            command.env(text("name"), text("value"));
        }
        command.envs(more.iter().copied()).output()
    }

    /// Checks that exactly these files exist, that another user can read them, and that there are no files elsewhere.
    pub fn holds(&self, wanted: &[(&str, &[u8])]) -> Result<()> {
        let wanted: BTreeMap<PathBuf, &[u8]> = wanted.iter().map(|(name, bytes)| (name.into(), *bytes)).collect();
        let found = self.files()?;
        let names: Vec<_> = found.keys().collect();
        ensure!(wanted.keys().eq(names.iter().copied()), "there are {names:?}, not {:?}", wanted.keys());
        for (name, wanted) in &wanted {
            let found = found.get(name).map(Vec::as_slice).unwrap_or_default();
            let equal = found.iter().zip(*wanted).take_while(|(one, other)| one == other).count();
            let (length, of) = (found.len(), wanted.len());
            ensure!(found == *wanted, "{} has {length} bytes, not {of}; the first {equal} are right", name.display());
        }
        let litter: Vec<_> = fs::read_dir(self.path("work"))?.flatten().map(|entry| entry.file_name()).collect();
        ensure!(litter.is_empty(), "the script has made {litter:?} in its working directory");
        self.readable(&found)
    }

    /// Returns the files in the folder of secrets.
    pub fn files(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
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

    fn readable(&self, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
        if self.shell.machine.another_user {
            let words = ANOTHER_USER.iter().map(|word| (*word).to_owned()).chain(["cat".to_owned(), "--".to_owned()]);
            let paths = files.keys().map(|name| format!("{SECRETS_DIR}/{}", name.display()));
            let words: Vec<String> = words.chain(paths).collect();
            let output = self.inside(&std::env::var("PATH")?, &words).stdin(Stdio::null()).output()?;
            let all = files.values().flatten().copied().collect::<Vec<u8>>();
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success() && output.stdout == all, "another user cannot read them: {said}");
            return Ok(());
        }
        for name in files.keys() {
            let mode = fs::metadata(self.secrets().join(name))?.permissions().mode();
            ensure!(mode & 0o004 != 0, "{} has mode {mode:o}, which others cannot read", name.display());
            for folder in name.ancestors().skip(1) {
                let mode = fs::metadata(self.secrets().join(folder))?.permissions().mode();
                ensure!(mode & 0o001 != 0, "{} is in a folder of mode {mode:o}, closed to others", name.display());
            }
        }
        Ok(())
    }

    /// Returns a command in the sandbox, with PATH as its only variable.
    fn inside(&self, path: &str, words: &[String]) -> Command {
        let mut command = Command::new("timeout");
        command.arg("60").args(self.shell.machine.namespace.unwrap_or_default());
        let enter = self.shell.machine.namespace.map_or(ENTER_WITHOUT, |_| ENTER);
        command.args(["sh", "-ec", enter, "sh"]).arg(self.path("etc")).arg(path).args(words);
        command.current_dir(self.path("work")).stdin(Stdio::null());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }
}
