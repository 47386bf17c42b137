//! What shells and `man` want to know of the commands.

use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;

use crate::output::{self, Answer};

/// Print what a shell needs to complete commands
#[derive(clap::Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the manual page, or write those of all commands into a folder
#[derive(clap::Args)]
pub struct Man {
    /// The folder, which must be there
    folder: Option<PathBuf>,
}

/// Why there is no manual.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the manual cannot be written to {0}: {1}; name a folder that exists")]
    Folder(PathBuf, std::io::Error),
    #[error("the manual cannot be written: {0}")]
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
