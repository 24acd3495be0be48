use std::path::{Path, PathBuf};

/// Why a program could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a program could not be opened, read, written or started.
    #[error("{}: {reason}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },

    /// What should be a Python is none.
    #[error("{}: {message}", .path.display())]
    Interpreter {
        /// The program.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },

    /// Untrusted programs cannot be run safely on this system, and so are not run.
    #[error("this system cannot isolate a model-written program: {0}")]
    Isolation(String),
}

impl Error {
    pub(crate) fn io(path: &Path, reason: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), reason }
    }
}
