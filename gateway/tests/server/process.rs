//! The program: arguments, output and shutdown.

use std::os::unix::fs::FileExt;
use std::process::{Command, Output, Stdio};

use flyte_secrets_policy::answer::PATH;
use flyte_secrets_policy::grant::AUDIENCE;
use tempfile::NamedTempFile;
use tokio::task::JoinHandle;

use super::*;
use crate::kit::cluster::{bound, granted, kubeconfig};
use crate::kit::double::{self, Answer, Double};
use crate::kit::read_lines;

fn gateway() -> Command {
    run_alone(Command::new(env!("CARGO_BIN_EXE_secret-gateway")))
}

/// The same under a limit, as the shell's `ulimit` sets it.
fn limited(limit: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_secret-gateway")]);
    run_alone(shell)
}

fn run_alone(mut command: Command) -> Command {
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command
}

/// A pod that was granted a file and a variable.
fn pod() -> Value {
    let args =
        "pull --gateway https://localhost --ca cGVt --scope acme/development/snacks --patience 2m --file a --env v0=b";
    granted("task", "uid", &args.split_whitespace().collect::<Vec<_>>())
}

fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// Runs the program with this configuration, and checks its status and what it says.
#[track_caller]
fn exits(command: &mut Command, config: &str, status: i32, message: &str) {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let output = command.env("SECRET_GATEWAY_CONFIG", file.path()).output().unwrap();
    assert_eq!((output.status.code(), utf8(&output.stdout)), (Some(status), ""));
    let said = utf8(&output.stderr);
    assert!(said.contains(message) && said.is_empty() == message.is_empty(), "{said}");
}

#[test]
fn invalid_configuration_exits_with_1() {
    let unknown = "tls: { certFile: a, keyFile: b }\nregions: []\n";
    exits(gateway().arg("--check"), unknown, 1, "unknown field `regions`");
    let (_, example) = include_str!("../../README.md").split_once("```yaml\ntls:").expect("an example");
    exits(gateway().arg("--check"), &["tls:", example.split("```").next().expect("its end")].concat(), 0, "");
    exits(gateway().args(["--config", "/nowhere"]), "", 1, "cannot read configuration /nowhere");
}

#[test]
fn low_limit_of_open_files_exits_with_1() {
    let message = "limit of open files is 512, but `limits.connections` requires 5120; raise the limit or lower `limits.connections`";
    exits(&mut limited("-n 512"), "tls: { certFile: a, keyFile: b }", 1, message);
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The binary at work, with all that it needs.
struct Process {
    client: Client,
    /// A pod's connection, with its token.
    pod: Client,
    aws: Double,
    pid: u32,
    ending: Option<JoinHandle<std::io::Result<Output>>>,
    _kit: Kit,
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
        let kit = Kit::new().await;
        let aws = Double::http(move |_| {
            let secret = json!({ "ARN": "arn:aws:secretsmanager:us-east-2:1:secret:x", "SecretString": CANARY });
            Answer::Late(aws_takes, Box::new(double::json(200, secret)))
        })
        .await;
        let (port, pods_port) = (free_port(), free_port());
        kit.cluster.object("pods", pod());
        kit.cluster.token("token", AUDIENCE, bound("task", "default", "a0", "uid"));
        let settings = json!({ "embeddedSecretManagerConfig": { "awsConfig": { "region": "us-east-2" } } });
        let config = json!({
            "listen": format!("127.0.0.1:{port}"), "workers": 1,
            "tls": { "certFile": "tls.crt", "keyFile": "tls.key" }, "access": { "kubeconfig": "kubeconfig" },
            "providers": { "aws": { "regions": ["us-east-2"], "endpoint": aws.url() } },
            "pods": { "listen": format!("127.0.0.1:{pods_port}"), "settings": settings },
            "cache": { "ttl": "1500ms" }, "reads": { "timeout": "10s" },
            "shutdown": { "delay": "0s", "grace": "10s" },
        });
        std::fs::write(kit.files.path().join("kubeconfig"), kubeconfig(kit.cluster.address)).unwrap();
        std::fs::write(kit.files.path().join("config.yaml"), config.to_string()).unwrap();
        let arguments = ["--config", "config.yaml", "--log", log];
        let child = limited("-S -n 256").current_dir(kit.files.path()).args(arguments).spawn().unwrap();
        let pid = child.id();
        let ending = Some(tokio::task::spawn_blocking(move || child.wait_with_output()));
        let identity = kit.front_proxy();
        let connect = async |port: u16, identity| {
            Client::connect(([127, 0, 0, 1], port).into(), &kit.server_authority, identity).await
        };
        eventually(async || connect(port, Some(&identity)).await.is_ok()).await;
        let client = connect(port, Some(&identity)).await.unwrap().user(USER);
        let pod = connect(pods_port, None).await.unwrap().with("authorization", "Bearer token");
        Self { client, pod, aws, pid, ending, _kit: kit }
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
    let pull = tokio::spawn(async move { pod.post(PATH).await });
    eventually(async || process.aws.asked().len() == 3).await;
    process.terminate();
    let (answer, pulled) = (under_way.await.unwrap(), pull.await.unwrap());
    assert_eq!((answer.status, answer.json()["stringValue"].as_str()), (200, Some(CANARY)));
    assert_eq!(pulled.status, 200);
    assert!(pulled.body.ends_with(CANARY.repeat(2).as_bytes()), "{pulled:?}");

    let Output { status, stdout, stderr } = process.end().await;
    assert_eq!(status.code(), Some(0), "{}", utf8(&stderr));
    let audit = read_lines(utf8(&stdout));
    let of = |what: &str| audit.iter().find(|line| line["audit"] == what).unwrap();
    assert_eq!((audit.len(), &of("read")["user"], &of("read")["code"]), (2, &json!(USER), &json!(200)));
    assert_eq!((&of("pull")["pod"], &of("pull")["code"]), (&json!("a0"), &json!(200)));
    let written = [utf8(&stdout), utf8(&stderr)].concat();
    assert!(written.contains("\"serving\"") && written.contains("\"stopping\""), "{written}");
    assert!(!written.contains("c4n4ry"), "{written}");
}

#[tokio::test]
async fn limit_of_open_files_is_raised_and_expired_values_are_wiped_from_memory() {
    let process = Process::start(Duration::ZERO, "info").await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.pid)).unwrap();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let [soft, hard, _] = limit.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{limits}") };
    assert!(soft == hard && soft != "256", "it is raised: {limits}");

    let wanted = b"c4n4ry";
    assert_eq!(process.copies(wanted), 0);
    for _ in 0..10 {
        assert_eq!(process.client.get(&aws("key")).await.status, 200);
        assert_eq!(process.pod.post(PATH).await.status, 200);
    }
    assert!(process.copies(wanted) > 0, "it is remembered");
    assert_eq!(process.aws.asked().len(), 3);
    // Neither in what the SDK, HTTP and TLS leave behind, nor in connections that are still open, as both are.
    eventually(async || process.copies(wanted) == 0).await;
    for client in [&process.client, &process.pod] {
        assert_eq!(client.get("/readyz").await.status, 200);
    }
    process.terminate();
    assert_eq!(process.end().await.status.code(), Some(0));
}
