//! The program: exit codes, the last line of its log, and signals.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Container;
use crate::double::{body, http, status};

fn start(container: &Container, args: &[String]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyte-secrets-pull"));
    command.args(args).env_clear().env("FLYTE_SECRETS_PULL_ROOT", container.root.path());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Its exit code and its log.
fn run(container: &Container, args: &[String]) -> (Option<i32>, String) {
    let output = start(container, args).wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn exit_code_and_last_line() {
    let good = http(200, "", &body(&[("a", b"hunter2")], &[("v0", b"hunter2")]));
    let message = "secret \"k\" not found; looked up u__org__acme (Secret flyte/0)";
    let bad = status(404, "", "NotFound", message);
    let down = status(503, "retry-after: 1\r\n", "ServiceUnavailable", "the provider is down");
    let unavailable = "503 ServiceUnavailable: the provider is down";
    let table = [
        (good.clone(), 20, None, 0, "pulled 1 as files and 1 as variables; 2 files written\n".to_owned()),
        (bad, 20, None, 1, format!("cannot pull secrets: 404 NotFound: {message}\n")),
        (down, 1, None, 1, format!("cannot pull secrets: timed out after 1s: {unavailable}\n")),
        (good.clone(), 20, Some("pull"), 1, "cannot pull secrets: missing required option --scope\n".to_owned()),
        (good, 20, Some("ready"), 1, String::new()),
    ];
    for (answer, patience, command, code, log) in table {
        let mut container = Container::new(vec![answer], &["a"], &["k"]);
        container.grant.patience = Duration::from_secs(patience);
        let args = command.map_or_else(|| container.grant.to_args(), |command| vec![command.to_owned()]);
        assert_eq!(run(&container, &args), (Some(code), log), "{command:?}");
    }
}

#[test]
fn sidecar_is_ready_after_the_first_pull_and_exits_on_sigterm() {
    let mut container = Container::new(vec![http(200, "", &body(&[("a", b"x")], &[]))], &["a"], &[]);
    container.grant.refresh = Some(Duration::from_secs(3600));
    let ready = || run(&container, &["ready".to_owned()]).0;
    assert_eq!(ready(), Some(1));
    let mut sidecar = start(&container, &container.grant.to_args());
    let mut line = String::new();
    BufReader::new(sidecar.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "pulled 1 as files and 0 as variables; 1 files written\n");
    while !container.places.ready().exists() {
        assert_eq!(sidecar.try_wait().unwrap(), None);
        std::thread::yield_now();
    }
    assert_eq!(ready(), Some(0));
    kill_process(Pid::from_child(&sidecar), Signal::TERM).unwrap();
    assert_eq!(sidecar.wait().unwrap().code(), Some(143));
}
