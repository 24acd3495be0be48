//! The operations that Burn's CPU backend does slowly.
//!
//! Each has a default body of plain tensor operations ([`plain`]), which serves every backend and is
//! differentiated by Burn, and a body for the CPU backend: threaded, vectorised, with a backward pass of
//! its own. Callers see functions on tensors and cannot tell which body ran; tests compare the two.

mod arguments;
mod attention;
mod flex;
mod head;
mod linear;
mod norm;
mod optimizer;
pub mod plain;

use burn::tensor::{Int, Tensor};

pub use arguments::{
    Activation, AdamW, AdamWTensors, AttentionShape, CachePlace, Dropout, HeadGradients, HeadLoss,
    Move, Rotary, RowStatistics, Rows, Scoring, Sight, Weight,
};
pub use attention::{attention, copy_slots, rotate, write_cache};
pub use head::{head_loss, pull, row_statistics};
pub use linear::{activate, feed_forward, project, settle, silu_product};
pub use norm::{add_rms_norm, layer_norm, residual_norm, rms_norm};
pub use optimizer::{adamw, sum_of_squares};

/// Rows of a table, as F32 whatever the table's format.
///
/// # Shapes
/// `table` `[entries, d]`, `ids` `[n]` → `[n, d]`.
pub fn embedding(table: Tensor<2>, ids: Tensor<1, Int>) -> Tensor<2> {
    flex::embedding(&table, &ids).unwrap_or_else(|| plain::embedding(table, ids))
}

/// Zeroes elements by a mask that follows from the seed alone.
///
/// # Shapes
/// `[rows, d]` → the same.
pub fn dropout(input: Tensor<2>, dropout: Dropout) -> Tensor<2> {
    if !dropout.is_active() {
        return input;
    }
    flex::dropout(&input, dropout).unwrap_or_else(|| plain::dropout(input, dropout))
}
