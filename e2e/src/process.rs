//! Processes that run during the tests and end with them.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::tools::{program, repository};

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

    /// Waits up to a minute for a condition. Fails with the end of the log if the process ends first, or on timeout.
    pub async fn until(&mut self, mut holds: impl AsyncFnMut() -> bool) -> Result<()> {
        let waited = until("it is ready", Duration::from_millis(50), Duration::from_secs(60), async || {
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none(), "it ended: {ended:?}");
            Ok(holds().await)
        });
        waited.await.with_context(|| {
            let (name, text) = (&self.name, self.output());
            let skipped = text.lines().count().saturating_sub(20);
            format!("{name}:\n{}", text.lines().skip(skipped).collect::<Vec<_>>().join("\n"))
        })
    }

    /// Returns its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops the process while a future runs.
    pub async fn paused<T>(&self, future: impl Future<Output = T>) -> Result<T> {
        let id = Pid::from_raw(self.child.id().try_into()?).context("no process has the number 0")?;
        kill_process(id, Signal::STOP)?;
        let outcome = future.await;
        kill_process(id, Signal::CONT)?;
        Ok(outcome)
    }

    /// Returns its output.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Waits for a condition. Fails on timeout.
pub async fn until(
    what: &str,
    every: Duration,
    patience: Duration,
    mut holds: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    while !holds().await? {
        ensure!(start.elapsed() < patience, "{what}: not after {patience:?}");
        tokio::time::sleep(every).await;
    }
    Ok(())
}

/// Runs a program of `E2E_TOOLS` with a kubeconfig. Returns its standard output, or an error with all output.
pub async fn run(name: &str, kubeconfig: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<String> {
    let mut command = tokio::process::Command::new(program("E2E_TOOLS", name)?);
    command.args(arguments).env("KUBECONFIG", kubeconfig).env("KUBECACHEDIR", repository("target/e2e/kubectl"));
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (said, error) = (text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success(), "{name} failed: {}\n{error}\n{said}", output.status);
    Ok(said)
}

/// Returns a free port of loopback.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
