//! The parts that layers of every architecture are made of. They know nothing about models.

mod embedding;
mod feed_forward;
mod linear;
mod lora;
mod norm;
mod rms_norm;
mod rotary;

pub use embedding::Embedding;
pub use feed_forward::FeedForward;
pub use linear::Linear;
pub use lora::{Lora, LoraConfig};
pub use norm::ResidualNorm;
pub use rms_norm::RmsNorm;
pub use rotary::{Frequencies, RotaryPlace, RotaryScaling};

pub use crate::parameters::{Initial, ParameterSource, Scope};
