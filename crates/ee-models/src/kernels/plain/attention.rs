use std::ops::Range;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData, activation};

use super::mask;
use crate::kernels::arguments::{AttentionShape, CachePlace, Rotary, Sight};

/// See [`crate::kernels::attention`].
pub fn attention(
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    bias: Option<Tensor<3>>,
    shape: &AttentionShape,
) -> Tensor<2> {
    let AttentionShape { queries: width, heads, kv_heads, head_dim, .. } = *shape;
    let [rows, d_model] = query.dims();
    let (batch, keys) = (shape.held.len(), n_slots(shape));
    let of_slots = |state: Tensor<2>| {
        slots(state, shape, keys)
            .reshape([batch, keys, kv_heads, head_dim])
            .swap_dims(1, 2)
            .reshape([batch, kv_heads, 1, keys, head_dim])
            .expand([batch, kv_heads, heads / kv_heads, keys, head_dim])
            .reshape([batch, heads, keys, head_dim])
    };
    let query = query.reshape([batch, width, heads, head_dim]).swap_dims(1, 2);
    let scores = query.matmul(of_slots(key).swap_dims(2, 3)) * shape.scale;
    let scores = match bias {
        Some(bias) => scores + bias.narrow(2, 0, keys).unsqueeze::<4>(),
        None => scores,
    };
    let hidden = hidden(shape, keys, &scores.device()).expand([batch, heads, width, keys]);
    let probabilities = activation::softmax(scores.mask_fill(hidden, f32::MIN), 3);
    let probabilities = mask(probabilities, shape.dropout);
    let output = probabilities.matmul(of_slots(value)).swap_dims(1, 2).reshape([rows, d_model]);
    let padding = padding(shape, &output.device()).expand([rows, d_model]);
    output.mask_fill(padding, 0.0)
}

/// Slots of a row that any query may see.
fn n_slots(shape: &AttentionShape) -> usize {
    match shape.sight {
        Sight::Whole => shape.held.iter().map(|held| held.end).max().unwrap_or(0),
        Sight::Causal { first, .. } => first + shape.queries,
    }
}

/// The first `n` slots of every row, row behind row; those that hold no token get values that are never read.
fn slots(state: Tensor<2>, shape: &AttentionShape, n: usize) -> Tensor<2> {
    let [_, d] = state.dims();
    let Some(origins) = &shape.origins else {
        let batch = shape.held.len();
        let state = state.reshape([batch, shape.slots, d]).narrow(1, 0, n);
        return state.reshape([batch * n, d]);
    };
    let place = |origin: isize, slot: usize| (origin.strict_add_unsigned(slot)).max(0) as i64;
    let places = origins.iter().flat_map(|&origin| (0..n).map(move |slot| place(origin, slot)));
    let places = TensorData::new(places.collect::<Vec<i64>>(), [origins.len() * n]);
    let device = state.device();
    state.select(0, Tensor::<1, Int>::from_data(places, &device))
}

/// True where a query does not see a slot, `[batch, 1, width, keys]`; one row for all queries where these
/// see the same.
fn hidden(shape: &AttentionShape, keys: usize, device: &Device) -> Tensor<4, Bool> {
    let seen = |held: &Range<usize>, query: usize| match shape.sight {
        Sight::Whole => held.clone(),
        Sight::Causal { first, window } => {
            let end = first + query + 1;
            held.start.max(window.map_or(0, |window| end.saturating_sub(window)))..end
        }
    };
    let width = if shape.sight == Sight::Whole { 1 } else { shape.queries };
    let mut flags = Vec::with_capacity(shape.held.len() * width * keys);
    for held in shape.held.iter() {
        for query in 0..width {
            let seen = seen(held, query);
            flags.extend((0..keys).map(|slot| !seen.contains(&slot)));
        }
    }
    Tensor::from_data(TensorData::new(flags, [shape.held.len(), 1, width, keys]), device)
}

/// True for queries that are padding or see nothing, `[batch * width, 1]`.
fn padding(shape: &AttentionShape, device: &Device) -> Tensor<2, Bool> {
    let rows = shape.live.iter().zip(shape.held.iter());
    let flags: Vec<bool> = rows
        .flat_map(|(live, held)| {
            (0..shape.queries).map(|query| held.is_empty() || !live.contains(&query))
        })
        .collect();
    let n = flags.len();
    Tensor::from_data(TensorData::new(flags, [n, 1]), device)
}

/// See [`crate::kernels::rotate`].
pub fn rotate(state: Tensor<2>, rotary: &Rotary) -> Tensor<2> {
    let [rows, width] = state.dims();
    let [_, half] = rotary.cos.dims();
    let heads = width / (2 * half);
    let state = state.reshape([rows, heads, 2 * half]);
    let first = state.clone().narrow(2, 0, half);
    let second = state.narrow(2, half, half);
    let cos = rotary.cos.clone().reshape([rows, 1, half]);
    let sin = rotary.sin.clone().reshape([rows, 1, half]);
    let turned = first.clone() * cos.clone() - second.clone() * sin.clone();
    let other = second * cos + first * sin;
    Tensor::cat(vec![turned, other], 2).reshape([rows, width])
}

/// See [`crate::kernels::write_cache`].
pub fn write_cache(
    cache: Tensor<2>,
    block: Tensor<2>,
    place: CachePlace,
    origins: Option<&[isize]>,
) -> Tensor<2> {
    let CachePlace { capacity, width, start } = place;
    let [slots, d] = cache.dims();
    if origins.is_none() {
        let batch = slots / capacity;
        return cache
            .reshape([batch, capacity, d])
            .slice_assign([0..batch, start..start + width, 0..d], block.reshape([batch, width, d]))
            .reshape([slots, d]);
    }
    let rows = block.dims()[0] / width;
    (0..rows).fold(cache, |cache, row| {
        let at = place.memory(row, origins);
        let tokens = block.clone().narrow(0, row * width, width);
        cache.slice_assign([at..at + width, 0..d], tokens)
    })
}
