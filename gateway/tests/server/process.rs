//! The program: arguments, output and shutdown.

use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{Method, header};
use flyte_secrets_policy::answer::PATH;
use flyte_secrets_policy::grant::AUDIENCE;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::kit::authority::Authority;
use crate::kit::client::Client;
use crate::kit::cluster::{Cluster, bound, granted};
use crate::kit::memory::CANARY;
use crate::kit::{FRONT_PROXY, USER, read_lines};
use crate::{aws, eventually};

fn gateway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secret-gateway"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command
}

/// The same under a limit, as the shell's `ulimit` sets it.
fn limited(limit: &str) -> Command {
    let command = gateway();
    let binary = command.get_program().to_owned();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]).arg(binary);
    shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// A pod that was granted a file and a variable.
fn pod() -> Value {
    let args =
        "pull --gateway https://localhost --ca cGVt --scope acme/development/snacks --patience 2m --file a --env v0=b";
    granted("task", "uid", &args.split_whitespace().collect::<Vec<_>>())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn invalid_configuration_exits_with_1() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.yaml");
    let run = |content: &str| {
        std::fs::write(&file, content).unwrap();
        gateway().args(["--check", "--config"]).arg(&file).output().unwrap()
    };
    let refused = run("tls: { certFile: a, keyFile: b }\nregions: []\n");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("unknown field `regions`"), "{refused:?}");

    let (_, example) = include_str!("../../README.md").split_once("```yaml\ntls:").expect("an example");
    let example = run(&["tls:", example.split("```").next().expect("its end")].concat());
    assert_eq!((example.status.code(), text(&example.stdout), text(&example.stderr)), (Some(0), "", ""));

    let missing = gateway().args(["--config", "/nowhere"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("cannot read configuration /nowhere"), "{missing:?}");
}

#[test]
fn low_limit_of_open_files_exits_with_1() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, "tls: { certFile: a, keyFile: b }").unwrap();
    let refused = limited("-n 512").arg("--config").arg(&file).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let message = "limit of open files is 512, but `limits.connections` requires 5120; raise the limit or lower `limits.connections`";
    assert!(text(&refused.stderr).contains(message), "{refused:?}");
}

/// AWS as far as one answer goes.
async fn aws_that_takes(time: Duration, calls: Arc<AtomicUsize>) -> SocketAddr {
    let answer = move || async move {
        calls.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(time).await;
        let secret =
            json!({ "ARN": "arn:aws:secretsmanager:us-east-2:1:secret:x", "Name": "x", "SecretString": CANARY });
        ([(header::CONTENT_TYPE, "application/x-amz-json-1.1")], secret.to_string())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    address
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The binary at work, with all that it needs.
struct Process {
    client: Client,
    /// A pod's connection, with its token.
    pod: Client,
    calls: Arc<AtomicUsize>,
    pid: u32,
    ending: Option<JoinHandle<std::io::Result<Output>>>,
    _folder: TempDir,
}

impl Drop for Process {
    /// A test that fails leaves no process, and does not wait for one.
    fn drop(&mut self) {
        if self.ending.is_some() {
            self.signal("-KILL");
        }
    }
}

impl Process {
    async fn start(aws_takes: Duration, log: &str) -> Self {
        let (cluster, calls) = (Cluster::start().await, Arc::new(AtomicUsize::new(0)));
        let (front_proxy, authority) = (Authority::new("front-proxy-ca"), Authority::new("gateway-ca"));
        cluster.trust(&[&front_proxy], &[FRONT_PROXY]);
        let (folder, own) = (TempDir::new().unwrap(), authority.server("localhost"));
        let (port, pods_port) = (free_port(), free_port());
        cluster.object("pods", pod());
        cluster.token("token", AUDIENCE, bound("task", "default", "a0", "uid"));
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "clusters": [{ "name": "it", "cluster": { "server": format!("http://{}", cluster.address) } }],
            "users": [{ "name": "it", "user": {} }],
            "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it" } }],
        });
        let endpoint = format!("http://{}", aws_that_takes(aws_takes, Arc::clone(&calls)).await);
        let config = json!({
            "listen": format!("127.0.0.1:{port}"),
            "workers": 1,
            "tls": { "certFile": "tls.crt", "keyFile": "tls.key" },
            "access": { "kubeconfig": "kubeconfig" },
            "providers": { "aws": { "regions": ["us-east-2"], "endpoint": endpoint } },
            "pods": {
                "listen": format!("127.0.0.1:{pods_port}"),
                "settings": { "embeddedSecretManagerConfig": { "awsConfig": { "region": "us-east-2" } } },
            },
            "cache": { "ttl": "1500ms" },
            "reads": { "timeout": "10s" },
            "shutdown": { "delay": "0s", "grace": "10s" },
        });
        let files = [
            ("tls.crt", own.certificate),
            ("tls.key", own.key),
            ("kubeconfig", kubeconfig.to_string()),
            ("config.yaml", config.to_string()),
        ];
        for (file, content) in files {
            std::fs::write(folder.path().join(file), content).unwrap();
        }
        let arguments = ["--config", "config.yaml", "--log", log];
        let child = limited("-S -n 256").current_dir(folder.path()).args(arguments).spawn().unwrap();
        let pid = child.id();
        let ending = Some(tokio::task::spawn_blocking(move || child.wait_with_output()));
        let identity = front_proxy.client(FRONT_PROXY);
        let connect = async || Client::connect(([127, 0, 0, 1], port).into(), &authority, Some(&identity)).await;
        eventually(async || connect().await.is_ok()).await;
        let client = connect().await.unwrap().user(USER);
        let pod = Client::connect(([127, 0, 0, 1], pods_port).into(), &authority, None).await.unwrap();
        Self { client, pod: pod.with("authorization", "Bearer token"), calls, pid, ending, _folder: folder }
    }

    fn signal(&self, signal: &str) -> bool {
        Command::new("kill").args([signal, &self.pid.to_string()]).stderr(Stdio::null()).status().unwrap().success()
    }

    fn terminate(&self) {
        assert!(self.signal("-TERM"));
    }

    /// What it wrote, once it has ended.
    async fn end(mut self) -> Output {
        self.ending.take().unwrap().await.unwrap().unwrap()
    }

    /// Returns how often these bytes are in its memory, which a parent process can read.
    fn copies(&self, wanted: &[u8]) -> usize {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid)).unwrap();
        let memory = std::fs::File::open(format!("/proc/{}/mem", self.pid)).unwrap();
        let regions = maps.lines().filter_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (start, end) = range.split_once('-')?;
            let address = |text| u64::from_str_radix(text, 16).unwrap();
            rest.starts_with("rw").then(|| (address(start), address(end)))
        });
        let copies = regions.map(|(start, end)| {
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            // What was unmapped meanwhile holds none.
            memory.read_exact_at(&mut bytes, start).map_or(0, |()| memchr::memmem::find_iter(&bytes, wanted).count())
        });
        copies.sum()
    }
}

#[tokio::test]
async fn sigterm_drains_requests_and_logs_hold_no_value() {
    let process = Process::start(Duration::from_millis(700), "trace").await;
    let client = process.client.clone();
    let under_way = tokio::spawn(async move { client.get(&aws("key")).await });
    let pod = process.pod.clone();
    let pull = tokio::spawn(async move { pod.send(Method::POST, PATH).await.unwrap() });
    eventually(async || process.calls.load(Ordering::Relaxed) == 3).await;
    process.terminate();
    let (answer, pulled) = (under_way.await.unwrap(), pull.await.unwrap());
    assert_eq!((answer.status, answer.json()["stringValue"].as_str()), (200, Some(CANARY)));
    assert_eq!(pulled.status, 200);
    assert!(pulled.body.ends_with(CANARY.repeat(2).as_bytes()), "{pulled:?}");

    let Output { status, stdout, stderr } = process.end().await;
    assert_eq!(status.code(), Some(0), "{}", text(&stderr));
    let audit = read_lines(text(&stdout));
    let of = |what: &str| audit.iter().find(|line| line["audit"] == what).unwrap();
    assert_eq!((audit.len(), &of("read")["user"], &of("read")["code"]), (2, &json!(USER), &json!(200)));
    assert_eq!((&of("pull")["pod"], &of("pull")["code"]), (&json!("a0"), &json!(200)));
    let written = [text(&stdout), text(&stderr)].concat();
    assert!(written.contains("\"serving\"") && written.contains("\"stopping\""), "{written}");
    assert!(!written.contains("c4n4ry"), "{written}");
}

#[tokio::test]
async fn limit_of_open_files_is_raised() {
    let process = Process::start(Duration::ZERO, "info").await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.pid)).unwrap();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let [soft, hard, _] = limit.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{limits}") };
    assert!(soft == hard && soft != "256", "{limits}");
}

#[tokio::test]
async fn expired_values_are_wiped_from_memory() {
    let process = Process::start(Duration::ZERO, "info").await;
    let wanted = b"c4n4ry";
    assert_eq!(process.copies(wanted), 0);
    for _ in 0..10 {
        assert_eq!(process.client.get(&aws("key")).await.status, 200);
        assert_eq!(process.pod.send(Method::POST, PATH).await.unwrap().status, 200);
    }
    assert!(process.copies(wanted) > 0, "it is remembered");
    assert_eq!(process.calls.load(Ordering::Relaxed), 3);
    // Neither in what the SDK, HTTP and TLS leave behind, nor in connections that are still open, as both are.
    eventually(async || process.copies(wanted) == 0).await;
    for client in [&process.client, &process.pod] {
        assert_eq!(client.get("/readyz").await.status, 200);
    }
    process.terminate();
    assert_eq!(process.end().await.status.code(), Some(0));
}
