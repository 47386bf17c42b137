//! Benchmark of the gateway on one core, over TLS on loopback: a server process with one worker, and clients that read
//! as the API server does, on a few persistent connections of HTTP/2.
//!
//! `make gateway-bench` takes about 20 seconds.

#[path = "../tests/kit/mod.rs"]
mod kit;

use std::alloc::System;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use axum::http::Method;
use flyte_secrets_policy::answer::PATH;
use flyte_secrets_policy::grant::AUDIENCE;
use flyte_secrets_policy::settings;
use kit::authority::Authority;
use kit::client::Client;
use kit::cluster::{Cluster, bound, granted};
use kit::memory::{Memory, text};
use secret_gateway::config::Config;
use secret_gateway::names::Kind;
use secret_gateway::provider::Provider;
use secret_gateway::server::{Parts, Server};
use tempfile::TempDir;
use zeroizing_alloc::ZeroAlloc;

/// As in the server that is shipped.
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

/// Duration of each measurement.
const DURATION: Duration = Duration::from_secs(6);
/// Maximum number of reads in a measurement.
const MOST: usize = 400_000;
/// Response time of the provider.
const PROVIDER: Duration = Duration::from_millis(2);
/// Number of cached names.
const CACHED_NAMES: usize = 100;
const CONNECTIONS: usize = 4;
const READERS_PER_CONNECTION: usize = 4;
/// Ticks of CPU time in a second in Linux.
const TICKS: f64 = 100.0;

const GOAL_READS: f64 = 5000.0;
const GOAL_P99: Duration = Duration::from_millis(5);
const GOAL_MEMORY: f64 = 64.0;
const GOAL_PULLS: f64 = 1000.0;
const GOAL_PULLS_P99: Duration = Duration::from_millis(20);
const GOAL_PULLS_MEMORY: f64 = 128.0;
/// Number of pods that pull concurrently, each on its own connection.
const PULLERS: usize = 8;
/// Number of pods that pull one secret concurrently before it is cached.
const CROWD: usize = 1000;
/// Key of that secret, and response time of the provider.
const CROWDED: (&str, Duration) = ("crowded", Duration::from_secs(1));

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let reached = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => measure()?,
        ["serve", folder, cluster] => serve(Path::new(folder), cluster).map(|()| true)?,
        _ => bail!("gateway-bench takes no arguments"),
    };
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The server, in the child.
fn serve(folder: &Path, cluster: &str) -> Result<()> {
    let config = format!(
        "listen: 127.0.0.1:0\nmetricsListen: 127.0.0.1:0\ntls: {{ certFile: {0}/tls.crt, keyFile: {0}/tls.key }}\n\
         access: {{ allowedTtl: 60s, timeout: 2s }}\nproviders: {{ aws: {{ regions: [us-east-2] }} }}\n\
         cache: {{ ttl: 60s }}\n\
         pods: {{ listen: '127.0.0.1:0', pullsPerNamespace: 1000, settings: {{ embeddedSecretManagerConfig: {{ awsConfig: \
         {{ region: us-east-2 }} }} }} }}\n",
        folder.display()
    );
    let cluster = kube::Config::new(cluster.parse()?);
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(async {
        let memory = Memory::forgetful();
        memory.behave(|name, _| {
            let takes = if name.ends_with(CROWDED.0) { CROWDED.1 } else { PROVIDER };
            (takes, Ok(text(&"v".repeat(200))))
        });
        let server = Server::start(Parts {
            config: Config::parse(&config)?,
            providers: [(Kind::Store(settings::Provider::Aws), Arc::new(memory) as Arc<dyn Provider>)].into(),
            cluster: kube::Client::try_from(cluster)?,
            audit: Box::new(std::io::stdout()),
        })
        .await?;
        let written = folder.join("address.new");
        let pods = server.pods_address.context("no listener for pods")?;
        let metrics = server.metrics_address.context("no listener for metrics")?;
        std::fs::write(&written, format!("{} {pods} {metrics}", server.address))?;
        std::fs::rename(written, address_file(folder))?;
        std::future::pending::<()>().await;
        Ok(())
    })
}

fn address_file(folder: &Path) -> PathBuf {
    folder.join("address")
}

/// A child that ends with its parent's interest in it.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Serving {
    /// Seconds of processor time that it has used.
    fn processor_time(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The process's name is in parentheses and may hold anything.
        let (_, fields) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        Ok(ticks / TICKS)
    }

    /// Resident memory now and at most, in MiB.
    fn memory(&self) -> Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let mebibytes = |key: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).context("no memory in /proc")?;
            let kibibytes: f64 = line.split_whitespace().next().context("no number")?.parse()?;
            Ok(kibibytes / 1024.0)
        };
        Ok((mebibytes("VmRSS:")?, mebibytes("VmHWM:")?))
    }
}

struct Row {
    what: &'static str,
    reads_per_second: f64,
    reads_per_core_second: f64,
    p50: Duration,
    p99: Duration,
}

fn measure() -> Result<bool> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(async {
        let cluster = Cluster::start().await;
        let (front_proxy, authority) = (Authority::new("front-proxy-ca"), Authority::new("gateway-ca"));
        cluster.trust(&[&front_proxy], &[kit::FRONT_PROXY]);
        let folder = TempDir::new()?;
        let identity = authority.server("localhost");
        std::fs::write(folder.path().join("tls.crt"), &identity.certificate)?;
        std::fs::write(folder.path().join("tls.key"), &identity.key)?;

        let serving = Serving(
            Command::new(std::env::current_exe()?)
                .args(["serve", &folder.path().to_string_lossy(), &format!("http://{}", cluster.address)])
                .stdout(Stdio::null())
                .spawn()?,
        );
        let [address, pods, metrics] = addresses(folder.path()).await?;
        let identity = front_proxy.client(kit::FRONT_PROXY);
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = Client::connect(address, &authority, Some(&identity)).await?;
            clients.push(client.user(kit::USER).with("x-remote-group", "system:authenticated"));
        }
        let idle = serving.memory()?.0;

        read(&clients, CACHED_NAMES, Duration::from_secs(1), |number| number).await?;
        let cached = row("cached", &serving, &clients, |number| number % CACHED_NAMES).await?;
        let uncached = row("uncached", &serving, &clients, |number| CACHED_NAMES + number).await?;
        let (resident, most) = serving.memory()?;

        cluster.object("pods", pod(&["--file a", "--file b", "--file c", "--env v0=d", "--env v1=e"]));
        cluster.token("token", AUDIENCE, bound("bench", "default", "a0", "uid"));
        let authority = Arc::new(authority);
        let pulls = pulled(&serving, pods, &authority).await?;
        cluster.object("pods", pod(&["--file", CROWDED.0]));
        let before = provider_calls(metrics).await;
        let crowd = crowd(pods, &authority).await?;
        let calls = provider_calls(metrics).await - before;
        let most_with_pulls = serving.memory()?.1;

        println!("{:<10} {:>9} {:>16} {:>9} {:>9}", "", "reads/s", "reads/s of core", "p50", "p99");
        for row in [&cached, &uncached, &pulls] {
            println!(
                "{:<10} {:>9.0} {:>16.0} {:>6.2} ms {:>6.2} ms",
                row.what,
                row.reads_per_second,
                row.reads_per_core_second,
                row.p50.as_secs_f64() * 1e3,
                row.p99.as_secs_f64() * 1e3,
            );
        }
        println!("\nresident memory: {idle:.1} MiB idle, {resident:.1} MiB at the end, {most:.1} MiB at most");
        println!("{CROWD} pods at once for one secret: {:.1} s, {calls} provider calls", crowd.as_secs_f64());
        println!(
            "{} readers on {CONNECTIONS} connections; the provider takes {} ms, and the cluster reviews each uncached \
             read\n",
            clients.len() * READERS_PER_CONNECTION,
            PROVIDER.as_millis()
        );
        let goals = [
            (cached.reads_per_core_second >= GOAL_READS, "5,000 cached reads a second on one core"),
            (cached.p99 < GOAL_P99, "p99 of cached reads under 5 ms"),
            (most < GOAL_MEMORY, "under 64 MiB resident"),
            (pulls.reads_per_core_second >= GOAL_PULLS, "1,000 pulls a second on one core"),
            (pulls.p99 < GOAL_PULLS_P99, "p99 of pulls under 20 ms"),
            (most_with_pulls < GOAL_PULLS_MEMORY, "under 128 MiB resident with pulls"),
            (calls == 1, "one provider call for 1,000 pods at once"),
        ];
        for (met, goal) in &goals {
            println!("{} {goal}", if *met { "met   " } else { "MISSED" });
        }
        Ok(goals.iter().all(|(met, _)| *met))
    })
}

/// Of the API, of pods and of metrics.
async fn addresses(folder: &Path) -> Result<[SocketAddr; 3]> {
    for _ in 0..200 {
        if let Ok(text) = std::fs::read_to_string(address_file(folder)) {
            let addresses = text.split(' ').map(str::parse).collect::<Result<Vec<_>, _>>()?;
            return addresses.try_into().map_err(|_| anyhow!("three addresses expected: {text}"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the server did not start within ten seconds")
}

/// A pod that was granted secrets by these options.
fn pod(secrets: &[&str]) -> serde_json::Value {
    let args = "pull --gateway https://localhost --ca cGVt --scope acme/development/bench --patience 2m";
    let args = [args, &secrets.join(" ")].join(" ");
    granted("bench", "uid", &args.split_whitespace().collect::<Vec<_>>())
}

/// Pulls of five cached secrets; the handshake is part of each.
async fn pulled(serving: &Serving, address: SocketAddr, authority: &Arc<Authority>) -> Result<Row> {
    let (start, before) = (Instant::now(), serving.processor_time()?);
    let mut pullers = tokio::task::JoinSet::new();
    for _ in 0..PULLERS {
        let authority = Arc::clone(authority);
        pullers.spawn(async move {
            let mut times = Vec::new();
            while start.elapsed() < DURATION {
                times.push(pull(address, &authority).await?);
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = pullers.join_next().await {
        times.extend(done??);
    }
    let (seconds, used) = (start.elapsed().as_secs_f64(), serving.processor_time()? - before);
    times.sort_unstable();
    Ok(row_of("pulls", &times, seconds, used))
}

/// How long one pull took, with its connection.
async fn pull(address: SocketAddr, authority: &Authority) -> Result<Duration> {
    let start = Instant::now();
    let client = Client::connect(address, authority, None).await?.with("authorization", "Bearer token");
    let answer = client.send(Method::POST, PATH).await?;
    if answer.status != 200 {
        bail!("an answer of {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(start.elapsed())
}

/// How long it takes until all of many pods have a secret.
async fn crowd(address: SocketAddr, authority: &Arc<Authority>) -> Result<Duration> {
    let (start, mut pulls) = (Instant::now(), tokio::task::JoinSet::new());
    for _ in 0..CROWD {
        let authority = Arc::clone(authority);
        pulls.spawn(async move { pull(address, &authority).await });
    }
    while let Some(done) = pulls.join_next().await {
        done??;
    }
    Ok(start.elapsed())
}

/// How often a provider was asked so far.
async fn provider_calls(metrics: SocketAddr) -> u64 {
    let text = kit::client::plain(metrics, "/metrics").await.text().to_owned();
    let count = |line: &str| {
        line.strip_prefix("secret_gateway_provider_seconds_count{")?.split_once("} ")?.1.parse::<u64>().ok()
    };
    text.lines().filter_map(count).sum()
}

async fn row(what: &'static str, serving: &Serving, clients: &[Client], name: fn(usize) -> usize) -> Result<Row> {
    let (start, before) = (Instant::now(), serving.processor_time()?);
    let mut times = read(clients, MOST, DURATION, name).await?;
    let (seconds, used) = (start.elapsed().as_secs_f64(), serving.processor_time()? - before);
    times.sort_unstable();
    Ok(row_of(what, &times, seconds, used))
}

/// Returns a row of the report for sorted times.
fn row_of(what: &'static str, times: &[Duration], seconds: f64, used: f64) -> Row {
    #[allow(clippy::cast_precision_loss)] // of counts far below 2^52
    let reads = times.len() as f64;
    let percentile = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    Row {
        what,
        reads_per_second: reads / seconds,
        reads_per_core_second: reads / used.max(1.0 / TICKS),
        p50: percentile(50),
        p99: percentile(99),
    }
}

/// Reads with all readers, until there are enough or the time is over, and says how long each read took.
async fn read(
    clients: &[Client],
    most: usize,
    duration: Duration,
    name: impl Fn(usize) -> usize + Copy + Send + 'static,
) -> Result<Vec<Duration>> {
    let (next, end) = (Arc::new(AtomicUsize::new(0)), Instant::now() + duration);
    let mut readers = tokio::task::JoinSet::new();
    for client in clients.iter().flat_map(|client| std::iter::repeat_n(client, READERS_PER_CONNECTION)) {
        let (client, next) = (client.clone(), Arc::clone(&next));
        readers.spawn(async move {
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= most || Instant::now() >= end {
                    return Ok(times);
                }
                let path = format!(
                    "/apis/secret-gateway.flyte.org/v1alpha1/awssecrets/us-east-2:u__org__flyte__domain__development\
                     __project__bench__key__{}",
                    name(number)
                );
                let start = Instant::now();
                let answer = client.get(&path).await;
                times.push(start.elapsed());
                if answer.status != 200 {
                    bail!("an answer of {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
                }
            }
        });
    }
    let mut times = Vec::new();
    while let Some(done) = readers.join_next().await {
        times.extend(done??);
    }
    Ok(times)
}
