//! The policy and the gateway on a real control plane: etcd, kube-apiserver, admission, aggregation, RBAC. `make e2e` runs it;
//! an argument is a word that the names of the checks to run must hold.
//!
//! | module | holds |
//! |---|---|
//! | `suites` | what is shown |
//! | `world` | all that is there when a task's pod is created |
//! | `control_plane` | etcd and kube-apiserver on loopback |
//! | `cluster` | a cluster, and those who speak to it |
//! | `kubewarden` | what Kubewarden makes of the chart's policy |
//! | `gateway` | the secret gateway behind its APIService |
//! | `clouds` | moto, and doubles of GCP and Azure |
//! | `process`, `tools` | programs that run beside |
//! | `report` | what passed and what failed |

#![allow(clippy::indexing_slicing)] // of JSON, which yields null

#[allow(dead_code, clippy::expect_used)] // shared with the gateway's tests, which need more of it
#[path = "../../gateway/tests/kit/authority.rs"]
mod authority;
mod clouds;
mod cluster;
mod control_plane;
mod gateway;
mod kubewarden;
mod process;
mod report;
mod suites;
mod tools;
mod world;

use std::process::ExitCode;

use anstream::eprintln;
use anyhow::{Context, Result};
use flyte_secrets_testing::engine::Policy;

use report::Report;
use tools::{Tools, repository};
use world::World;

#[tokio::main]
async fn main() -> ExitCode {
    let mut report = Report::new(std::env::args().nth(1));
    let outcome = run(&mut report).await;
    if let Err(wrong) = &outcome {
        eprintln!("\nit ended early: {wrong:#}");
    }
    match report.close() && outcome.is_ok() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

async fn run(report: &mut Report) -> Result<()> {
    let tools = Tools::find()?;
    let folder = repository("target/e2e");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).context("no folder for logs")?;
    let folder = folder.canonicalize()?;
    let policy = Policy::built()?;
    suites::run_alone(report, &tools, &policy).await?;
    let mut world = World::start(tools, &folder, policy).await?;
    let outcome = suites::run(report, &mut world).await;
    world.leave().await?;
    outcome
}
