//! Traces: run the model once, ask for ever.

mod check;
pub mod file;
pub mod merge;
pub mod observe;
mod parts;
pub mod record;
#[cfg(test)]
pub(crate) mod sample;
pub mod tokens;

pub use file::{read, read_facts, write};
pub use merge::{Merged, read_all};
pub use record::{
    ExitColumns, GenerationFacts, MetricFacts, Objective, Shard, Trace, TraceFacts, TrainedOn,
};
