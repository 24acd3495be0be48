//! Attention, the cache it reads, and the rotation of what goes into it.

use burn::tensor::Tensor;

use super::arguments::{AttentionShape, CachePlace, Move, Rotary};
use super::{flex, plain};

/// dropout(softmax(scale · Q Kᵀ + bias)) V per head; 0 for queries that are padding or see nothing.
///
/// # Shapes
/// `query` `[batch * queries, heads * head_dim]`, `key`, `value` `[batch * slots, kv_heads * head_dim]`, or
/// as many slots as `origins` cover, `bias` `[heads, queries, n]` of the first n slots, with all that are seen, → as
/// `query`.
pub fn attention(
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    bias: Option<Tensor<3>>,
    shape: &AttentionShape,
) -> Tensor<2> {
    flex::attention(&query, &key, &value, bias.as_ref(), shape)
        .unwrap_or_else(|| plain::attention(query, key, value, bias, shape))
}

/// Writes a block of tokens into a cache; in place where nothing else holds it, not differentiated on the CPU.
/// Where the rows of the block lie is said by `origins`, as in [`AttentionShape`].
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

/// Copies some slots of a cache; in place where nothing else holds it. Where it is to have more slots than it has, into
/// a new one, which holds nothing else.
///
/// # Shapes
/// `cache` `[slots, d]` → `[max(slots, n_slots), d]`
///
/// # Errors
/// The cache as it was, where it is on another backend than the CPU's.
#[expect(clippy::result_large_err, reason = "what is declined is given back")]
pub fn copy_slots(
    cache: Tensor<2>,
    moves: &[Move],
    n_slots: usize,
) -> Result<Tensor<2>, Tensor<2>> {
    flex::copy_slots(cache, moves, n_slots)
}

/// Rotates every head of every row by the row's angles, first half against second.
///
/// # Shapes
/// `state` `[rows, heads * head_dim]` → the same.
pub fn rotate(state: Tensor<2>, rotary: &Rotary) -> Tensor<2> {
    flex::rotate(state, rotary).unwrap_or_else(|state| plain::rotate(state, rotary))
}
