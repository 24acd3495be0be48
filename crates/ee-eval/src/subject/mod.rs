//! Checkpoints under examination: models on their devices, and what their folders say of them.

mod labels;
mod texts;
mod training;

pub use labels::Subject;
pub use texts::DecoderSubject;
