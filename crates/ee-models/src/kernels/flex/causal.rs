use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::{CausalShape, cpu};
use super::{Operation, apply, dims, input, primitive, values};

/// See [`crate::kernels::causal_attention`].
pub(in crate::kernels) fn causal_attention(
    query: &Tensor<2>,
    key: &Tensor<2>,
    value: &Tensor<2>,
    shape: &CausalShape,
) -> Option<Tensor<2>> {
    let [_, d_model] = query.dims();
    let operation = Causal { head_dim: d_model / shape.heads, shape: shape.clone() };
    apply(operation, [input(query), input(key), input(value)])
}

#[derive(Debug)]
struct Causal {
    shape: CausalShape,
    head_dim: usize,
}

#[derive(Clone, Debug)]
struct Saved {
    inputs: [FlexTensor; 3],
    output: FlexTensor,
    /// log Σ exp of each query's scores, `[batch, queries, heads]`.
    log_sum_exp: Arc<Vec<f32>>,
}

impl Causal {
    fn shape(&self) -> cpu::CausalShape<'_> {
        let CausalShape { place, heads, kv_heads, starts, ends, origins, window } = &self.shape;
        cpu::CausalShape {
            queries: place.width,
            first: place.start,
            capacity: place.capacity,
            heads: *heads,
            kv_heads: *kv_heads,
            head_dim: self.head_dim,
            starts,
            ends,
            origins: origins.as_deref(),
            window: *window,
        }
    }
}

fn inputs([query, key, value]: &[FlexTensor; 3]) -> cpu::AttentionInputs<'_> {
    cpu::AttentionInputs { query: values(query), key: values(key), value: values(value) }
}

impl Operation<3> for Causal {
    type Saved = Saved;

    fn forward(&self, tensors: [FlexTensor; 3]) -> (FlexTensor, Saved) {
        let [rows, d_model] = dims(&tensors[0]);
        let mut out = vec![0.0; rows * d_model];
        let mut log_sum_exp = vec![0.0; rows * self.shape.heads];
        cpu::causal_attention(&self.shape(), inputs(&tensors), &mut out, &mut log_sum_exp);
        let output = primitive(out, [rows, d_model]);
        let log_sum_exp = Arc::new(log_sum_exp);
        (output.clone(), Saved { inputs: tensors, output, log_sum_exp })
    }

    fn backward(
        self,
        saved: Saved,
        gradient: &[f32],
        _wanted: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let mut results = saved.inputs.each_ref().map(|input| vec![0.0; values(input).len()]);
        let [query, key, value] = &mut results;
        cpu::causal_attention_backward(
            &self.shape(),
            inputs(&saved.inputs),
            values(&saved.output),
            &saved.log_sum_exp,
            gradient,
            cpu::AttentionGradients { query, key, value },
        );
        let [query, key, value] = results;
        let [of_query, of_key, of_value] = saved.inputs.each_ref().map(dims);
        [
            Some(primitive(query, of_query)),
            Some(primitive(key, of_key)),
            Some(primitive(value, of_value)),
        ]
    }
}
