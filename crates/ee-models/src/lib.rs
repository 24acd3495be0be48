//! Transformers whose every layer can answer.
//!
//! A model gives its state at every depth and one shared head reads it: depth d is the state after d
//! layers, depth 0 the embedding, and the exits are the depths 1..=N. What the head says is turned into
//! numbers in one place ([`signal`]) and into losses in another ([`loss`]). This crate knows
//! architectures, checkpoints and devices; it knows nothing about tasks, text or training loops.

pub mod arch;
pub mod cache;
pub mod checkpoint;
pub mod device;
mod error;
pub mod exit;
pub mod gate;
mod indices;
pub mod kernels;
pub mod layers;
pub mod loss;
pub mod parameters;
pub mod signal;

pub use cache::{KvCache, LayerKv, MemoryKv};
pub use error::{Error, Result};
pub use exit::{
    Backbone, Batch, Block, Decoder, DropoutKey, ExitModel, Memory, Stream, Sublayer, WeightBytes,
};
