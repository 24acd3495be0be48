//! Everything that can go wrong in this crate, each saying what was expected, what was found and where.

use std::path::{Path, PathBuf};

use ee_models::arch::bert::LabelMismatch;
use ee_models::signal::NotFinite;

/// The crate's result.
pub type Result<T> = std::result::Result<T, EvalError>;

/// An error of reading, measuring or reporting early exits; the messages say what each is.
#[allow(missing_docs, reason = "a message is its variant's description")]
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file, a folder or a stream, as ee-files says it.
    #[error(transparent)]
    Files(#[from] ee_files::Error),
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{} is not a readable Parquet file", path.display())]
    Parquet { path: PathBuf, source: parquet::errors::ParquetError },
    #[error("{} is not a trace: {reason}", path.display())]
    NotATrace { path: PathBuf, reason: String },
    #[error("{} does not belong to {}: `{key}` is {found} there and {expected} here", second.display(), first.display())]
    ShardMismatch {
        first: PathBuf,
        second: PathBuf,
        key: &'static str,
        expected: String,
        found: String,
    },
    #[error("example {example}, position {position} stands twice in the given files, the second time in {}", path.display())]
    RepeatedRow { example: u32, position: u32, path: PathBuf },
    #[error(
        "example {example}{}: exit {exit} gives NaN or infinity, the model's numbers overflow at it or below",
        position.map(|position| format!(", new token {position}")).unwrap_or_default()
    )]
    NotFinite { example: usize, position: Option<usize>, exit: usize },
    #[error("{}: {reason}", path.display())]
    Certificate { path: PathBuf, reason: String },
    #[error("{}: {mismatch}{}", folder.display(), match mismatch {
        LabelMismatch::Names { .. } => " (--label-order states it)",
        _ => "",
    })]
    Labels { folder: PathBuf, mismatch: LabelMismatch },
    #[error("{reason}")]
    Setting { reason: String },
    #[error("metric `{name}` of the trace: {reason}")]
    Metric { name: String, reason: String },
    #[error("{}: {reason}", path.display())]
    Texts { path: PathBuf, reason: String },
    #[error(
        "the trace of {task} holds generated text; gates on decoding are measured while decoding, `ee-eval ideal` reads this trace"
    )]
    GeneratedText { task: String },
    #[error(
        "the trace of {task} has no gold: its split has no labels, or the model wrote the text itself; expected a \
         trace of a labelled split, or one made with --teacher-forced"
    )]
    NoGold { task: String },
    #[error(
        "the trace is not one of this model and these examples: `{key}` is {found} in the trace and {expected} here"
    )]
    OtherTrace { key: &'static str, expected: String, found: String },
    #[error("model name `{name}`: expected letters, digits, `-`, `_` or `.`, each name once")]
    ModelName { name: String },
    /// Tasks, data and tokenizers.
    #[error(transparent)]
    Task(#[from] ee_tasks::Error),
    /// Gates, policies and heads as typed.
    #[error(transparent)]
    Decoding(ee_decode::Error),
    /// Checkpoints and devices.
    #[error(transparent)]
    Model(#[from] ee_models::Error),
    #[error("the prompt of example {example}: {reason}")]
    Prompt { example: usize, reason: String },
    #[error(
        "{} holds batches of another run (`{found}` there, `{expected}` here): remove it, or choose another --output",
        path.display()
    )]
    OtherParts { path: PathBuf, found: String, expected: String },
    #[error("{what}")]
    Interrupted { what: String },
    #[error("cannot listen for Ctrl-C")]
    Signal { source: std::io::Error },
    #[error("{what}")]
    Empty { what: String },
    #[error("cannot read {}", path.display())]
    Decode { path: PathBuf, source: serde_json::Error },
    #[error("cannot encode {}", path.display())]
    Encode { path: PathBuf, source: serde_json::Error },
}

impl From<ee_decode::Error> for EvalError {
    fn from(error: ee_decode::Error) -> Self {
        match error {
            ee_decode::Error::Model(error) => Self::Model(error),
            typed => Self::Decoding(typed),
        }
    }
}

impl EvalError {
    /// Whether the cause is what was typed: settings that do not go together, unknown names.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Setting { .. }
                | Self::Decoding(_)
                | Self::ModelName { .. }
                | Self::Model(ee_models::Error::Device { .. })
        )
    }

    /// The error that a file or a folder could not be read.
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Io { action: "read", path: path.to_owned(), source }
    }

    /// What the engine says of a batch, as [`EvalError::of_batch`].
    pub(crate) fn of_examples(self, example: impl FnOnce(usize) -> usize) -> Self {
        match self {
            Self::Model(error) => Self::of_batch(error, example),
            other => other,
        }
    }

    /// What ee-models says of a batch, in the numbers of its examples; `example` gives a row's.
    pub(crate) fn of_batch(
        error: impl Into<ee_models::Error>,
        example: impl FnOnce(usize) -> usize,
    ) -> Self {
        match error.into() {
            ee_models::Error::NotFinite(NotFinite { exit, row, token }) => {
                Self::NotFinite { example: example(row), position: token, exit }
            }
            other => Self::Model(other),
        }
    }
}
