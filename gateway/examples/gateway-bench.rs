//! Benchmark of the gateway on one core, over TLS on loopback: a server process with one worker, and clients that read
//! as the API server does, on a few persistent connections of HTTP/2.
//!
//! `make gateway-bench` takes about 20 seconds.

#[path = "../tests/kit/mod.rs"]
mod kit;

use std::alloc::System;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use flyte_secrets_policy::answer::PATH;
use flyte_secrets_policy::grant::AUDIENCE;
use flyte_secrets_policy::settings::Provider::Aws;
use kit::Kit;
use kit::client::{Answer, Client};
use kit::cluster::{bound, granted};
use kit::memory::{Reply, text};
use secret_gateway::config::Config;
use secret_gateway::names::Kind;
use secret_gateway::provider::{BoxFuture, Provider};
use secret_gateway::server::{Parts, Server};
use tokio::task::JoinSet;
use zeroizing_alloc::ZeroAlloc;

/// As in the server that is shipped.
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

/// Duration of each measurement.
const DURATION: Duration = Duration::from_secs(6);
/// Response time of the provider.
const PROVIDER: Duration = Duration::from_millis(2);
/// Number of cached names.
const CACHED_NAMES: usize = 100;
const CONNECTIONS: usize = 4;
/// Number of concurrent reads, on all connections.
const READERS: usize = 16;
/// Ticks of CPU time in a second in Linux.
const TICKS: f64 = 100.0;
/// Number of pods that pull concurrently, each on its own connection.
const PULLERS: usize = 8;
/// Number of pods that pull one secret concurrently before it is cached.
const CROWD: usize = 1000;
/// Key of that secret, and response time of the provider.
const CROWDED: (&str, Duration) = ("crowded", Duration::from_secs(1));

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = |workers| tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let reached = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => runtime(2)?.block_on(measure())?,
        ["serve", folder, cluster] => runtime(1)?.block_on(serve(folder, cluster)).map(|()| true)?,
        _ => bail!("gateway-bench takes no arguments"),
    };
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A provider that takes its time.
struct Slow;

impl Provider for Slow {
    fn fetch<'a>(&'a self, _: &'a str, name: &'a str) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            tokio::time::sleep(if name.ends_with(CROWDED.0) { CROWDED.1 } else { PROVIDER }).await;
            text(&"v".repeat(200))
        })
    }
}

/// The server, in the child, which prints its addresses: of the API, of pods and of metrics.
async fn serve(folder: &str, cluster: &str) -> Result<()> {
    let config = format!(
        "listen: 127.0.0.1:0\nmetricsListen: 127.0.0.1:0\ntls: {{ certFile: {folder}/tls.crt, keyFile: {folder}/tls.key }}\n\
         access: {{ allowedTtl: 60s, timeout: 2s }}\nproviders: {{ aws: {{ regions: [us-east-2] }} }}\n\
         cache: {{ ttl: 60s }}\n\
         pods: {{ listen: '127.0.0.1:0', pullsPerNamespace: 1000, settings: {{ embeddedSecretManagerConfig: {{ awsConfig: \
         {{ region: us-east-2 }} }} }} }}\n"
    );
    let server = Server::start(Parts {
        config: Config::parse(&config)?,
        providers: [(Kind::Store(Aws), Arc::new(Slow) as Arc<dyn Provider>)].into(),
        cluster: kube::Client::try_from(kube::Config::new(cluster.parse()?))?,
        audit: Box::new(std::io::stderr()),
    })
    .await?;
    let pods = server.pods_address.context("no listener for pods")?;
    let metrics = server.metrics_address.context("no listener for metrics")?;
    println!("{} {pods} {metrics}", server.address);
    std::future::pending().await
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
    /// Starts the server in the environment, and returns its addresses too.
    fn start(kit: &Kit) -> Result<(Self, [SocketAddr; 3])> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", &kit.files.path().to_string_lossy(), &format!("http://{}", kit.cluster.address)])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (output, mut line) = (child.stdout.take().context("no output")?, String::new());
        let serving = Self(child);
        BufReader::new(output).read_line(&mut line)?;
        let addresses = line.split_whitespace().map(str::parse).collect::<Result<Vec<_>, _>>()?;
        Ok((serving, addresses.try_into().map_err(|_| anyhow!("the server did not start"))?))
    }

    /// Seconds of processor time that it has used.
    fn processor_time(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The process's name is in parentheses and may hold anything.
        let (_, fields) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        Ok(ticks / TICKS)
    }

    /// Resident memory now (`VmRSS:`) or at most (`VmHWM:`), in MiB.
    fn memory(&self, key: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key)).context("no memory in /proc")?;
        Ok(line.split_whitespace().next().context("no number")?.parse::<f64>()? / 1024.0)
    }
}

/// Measures and prints everything, and returns whether all goals are met.
async fn measure() -> Result<bool> {
    let kit = Kit::new().await;
    let (serving, [address, pods, metrics]) = Serving::start(&kit)?;
    let (identity, authority) = (kit.front_proxy(), Arc::new(kit.server_authority));
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = Client::connect(address, &authority, Some(&identity)).await?;
        clients.push(client.user(kit::USER).with("x-remote-group", "system:authenticated"));
    }
    let idle = serving.memory("VmRSS:")?;

    let read = |name: fn(usize) -> usize| {
        let clients = clients.clone();
        move |number: usize| {
            let (client, name) = (clients.get(number % CONNECTIONS).cloned(), name(number));
            async move {
                let client = client.context("no connection")?;
                let place = "/apis/secret-gateway.flyte.org/v1alpha1/awssecrets/us-east-2:";
                let scope = "u__org__flyte__domain__development__project__bench__key__";
                Ok(client.get(&format!("{place}{scope}{name}")).await)
            }
        }
    };
    load(READERS, CACHED_NAMES, read(|number| number)).await?;
    let cached = row("cached", &serving, READERS, read(|number| number % CACHED_NAMES)).await?;
    let uncached = row("uncached", &serving, READERS, read(|number| CACHED_NAMES + number)).await?;
    let (resident, most) = (serving.memory("VmRSS:")?, serving.memory("VmHWM:")?);

    // The handshake is part of each pull.
    let pull = move |_: usize| {
        let authority = Arc::clone(&authority);
        async move {
            let client = Client::connect(pods, &authority, None).await?;
            Ok(client.with("authorization", "Bearer token").post(PATH).await)
        }
    };
    kit.cluster.object("pods", pod("--file a --file b --file c --env v0=d --env v1=e"));
    kit.cluster.token("token", AUDIENCE, bound("bench", "default", "a0", "uid"));
    let pulls = row("pulls", &serving, PULLERS, pull.clone()).await?;
    kit.cluster.object("pods", pod(&format!("--file {}", CROWDED.0)));
    let (start, before) = (Instant::now(), provider_calls(metrics).await?);
    load(CROWD, CROWD, pull).await?;
    let (crowd, calls) = (start.elapsed(), provider_calls(metrics).await? - before);
    let most_with_pulls = serving.memory("VmHWM:")?;

    println!("{:<10} {:>9} {:>16} {:>9} {:>9}", "", "reads/s", "reads/s of core", "p50", "p99");
    for Row { what, per_second, per_core_second, p50, p99 } in [&cached, &uncached, &pulls] {
        let [p50, p99] = [p50, p99].map(|it| it.as_secs_f64() * 1e3);
        println!("{what:<10} {per_second:>9.0} {per_core_second:>16.0} {p50:>6.2} ms {p99:>6.2} ms");
    }
    println!("\nresident memory: {idle:.1} MiB idle, {resident:.1} MiB at the end, {most:.1} MiB at most");
    println!("{CROWD} pods at once for one secret: {:.1} s, {calls} provider calls", crowd.as_secs_f64());
    println!(
        "{READERS} readers on {CONNECTIONS} connections; the provider takes {} ms, and the cluster reviews each uncached \
         read\n",
        PROVIDER.as_millis()
    );
    let goals = [
        (cached.per_core_second >= 5000.0, "5,000 cached reads a second on one core"),
        (cached.p99 < Duration::from_millis(5), "p99 of cached reads under 5 ms"),
        (most < 64.0, "under 64 MiB resident"),
        (pulls.per_core_second >= 1000.0, "1,000 pulls a second on one core"),
        (pulls.p99 < Duration::from_millis(20), "p99 of pulls under 20 ms"),
        (most_with_pulls < 128.0, "under 128 MiB resident with pulls"),
        (calls == 1, "one provider call for 1,000 pods at once"),
    ];
    for (met, goal) in &goals {
        println!("{} {goal}", if *met { "met   " } else { "MISSED" });
    }
    Ok(goals.iter().all(|(met, _)| *met))
}

/// A pod that was granted secrets by these options.
fn pod(secrets: &str) -> serde_json::Value {
    let args = "pull --gateway https://localhost --ca cGVt --scope acme/development/bench --patience 2m";
    granted("bench", "uid", &args.split_whitespace().chain(secrets.split_whitespace()).collect::<Vec<_>>())
}

/// How often a provider was asked so far.
async fn provider_calls(metrics: SocketAddr) -> Result<u64> {
    let answer = Client::plain(metrics).await?.get("/metrics").await;
    let count = |line: &str| {
        line.strip_prefix("secret_gateway_provider_seconds_count{")?.split_once("} ")?.1.parse::<u64>().ok()
    };
    Ok(answer.text().lines().filter_map(count).sum())
}

struct Row {
    what: &'static str,
    per_second: f64,
    per_core_second: f64,
    p50: Duration,
    p99: Duration,
}

/// Measures so many workers, as a row of the report.
async fn row<Future>(
    what: &'static str,
    serving: &Serving,
    workers: usize,
    request: impl Fn(usize) -> Future + Clone + Send + 'static,
) -> Result<Row>
where
    Future: std::future::Future<Output = Result<Answer>> + Send,
{
    let (start, before) = (Instant::now(), serving.processor_time()?);
    let mut times = load(workers, usize::MAX, request).await?;
    let (seconds, used) = (start.elapsed().as_secs_f64(), serving.processor_time()? - before);
    times.sort_unstable();
    #[allow(clippy::cast_precision_loss)] // of counts far below 2^52
    let count = times.len() as f64;
    let percentile = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    let (per_second, per_core_second) = (count / seconds, count / used.max(1.0 / TICKS));
    Ok(Row { what, per_second, per_core_second, p50: percentile(50), p99: percentile(99) })
}

/// Sends numbered requests with all workers, until there are `most` or the time is over, and returns the duration of
/// each.
async fn load<Future>(
    workers: usize,
    most: usize,
    request: impl Fn(usize) -> Future + Clone + Send + 'static,
) -> Result<Vec<Duration>>
where
    Future: std::future::Future<Output = Result<Answer>> + Send,
{
    let (next, end) = (Arc::new(AtomicUsize::new(0)), Instant::now() + DURATION);
    let mut running = JoinSet::new();
    for _ in 0..workers {
        let (next, request) = (Arc::clone(&next), request.clone());
        running.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= most {
                    break;
                }
                let start = Instant::now();
                let answer = request(number).await?;
                times.push(start.elapsed());
                ensure!(answer.status == 200, "an answer of {}: {}", answer.status, answer.text());
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = running.join_next().await {
        times.extend(done??);
    }
    Ok(times)
}
