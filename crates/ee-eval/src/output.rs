//! Files that are whole or absent, and folders that are a report's alone; see [`ee_files`].

use std::path::Path;

use ee_files::{FolderLock, Mark};
use serde::Serialize;
use tempfile::TempDir;

use crate::error::{EvalError, Result};

/// Writes any results as indented JSON.
pub(crate) fn write_json(path: &Path, results: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(results)
        .map_err(|source| EvalError::Encode { path: path.to_owned(), source })?;
    text.push('\n');
    Ok(ee_files::write_text(path, &text)?)
}

/// Takes a folder for the report of a command, which no other process writes as long as the lock lives: a new
/// folder, an empty one, or an earlier report of the same command. `kind` is `a report of ee-eval VERB`.
pub(crate) fn claim(folder: &Path, kind: &'static str) -> Result<FolderLock> {
    Mark::new(kind).claim(folder)?;
    Ok(FolderLock::take(folder, "ee-eval")?)
}

/// A folder for what is not kept, which goes with the value.
pub(crate) fn temporary() -> Result<TempDir> {
    let failed = |source| EvalError::Io { action: "write", path: std::env::temp_dir(), source };
    tempfile::tempdir().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_written_over_by_its_own_command_alone() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("report");
        let (gates, ideal) = ("a report of ee-eval gates", "a report of ee-eval ideal");
        let lock = claim(&folder, gates).unwrap();
        let second = claim(&folder, gates).unwrap_err().to_string();
        assert!(second.contains("in use"), "{second}");
        drop(lock);
        // Killed before its first file, then a whole one.
        drop(claim(&folder, gates).unwrap());
        std::fs::write(folder.join("results.json"), "{}").unwrap();
        drop(claim(&folder, gates).unwrap());
        let other = claim(&folder, ideal).unwrap_err().to_string();
        assert!(other.contains("results.json") && other.contains(ideal), "{other}");
        assert_eq!(std::fs::read_to_string(folder.join("results.json")).unwrap(), "{}");
    }
}
