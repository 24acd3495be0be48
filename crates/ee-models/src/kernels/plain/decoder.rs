use burn::tensor::{Bool, DType, Int, Tensor, TensorData, activation};

use crate::kernels::cpu::{RowStatistics, not_below_zero};
use crate::kernels::{CachePlace, CausalShape, Rotary, Weight};

/// See [`crate::kernels::project`]; the product runs in the weight's format, its result is F32.
pub fn project<const N: usize>(input: Tensor<2>, weights: [Weight; N]) -> [Tensor<2>; N] {
    weights.map(|Weight { matrix, bias }| {
        let dtype = matrix.dtype();
        let input = if dtype == DType::F32 { input.clone() } else { input.clone().cast(dtype) };
        let output = input.matmul(matrix.transpose());
        let output = if dtype == DType::F32 { output } else { output.cast(DType::F32) };
        match bias {
            Some(bias) => output + bias.unsqueeze::<2>(),
            None => output,
        }
    })
}

/// See [`crate::kernels::rms_norm`].
pub fn rms_norm(input: Tensor<2>, gamma: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let mean = (input.clone() * input.clone()).mean_dim(1);
    input / (mean + epsilon).sqrt() * gamma.unsqueeze::<2>()
}

/// See [`crate::kernels::add_rms_norm`].
pub fn add_rms_norm(
    input: Tensor<2>,
    residual: Tensor<2>,
    gamma: Tensor<1>,
    epsilon: f64,
) -> [Tensor<2>; 2] {
    let sum = residual + input;
    [sum.clone(), rms_norm(sum, gamma, epsilon)]
}

/// See [`crate::kernels::silu_product`].
pub fn silu_product(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    activation::silu(gate) * up
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

/// See [`crate::kernels::causal_attention`].
pub fn causal_attention(
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    shape: &CausalShape,
) -> Tensor<2> {
    if let Some(origins) = &shape.origins {
        let (key, value) = (gathered(key, shape, origins), gathered(value, shape, origins));
        let capacity = shape.place.start + shape.place.width;
        let place = CachePlace { capacity, ..shape.place };
        let shape = CausalShape { place, origins: None, ..shape.clone() };
        return causal_attention(query, key, value, &shape);
    }
    let CausalShape { place, heads, kv_heads, .. } = *shape;
    let CachePlace { capacity, width, start } = place;
    let [rows, d_model] = query.dims();
    let (batch, d_head, keys) = (rows / width, d_model / heads, start + width);
    // [batch, kv_heads, group, keys, d_head]
    let of_cache = |state: Tensor<2>| {
        state
            .reshape([batch, capacity, kv_heads, d_head])
            .narrow(1, 0, keys)
            .swap_dims(1, 2)
            .reshape([batch, kv_heads, 1, keys, d_head])
            .expand([batch, kv_heads, heads / kv_heads, keys, d_head])
            .reshape([batch, heads, keys, d_head])
    };
    let query = query.reshape([batch, width, heads, d_head]).swap_dims(1, 2);
    let scores = query.matmul(of_cache(key).swap_dims(2, 3)) / (d_head as f64).sqrt();
    let hidden = hidden(shape, batch, keys, &scores.device());
    let hidden = hidden.reshape([batch, 1, width, keys]).expand([batch, heads, width, keys]);
    let probabilities = activation::softmax(scores.mask_fill(hidden, f32::MIN), 3);
    let output = probabilities.matmul(of_cache(value)).swap_dims(1, 2).reshape([rows, d_model]);
    let padding = padding(shape, batch, &output.device()).expand([rows, d_model]);
    output.mask_fill(padding, 0.0)
}

/// Keys or values that lie anywhere, row behind row; slots that hold no token get what is not looked at.
fn gathered(state: Tensor<2>, shape: &CausalShape, origins: &[isize]) -> Tensor<2> {
    let slots = shape.place.start + shape.place.width;
    let place = |origin: isize, slot: usize| (origin.strict_add_unsigned(slot)).max(0) as i64;
    let places = origins.iter().flat_map(|&origin| (0..slots).map(move |slot| place(origin, slot)));
    let places: Vec<i64> = places.collect();
    let places = TensorData::new(places, [origins.len() * slots]);
    let device = state.device();
    state.select(0, Tensor::<1, Int>::from_data(places, &device))
}

/// True where a query does not see a slot, `[batch, width, keys]`.
fn hidden(
    shape: &CausalShape,
    batch: usize,
    keys: usize,
    device: &burn::tensor::Device,
) -> Tensor<3, Bool> {
    let CachePlace { width, start, .. } = shape.place;
    let mut flags = Vec::with_capacity(batch * width * keys);
    for row in 0..batch {
        for query in start..start + width {
            let windowed = shape.window.map_or(0, |window| (query + 1).saturating_sub(window));
            let seen = windowed.max(shape.starts[row])..query + 1;
            flags.extend((0..keys).map(|slot| !seen.contains(&slot)));
        }
    }
    Tensor::from_data(TensorData::new(flags, [batch, width, keys]), device)
}

/// True for queries that are padding, `[batch * width, 1]`.
fn padding(shape: &CausalShape, batch: usize, device: &burn::tensor::Device) -> Tensor<2, Bool> {
    let CachePlace { width, start, .. } = shape.place;
    let flags: Vec<bool> = (0..batch)
        .flat_map(|row| {
            let tokens = shape.starts[row]..shape.ends[row];
            (start..start + width).map(move |slot| !tokens.contains(&slot))
        })
        .collect();
    Tensor::from_data(TensorData::new(flags, [batch * width, 1]), device)
}

/// See [`crate::kernels::row_statistics`].
pub fn row_statistics(logits: Tensor<2>, given: Option<&[u32]>) -> Vec<RowStatistics> {
    let [rows, columns] = logits.dims();
    let device = logits.device();
    let (max, argmax) = logits.clone().max_dim_with_indices(1);
    let ids = Tensor::<1, Int>::arange(0..columns as i64, &device).reshape([1, columns]);
    let is_best = ids.clone().expand([rows, columns]).equal(argmax.clone().expand([rows, columns]));
    let second = logits.clone().mask_fill(is_best, f32::NEG_INFINITY).max_dim(1);
    // Not clamped: what is not finite has to show in the sums.
    let shifted = logits.clone() - max.clone();
    let weights = shifted.clone().exp();
    let partition = weights.clone().sum_dim(1);
    let weighted = (weights * shifted).sum_dim(1);
    let (rank, at) = match given {
        None => (None, None),
        Some(given) => {
            let given: Vec<i64> = given.iter().map(|&id| i64::from(id)).collect();
            let given = Tensor::<2, Int>::from_data(TensorData::new(given, [rows, 1]), &device);
            let at = logits.clone().gather(1, given.clone());
            let wide = at.clone().expand([rows, columns]);
            let earlier = ids.expand([rows, columns]).lower(given.expand([rows, columns]));
            let tied = logits.clone().equal(wide.clone()).bool_and(earlier);
            let before = logits.greater(wide).bool_or(tied).int().sum_dim(1);
            (Some(numbers_of(before.float())), Some(numbers_of(at)))
        }
    };
    let argmax: Vec<i64> = argmax.into_data().try_into_vec_as().expect("indices are integers");
    let [max, second, partition, weighted] = [max, second, partition, weighted].map(numbers_of);
    (0..rows)
        .map(|row| {
            let partition = f64::from(partition[row]);
            RowStatistics {
                argmax: argmax[row] as u32,
                max: max[row],
                second: second[row],
                partition,
                entropy: not_below_zero(partition.ln() - f64::from(weighted[row]) / partition)
                    as f32,
                given_rank: rank.as_ref().map_or(0, |rank| rank[row] as u32),
                given_probability: at
                    .as_ref()
                    .map_or(0.0, |at| (f64::from(at[row] - max[row]).exp() / partition) as f32),
            }
        })
        .collect()
}

fn numbers_of(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_into_vec_as().expect("floating-point numbers")
}
