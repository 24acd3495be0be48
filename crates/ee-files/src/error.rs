use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with files, folders and streams.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read, written, locked or removed.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// The attempt, for example `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process works in the folder.
    #[error("{folder} is in use by {holder}: wait for its end or choose another folder", folder = folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Program, process, machine and start time.
        holder: String,
    },
    /// A folder holds something that this project did not make.
    #[error(
        "{folder} holds '{found}' and is not {expected}: choose another folder (nothing in it was changed)",
        folder = folder.display()
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// One of the things in it.
        found: String,
        /// What it would have to be.
        expected: String,
    },
    /// Results could not be printed.
    #[error("cannot write to standard output")]
    Output {
        /// What the operating system said.
        source: io::Error,
    },
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::Io`] that names the file and the attempt.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
