//! Files that are whole or absent: written beside their final place, then renamed onto it.
//!
//! A full disk, a kill or an error half way leaves the folder as it was. The cost is that the file's folder
//! must be writable, not only the file. What a path leads to is looked at first: a link stays and its target
//! is written, and a device, a pipe or an open stream (`/dev/null`, `/dev/stdout`) is written to as it is. A
//! temporary file is locked while its writer lives, so what killed writers left is recognised and removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};
use crate::lock::is_the_one;

const PREFIX: &str = ".ee-";
const SUFFIX: &str = ".partial";

/// As many links as the system itself follows.
const LONGEST_CHAIN: usize = 40;

/// Writes `path` through `fill`; the file appears only when `fill` and the final flush succeed.
///
/// # Errors
/// [`Error::Io`] naming the path, or whatever `fill` returns.
pub fn write_whole<E: From<Error>>(
    path: &Path,
    fill: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    match destination(path)? {
        Destination::Stream => {
            // Appends to what an open stream's file holds (`>>`), rather than overwriting it.
            let file = OpenOptions::new().append(true).open(path);
            fill(&mut file.map_err(Error::io("write", path))?)
        }
        Destination::File(place) => {
            let folder = folder_of(&place);
            fs::create_dir_all(folder).map_err(Error::io("create the folder of", path))?;
            remove_abandoned(folder);
            let mode = fs::metadata(&place).ok().map(|found| found.permissions());
            let mut temporary = temporary_file(folder).map_err(Error::io("write", path))?;
            fill(temporary.as_file_mut())?;
            let file = temporary.as_file();
            mode.map_or(Ok(()), |mode| file.set_permissions(mode))
                .and_then(|()| file.sync_all())
                .map_err(Error::io("write", path))?;
            let kept = temporary.persist(&place);
            kept.map_err(|error| Error::io("write", path)(error.error))?;
            Ok(())
        }
    }
}

/// Writes `text` to `path`, whole or not at all.
///
/// # Errors
/// [`Error::Io`] naming the path.
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    write_whole(path, |file| file.write_all(text.as_bytes()).map_err(Error::io("write", path)))
}

/// Checks before long work that `path` can be written at its end.
///
/// # Errors
/// [`Error::Io`] naming the path.
pub fn check_writable(path: &Path) -> Result<()> {
    match destination(path)? {
        // Not opened: a pipe's reader would see the end of the stream.
        Destination::Stream => rustix::fs::access(path, Access::WRITE_OK)
            .map_err(|error| Error::io("write", path)(error.into())),
        Destination::File(place) => {
            let folder = folder_of(&place);
            fs::create_dir_all(folder).map_err(Error::io("create the folder of", path))?;
            temporary_file(folder).map(drop).map_err(Error::io("write", path))
        }
    }
}

/// Whether `path` leads to what is not a file and so is written to as it is: nothing can lie beside it.
///
/// # Errors
/// [`Error::Io`] where it cannot be looked at.
pub fn is_stream(path: &Path) -> Result<bool> {
    Ok(matches!(destination(path)?, Destination::Stream))
}

/// Removes the temporary files in a folder whose writers are dead. What cannot be removed stays.
pub fn remove_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(is_temporary);
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        // Its writer holds the lock as long as it lives. Where locks do not work nothing is removed.
        if let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
            && is_the_one(&file, &path)
        {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Whether a name is that of a file that is being written, or was being written when its writer was killed.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// What a path leads to.
enum Destination {
    /// A file, there already or not; no link.
    File(PathBuf),
    /// A device, a pipe, a stream that is open already.
    Stream,
}

/// Follows links to what is to be written.
fn destination(path: &Path) -> Result<Destination> {
    let failed = |kind: ErrorKind| Error::io("write", path)(kind.into());
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Ok(Destination::Stream);
    }
    let mut place = path.to_owned();
    for _ in 0..LONGEST_CHAIN {
        // An open stream keeps its file: what replaces the name would not be what the stream's owner reads.
        let is_process_file = place.starts_with("/proc") || place.starts_with("/dev/fd");
        let found = match fs::symlink_metadata(&place) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Destination::File(place));
            }
            found => found.map_err(Error::io("write", path))?,
        };
        if found.is_symlink() && is_process_file {
            return Ok(Destination::Stream);
        } else if found.is_symlink() {
            let target = fs::read_link(&place).map_err(Error::io("write", path))?;
            place = folder_of(&place).join(target);
        } else if found.is_dir() {
            return Err(failed(ErrorKind::IsADirectory));
        } else if found.permissions().readonly() {
            return Err(failed(ErrorKind::PermissionDenied));
        } else {
            return Ok(Destination::File(place));
        }
    }
    Err(failed(ErrorKind::NotFound))
}

/// The folder in which a file stands.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A hidden file in `folder`, locked, removed when dropped, with the permissions of an ordinary new file.
fn temporary_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // The process's umask still applies.
    builder.prefix(PREFIX).suffix(SUFFIX).permissions(fs::Permissions::from_mode(0o666));
    loop {
        let temporary = builder.tempfile_in(folder)?;
        // Between creation and locking, another process may take it for an abandoned one.
        let is_taken = matches!(temporary.as_file().try_lock(), Err(fs::TryLockError::WouldBlock));
        if !is_taken && is_the_one(temporary.as_file(), temporary.path()) {
            return Ok(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, symlink};

    use super::*;

    #[test]
    fn failure_leaves_nothing_behind_and_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        write_text(&path, "old").unwrap();
        let outcome = write_whole(&path, |file| {
            file.write_all(b"half").unwrap();
            Err(Error::io("write", &path)(ErrorKind::StorageFull.into()))
        });
        assert!(outcome.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_unwritable_place_is_named() {
        let error = write_text(Path::new("/proc/no/such/results.json"), "x").unwrap_err();
        assert!(error.to_string().contains("/proc/no/such/results.json"), "{error}");
    }

    #[test]
    fn links_stay_and_their_targets_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("elsewhere")).unwrap();
        fs::write(at("elsewhere/file"), "old").unwrap();
        fs::set_permissions(at("elsewhere/file"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("elsewhere/file", at("first")).unwrap();
        symlink("first", at("second")).unwrap();
        symlink("elsewhere/absent", at("dangling")).unwrap();
        for (name, target) in [("second", "elsewhere/file"), ("dangling", "elsewhere/absent")] {
            check_writable(&at(name)).unwrap();
            write_text(&at(name), "new").unwrap();
            assert!(fs::symlink_metadata(at(name)).unwrap().is_symlink());
            assert!(!fs::symlink_metadata(at(target)).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(at(target)).unwrap(), "new");
        }
        let mode = fs::metadata(at("elsewhere/file")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        symlink("round", at("round")).unwrap();
        assert!(write_text(&at("round"), "x").is_err());
    }

    #[test]
    fn what_an_open_stream_holds_stays() {
        use std::os::fd::AsRawFd;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "kept\n").unwrap();
        let open = OpenOptions::new().append(true).open(&path).unwrap();
        write_text(Path::new(&format!("/dev/fd/{}", open.as_raw_fd())), "new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept\nnew\n");
    }

    #[test]
    fn devices_and_pipes_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        symlink("/dev/null", folder.path().join("null")).unwrap();
        check_writable(&pipe).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe).unwrap()
        });
        write_text(&pipe, "through").unwrap();
        assert_eq!(reader.join().unwrap(), "through");
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        for path in [Path::new("/dev/null"), &folder.path().join("null")] {
            check_writable(path).unwrap();
            assert!(is_stream(path).unwrap() && !is_stream(&folder.path().join("absent")).unwrap());
            write_text(path, "gone").unwrap();
            assert!(fs::metadata(path).unwrap().file_type().is_char_device());
        }
        assert!(
            write_text(Path::new("/dev/full"), "x").unwrap_err().to_string().contains("/dev/full")
        );
    }

    #[test]
    fn a_folder_or_a_read_only_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check_writable(folder.path()).is_err());
        let path = folder.path().join("kept");
        fs::write(&path, "kept").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        assert!(check_writable(&path).is_err() && write_text(&path, "x").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
    }

    #[test]
    fn what_killed_writers_left_goes_and_what_others_write_stays() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".ee-eval-abc.partial"), "of a dead process").unwrap();
        fs::write(folder.path().join("mine.partial"), "of the user").unwrap();
        let alive = temporary_file(folder.path()).unwrap();
        write_text(&folder.path().join("results"), "x").unwrap();
        assert!(!folder.path().join(".ee-eval-abc.partial").exists());
        assert!(folder.path().join("mine.partial").exists() && alive.path().exists());
    }
}
