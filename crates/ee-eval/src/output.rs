//! Files that are whole or absent; see [`ee_files`].

use std::fs::File;
use std::path::Path;

use crate::error::Result;

/// Writes `path` through `fill`; the file appears only when `fill` and the final flush succeed.
///
/// # Errors
/// What [`ee_files::write_whole`] says, or whatever `fill` returns.
pub fn write_whole(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    ee_files::write_whole(path, fill)
}

/// Writes `text` to `path`, whole or not at all.
///
/// # Errors
/// What [`ee_files::write_text`] says.
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    Ok(ee_files::write_text(path, text)?)
}

/// Checks before long work that `path` can be written at its end.
///
/// # Errors
/// What [`ee_files::check_writable`] says.
pub fn check_writable(path: &Path) -> Result<()> {
    Ok(ee_files::check_writable(path)?)
}
