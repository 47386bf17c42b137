//! The program: exit codes, the last line of its log, and signals.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use flyte_secrets_policy::grant::Grant;

use crate::double::{Gateway, body, http, status};
use crate::{container, grant};

fn puller(root: &Path, args: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyte-secrets-pull"));
    command.args(args).env_clear().env("FLYTE_SECRETS_PULL_ROOT", root).stderr(Stdio::piped());
    command
}

/// Its exit code and its log.
fn run(root: &Path, args: &[String]) -> (Option<i32>, String) {
    let output = puller(root, args).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn exit_code_and_last_line() {
    let good = Gateway::start(vec![http(200, "", &body(&[("a", b"hunter2")], &[("v0", b"hunter2")]))]);
    let message = "secret \"k\" not found; looked up u__org__acme (Secret flyte/0)";
    let bad = Gateway::start(vec![status(404, "", "NotFound", message)]);
    let down = Gateway::start(vec![status(503, "retry-after: 1\r\n", "ServiceUnavailable", "the provider is down")]);
    let unavailable = "503 ServiceUnavailable: the provider is down";
    let granted = |gateway: &Gateway| grant(&gateway.address, &gateway.ca, &["a"], &["k"]);
    let args = |gateway: &Gateway| granted(gateway).to_args();
    let impatient = Grant { patience: std::time::Duration::from_secs(1), ..granted(&down) };
    let table = [
        (args(&good), 0, "pulled 1 as files and 1 as variables; 2 files written\n".to_owned()),
        (args(&bad), 1, format!("cannot pull secrets: 404 NotFound: {message}\n")),
        (impatient.to_args(), 1, format!("cannot pull secrets: timed out after 1s: {unavailable}\n")),
        (vec!["pull".to_owned()], 1, "cannot pull secrets: missing required option --scope\n".to_owned()),
        (vec!["ready".to_owned()], 1, String::new()),
    ];
    for (args, code, log) in table {
        let (root, _places) = container();
        assert_eq!(run(root.path(), &args), (Some(code), log), "{:?}", args.first());
    }
}

#[test]
fn sidecar_is_ready_after_the_first_pull_and_exits_on_sigterm() {
    let gateway = Gateway::start(vec![http(200, "", &body(&[("a", b"x")], &[]))]);
    let (root, places) = container();
    let grant = Grant {
        refresh: Some(std::time::Duration::from_secs(3600)),
        ..grant(&gateway.address, &gateway.ca, &["a"], &[])
    };
    let ready = || run(root.path(), &["ready".to_owned()]).0;
    assert_eq!(ready(), Some(1));
    let mut sidecar = puller(root.path(), &grant.to_args()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(sidecar.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "pulled 1 as files and 0 as variables; 1 files written\n");
    while !places.ready().exists() {
        assert_eq!(sidecar.try_wait().unwrap(), None);
        std::thread::yield_now();
    }
    assert_eq!(ready(), Some(0));
    let process = rustix::process::Pid::from_child(&sidecar);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    assert_eq!(sidecar.wait().unwrap().code(), Some(143));
}
