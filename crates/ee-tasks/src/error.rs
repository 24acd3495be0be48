//! Everything that can go wrong between a task file and a batch.

use std::path::{Path, PathBuf};

use crate::config::ConfigError;

/// Why a task, its data or its tokenizer could not be used; every message says where.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The task file has faults, all of them listed.
    #[error(transparent)]
    Config(#[from] ConfigError),

    /// A file could not be opened, read or written.
    #[error("{}: {reason}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },

    /// A file does not match its format.
    #[error("{}: {message}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },

    /// A line (for Parquet a row, without the header) does not match the task.
    #[error("{}: line {line}: {message}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// What was expected and what was found.
        message: String,
    },

    /// An unknown name: of a split, a metric.
    #[error("unknown {what} `{name}`{hint}")]
    Unknown {
        /// What kind of thing was named.
        what: &'static str,
        /// The name given.
        name: String,
        /// The nearest known name and the whole list.
        hint: String,
    },

    /// A model-written program could not be run.
    #[error(transparent)]
    Sandbox(#[from] ee_sandbox::Error),

    /// A meaningless request, such as a limit of 0.
    #[error("{0}")]
    Request(String),
}

impl Error {
    pub(crate) fn io(path: &Path, reason: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), reason }
    }

    pub(crate) fn file(path: &Path, message: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), message: message.into() }
    }

    pub(crate) fn line(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self::Line { path: path.to_owned(), line, message: message.into() }
    }
}
