//! Which folders are this project's: those that carry its mark.
//!
//! A folder that is not empty and has no mark was filled by something else. It is refused, never emptied. The
//! mark is the first file in a folder and the last one out, so that a process killed at any moment leaves a
//! folder that is empty or marked.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::whole::{is_temporary, write_text};
use crate::{lock, whole};

/// The mark's file in its folder.
const NAME: &str = ".ee-made";

/// The mark of one kind of folder, for example `the parts of a trace`.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    kind: &'static str,
}

impl Mark {
    /// The mark of a kind of folder, named as messages name it.
    #[must_use]
    pub const fn new(kind: &'static str) -> Self {
        Self { kind }
    }

    /// Makes a folder, takes an empty one, or finds that it carries the mark already.
    ///
    /// # Errors
    /// [`Error::Foreign`] where something else lies in it; [`Error::Io`] where it cannot be read or written.
    pub fn claim(self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        if self.is_on(folder) {
            return Ok(());
        }
        if let Some(found) = foreign_entry(folder)? {
            let expected = self.kind.to_owned();
            return Err(Error::Foreign { folder: folder.to_owned(), found, expected });
        }
        write_text(&folder.join(NAME), &format!("{}\n", self.kind))
    }

    /// Whether a folder carries the mark.
    #[must_use]
    pub fn is_on(self, folder: &Path) -> bool {
        fs::read_to_string(folder.join(NAME)).is_ok_and(|text| text.trim_end() == self.kind)
    }

    /// Removes a folder that carries the mark, with everything in it; an absent one is not an error, nor is
    /// an empty one, which a killed removal leaves.
    ///
    /// # Errors
    /// [`Error::Foreign`] where it carries no mark; [`Error::Io`] where something cannot be removed.
    pub fn remove(self, folder: &Path) -> Result<()> {
        if !folder.try_exists().map_err(Error::io("read", folder))? {
            return Ok(());
        }
        if !self.is_on(folder) {
            if let Some(found) = foreign_entry(folder)? {
                let expected = self.kind.to_owned();
                return Err(Error::Foreign { folder: folder.to_owned(), found, expected });
            }
            whole::remove_abandoned(folder);
        }
        for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
            let entry = entry.map_err(Error::io("read", folder))?;
            if entry.file_name() == NAME {
                continue;
            }
            let path = entry.path();
            let is_folder = entry.file_type().map_err(Error::io("read", &path))?.is_dir();
            let removed =
                if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(Error::io("remove", &path))?;
        }
        let mark = folder.join(NAME);
        match fs::remove_file(&mark) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &mark)(error));
            }
            _ => {}
        }
        // A link to the folder stays with the empty folder that it names: someone chose it.
        if fs::symlink_metadata(folder).is_ok_and(|found| found.is_symlink()) {
            return Ok(());
        }
        fs::remove_dir(folder).map_err(Error::io("remove", folder))
    }
}

/// Something in a folder that is neither a mark nor a lock nor an unfinished file of this project, if there
/// is anything.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be read.
pub fn foreign_entry(folder: &Path) -> Result<Option<String>> {
    let mut found: Option<String> = None;
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let name = entry.map_err(Error::io("read", folder))?.file_name();
        let name = name.to_string_lossy().into_owned();
        let is_ours = name == NAME || name == lock::NAME || is_temporary(&name);
        // The first by name, so that a message can be repeated.
        if !is_ours && found.as_ref().is_none_or(|first| name < *first) {
            found = Some(name);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: Mark = Mark::new("the parts of a test");

    #[test]
    fn only_a_marked_folder_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("parts");
        PARTS.claim(&folder).unwrap();
        PARTS.claim(&folder).unwrap();
        fs::create_dir(folder.join("inner")).unwrap();
        fs::write(folder.join("inner/part"), "1").unwrap();
        let other = Mark::new("another kind").remove(&folder).unwrap_err().to_string();
        assert!(other.contains("holds 'inner'") && other.contains("another kind"), "{other}");
        PARTS.remove(&folder).unwrap();
        assert!(!folder.exists());
        PARTS.remove(&folder).unwrap();
    }

    #[test]
    fn what_others_made_is_refused_and_stays() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("precious"), "x").unwrap();
        for outcome in [PARTS.claim(place.path()), PARTS.remove(place.path())] {
            let message = outcome.unwrap_err().to_string();
            assert!(
                message.contains("'precious'") && message.contains("parts of a test"),
                "{message}"
            );
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_removal_that_was_killed_goes_on() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("parts");
        // Killed after the mark went, before the folder did.
        fs::create_dir(&folder).unwrap();
        PARTS.remove(&folder).unwrap();
        assert!(!folder.exists());
    }
}
