//! Everything that can go wrong in this crate, each saying what was expected, what was found and where.

use std::path::PathBuf;

use ee_models::arch::bert::LabelMismatch;
use ee_models::signal::NotFinite;

/// The crate's result.
pub type Result<T> = std::result::Result<T, EvalError>;

/// An error of reading, measuring or reporting early exits.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file, a folder or a stream, as ee-files says it.
    #[error(transparent)]
    Files(#[from] ee_files::Error),
    /// A file or folder could not be opened, written or renamed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done: `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A Parquet file could not be decoded.
    #[error("{} is not a readable Parquet file", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        source: parquet::errors::ParquetError,
    },
    /// A Parquet file that is not one of our traces, or a damaged one.
    #[error("{} is not a trace: {reason}", path.display())]
    NotATrace {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// Two files given as shards of one trace do not belong together.
    #[error("{} does not belong to {}: `{key}` is {found} there and {expected} here", second.display(), first.display())]
    ShardMismatch {
        /// The file read first.
        first: PathBuf,
        /// The file that disagrees.
        second: PathBuf,
        /// The fact that differs.
        key: &'static str,
        /// The first file's value.
        expected: String,
        /// The second file's value.
        found: String,
    },
    /// The same row stands in two of the files given as shards of one trace.
    #[error("example {example}, position {position} stands twice in the given files, the second time in {}", path.display())]
    RepeatedRow {
        /// The example.
        example: u32,
        /// The position in it.
        position: u32,
        /// The file that repeats it.
        path: PathBuf,
    },
    /// An exit gives no finite numbers for an example.
    #[error(
        "example {example}{}: exit {exit} gives NaN or infinity, the model's numbers overflow at it or below",
        position.map(|position| format!(", new token {position}")).unwrap_or_default()
    )]
    NotFinite {
        /// The example's number, from 0.
        example: usize,
        /// The new token, from 0, where texts are continued.
        position: Option<usize>,
        /// The exit, from 1.
        exit: usize,
    },
    /// A certificate that cannot be used.
    #[error("{}: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// A head whose labels are not the task's.
    #[error("{}: {mismatch}{}", folder.display(), match mismatch {
        LabelMismatch::Names { .. } => " (--label-order states it)",
        _ => "",
    })]
    Labels {
        /// The checkpoint's folder.
        folder: PathBuf,
        /// What does not go together.
        mismatch: LabelMismatch,
    },
    /// Settings that do not go together or do not fit the model.
    #[error("{reason}")]
    Setting {
        /// What was given and what was expected.
        reason: String,
    },
    /// A metric named by a trace that this build does not know.
    #[error("metric `{name}` of the trace: {reason}")]
    Metric {
        /// The metric.
        name: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// The file of a trace's texts is not what it should be.
    #[error("{}: {reason}", path.display())]
    Texts {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// A trace of generated text where one of classifications is needed.
    #[error(
        "the trace of {task} holds generated text; gates on decoding are measured while decoding, `ee-eval ideal` reads this trace"
    )]
    GeneratedText {
        /// The task.
        task: String,
    },
    /// Losses against a gold that is the model's own text.
    #[error(
        "the trace of {task} has no gold: its split has no labels, or the model wrote the text itself; expected a \
         trace of a labelled split, or one made with --teacher-forced"
    )]
    NoGold {
        /// The task.
        task: String,
    },
    /// A trace that is not one of the model and examples at hand.
    #[error(
        "the trace is not one of this model and these examples: `{key}` is {found} in the trace and {expected} here"
    )]
    OtherTrace {
        /// The fact that differs.
        key: &'static str,
        /// What the model or the examples say.
        expected: String,
        /// What the trace says.
        found: String,
    },
    /// A model's name that cannot be a file's name or stands twice.
    #[error("model name `{name}`: expected letters, digits, `-`, `_` or `.`, each name once")]
    ModelName {
        /// The name.
        name: String,
    },
    /// Tasks, data and tokenizers.
    #[error(transparent)]
    Task(#[from] ee_tasks::Error),
    /// Gates, policies and heads as typed.
    #[error(transparent)]
    Decoding(ee_decode::Error),
    /// Checkpoints and devices.
    #[error(transparent)]
    Model(#[from] ee_models::Error),
    /// A prompt that cannot be given to the model.
    #[error("the prompt of example {example}: {reason}")]
    Prompt {
        /// The example, from 0.
        example: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Finished batches of another run lie where this run's would.
    #[error(
        "{} holds batches of another run (`{found}` there, `{expected}` here): remove it, or choose another --output",
        path.display()
    )]
    OtherParts {
        /// The folder.
        path: PathBuf,
        /// The first fact that differs, there.
        found: String,
        /// The same fact here.
        expected: String,
    },
    /// Somebody pressed Ctrl-C.
    #[error("{what}")]
    Interrupted {
        /// What was reached.
        what: String,
    },
    /// The system lets nobody listen for Ctrl-C.
    #[error("cannot listen for Ctrl-C")]
    Signal {
        /// The system's reason.
        source: std::io::Error,
    },
    /// Nothing to measure.
    #[error("{what}")]
    Empty {
        /// What is empty, and where.
        what: String,
    },
    /// A JSON file beside a checkpoint is not what it should be.
    #[error("cannot read {}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        source: serde_json::Error,
    },
    /// A result could not be turned into its file format.
    #[error("cannot encode {}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The encoder's reason.
        source: serde_json::Error,
    },
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
    /// Whether it lies in what was typed: settings that do not go together, names that are none.
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
