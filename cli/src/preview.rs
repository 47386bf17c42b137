//! `preview`: the patched pod, or the reason for its rejection.

use clap::ValueEnum;
use flyte_secrets_explain::preview::{Admission, AskedManager, ExplainedRequest, LookedUp, Outcome, Preview, Refused};
use flyte_secrets_explain::store::Store;
use flyte_secrets_explain::{check, yaml};
use flyte_secrets_policy::settings;
use serde_json::{Value, json};

use crate::{Error, output, read};

/// Preview the patched pod, or the reason for its rejection
#[derive(clap::Args)]
pub struct Arguments {
    /// File with pods or workloads, or - for standard input
    #[arg(short, long)]
    file: String,
    /// File with Flyte's webhook section, as for `check` [default: Flyte's defaults]
    #[arg(long, value_name = "FILE")]
    settings: Option<String>,
    /// File with the contents of the stores [default: each requested secret exists in its project's scope]
    #[arg(long, value_name = "FILE")]
    secrets: Option<String>,
    /// How Embedded delivers secrets: Auto, Value, Reference or Pull [default: from the settings]
    #[arg(long, value_name = "DELIVERY")]
    delivery: Option<String>,
    /// Namespace that the pod is created in [default: the pod's own, or default]
    #[arg(short, long)]
    namespace: Option<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value = "diff")]
    output: Shape,
    /// Explain each secret request: managers asked, names looked up, reasons for declining
    #[arg(long)]
    explain: bool,
    /// Print secret values instead of placeholders
    #[arg(long, requires = "secrets")]
    show_values: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Shape {
    /// Diff of the pod; with --explain, text
    Diff,
    Yaml,
    Json,
    /// JSON patch, as sent to the API server
    Patch,
}

pub fn run(arguments: &Arguments) -> Result<bool, Error> {
    let Arguments { file, settings, secrets, delivery, namespace, output: shape, explain, show_values } = arguments;
    if *explain && *shape == Shape::Patch {
        return Err(Error::ExplainedPatch);
    }
    let source = read(file)?;
    let pods = source.pods()?;
    let mut settings = match settings {
        Some(path) => check::settings(&read(path)?, None, None)?.settings,
        None => json!({}),
    };
    if let Some(delivery) = delivery {
        json_patch::merge(&mut settings, &json!({ "embeddedSecretManagerConfig": { "delivery": delivery } }));
        settings::validate(settings.to_string().as_bytes()).map_err(Error::Delivery)?;
    }
    let secrets = secrets.as_deref().map(read).transpose()?;
    let secrets = secrets.as_ref().map(Store::read).transpose()?;
    if secrets.is_none() {
        output::note("no --secrets: each requested secret is assumed to exist in its project's scope");
    }
    let mut success = true;
    for (number, pod) in pods.iter().enumerate() {
        let separator = if number == 0 { "" } else { "---\n" };
        let admission = Admission::new(pod, namespace.as_deref(), &settings, secrets.as_ref());
        let preview = admission.decide();
        success &= preview.outcome != Outcome::Refused;
        if *explain {
            match shape {
                Shape::Json => output::json(&preview),
                Shape::Yaml => output::data(&format!("{separator}{}", yaml::write(&preview))),
                Shape::Diff | Shape::Patch => output::print(&explanation(&preview)),
            }
            continue;
        }
        if preview.outcome != Outcome::Refused {
            let (before, after) = admission.before_and_after(&preview, *show_values).map_err(Error::Placeholders)?;
            show(*shape, &source.name, separator, &before, &after);
        }
        preview.warnings.iter().for_each(|warning| output::warning(warning));
        if preview.outcome == Outcome::Untouched {
            output::note(&format!("{} is unchanged", pod.name));
        }
        if let Some(Refused { code, message }) = preview.refusal {
            output::error(&format!("{} is rejected with code {code}: {message}", pod.name));
        }
    }
    Ok(success)
}

fn show(shape: Shape, name: &str, separator: &str, before: &Value, after: &Value) {
    match shape {
        Shape::Diff => output::data(&output::diff(name, &yaml::write(before), &yaml::write(after))),
        Shape::Yaml => output::data(&format!("{separator}{}", yaml::write(after))),
        Shape::Json => output::json(after),
        Shape::Patch => output::json(&json_patch::diff(before, after)),
    }
}

/// What stands between a secret request and the reasons of managers in a rejection.
const FACT: &str = " cannot be injected";

/// Returns the explanation as text.
fn explanation(preview: &Preview) -> String {
    let mut lines = vec![format!("{} in namespace {}", preview.name, preview.namespace)];
    for ExplainedRequest { annotation, asks, managers } in &preview.requests {
        lines.push(format!("  {annotation} asks for {asks}"));
        if managers.is_empty() {
            lines.push("    no manager asked".to_owned());
        }
        for AskedManager { manager, takes, source, reason, read } in managers {
            lines.push(match source {
                Some(source) => format!("    {manager}: injected from {source}"),
                None => format!("    {manager}: not injected: {}", reason.as_deref().unwrap_or_default()),
            });
            // The reason of a manager that declines lists its lookups.
            let missing = read.iter().filter(|read| *takes && !read.found);
            lines.extend(missing.map(|LookedUp { name, object, .. }| format!("      not found: {name} ({object})")));
        }
    }
    lines.extend(preview.warnings.iter().map(|warning| format!("  warning: {warning}")));
    lines.push(match &preview.refusal {
        Some(Refused { code, message }) => {
            // Above stand the reasons of each manager.
            let asked = preview.requests.iter().any(|it| it.managers.last().is_some_and(|last| !last.takes));
            let fact = message.find(FACT).filter(|_| asked).and_then(|at| message.get(..at + FACT.len()));
            format!("rejected with code {code}: {}", fact.unwrap_or(message))
        }
        None => "accepted".to_owned(),
    });
    lines.join("\n") + "\n"
}
