use std::path::{Path, PathBuf};

/// What can go wrong between a checkpoint folder and a model on a device.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// A file could not be read or written.
    #[error("{action} {path}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    /// `config.json` lacks a key, holds a value of the wrong type or asks for what is not supported.
    #[error("{path}: {complaint}", path = path.display())]
    Config { path: PathBuf, complaint: String },
    /// A weight file is not what its name says.
    #[error("{path}: {complaint}", path = path.display())]
    Weights { path: PathBuf, complaint: String },
    /// Tensors are missing, extra or misshapen; all of them are listed.
    #[error("{path} does not fit its configuration:\n  {list}", path = path.display(), list = complaints.join("\n  "))]
    Tensors { path: PathBuf, complaints: Vec<String> },
    /// The device's name is unknown or this build has no backend for it.
    #[error("device '{name}': {complaint}")]
    Device { name: String, complaint: String },
    /// A variable of the environment names what is not known or not there.
    #[error("{0}")]
    Environment(String),
    /// Low-rank updates cannot be made as asked.
    #[error("LoRA: {0}")]
    Lora(String),
    /// A batch cannot be given to this model.
    #[error("{0}")]
    Batch(String),
    /// An exit says nothing that could be read.
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Io`] that names the file and the attempt.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// A state or a logit of an exit is NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "row {row}{}: exit {exit} gives NaN or infinity, the model's numbers overflow at it or below",
    token.map(|token| format!(", new token {token}")).unwrap_or_default()
)]
pub struct NotFinite {
    /// The exit, from 1.
    pub exit: usize,
    /// The row of the batch.
    pub row: usize,
    /// The new token of the row's text, from 0, where texts are continued.
    pub token: Option<usize>,
}

impl NotFinite {
    /// The same of the row that `row` says this one is.
    #[must_use]
    pub fn of_row(self, row: impl FnOnce(usize) -> usize) -> Self {
        Self { row: row(self.row), ..self }
    }

    /// The same, at a new token.
    #[must_use]
    pub fn at_token(self, token: usize) -> Self {
        Self { token: Some(token), ..self }
    }
}
