//! Files are written completely or not at all, also on failures of the volume.

use std::fs;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use flyte_secrets_pull::write::Staged;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use crate::{expected, listing};

fn write(path: &Path, contents: &[u8]) -> Result<usize, String> {
    let mut staged = Staged::default();
    let added = staged.add(path, 0o444, &mut &*contents, contents.len() as u64);
    added.and_then(|()| staged.commit()).map_err(|error| error.to_string())
}

/// A volume in memory, as Kubernetes has it.
struct Volume(tempfile::TempDir);

impl Volume {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        match mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), c"size=64k") {
            Ok(()) => Some(Self(folder)),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "a tmpfs cannot be mounted: {error}");
                println!("not tested: a tmpfs cannot be mounted: {error}");
                None
            }
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        unmount(self.0.path(), UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn files_appear_together() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    // What a process that was killed left behind.
    fs::write(folder.path().join("~0"), "partial").unwrap();
    let mut staged = Staged::default();
    staged.add(&a, 0o444, &mut &b"one"[..], 3).unwrap();
    staged.add(&b, 0o400, &mut &b"two"[..], 3).unwrap();
    assert_eq!(listing(folder.path()), expected(&[("~0", 0o444, b"one"), ("~1", 0o400, b"two")]));
    assert_eq!(staged.commit().unwrap(), 2);
    let both = expected(&[("a", 0o444, b"one"), ("b", 0o400, b"two")]);
    assert_eq!(listing(folder.path()), both);

    // What ends early leaves what was there.
    let mut staged = Staged::default();
    staged.add(&a, 0o444, &mut &b"new"[..], 3).unwrap();
    let error = staged.add(&b, 0o400, &mut &b"sho"[..], 4).unwrap_err();
    assert_eq!(error.to_string(), "incomplete response: unexpected end of file");
    drop(staged);
    assert_eq!(listing(folder.path()), both);
}

#[test]
fn readers_see_the_old_file_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let contents = |byte| vec![byte; 1 << 20];
    write(&path, &contents(0)).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = [false; 2];
            while !done.load(Ordering::Relaxed) {
                let read = fs::read(&path).unwrap();
                assert!(read.len() == 1 << 20 && read.iter().all(|byte| *byte == read[0]));
                seen[usize::from(read[0] % 2)] = true;
            }
            seen
        });
        for byte in 1..=100 {
            assert_eq!(write(&path, &contents(byte)), Ok(1));
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(reader.join().unwrap(), [true; 2]);
    });
}

#[test]
fn full_and_read_only_volumes_keep_their_files() {
    let Some(volume) = Volume::new() else { return };
    let path = volume.0.path().join("a");
    let failed = |problem| Err(format!("cannot write {}: {problem}", path.display()));
    write(&path, b"old").unwrap();
    assert_eq!(write(&path, &[0; 128 * 1024]), failed("No space left on device (os error 28)"));
    assert_eq!(listing(volume.0.path()), expected(&[("a", 0o444, b"old")]));
    assert_eq!(write(&path, &[1; 32 * 1024]), Ok(1));
    mount_remount(volume.0.path(), MountFlags::RDONLY, "").unwrap();
    assert_eq!(write(&path, b"x"), failed("Read-only file system (os error 30)"));
    assert_eq!(listing(volume.0.path()), expected(&[("a", 0o444, &[1; 32 * 1024])]));
}

#[test]
fn large_values_are_not_held_in_memory() {
    /// Zeros, and how many were asked for at once.
    struct Zeros(usize);
    impl Read for Zeros {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.max(buffer.len());
            buffer.fill(0);
            Ok(buffer.len())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut zeros = BufReader::new(Zeros(0));
    let mut staged = Staged::default();
    staged.add(&path, 0o444, &mut zeros, 64 << 20).unwrap();
    assert_eq!(staged.commit().unwrap(), 1);
    assert_eq!((fs::metadata(&path).unwrap().len(), zeros.get_ref().0), (64 << 20, 8 * 1024));
}

#[test]
fn unchanged_files_are_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let inode = || fs::metadata(&path).map(|it| it.ino()).ok();
    for (contents, changed) in [(&b"x"[..], 1), (b"x", 0), (b"y", 1), (b"yy", 1), (b"", 1), (b"", 0)] {
        let before = inode();
        assert_eq!(write(&path, contents), Ok(changed), "{contents:?}");
        assert_eq!(inode() != before, changed == 1, "{contents:?}");
        assert_eq!(listing(folder.path()), expected(&[("a", 0o444, contents)]));
    }
}
