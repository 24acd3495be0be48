//! What is asked and how the answer is scored: data files, tasks, tokenizing, batches, metrics. No tensors.
//!
//! A [`Task`] is one TOML file. It reads a split of a data folder into [`Example`]s, a
//! [`Tokenizer`] turns them into [`Encoding`]s, [`batch`] groups those into padded [`Batch`]es, and
//! a [`Metric`] scores the predictions that come back. Configuration files of every crate are
//! read through [`config`], so that all of them complain alike.

mod error;
mod suggest;

pub mod batch;
pub mod config;
pub mod metrics;
pub mod sandbox;
pub mod table;
pub mod task;
pub mod tokenizer;

pub use batch::Batch;
pub use error::Error;
pub use metrics::text::TextMetric;
pub use metrics::{Interval, Metric};
pub use suggest::{did_you_mean, nearest};
pub use task::{Example, Split, Task};
pub use tokenizer::{Encoding, Tokenizer};
