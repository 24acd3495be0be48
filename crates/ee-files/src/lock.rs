//! One process at a time works in a folder.
//!
//! The lock is the operating system's on an open file, so it goes with the process however that ends, and a
//! file that a killed process left behind means nothing. Who holds it is written into the file for the
//! message that a second process shows. The file is removed at the end: a process that locked a file that is no longer
//! the one in the folder tries again. Where the file system has no locks, the work goes on with a note.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::note;

/// The lock's file in its folder.
pub(crate) const NAME: &str = ".ee-lock";

/// The right to work in a folder, until dropped or until the process ends.
#[derive(Debug)]
pub struct FolderLock {
    path: PathBuf,
    /// Locked as long as it is open.
    _file: File,
}

impl FolderLock {
    /// Takes the lock of a folder, which must exist, for a program of this name.
    ///
    /// # Errors
    /// [`Error::InUse`] where another process holds it; [`Error::Io`] where the folder cannot be written.
    pub fn take(folder: &Path, program: &str) -> Result<Self> {
        let path = folder.join(NAME);
        loop {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                // A link is not a lock, and its target is not ours.
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
                .open(&path)
                .map_err(Error::io("lock", folder))?;
            match file.try_lock() {
                Ok(()) if !is_the_one(&file, &path) => continue,
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let holder = fs::read_to_string(&path).unwrap_or_default();
                    let holder = match holder.trim() {
                        "" => "another process".to_owned(),
                        holder => holder.to_owned(),
                    };
                    return Err(Error::InUse { folder: folder.to_owned(), holder });
                }
                Err(TryLockError::Error(error)) => note!(
                    "notice: cannot lock {} ({error}): see that no other process works there",
                    folder.display()
                ),
            }
            describe(&mut file, program).map_err(Error::io("write", &path))?;
            return Ok(Self { path, _file: file });
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // While it is still locked. A file that stays means nothing.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether a path still leads to an open file.
pub(crate) fn is_the_one(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(found)) => (open.dev(), open.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// Says in the lock's file who holds it.
fn describe(file: &mut File, program: &str) -> io::Result<()> {
    let machine = rustix::system::uname();
    let holder = format!(
        "{program}, process {} on {}, since {}\n",
        std::process::id(),
        machine.nodename().to_string_lossy(),
        humantime::format_rfc3339_seconds(SystemTime::now()),
    );
    file.set_len(0)?;
    file.write_all(holder.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_the_second_hears_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path(), "ee-test").unwrap();
        let refused = FolderLock::take(folder.path(), "ee-test").unwrap_err().to_string();
        let me = format!("ee-test, process {} on ", std::process::id());
        assert!(refused.contains(&me) && refused.contains("since 2"), "{refused}");
        drop(first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        FolderLock::take(folder.path(), "ee-test").unwrap();
    }

    #[test]
    fn a_link_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        std::os::unix::fs::symlink(&target, folder.path().join(NAME)).unwrap();
        assert!(FolderLock::take(folder.path(), "ee-test").is_err());
        assert!(!target.exists());
    }

    #[test]
    fn a_file_left_behind_means_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), "ee-test, process 1 on elsewhere").unwrap();
        FolderLock::take(folder.path(), "ee-test").unwrap();
    }
}
