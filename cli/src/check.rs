//! `check`: reports errors in Flyte's `webhook` section, with their place in the file.

use flyte_secrets_explain::check::{self, CheckedSettings, Settings};
use flyte_secrets_explain::flyte::{self, Configuration};
use serde_json::Value;

use crate::files;
use crate::output::{self, Answer, Format};

/// Check Flyte's webhook section: alone, or in a configuration, ConfigMap or policy
#[derive(clap::Args)]
pub struct Arguments {
    /// File to check, or - for standard input
    file: String,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
    #[command(flatten)]
    flyte: Flyte,
}

/// The version of Flyte.
#[derive(clap::Args)]
pub struct Flyte {
    /// Flyte version of the configuration [default: detected from its other sections]
    #[arg(long, value_enum, value_name = "VERSION")]
    flyte_version: Option<Version>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Version {
    #[value(name = "1")]
    One,
    #[value(name = "2")]
    Two,
}

impl Flyte {
    fn version(&self) -> Option<flyte::Version> {
        self.flyte_version.map(|version| match version {
            Version::One => flyte::Version::One,
            Version::Two => flyte::Version::Two,
        })
    }
}

/// An error that prevents the check.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] files::Error),
    #[error(transparent)]
    Check(#[from] check::Error),
}

pub fn run(arguments: &Arguments) -> Result<Answer, Error> {
    let source = files::read(&arguments.file)?;
    let checked = check::check(&source, arguments.flyte.version())?;
    match arguments.output {
        Format::Json => output::json(&checked),
        Format::Text => {
            let CheckedSettings { valid, sections, configurations, findings, .. } = &checked;
            for line in configurations.iter().flat_map(Configuration::summary) {
                output::print(&(line + "\n"));
            }
            findings.iter().for_each(|finding| output::print(&output::finding(finding, &source)));
            if *valid {
                output::print(&format!("{}: {} valid\n", source.name, sections.join(", ")));
            }
        }
    }
    Ok(Answer::yes_if(checked.valid))
}

/// Returns the settings of the only section in a file.
pub fn settings(path: &str) -> Result<Value, Error> {
    Ok(check::settings(&files::read(path)?, None, None)?.settings)
}

/// Returns the only section in a file or in one of its ConfigMaps, with the configuration that it is part of.
pub fn configured(path: &str, flyte: &Flyte, config_map: Option<&str>) -> Result<Settings, Error> {
    Ok(check::settings(&files::read(path)?, flyte.version(), config_map)?)
}
