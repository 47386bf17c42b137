//! Files that are written completely or not at all: first under temporary names, then renamed together.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {error}", path.display())]
pub struct NotWritten {
    /// The final name of the file.
    path: PathBuf,
    error: io::Error,
}

/// An error of staging a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] NotWritten),
    /// Its contents ended early or cannot be read.
    #[error("incomplete response: {0}")]
    Read(#[from] io::Error),
}

/// Files under temporary names. Those that are not committed are removed on drop.
#[derive(Debug, Default)]
pub struct Staged {
    files: Vec<(PathBuf, PathBuf)>,
}

impl Staged {
    /// Writes a file of `bytes` bytes, under a temporary name in the folder of `path`.
    ///
    /// # Errors
    /// It cannot be written, or its contents cannot be read.
    pub fn add(&mut self, path: &Path, mode: u32, contents: &mut impl Read, bytes: u64) -> Result<(), Error> {
        let failed = |error| NotWritten { path: path.to_owned(), error };
        // Keys cannot contain this character.
        let temporary = path.with_file_name(format!("~{}", self.files.len()));
        // A killed process can have left one.
        remove(&temporary).map_err(failed)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(failed)?;
        self.files.push((temporary, path.to_owned()));
        let mut rest = bytes;
        let mut buffer = [0; 16 * 1024];
        while rest > 0 {
            let wanted = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
            let read = match contents.read(buffer.get_mut(..wanted).unwrap_or_default()) {
                Ok(0) => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            file.write_all(buffer.get(..read).unwrap_or_default()).map_err(failed)?;
            rest -= read as u64;
        }
        // Independent of the umask.
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
        Ok(())
    }

    /// Renames the files, except those that exist with the same contents, and returns the number of changed files.
    ///
    /// # Errors
    /// A file cannot be renamed.
    pub fn commit(self) -> Result<usize, NotWritten> {
        let mut changed = 0;
        for (temporary, path) in &self.files {
            let failed = |error| NotWritten { path: path.clone(), error };
            if !same(temporary, path).map_err(failed)? {
                fs::rename(temporary, path).map_err(failed)?;
                changed += 1;
            }
        }
        Ok(changed)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for (temporary, _) in &self.files {
            // Renamed files do not exist any longer. Others are removed with the volume.
            let _ = remove(temporary);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether two files exist with the same contents.
fn same(new: &Path, old: &Path) -> io::Result<bool> {
    let (new, old) = match (File::open(new), File::open(old)) {
        (_, Err(error)) if error.kind() == ErrorKind::NotFound => return Ok(false),
        (new, old) => (new?, old?),
    };
    if new.metadata()?.len() != old.metadata()?.len() {
        return Ok(false);
    }
    let mut old = BufReader::new(old).bytes();
    for byte in BufReader::new(new).bytes() {
        if Some(byte?) != old.next().transpose()? {
            return Ok(false);
        }
    }
    Ok(true)
}
