//! The decoder's operations on the CPU. They are not tracked: a decoder answers with them and learns by the
//! plain bodies.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Tensor};
use half::{bf16, f16};

use super::super::cpu::{self, LinearShape, Projection, RowStatistics, WeightData};
use super::super::{CachePlace, CausalShape, Rotary, Rows, Weight};
use super::{dims, primitive, values};

/// A contiguous primitive of an untracked tensor of this backend.
pub(super) fn untracked<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    if tensor.is_autodiff() {
        return None;
    }
    Some(tensor.clone().try_into_primitive::<Flex>().ok()?.to_contiguous())
}

/// The same, which must be F32.
fn numbers<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    (tensor.dtype() == DType::F32).then(|| untracked(tensor))?
}

fn output<const D: usize>(buffer: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(primitive(buffer, shape))
}

/// A weight in its own format.
pub(super) fn stored(weight: &FlexTensor) -> Option<WeightData<'_>> {
    match weight.dtype() {
        DType::F32 => Some(WeightData::F32(weight.as_slice()?)),
        DType::F16 => Some(WeightData::F16(weight.as_slice::<f16>()?)),
        DType::BF16 => Some(WeightData::Bf16(weight.as_slice::<bf16>()?)),
        _ => None,
    }
}

/// See [`crate::kernels::settle`].
pub(in crate::kernels) fn settle(weight: &Tensor<2>) {
    if let Some(weight) = untracked(weight) {
        crate::device::prefer_large_pages(weight.bytes());
    }
}

/// See [`crate::kernels::project`].
pub(in crate::kernels) fn project<const N: usize>(
    input: &Tensor<2>,
    weights: &[Weight; N],
    reading: Rows,
) -> Option<[Tensor<2>; N]> {
    let [rows, inputs] = input.dims();
    let input = numbers(input)?;
    let mut matrices = Vec::with_capacity(N);
    for Weight { matrix, bias } in weights {
        let bias = match bias {
            Some(bias) => Some(numbers(bias)?),
            None => None,
        };
        matrices.push((untracked(matrix)?, bias));
    }
    let mut projections = Vec::with_capacity(N);
    let mut outs: Vec<Vec<f32>> =
        weights.iter().map(|weight| vec![0.0; rows * weight.matrix.dims()[0]]).collect();
    for ((matrix, bias), out) in matrices.iter().zip(&mut outs) {
        let bias = bias.as_ref().map(values);
        projections.push(Projection { weight: stored(matrix)?, bias, out });
    }
    match reading {
        Rows::Few => cpu::project(rows, inputs, values(&input), &mut projections),
        Rows::Many => {
            for Projection { weight, bias, out } in projections {
                let shape = LinearShape { rows, inputs, outputs: out.len() / rows.max(1) };
                cpu::linear_stored(shape, values(&input), weight, bias, out);
            }
        }
    }
    let outs: Vec<Tensor<2>> = outs
        .into_iter()
        .zip(weights)
        .map(|(out, weight)| output(out, [rows, weight.matrix.dims()[0]]))
        .collect();
    outs.try_into().ok()
}

/// See [`crate::kernels::rms_norm`].
pub(in crate::kernels) fn rms_norm(
    input: &Tensor<2>,
    gamma: &Tensor<1>,
    epsilon: f64,
) -> Option<Tensor<2>> {
    let shape = input.dims();
    let (input, gamma) = (numbers(input)?, numbers(gamma)?);
    let mut out = vec![0.0; shape[0] * shape[1]];
    cpu::rms_norm(values(&gamma), epsilon as f32, values(&input), &mut out);
    Some(output(out, shape))
}

/// See [`crate::kernels::add_rms_norm`].
pub(in crate::kernels) fn add_rms_norm(
    input: &Tensor<2>,
    residual: &Tensor<2>,
    gamma: &Tensor<1>,
    epsilon: f64,
) -> Option<[Tensor<2>; 2]> {
    let shape = input.dims();
    let (input, residual, gamma) = (numbers(input)?, numbers(residual)?, numbers(gamma)?);
    let n = shape[0] * shape[1];
    let (mut sum, mut out) = (vec![0.0; n], vec![0.0; n]);
    let epsilon = epsilon as f32;
    cpu::add_rms_norm(
        values(&gamma),
        epsilon,
        values(&input),
        values(&residual),
        &mut sum,
        &mut out,
    );
    Some([output(sum, shape), output(out, shape)])
}

/// See [`crate::kernels::silu_product`].
pub(in crate::kernels) fn silu_product(gate: &Tensor<2>, up: &Tensor<2>) -> Option<Tensor<2>> {
    let shape = gate.dims();
    let (gate, up) = (numbers(gate)?, numbers(up)?);
    let mut out = vec![0.0; shape[0] * shape[1]];
    cpu::silu_product(values(&gate), values(&up), &mut out);
    Some(output(out, shape))
}

#[allow(clippy::result_large_err, reason = "what is declined goes on to the plain body")]
/// See [`crate::kernels::rotate`]; gives the state back where it declines.
pub(in crate::kernels) fn rotate(
    state: Tensor<2>,
    rotary: &Rotary,
) -> Result<Tensor<2>, Tensor<2>> {
    let (Some(mut turned), Some(cos), Some(sin)) =
        (numbers(&state), numbers(&rotary.cos), numbers(&rotary.sin))
    else {
        return Err(state);
    };
    let [_, half] = dims(&cos);
    // In place when this was the last handle; a copy is made otherwise.
    drop(state);
    cpu::rotate(half, values(&cos), values(&sin), turned.storage_mut());
    Ok(Tensor::from_primitive::<Flex>(turned))
}

#[allow(clippy::result_large_err, reason = "what is declined goes on to the plain body")]
/// See [`crate::kernels::write_cache`]; gives the cache back where it declines.
pub(in crate::kernels) fn write_cache(
    cache: Tensor<2>,
    block: &Tensor<2>,
    place: CachePlace,
    shifts: &[usize],
) -> Result<Tensor<2>, Tensor<2>> {
    let (Some(mut slots), Some(block)) = (numbers(&cache), numbers(block)) else {
        return Err(cache);
    };
    drop(cache);
    let [_, d] = dims(&slots);
    let CachePlace { capacity, width, start } = place;
    let rows = slots.storage_mut::<f32>().chunks_exact_mut(capacity * d);
    let blocks = values(&block).chunks_exact(width * d);
    for ((row, block), &shift) in rows.zip(blocks).zip(shifts) {
        let start = start - shift;
        row[start * d..(start + width) * d].copy_from_slice(block);
    }
    Ok(Tensor::from_primitive::<Flex>(slots))
}

/// See [`crate::kernels::causal_attention`].
pub(in crate::kernels) fn causal_attention(
    query: &Tensor<2>,
    key: &Tensor<2>,
    value: &Tensor<2>,
    shape: &CausalShape,
) -> Option<Tensor<2>> {
    let [rows, d_model] = query.dims();
    let (query, key, value) = (numbers(query)?, numbers(key)?, numbers(value)?);
    let CausalShape { place, heads, kv_heads, starts, ends, shifts, window } = shape;
    let shape = cpu::CausalShape {
        queries: place.width,
        first: place.start,
        capacity: place.capacity,
        heads: *heads,
        kv_heads: *kv_heads,
        head_dim: d_model / heads,
        starts,
        ends,
        shifts,
        window: *window,
    };
    let mut out = vec![0.0; rows * d_model];
    cpu::causal_attention(&shape, values(&query), values(&key), values(&value), &mut out);
    Some(output(out, [rows, d_model]))
}

/// See [`crate::kernels::row_statistics`].
pub(in crate::kernels) fn row_statistics(
    logits: &Tensor<2>,
    given: Option<&[u32]>,
) -> Option<Vec<RowStatistics>> {
    let [_, columns] = logits.dims();
    Some(cpu::row_statistics(values(&numbers(logits)?), columns, given))
}
