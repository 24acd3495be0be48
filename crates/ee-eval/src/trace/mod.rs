//! Traces: run the model once, ask forever.

mod check;
mod columns;
pub(crate) mod facts;
mod file;
pub(crate) mod merge;
mod record;
#[cfg(test)]
pub(crate) mod sample;
mod texts;

pub use columns::ExitColumns;
pub use facts::{GenerationFacts, MetricFacts, Shard, TraceFacts, TrainedOn};
pub use file::read;
pub(crate) use file::{read_facts, write};
pub use merge::{Merged, read_all};
pub use record::Trace;
pub use texts::{TextRecord, read_texts};
pub(crate) use texts::{texts_path, write_texts};
