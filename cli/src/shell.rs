//! Shell completions and manual pages.

use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;

use crate::output::{self, Answer};

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

/// An error that prevents writing the manual.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to write the manual pages to {0}: {1}; name an existing folder")]
    Folder(PathBuf, std::io::Error),
    #[error("failed to write the manual page: {0}")]
    Output(std::io::Error),
}

pub fn completions(arguments: &Completions, mut command: Command) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "flyte-secrets", &mut script);
    output::print(&String::from_utf8_lossy(&script));
    Answer::Yes
}

pub fn man(arguments: &Man, command: Command) -> Result<Answer, Error> {
    match &arguments.folder {
        Some(folder) => {
            clap_mangen::generate_to(command, folder).map_err(|error| Error::Folder(folder.clone(), error))?
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page).map_err(Error::Output)?;
            output::print(&String::from_utf8_lossy(&page));
        }
    }
    Ok(Answer::Yes)
}
