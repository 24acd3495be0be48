//! Fine-tunes Transformers, plain or jointly over every exit.
//!
//! The loop is [`fit`]; what one optimizer step does is [`step`]. A run is described by one TOML file
//! ([`config`]) and leaves one folder ([`run`]): the resolved configuration, a log, TensorBoard events and
//! checkpoints that are Hugging Face folders ([`snapshot`]). Data order, dropout and initialisation follow
//! from the seed and the step alone, so a resumed run needs no generator's state: weights, moments and
//! the number of the step are enough to continue bit for bit on the CPU backend.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod bench;
pub mod cli;
pub mod config;
mod data;
mod error;
mod fit;
mod gate;
mod log;
pub mod optimizer;
mod order;
pub mod plan;
pub mod prepare;
mod replicas;
mod run;
mod sample;
pub mod schedule;
mod snapshot;
pub mod step;
mod subject;
mod tensorboard;
mod validate;
mod write;

pub use error::{Error, Result};
