//! Shell completions and manual pages.

use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;

use crate::{Error, output};

/// Print a shell completion script
#[derive(clap::Args)]
pub struct Completions {
    /// Shell to generate the script for
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the manual page, or write the pages of all commands into a folder
#[derive(clap::Args)]
pub struct Man {
    /// Existing folder to write to
    folder: Option<PathBuf>,
}

pub fn completions(arguments: &Completions, mut command: Command) -> Result<bool, Error> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "flyte-secrets", &mut script);
    output::print(&String::from_utf8_lossy(&script));
    Ok(true)
}

pub fn man(arguments: &Man, command: Command) -> Result<bool, Error> {
    if let Some(folder) = &arguments.folder {
        clap_mangen::generate_to(command, folder).map_err(|error| Error::Manual(folder.clone(), error))?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(Error::Page)?;
        output::print(&String::from_utf8_lossy(&page));
    }
    Ok(true)
}
