//! The parts that layers of every architecture are made of. They know nothing of models.

mod attention;
mod embedding;
mod feed_forward;
mod linear;
mod norm;
mod parameters;

pub use attention::SelfAttention;
pub use embedding::Embedding;
pub use feed_forward::FeedForward;
pub use linear::Linear;
pub use norm::ResidualNorm;
pub use parameters::{Initial, ParameterSource, Scope};
