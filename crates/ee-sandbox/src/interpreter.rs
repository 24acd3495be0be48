//! Finds the Python that runs the programs, and the folders it must be able to read.
//!
//! `python3` on the path may be a script that picks a version, or a link in a virtual environment.
//! So the interpreter is asked where it really lies; that question is ours and runs unconfined.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::error::Error;

/// Prints what [`Interpreter`] holds.
const QUESTION: &str = "import json, os, sys
print(json.dumps({
    'executable': os.path.realpath(sys.executable),
    'version': '%d.%d.%d' % sys.version_info[:3],
    'folders': [sys.base_prefix, sys.base_exec_prefix] + sys.path,
}))";

/// Where systems keep the libraries that a dynamically linked Python loads, and how they are found.
const LIBRARIES: &[&str] = &["/usr", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache"];

/// A Python as it describes itself.
#[derive(Debug, Deserialize)]
pub(super) struct Interpreter {
    /// No link and no script.
    pub(super) executable: PathBuf,
    pub(super) version: String,
    folders: Vec<PathBuf>,
}

impl Interpreter {
    /// Asks `python`, or `python3` on the path.
    pub(super) fn find(python: Option<&Path>) -> Result<Self, Error> {
        let python = python.unwrap_or(Path::new("python3"));
        let asked = Command::new(python).args(["-I", "-S", "-B", "-c", QUESTION]).output();
        let answer = asked.map_err(|reason| Error::io(python, reason))?;
        serde_json::from_slice(&answer.stdout).map_err(|_| {
            let found = String::from_utf8_lossy(&answer.stderr);
            let message =
                format!("expected a Python 3 that starts, found {}: {found}", answer.status);
            Error::Interpreter { path: python.to_owned(), message: message.trim_end().to_owned() }
        })
    }

    /// All that it needs to read: itself, its library, the system's libraries. Never the root folder.
    pub(super) fn readable(&self) -> impl Iterator<Item = &Path> {
        let own = self.folders.iter().map(PathBuf::as_path).chain([self.executable.as_path()]);
        let readable = own.chain(LIBRARIES.iter().map(Path::new));
        readable.filter(|path| path.is_absolute() && path.parent().is_some())
    }
}
