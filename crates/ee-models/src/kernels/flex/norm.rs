use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::{Dropout, cpu};
use super::{Operation, apply, dims, input, primitive, values};

/// See [`crate::kernels::residual_norm`].
pub(in crate::kernels) fn residual_norm(
    state: &Tensor<2>,
    residual: &Tensor<2>,
    gamma: &Tensor<1>,
    beta: &Tensor<1>,
    epsilon: f64,
    dropout: Dropout,
) -> Option<Tensor<2>> {
    apply(
        ResidualNorm { epsilon: epsilon as f32, dropout },
        [input(state), input(residual), input(gamma), input(beta)],
    )
}

#[derive(Debug)]
struct ResidualNorm {
    epsilon: f32,
    dropout: Dropout,
}

#[derive(Clone, Debug)]
struct Saved {
    /// residual + dropout(state)
    sum: FlexTensor,
    mean: Arc<Vec<f32>>,
    inverse_deviation: Arc<Vec<f32>>,
    gamma: FlexTensor,
}

impl Operation<4> for ResidualNorm {
    type Saved = Saved;

    fn forward(&self, inputs: [FlexTensor; 4]) -> (FlexTensor, Saved) {
        let [state, residual, gamma, beta] = inputs;
        let [rows, d] = dims(&state);
        let (mut sum, mut output) = (vec![0.0; rows * d], vec![0.0; rows * d]);
        let (mut mean, mut inverse_deviation) = (vec![0.0; rows], vec![0.0; rows]);
        cpu::residual_norm(
            cpu::NormParameters {
                gamma: values(&gamma),
                beta: values(&beta),
                epsilon: self.epsilon,
            },
            self.dropout,
            values(&state),
            values(&residual),
            &mut sum,
            &mut output,
            cpu::NormStatistics { mean: &mut mean, inverse_deviation: &mut inverse_deviation },
        );
        let saved = Saved {
            sum: primitive(sum, [rows, d]),
            mean: Arc::new(mean),
            inverse_deviation: Arc::new(inverse_deviation),
            gamma,
        };
        (primitive(output, [rows, d]), saved)
    }

    fn backward(
        self,
        saved: Saved,
        gradient: &[f32],
        wanted: [bool; 4],
    ) -> [Option<FlexTensor>; 4] {
        let Saved { sum, mean, inverse_deviation, gamma } = saved;
        let [rows, d] = dims(&sum);
        let mut of_sum = vec![0.0; rows * d];
        let (mut of_gamma, mut of_beta) = (vec![0.0; d], vec![0.0; d]);
        cpu::layer_norm_backward(
            values(&gamma),
            gradient,
            values(&sum),
            &mean,
            &inverse_deviation,
            cpu::NormGradients { input: &mut of_sum, gamma: &mut of_gamma, beta: &mut of_beta },
        );
        drop(sum);
        let of_residual = primitive(of_sum, [rows, d]);
        let of_state = wanted[0].then(|| {
            if !self.dropout.is_active() {
                return of_residual.clone();
            }
            let mut result = vec![0.0; rows * d];
            cpu::dropout(self.dropout, values(&of_residual), &mut result);
            primitive(result, [rows, d])
        });
        [of_state, Some(of_residual), Some(primitive(of_gamma, [d])), Some(primitive(of_beta, [d]))]
    }
}
