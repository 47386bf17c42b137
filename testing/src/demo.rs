//! The demo: one pod before and after.

use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use anyhow::{Result, bail};
use serde_json::Value;

use crate::engine::{Policy, creation};
use crate::host::Capabilities;
use crate::show;

/// Prints a pod before and after, the patch, and the names under which secrets were found.
///
/// # Errors
/// The policy does not change the pod.
pub fn show(pod: &Value, settings: &Value, capabilities: &Arc<dyn Capabilities>) -> Result<()> {
    let policy = Policy::built()?;
    let heading = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
    let title = |title: &str| anstream::println!("{heading}── {title}{heading:#}\n");
    title("a task's pod as Flyte creates it; it asks for three secrets");
    println!("{}", show::yaml(pod));
    let response = policy.validate(&creation(pod), settings, capabilities)?;
    let Some(mutated) = response.mutated() else { bail!("the pod was not changed: {}", response.message()) };
    title("what the policy makes of it");
    println!("{}", show::diff(&show::yaml(pod), &show::yaml(mutated)));
    title("the patch that the API server gets");
    println!("{}", show::pretty(&serde_json::to_value(response.patch(pod))?));
    title("where each secret was found (audit annotation)");
    for entry in response.0["audit_annotations"]["secrets"].as_str().unwrap_or_default().split("; ") {
        println!("{entry}");
    }
    Ok(())
}
