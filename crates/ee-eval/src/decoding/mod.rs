//! Decoders at work: checkpoints with their tokenizers, prompts that fit, generated texts.

mod prompts;
mod request;
mod scoring;
mod watch;

pub(crate) use prompts::{Prompt, Room};
pub(crate) use request::{Limits, Request};
pub(crate) use scoring::{Scoring, Statistics, n_references, of_metric, score};
pub(crate) use watch::{Generated, TextWatcher};
