use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use ee_kernels::{AttentionGradients, AttentionInputs};

use super::super::arguments::{AttentionShape, CachePlace, Move};
use super::{Operation, apply, dims, input, numbers, optional, present, primitive, values};

pub(in crate::kernels) fn attention(
    query: &Tensor<2>,
    key: &Tensor<2>,
    value: &Tensor<2>,
    bias: Option<&Tensor<3>>,
    shape: &AttentionShape,
) -> Option<Tensor<2>> {
    let operation = Attention(shape.clone());
    apply(operation, [input(query), input(key), input(value), optional(bias)])
}

#[derive(Debug)]
struct Attention(AttentionShape);

#[derive(Clone, Debug)]
struct Saved {
    inputs: [FlexTensor; 4],
    output: FlexTensor,
    /// log Σ exp of each query's scores, `[batch, queries, heads]`.
    log_sum_exp: Arc<Vec<f32>>,
}

fn inputs([query, key, value, bias]: &[FlexTensor; 4]) -> AttentionInputs<'_> {
    let (query, key, value) = (values(query), values(key), values(value));
    AttentionInputs { query, key, value, bias: present(bias) }
}

impl Operation<4> for Attention {
    type Saved = Saved;

    fn forward(&self, tensors: [FlexTensor; 4]) -> (FlexTensor, Saved) {
        let [rows, d_model] = dims(&tensors[0]);
        let mut out = vec![0.0; rows * d_model];
        let mut log_sum_exp = vec![0.0; rows * self.0.heads];
        ee_kernels::attention_forward(&self.0, inputs(&tensors), &mut out, &mut log_sum_exp);
        let output = primitive(out, [rows, d_model]);
        let log_sum_exp = Arc::new(log_sum_exp);
        (output.clone(), Saved { inputs: tensors, output, log_sum_exp })
    }

    fn backward(
        self,
        saved: Saved,
        gradient: &[f32],
        wanted: [bool; 4],
    ) -> [Option<FlexTensor>; 4] {
        let inputs = inputs(&saved.inputs);
        let mut results = saved.inputs.each_ref().map(|input| vec![0.0; values(input).len()]);
        let [query, key, value, bias] = &mut results;
        let bias = (wanted[3] && inputs.bias.is_some()).then_some(&mut bias[..]);
        let gradients = AttentionGradients { query, key, value, bias };
        let (output, sums) = (values(&saved.output), &saved.log_sum_exp);
        ee_kernels::attention_backward(&self.0, inputs, output, sums, gradient, gradients);
        let mut shapes = saved.inputs.iter().map(|input| input.layout().shape().clone());
        results.map(|result| shapes.next().map(|shape| primitive(result, shape)))
    }
}

/// Gives the cache back where it declines.
#[expect(clippy::result_large_err, reason = "what is declined goes on to the plain body")]
pub(in crate::kernels) fn write_cache(
    cache: Tensor<2>,
    block: &Tensor<2>,
    place: CachePlace,
    origins: Option<&[isize]>,
) -> Result<Tensor<2>, Tensor<2>> {
    let (Some(mut slots), Some(block)) = (numbers(&cache), numbers(block)) else {
        return Err(cache);
    };
    drop(cache);
    let [n_slots, d] = dims(&slots);
    let slots_of = slots.storage_mut::<f32>();
    for (row, block) in values(&block).chunks_exact(place.width * d).enumerate() {
        let from = place.memory(row, origins);
        assert!(from < n_slots, "row {row}: place {from} of a cache of {n_slots} slots");
        let at = from * d;
        slots_of[at..at + block.len()].copy_from_slice(block);
    }
    Ok(Tensor::from_primitive::<Flex>(slots))
}

/// Gives the cache back where it declines.
#[expect(clippy::result_large_err, reason = "what is declined is given back")]
pub(in crate::kernels) fn copy_slots(
    cache: Tensor<2>,
    moves: &[Move],
    n_slots: usize,
) -> Result<Tensor<2>, Tensor<2>> {
    let Some(mut slots) = numbers(&cache) else { return Err(cache) };
    let [there, d] = dims(&slots);
    if n_slots > there {
        let mut more = vec![0.0; n_slots * d];
        for &Move { from, to, n } in moves {
            more[to * d..(to + n) * d].copy_from_slice(&values(&slots)[from * d..(from + n) * d]);
        }
        return Ok(Tensor::from_primitive::<Flex>(primitive(more, [n_slots, d])));
    }
    drop(cache);
    let numbers = slots.storage_mut::<f32>();
    for &Move { from, to, n } in moves {
        numbers.copy_within(from * d..(from + n) * d, to * d);
    }
    Ok(Tensor::from_primitive::<Flex>(slots))
}
