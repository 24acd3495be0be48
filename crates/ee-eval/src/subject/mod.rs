//! Checkpoints under examination: models on their devices, and what their folders say about them.

mod checkpoint;
mod labels;
mod prompts;
mod texts;

pub use labels::Subject;
pub(crate) use texts::DecoderSubject;
