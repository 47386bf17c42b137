//! The checks, one file for each subject. A suite uses the world, and no other suite.

use anyhow::Result;
use flyte_secrets_testing::engine::Policy;

use crate::report::Report;
use crate::world::World;

mod admission;
mod chart;
mod embedded;
mod flyte;
mod gateway;
mod golden;
pub mod node;
mod reinvocation;
mod rules;
mod scripts;
mod templates;

/// Runs checks without a cluster: the policy's scripts and templates, in the programs that execute them.
pub async fn run_alone(report: &mut Report, policy: &Policy) -> Result<()> {
    scripts::run(report, policy).await?;
    templates::run(report, policy).await
}

/// Runs checks with a cluster.
pub async fn run(report: &mut Report, world: &mut World) -> Result<()> {
    golden::run(report, world).await?;
    admission::run(report, world).await?;
    embedded::run(report, world).await?;
    gateway::run(report, world).await?;
    // Before the suite of the chart, which enforces the restricted standard in Flyte's namespace.
    flyte::run(report, world).await?;
    chart::run(report, world).await?;
    reinvocation::run(report, world).await?;
    rules::run(report, world).await
}
