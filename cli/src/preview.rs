//! `preview`: the pod as it will be, or why it is refused.

use clap::ValueEnum;
use flyte_secrets_explain::preview::{Admission, AskedManager, Explained, NoRoom, Outcome};
use flyte_secrets_explain::source;
use flyte_secrets_explain::store::{self, Store};
use flyte_secrets_explain::tree::{Kind, Node};
use flyte_secrets_explain::yaml;

use crate::check;
use crate::files;
use crate::output::{self, Answer};

/// Show the pod as the policy will make it, or why it is refused
#[derive(clap::Args)]
pub struct Arguments {
    /// Pods, or workloads with a pod's template; - for standard input
    #[arg(short, long)]
    file: String,
    /// Flyte's webhook section, as `check` finds it; Flyte's defaults without it
    #[arg(long, value_name = "FILE")]
    settings: Option<String>,
    /// What the stores hold; without it, each secret that is asked for is taken to be in its project's scope
    #[arg(long, value_name = "FILE")]
    secrets: Option<String>,
    /// The namespace that the pod is created in; the pod's own without it
    #[arg(short, long)]
    namespace: Option<String>,
    /// What is printed of the pod
    #[arg(short, long, value_enum, default_value = "diff")]
    output: Shape,
    /// Say for each request which managers are asked, which names are looked up, and why
    #[arg(long)]
    explain: bool,
    /// Print secrets' values, which else are named only
    #[arg(long, requires = "secrets")]
    show_values: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Shape {
    /// What changes; with --explain, text
    Diff,
    Yaml,
    Json,
    /// The JSON patch that the API server gets
    Patch,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] files::Error),
    #[error(transparent)]
    Source(#[from] source::Error),
    #[error(transparent)]
    Settings(#[from] check::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("{0}; use --show-values")]
    Placeholders(#[from] NoRoom),
    #[error("--explain can be written as diff, yaml or json, not as patch")]
    ExplainedPatch,
}

pub fn run(arguments: &Arguments) -> Result<Answer, Error> {
    if arguments.explain && arguments.output == Shape::Patch {
        return Err(Error::ExplainedPatch);
    }
    let source = files::read(&arguments.file)?;
    let pods = source.pods()?;
    let defaults = || Ok(Kind::Map(Vec::new()).into());
    let settings = arguments.settings.as_deref().map_or_else(defaults, check::settings)?;
    let secrets = arguments.secrets.as_deref().map(files::read).transpose()?;
    let secrets = secrets.as_ref().map(Store::read).transpose()?;
    if secrets.is_none() {
        output::note("no --secrets are given: each secret that is asked for is taken to be in its project's scope");
    }
    let mut answer = Answer::Yes;
    for (number, pod) in pods.iter().enumerate() {
        let separator = if number == 0 { "" } else { "---\n" };
        let admission = Admission::new(pod, arguments.namespace.as_deref(), &settings, secrets.as_ref());
        let outcome = admission.decide();
        answer = answer.and(Answer::yes_if(!matches!(outcome, Outcome::Refused { .. })));
        if arguments.explain {
            let explained = admission.explain();
            let json = output::written(|json| {
                admission.write(&outcome, &explained, json.object());
                json.end_object();
            });
            match arguments.output {
                Shape::Json => output::value(&json),
                Shape::Yaml => output::print(&format!("{separator}{}", output::yaml(&json))),
                _ => output::print(&explanation(&admission, &outcome, &explained)),
            }
            continue;
        }
        let (before, after) = match &outcome {
            Outcome::Changed { pod: after, .. } if arguments.show_values => (pod.object.clone(), after.clone()),
            _ => admission.without_values(&outcome)?,
        };
        if !matches!(outcome, Outcome::Refused { .. }) {
            show(arguments.output, &source.name, separator, &before, &after);
        }
        outcome.warnings().iter().for_each(|warning| output::warning(warning));
        match outcome {
            Outcome::Untouched { .. } => output::note(&format!("{} is let through as it is", pod.name)),
            Outcome::Changed { .. } => {}
            Outcome::Refused { code, message, .. } => {
                output::error(&format!("{} is refused with code {code}: {message}", pod.name));
            }
        }
    }
    Ok(answer)
}

fn show(shape: Shape, name: &str, separator: &str, before: &Node, after: &Node) {
    let value = |node: &Node| output::written(|json| node.write(json));
    match shape {
        Shape::Diff => output::print(&output::diff(name, &yaml::write(before), &yaml::write(after))),
        Shape::Yaml => output::print(&format!("{separator}{}", yaml::write(after))),
        Shape::Json => output::value(&value(after)),
        Shape::Patch => output::value(&serde_json::json!(json_patch::diff(&value(before), &value(after)))),
    }
}

/// The explanation for people.
fn explanation(admission: &Admission, outcome: &Outcome, explained: &[Explained]) -> String {
    let mut lines = vec![format!("{} in namespace {}", admission.pod.name, admission.namespace)];
    for Explained { annotation, asks, managers } in explained {
        lines.push(format!("  {annotation} asks for {asks}"));
        for AskedManager { manager, answer, read } in managers {
            match answer {
                Ok(source) => lines.push(format!("    {manager} takes it: {source}")),
                // What a manager that gives up has looked for stands in its reason.
                Err(reason) => {
                    lines.push(format!("    {manager} does not: {reason}"));
                    continue;
                }
            }
            for asked in read.iter().filter(|asked| !asked.found) {
                lines.push(match asked.object.ends_with(&asked.name) {
                    true => format!("      not there: {}", asked.object),
                    false => format!("      not there: {} ({})", asked.name, asked.object),
                });
            }
        }
    }
    lines.extend(outcome.warnings().iter().map(|warning| format!("  warning: {warning}")));
    lines.push(match outcome {
        Outcome::Refused { code, message, .. } => format!("refused with code {code}: {message}"),
        Outcome::Untouched { .. } | Outcome::Changed { .. } => "accepted".to_owned(),
    });
    lines.join("\n") + "\n"
}
