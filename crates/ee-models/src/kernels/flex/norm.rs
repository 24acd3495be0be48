use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::arguments::Dropout;
use super::{Operation, apply, dims, input, numbers, output, primitive, values};

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
        ee_kernels::residual_norm(
            ee_kernels::NormParameters {
                gamma: values(&gamma),
                beta: values(&beta),
                epsilon: self.epsilon,
            },
            self.dropout,
            values(&state),
            values(&residual),
            &mut sum,
            &mut output,
            ee_kernels::NormStatistics {
                mean: &mut mean,
                inverse_deviation: &mut inverse_deviation,
            },
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
        ee_kernels::layer_norm_backward(
            values(&gamma),
            gradient,
            values(&sum),
            &mean,
            &inverse_deviation,
            ee_kernels::NormGradients {
                input: &mut of_sum,
                gamma: &mut of_gamma,
                beta: &mut of_beta,
            },
        );
        drop(sum);
        let of_residual = primitive(of_sum, [rows, d]);
        let of_state = wanted[0].then(|| {
            if !self.dropout.is_active() {
                return of_residual.clone();
            }
            let mut result = vec![0.0; rows * d];
            ee_kernels::dropout(self.dropout, values(&of_residual), &mut result);
            primitive(result, [rows, d])
        });
        [of_state, Some(of_residual), Some(primitive(of_gamma, [d])), Some(primitive(of_beta, [d]))]
    }
}

pub(in crate::kernels) fn rms_norm(
    state: &Tensor<2>,
    gamma: &Tensor<1>,
    epsilon: f64,
) -> Option<Tensor<2>> {
    apply(RmsNorm { epsilon: epsilon as f32 }, [input(state), input(gamma)])
}

#[derive(Debug)]
struct RmsNorm {
    epsilon: f32,
}

impl Operation<2> for RmsNorm {
    type Saved = [FlexTensor; 2];

    fn forward(&self, [state, gamma]: [FlexTensor; 2]) -> (FlexTensor, Self::Saved) {
        let shape = dims(&state);
        let mut out = vec![0.0; shape[0] * shape[1]];
        ee_kernels::rms_norm(values(&gamma), self.epsilon, values(&state), &mut out);
        (primitive(out, shape), [state, gamma])
    }

    fn backward(
        self,
        [state, gamma]: Self::Saved,
        gradient: &[f32],
        wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let [rows, d] = dims(&state);
        let (mut of_state, mut of_gamma) = (vec![0.0; rows * d], vec![0.0; d]);
        ee_kernels::rms_norm_backward(
            values(&gamma),
            self.epsilon,
            gradient,
            values(&state),
            &mut of_state,
            &mut of_gamma,
        );
        let of_gamma = wanted[1].then(|| primitive(of_gamma, [d]));
        [Some(primitive(of_state, [rows, d])), of_gamma]
    }
}

/// Where anything is tracked, it is the sum and then the norm, which are differentiated one by one.
pub(in crate::kernels) fn add_rms_norm(
    state: &Tensor<2>,
    residual: &Tensor<2>,
    gamma: &Tensor<1>,
    epsilon: f64,
) -> Option<[Tensor<2>; 2]> {
    let (Some(state), Some(other), Some(gamma)) =
        (numbers(state), numbers(residual), numbers(gamma))
    else {
        input(state)?;
        let sum = residual.clone() + state.clone();
        let norm = rms_norm(&sum, gamma, epsilon)?;
        return Some([sum, norm]);
    };
    let shape = dims(&state);
    let n = shape[0] * shape[1];
    let (mut sum, mut out) = (vec![0.0; n], vec![0.0; n]);
    ee_kernels::add_rms_norm(
        values(&gamma),
        epsilon as f32,
        values(&state),
        values(&other),
        &mut sum,
        &mut out,
    );
    Some([output(sum, shape), output(out, shape)])
}
