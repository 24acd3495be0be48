//! Files that are whole or absent: written beside their final place, then renamed onto it.
//!
//! A full disk, a kill or an error half way leaves the folder as it was. The cost is that the
//! file's folder must be writable, not only the file.

use std::fs::{self, File};
use std::path::Path;

use crate::error::{EvalError, Result};

/// Writes `path` through `fill`; the file appears only when `fill` and the final flush succeed.
///
/// # Errors
/// [`EvalError::Io`] naming the path, or whatever `fill` returns.
pub fn write_whole(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let failed = |action: &'static str| {
        move |source| EvalError::Io { action, path: path.to_owned(), source }
    };
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(failed("create the folder of"))?;
    let mut temporary = temporary_file(folder).map_err(failed("write"))?;
    fill(temporary.as_file_mut())?;
    temporary.as_file().sync_all().map_err(failed("write"))?;
    temporary.persist(path).map_err(|error| failed("write")(error.error))?;
    Ok(())
}

/// Writes `text` to `path`, whole or not at all.
///
/// # Errors
/// [`EvalError::Io`] naming the path.
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    write_whole(path, |file| {
        file.write_all(text.as_bytes()).map_err(|source| EvalError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
    })
}

/// Checks before long work that `path` can be written at its end.
///
/// # Errors
/// [`EvalError::Io`] naming the path.
pub fn check_writable(path: &Path) -> Result<()> {
    let failed = |source| EvalError::Io { action: "write", path: path.to_owned(), source };
    if path.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(failed)?;
    temporary_file(folder).map(drop).map_err(failed)
}

/// The folder in which a file stands.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A hidden file in `folder`, removed when dropped, with the permissions of an ordinary new file.
fn temporary_file(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".ee-eval-").suffix(".partial");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The process's umask still applies.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_leaves_nothing_behind_and_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        write_text(&path, "old").unwrap();
        let outcome = write_whole(&path, |file| {
            use std::io::Write;
            file.write_all(b"half").unwrap();
            Err(EvalError::Empty { what: "nothing to write".into() })
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
}
