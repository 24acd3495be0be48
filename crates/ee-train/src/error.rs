use std::path::{Path, PathBuf};

/// What can go wrong in a training run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, a folder or a stream, as ee-files says it.
    #[error(transparent)]
    Files(#[from] ee_files::Error),
    /// The run file has faults, all of them listed.
    #[error(transparent)]
    Config(#[from] ee_tasks::config::ConfigError),
    /// The task, its data or the tokenizer.
    #[error(transparent)]
    Task(#[from] ee_tasks::Error),
    /// The checkpoint, the device or a batch.
    #[error(transparent)]
    Model(#[from] ee_models::Error),
    /// Texts that cannot be written.
    #[error(transparent)]
    Decode(#[from] ee_decode::Error),
    /// A file could not be read or written.
    #[error("{action} {path}", path = path.display())]
    Io {
        /// What was tried, for example `cannot write`.
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of the run folder is not what its name says.
    #[error("{path}: {complaint}", path = path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        complaint: String,
    },
    /// Parts that are each valid but do not fit together.
    #[error("{0}")]
    Mismatch(String),
    /// An exit no longer gives finite numbers on the validation split.
    #[error("validation after step {step}: {place}")]
    Invalid {
        /// Steps made.
        step: u64,
        /// The exit and the row of the split.
        place: ee_models::signal::NotFinite,
    },
    /// The loss or the gradient is no longer a finite number.
    #[error(
        "step {step}: {what} is {value} at learning rate {learning_rate:e}; {}",
        match checkpoint {
            Some(path) => format!("the last good checkpoint is {}", path.display()),
            None => "there is no checkpoint yet".to_owned(),
        }
    )]
    Diverged {
        /// The optimizer step, counted from 1.
        step: u64,
        /// `the loss` or `the gradient norm`.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The learning rate of the step.
        learning_rate: f64,
        /// The checkpoint to go back to.
        checkpoint: Option<PathBuf>,
    },
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Io`] that names the file and the attempt.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// An [`Error::Broken`] that names the file.
    pub(crate) fn broken(path: &Path, complaint: impl ToString) -> Self {
        Self::Broken { path: path.to_owned(), complaint: complaint.to_string() }
    }
}
