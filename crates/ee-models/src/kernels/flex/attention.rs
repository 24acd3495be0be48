use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::{AttentionShape, Dropout, cpu};
use super::{Operation, apply, dims, input, primitive, values};

/// See [`crate::kernels::attention`].
pub(in crate::kernels) fn attention(
    query: &Tensor<2>,
    key: &Tensor<2>,
    value: &Tensor<2>,
    shape: &AttentionShape,
    dropout: Dropout,
) -> Option<Tensor<2>> {
    let [_, d_model] = query.dims();
    let AttentionShape { width, heads, lengths } = shape;
    let operation = Attention {
        lengths: lengths.clone(),
        width: *width,
        heads: *heads,
        d_head: d_model / heads,
        dropout,
    };
    apply(operation, [input(query), input(key), input(value)])
}

#[derive(Debug)]
struct Attention {
    lengths: Arc<[usize]>,
    width: usize,
    heads: usize,
    d_head: usize,
    dropout: Dropout,
}

#[derive(Clone, Debug)]
struct Saved {
    inputs: [FlexTensor; 3],
    output: FlexTensor,
    /// log Σ exp of each query's scores, `[batch, heads, width]`.
    log_sum_exp: Arc<Vec<f32>>,
}

impl Attention {
    fn shape(&self) -> cpu::AttentionShape<'_> {
        cpu::AttentionShape {
            queries: self.width,
            keys: self.width,
            heads: self.heads,
            head_dim: self.d_head,
            query_lengths: &self.lengths,
            key_lengths: &self.lengths,
            scale: 1.0 / (self.d_head as f32).sqrt(),
            dropout: self.dropout,
        }
    }
}

fn inputs([query, key, value]: &[FlexTensor; 3]) -> cpu::AttentionInputs<'_> {
    cpu::AttentionInputs { query: values(query), key: values(key), value: values(value) }
}

impl Operation<3> for Attention {
    type Saved = Saved;

    fn forward(&self, tensors: [FlexTensor; 3]) -> (FlexTensor, Saved) {
        let [rows, d_model] = dims(&tensors[0]);
        let mut output = vec![0.0; rows * d_model];
        let mut log_sum_exp = vec![0.0; rows * self.heads];
        cpu::attention_forward(&self.shape(), inputs(&tensors), &mut output, &mut log_sum_exp);
        let output = primitive(output, [rows, d_model]);
        let saved =
            Saved { inputs: tensors, output: output.clone(), log_sum_exp: Arc::new(log_sum_exp) };
        (output, saved)
    }

    fn backward(
        self,
        saved: Saved,
        gradient: &[f32],
        _wanted: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let [rows, d_model] = dims(&saved.output);
        let mut results = [(); 3].map(|()| vec![0.0; rows * d_model]);
        let [query, key, value] = &mut results;
        cpu::attention_backward(
            &self.shape(),
            inputs(&saved.inputs),
            values(&saved.output),
            &saved.log_sum_exp,
            gradient,
            cpu::AttentionGradients { query, key, value },
        );
        results.map(|result| Some(primitive(result, [rows, d_model])))
    }
}
