//! What decoders ask for beside the encoders' operations.
//!
//! Writing to a cache and reducing logits are not differentiated on the CPU; everything else has a backward
//! pass of its own there.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::cpu::RowStatistics;
use super::{flex, plain};

/// One of the weights that share an input.
#[derive(Clone, Debug)]
pub struct Weight {
    /// `[out, in]`, F32, F16 or BF16; its gradient is F32.
    pub matrix: Tensor<2>,
    /// `[out]`
    pub bias: Option<Tensor<1>>,
}

/// Readies a weight for being read again and again, where the backend can.
pub fn settle(weight: &Tensor<2>) {
    flex::settle(weight);
}

/// How many rows a product has, as the caller knows it to be; rows of one computation must be read one way
/// for them to have the same bits in every batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// A step of decoding: the time is that of reading the weights.
    Few,
    /// A whole text: the time is that of the arithmetic.
    Many,
}

/// y = x Wᵀ + b for several weights at once.
///
/// # Shapes
/// `input` `[rows, in]`, each weight `[out, in]` with its own `out` → `[rows, out]` each.
pub fn project<const N: usize>(
    input: Tensor<2>,
    weights: [Weight; N],
    rows: Rows,
) -> [Tensor<2>; N] {
    flex::project(&input, &weights, rows).unwrap_or_else(|| plain::project(input, weights))
}

/// y = γ x / √(mean(x²) + ε) (Zhang & Sennrich 2019).
///
/// # Shapes
/// `input` `[rows, d]`, `gamma` `[d]` → `[rows, d]`.
pub fn rms_norm(input: Tensor<2>, gamma: Tensor<1>, epsilon: f64) -> Tensor<2> {
    flex::rms_norm(&input, &gamma, epsilon)
        .unwrap_or_else(|| plain::rms_norm(input, gamma, epsilon))
}

/// s = `residual` + `input`, and the norm of s.
///
/// # Shapes
/// `input`, `residual` `[rows, d]`, `gamma` `[d]` → both `[rows, d]`.
pub fn add_rms_norm(
    input: Tensor<2>,
    residual: Tensor<2>,
    gamma: Tensor<1>,
    epsilon: f64,
) -> [Tensor<2>; 2] {
    flex::add_rms_norm(&input, &residual, &gamma, epsilon)
        .unwrap_or_else(|| plain::add_rms_norm(input, residual, gamma, epsilon))
}

/// silu(gate) · up with silu(x) = x / (1 + e⁻ˣ).
///
/// # Shapes
/// Both `[rows, d]` → the same.
pub fn silu_product(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    flex::silu_product(&gate, &up).unwrap_or_else(|| plain::silu_product(gate, up))
}

/// The angles of each row's position.
#[derive(Clone, Debug)]
pub struct Rotary {
    /// `[rows, head_dim / 2]`
    pub cos: Tensor<2>,
    /// `[rows, head_dim / 2]`
    pub sin: Tensor<2>,
}

/// Rotates every head of every row by the row's angles, first half against second.
///
/// # Shapes
/// `state` `[rows, heads * head_dim]` → the same.
pub fn rotate(state: Tensor<2>, rotary: &Rotary) -> Tensor<2> {
    flex::rotate(state, rotary).unwrap_or_else(|state| plain::rotate(state, rotary))
}

/// Where the rows of a block of tokens go in a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePlace {
    /// Slots per batch row.
    pub capacity: usize,
    /// Tokens per batch row in the block.
    pub width: usize,
    /// Slot of the first of them.
    pub start: usize,
}

impl CachePlace {
    /// Where the first token of a row of the block lies in memory, in slots; `origins` as in [`CausalShape`].
    pub(super) fn memory(&self, row: usize, origins: Option<&[isize]>) -> usize {
        let origin = origins.map_or((row * self.capacity) as isize, |origins| origins[row]);
        let place = usize::try_from(origin.strict_add_unsigned(self.start));
        place.unwrap_or_else(|_| panic!("row {row}: slot {} lies before the cache", self.start))
    }
}

/// Writes a block of tokens into a cache; in place where nobody else holds it. Where the rows of the block
/// lie is said by `origins`, as in [`CausalShape`].
///
/// # Shapes
/// `cache` `[slots, d]`, `block` `[batch * width, d]` → `[slots, d]`.
pub fn write_cache(
    cache: Tensor<2>,
    block: Tensor<2>,
    place: CachePlace,
    origins: Option<&[isize]>,
) -> Tensor<2> {
    flex::write_cache(cache, &block, place, origins)
        .unwrap_or_else(|cache| plain::write_cache(cache, block, place, origins))
}

/// The sizes of a causal attention over a cache.
#[derive(Clone, Debug)]
pub struct CausalShape {
    /// Where the queries stand.
    pub place: CachePlace,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub kv_heads: usize,
    /// Per batch row the first slot that holds a token.
    pub starts: Arc<[usize]>,
    /// Per batch row the slot after the last that holds a token.
    pub ends: Arc<[usize]>,
    /// Per batch row where its slot 0 lies in keys and values, counted in slots; before their beginning where
    /// the first slots hold no token. One row behind the other if absent.
    pub origins: Option<Arc<[isize]>>,
    /// A query sees so many slots, its own included; all earlier ones if absent.
    pub window: Option<usize>,
}

/// softmax(Q Kᵀ / √head_dim) V per head, each query seeing the slots up to its own; 0 for padding.
///
/// # Shapes
/// `query` `[batch * width, heads * head_dim]`, `key`, `value` `[batch * capacity, kv_heads * head_dim]`, or
/// as many slots as `origins` speak of → as `query`.
pub fn causal_attention(
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    shape: &CausalShape,
) -> Tensor<2> {
    flex::causal_attention(&query, &key, &value, shape)
        .unwrap_or_else(|| plain::causal_attention(query, key, value, shape))
}

/// What is asked of each row of logits; `given` names a column per row. Only these numbers travel to the
/// host (one synchronisation).
///
/// # Shapes
/// `logits` `[rows, n]`, `given` `[rows]`.
pub fn row_statistics(logits: Tensor<2>, given: Option<&[u32]>) -> Vec<RowStatistics> {
    flex::row_statistics(&logits, given).unwrap_or_else(|| plain::row_statistics(logits, given))
}
