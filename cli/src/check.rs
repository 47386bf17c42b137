//! `check`: reports errors in Flyte's `webhook` section, with their place in the file.

use flyte_secrets_explain::check::{self, CheckedSettings};
use flyte_secrets_explain::flyte::{Configuration, Version};

use crate::output::{self, Format};
use crate::{Error, choice, read};

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
    #[arg(long, value_name = "VERSION", value_parser = choice(["1", "2"], Version::from_number))]
    pub flyte_version: Option<Version>,
}

pub fn run(arguments: &Arguments) -> Result<bool, Error> {
    let source = read(&arguments.file)?;
    let checked = check::check(&source, arguments.flyte.flyte_version)?;
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
    Ok(checked.valid)
}
