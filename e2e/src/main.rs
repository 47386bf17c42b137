//! Tests of the policy and the gateway on a real control plane: etcd, kube-apiserver, admission, aggregation, RBAC.
//! `make e2e` runs them. An argument selects the checks whose names contain it.
//!
//! | module | purpose |
//! |---|---|
//! | `suites` | the checks |
//! | `world` | environment of the checks: cluster, Kubewarden, chart, gateway, clouds |
//! | `control_plane` | etcd and kube-apiserver on loopback |
//! | `cluster` | a cluster and its clients |
//! | `live`, `serve` | parts of policy-server: host calls to an API server, and the policy as a webhook |
//! | `kubewarden` | replacement of Kubewarden's controller |
//! | `gateway` | the secret gateway behind its APIService |
//! | `clouds` | moto, and doubles of GCP and Azure |
//! | `node` | a kubelet and a container runtime, for `make e2e-node` |
//! | `process`, `tools` | processes and paths of programs |
//! | `report` | results |

#![allow(clippy::indexing_slicing)] // of JSON, which yields null

#[allow(dead_code, clippy::expect_used)] // shared with the gateway's tests, which need more of it
#[path = "../../gateway/tests/kit/authority.rs"]
mod authority;
mod clouds;
mod cluster;
mod control_plane;
mod gateway;
mod kubewarden;
mod live;
mod node;
mod process;
mod report;
mod serve;
mod suites;
mod tools;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anstream::eprintln;
use anyhow::{Context, Result, ensure};
use flyte_secrets_testing::engine::Policy;
use flyte_secrets_testing::host::Capabilities;
use kube::{Client, Config};

use node::Node;
use node::machine::Machine;
use report::Report;
use tools::repository;
use world::World;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--demo", pod, settings] => show(pod, settings).map(|()| ExitCode::SUCCESS),
        ["--node", only @ ..] => Ok(check(true, only.first())),
        only => Ok(check(false, only.first())),
    }
}

/// Prints a pod before and after, with secrets of the API server of KUBECONFIG.
fn show(pod: &str, settings: &str) -> Result<()> {
    let read = |file: &str| Ok::<_, anyhow::Error>(serde_yaml::from_str(&std::fs::read_to_string(file)?)?);
    let runtime = tokio::runtime::Runtime::new()?;
    let mut config = runtime.block_on(Config::infer()).context("cannot find an API server")?;
    // As in policy-server, which has an older client.
    config.default_retry = false;
    let client = runtime.block_on(async { Client::try_from(config) })?;
    let capabilities: Arc<dyn Capabilities> = live::Live::new(client, runtime.handle().clone(), None);
    flyte_secrets_testing::show::demo(&read(pod)?, &read(settings)?, &capabilities)
}

#[tokio::main]
async fn check(node: bool, only: Option<&&str>) -> ExitCode {
    let mut report = Report::new(only.map(ToString::to_string));
    let outcome = if node { run_node(&mut report).await } else { run(&mut report).await };
    if let Err(error) = &outcome {
        eprintln!("\nstopped early: {error:#}");
    }
    if report.close() && outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(report: &mut Report) -> Result<()> {
    let folder = empty_folder("target/e2e")?;
    let policy = Policy::built()?;
    suites::run_alone(report, &policy).await?;
    let mut world = World::start(&folder, policy).await?;
    let outcome = suites::run(report, &mut world).await;
    world.leave().await?;
    outcome
}

async fn run_node(report: &mut Report) -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    ensure!(root, "a node needs root: run `make e2e-node` as root, or with SUDO=sudo");
    let folder = empty_folder("target/e2e-node")?;
    node::remove_cgroups();
    let before = Machine::now()?;
    let mut world = World::start(&folder, Policy::built()?).await?;
    let plane = world.own.as_ref().context("pods run on a control plane of our own: unset KUBECONFIG")?;
    let node = Node::start(&folder, plane, &world.cluster).await?;
    let outcome = suites::node::run(report, &mut world, &node).await;
    drop(node);
    drop(world);
    report.section("the machine");
    report.check("processes, mounts, cgroups and sysctls are as they were", as_it_was(&before)).await;
    outcome
}

/// Checks that the machine is as before. Processes that the kernel still ends take a moment.
async fn as_it_was(before: &Machine) -> Result<()> {
    let mut changes = Vec::new();
    let unchanged =
        process::until("it is unchanged", Duration::from_millis(200), Duration::from_secs(10), async || {
            changes = Machine::now()?.changes(before);
            Ok(changes.is_empty())
        });
    unchanged.await.with_context(|| changes.join("\n"))
}

fn empty_folder(name: &str) -> Result<PathBuf> {
    let folder = repository(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).context("no folder for logs")?;
    Ok(folder.canonicalize()?)
}
