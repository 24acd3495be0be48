//! Traces: run the model once, ask for ever.

mod check;
pub mod file;
pub mod merge;
pub mod record;
#[cfg(test)]
pub(crate) mod sample;
mod texts;

pub use file::{read, read_facts, write};
pub use merge::{Merged, read_all};
pub use record::{
    ExitColumns, GenerationFacts, MetricFacts, Objective, Shard, Trace, TraceFacts, TrainedOn,
};
pub use texts::{TextRecord, read_texts, texts_path, write_texts};
