//! Files that are written completely or not at all: first under temporary names, then renamed together.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::Error;

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
    pub fn add(&mut self, path: &Path, mode: u32, contents: &mut impl BufRead, bytes: u64) -> Result<(), Error> {
        let failed = |error| Error::Write(path.to_owned(), error);
        // Keys cannot contain this character.
        let temporary = path.with_file_name(format!("~{}", self.files.len()));
        // A killed process can have left one.
        remove(&temporary).map_err(failed)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(failed)?;
        self.files.push((temporary, path.to_owned()));
        copy(contents, bytes, &mut file, failed)?;
        // Independent of the umask.
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed)
    }

    /// Renames the files, except those that exist with the same contents, and returns the number of changed files.
    ///
    /// # Errors
    /// A file cannot be renamed.
    pub fn commit(self) -> Result<usize, Error> {
        let mut changed = 0;
        for (temporary, path) in &self.files {
            let failed = |error| Error::Write(path.clone(), error);
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

/// Copies `bytes` bytes of a response. `failed` converts an error of writing.
///
/// # Errors
/// The response ends early or cannot be read, or the bytes cannot be written.
pub fn copy(
    response: &mut impl BufRead,
    bytes: u64,
    target: &mut impl Write,
    failed: impl Fn(io::Error) -> Error,
) -> Result<(), Error> {
    let mut rest = response.take(bytes);
    while rest.limit() > 0 {
        let read = match rest.fill_buf() {
            Ok([]) => return Err(Error::CutOff(ErrorKind::UnexpectedEof.into())),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::CutOff(error)),
        };
        target.write_all(read).map_err(&failed)?;
        let length = read.len();
        rest.consume(length);
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether two files exist with the same contents.
fn same(new: &Path, old: &Path) -> io::Result<bool> {
    let old = match File::open(old) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        old => old?,
    };
    let [mut new, mut old] = [File::open(new)?, old].map(|file| BufReader::new(file).bytes());
    loop {
        match (new.next().transpose()?, old.next().transpose()?) {
            (None, None) => return Ok(true),
            (new, old) if new != old => return Ok(false),
            _ => {}
        }
    }
}
