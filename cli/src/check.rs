//! `check`: what is wrong in Flyte's `webhook` section, shown in its file.

use flyte_secrets_explain::check::{self, Checked, Finding};
use serde_json::Value;

use crate::files;
use crate::output::{self, Answer, Format};

/// Check Flyte's webhook section: alone, in a whole configuration, in a ConfigMap or in a policy
#[derive(clap::Args)]
pub struct Arguments {
    /// A file, or - for standard input
    file: String,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

/// Why there is nothing to check.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] files::Error),
    #[error(transparent)]
    Check(#[from] check::Error),
}

pub fn run(arguments: &Arguments) -> Result<Answer, Error> {
    let source = files::read(&arguments.file)?;
    let checked = check::check(&source)?;
    match arguments.output {
        Format::Json => output::json(&checked),
        Format::Text => {
            let Checked { valid, sections, findings, .. } = &checked;
            for Finding { severity, message, place, .. } in findings {
                output::print(&output::finding(*severity, message, &source, *place));
            }
            if *valid {
                output::print(&format!("{}: {} valid\n", source.name, sections.join(", ")));
            }
        }
    }
    Ok(Answer::yes_if(checked.valid))
}

/// Returns the one section in a file, which must be valid, as the policy reads it.
pub fn settings(path: &str) -> Result<Value, Error> {
    Ok(check::settings(&files::read(path)?)?)
}
