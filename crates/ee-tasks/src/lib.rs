//! Questions and how answers are scored: data files, tasks, tokenizing, batches, metrics. No tensors.
//!
//! A task is one TOML file. A [`Task`] of classification reads a split of a data folder into
//! [`Example`]s, a [`Tokenizer`] turns them into [`Encoding`]s, [`batch`] groups those into padded
//! [`Batch`]es, and a [`Metric`] scores the predictions that come back. A [`GenerationTask`] reads
//! [`TextExample`]s, prompts with references, which a [`TextTokenizer`] spells, and a [`TextMetric`]
//! scores the answers.
//! Configuration files of every crate are read through [`config`], so that all report faults alike.

mod error;

pub mod batch;
pub mod causal;
pub mod config;
#[cfg(test)]
mod fixture;
pub mod metrics;
mod moses;
pub mod parallel;
mod table;
mod task;
pub mod text;
pub mod tokenizer;

pub use batch::Batch;
pub use ee_files::{did_you_mean, nearest};
pub use error::Error;
pub use metrics::text::TextMetric;
pub use metrics::{Interval, Metric};
pub use moses::Detokenization;
pub use task::{AnyTask, Example, GenerationTask, Split, Task, TextExample, TextSplit};
pub use tokenizer::{
    BpeSettings, BpeSize, Encoding, LearntBpe, PromptedEncoding, SpecialOrder, TextStream,
    TextTokenizer, Tokenizer, train_bpe,
};
