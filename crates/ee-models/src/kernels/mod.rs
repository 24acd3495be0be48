//! The operations that Burn's CPU backend does slowly.
//!
//! Each has a default body of plain tensor operations ([`plain`]), which serves every backend and is
//! differentiated by Burn, and a body for the CPU backend: threaded, vectorised, with a backward pass of
//! its own. Callers see functions on tensors and cannot tell which body ran; tests compare the two.

mod decoder;
mod flex;
mod head;
pub mod plain;

use std::sync::Arc;

use burn::tensor::{Int, Tensor};
pub(crate) use ee_kernels as cpu;

pub use decoder::{
    CachePlace, CausalShape, Rotary, Rows, Weight, add_rms_norm, causal_attention, project,
    rms_norm, rotate, row_statistics, settle, silu_product, write_cache,
};
pub use ee_kernels::{Activation, AdamW, Dropout, RowStatistics};
pub use head::{HeadGradients, HeadLoss, head_loss, pull};

/// The sizes of one self-attention over right-padded rows.
#[derive(Clone, Debug)]
pub struct AttentionShape {
    /// Tokens per row, padding included.
    pub width: usize,
    /// Number of heads; each has `d_model / heads` columns.
    pub heads: usize,
    /// Tokens of each row; keys beyond are masked.
    pub lengths: Arc<[usize]>,
}

/// The parameters of the two linear layers around an activation.
#[derive(Clone, Debug)]
pub struct FeedForwardParameters {
    /// `[inner, d_model]`
    pub up_weight: Tensor<2>,
    /// `[inner]`
    pub up_bias: Tensor<1>,
    /// `[d_model, inner]`
    pub down_weight: Tensor<2>,
    /// `[d_model]`
    pub down_bias: Tensor<1>,
}

/// y = x Wᵀ + b.
///
/// # Shapes
/// `input` `[rows, in]`, `weight` `[out, in]`, `bias` `[out]` → `[rows, out]`.
pub fn linear(input: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    flex::linear(&input, &weight, &bias).unwrap_or_else(|| plain::linear(input, weight, bias))
}

/// y = W₂ f(W₁ x + b₁) + b₂; the CPU body keeps W₁ x + b₁ alone for its backward pass.
///
/// # Shapes
/// `input` `[rows, d_model]` → `[rows, d_model]`.
pub fn feed_forward(
    input: Tensor<2>,
    parameters: FeedForwardParameters,
    activation: Activation,
) -> Tensor<2> {
    flex::feed_forward(&input, &parameters, activation)
        .unwrap_or_else(|| plain::feed_forward(input, parameters, activation))
}

/// softmax(Q Kᵀ / √d_head) V per head, keys beyond a row's length masked.
///
/// # Shapes
/// `query`, `key`, `value` `[batch * width, d_model]` → the same.
pub fn attention(
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    shape: &AttentionShape,
    dropout: Dropout,
) -> Tensor<2> {
    flex::attention(&query, &key, &value, shape, dropout)
        .unwrap_or_else(|| plain::attention(query, key, value, shape, dropout))
}

/// y = γ (s − mean(s)) / √(var(s) + ε) + β with s = `residual` + dropout(`input`) (Ba et al. 2016).
///
/// # Shapes
/// `input`, `residual` `[rows, d]`, `gamma`, `beta` `[d]` → `[rows, d]`.
pub fn residual_norm(
    input: Tensor<2>,
    residual: Tensor<2>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    dropout: Dropout,
) -> Tensor<2> {
    flex::residual_norm(&input, &residual, &gamma, &beta, epsilon, dropout)
        .unwrap_or_else(|| plain::residual_norm(input, residual, gamma, beta, epsilon, dropout))
}

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

/// A parameter and its moments.
#[derive(Clone, Debug)]
pub struct AdamWTensors<const D: usize> {
    /// θ
    pub parameter: Tensor<D>,
    /// m
    pub first_moment: Tensor<D>,
    /// v
    pub second_moment: Tensor<D>,
}

/// m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², θ ← θ (1 − αλ) − α m̂ / (√v̂ + ε).
///
/// On the CPU backend the update is in place when nobody else holds the tensors.
///
/// # Shapes
/// All tensors are of one shape and carry no graph.
pub fn adamw<const D: usize>(
    tensors: AdamWTensors<D>,
    gradient: Tensor<D>,
    step: AdamW,
) -> AdamWTensors<D> {
    flex::adamw(tensors, &gradient, step)
        .unwrap_or_else(|tensors| plain::adamw(tensors, gradient, step))
}

/// Σ x² in f64 (one host synchronisation).
pub fn sum_of_squares<const D: usize>(tensor: &Tensor<D>) -> f64 {
    flex::sum_of_squares(tensor).unwrap_or_else(|| plain::sum_of_squares(tensor))
}
