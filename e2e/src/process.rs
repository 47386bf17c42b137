//! Processes that run during the tests and end with them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A running process, which is killed on drop.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It can have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts a program with output to `<folder>/<name>.log`. Call it from the main thread: the kernel kills the
    /// process when the thread that started it ends.
    pub fn start(folder: &Path, name: &str, program: &Path, with: impl FnOnce(&mut Command)) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        with(&mut command);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot run setpriv (util-linux) for {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits for a condition. Fails with the end of the log if the process ends first, or on timeout.
    pub async fn until(&mut self, patience: Duration, mut holds: impl AsyncFnMut() -> bool) -> Result<()> {
        let start = Instant::now();
        while !holds().await {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended: {status}\n{}", self.name, self.tail());
            }
            if start.elapsed() > patience {
                bail!("{} is not ready after {patience:?}\n{}", self.name, self.tail());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Returns its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops the process until [`Process::resume`].
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Continues the process.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Returns its output.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_raw(self.child.id().try_into()?).context("no process has the number 0")?;
        Ok(kill_process(id, signal)?)
    }

    fn tail(&self) -> String {
        let text = self.output();
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(20)).fold(String::new(), |all, line| all + line + "\n")
    }
}

/// Runs a program, and returns its standard output, or an error with all output.
pub async fn output(program: &Path, with: impl FnOnce(&mut tokio::process::Command)) -> Result<String> {
    let mut command = tokio::process::Command::new(program);
    with(&mut command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.with_context(|| format!("cannot run {}", program.display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        bail!("{} failed: {}\n{}", program.display(), text(&output.stderr), text(&output.stdout));
    }
    Ok(text(&output.stdout))
}

/// Returns a free port of loopback.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
