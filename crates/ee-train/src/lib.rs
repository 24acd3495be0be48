//! Fine-tunes Transformers, plain or jointly over every exit.
//!
//! The loop is [`fit`]; what one optimizer step does is [`step`]. A run is described by one TOML file
//! ([`config`]) and leaves one folder ([`run`]): the resolved configuration, a log, TensorBoard events and
//! checkpoints that are Hugging Face folders ([`snapshot`]). Data order, dropout and initialisation follow
//! from the seed and the step alone, so a resumed run needs no generator's state: weights, moments and
//! the number of the step are enough to continue bit for bit on the CPU backend.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod bench;
pub mod config;
pub mod data;
mod error;
pub mod fit;
pub mod gate;
pub mod log;
pub mod optimizer;
pub mod plan;
pub mod prepare;
pub mod replicas;
pub mod run;
pub mod sample;
pub mod schedule;
pub mod snapshot;
pub mod step;
pub mod subject;
pub mod tensorboard;
pub mod validate;

pub use error::{Error, Result};
