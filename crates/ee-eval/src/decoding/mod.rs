//! Decoders at work: checkpoints with their tokenizers, prompts that fit, generated texts.

pub mod generate;
mod prompts;
mod request;
mod scoring;
mod watch;

pub use prompts::{Prompt, Room};
pub(crate) use request::Request;
pub(crate) use scoring::{Scoring, Statistics, n_references, of_metric, score};
pub use watch::{Generated, TextWatcher};
