//! The default bodies: plain tensor operations, for every backend and as the reference in tests.

mod attention;
mod head;
mod linear;

use burn::tensor::{DType, Distribution, Int, Tensor, module};

use super::arguments::{AdamW, AdamWTensors, Dropout};

pub use attention::{attention, rotate, write_cache};
pub use head::{head_loss, pull, row_statistics};
pub use linear::{activate, feed_forward, project, silu_product};

/// See [`super::residual_norm`].
pub fn residual_norm(
    input: Tensor<2>,
    residual: Tensor<2>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    dropout: Dropout,
) -> Tensor<2> {
    let sum = residual + mask(input, dropout);
    let centred = sum.clone() - sum.mean_dim(1);
    let variance = (centred.clone() * centred.clone()).mean_dim(1);
    centred / (variance + epsilon).sqrt() * gamma.unsqueeze::<2>() + beta.unsqueeze::<2>()
}

/// See [`super::rms_norm`].
pub fn rms_norm(input: Tensor<2>, gamma: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let mean = (input.clone() * input.clone()).mean_dim(1);
    input / (mean + epsilon).sqrt() * gamma.unsqueeze::<2>()
}

/// See [`super::add_rms_norm`].
pub fn add_rms_norm(
    input: Tensor<2>,
    residual: Tensor<2>,
    gamma: Tensor<1>,
    epsilon: f64,
) -> [Tensor<2>; 2] {
    let sum = residual + input;
    [sum.clone(), rms_norm(sum, gamma, epsilon)]
}

/// See [`super::embedding`].
pub fn embedding(table: Tensor<2>, ids: Tensor<1, Int>) -> Tensor<2> {
    let [n] = ids.dims();
    let [_, d] = table.dims();
    module::embedding(table, ids.unsqueeze::<2>()).reshape([n, d]).cast(DType::F32)
}

/// See [`super::dropout`].
pub fn dropout(input: Tensor<2>, dropout: Dropout) -> Tensor<2> {
    mask(input, dropout)
}

/// Dropout by the backend's own generator, reseeded for every call.
fn mask<const D: usize>(input: Tensor<D>, dropout: Dropout) -> Tensor<D> {
    if !dropout.is_active() {
        return input;
    }
    let keep = f64::from(1.0 - dropout.probability);
    let device = input.device();
    device.seed(dropout.seed);
    let mask = Tensor::<D>::random(input.dims(), Distribution::Bernoulli(keep), &device);
    input * mask / keep
}

/// See [`super::adamw`].
pub fn adamw<const D: usize>(
    tensors: AdamWTensors<D>,
    gradient: Tensor<D>,
    step: AdamW,
) -> AdamWTensors<D> {
    let AdamWTensors { parameter, first_moment, second_moment } = tensors;
    let gradient = gradient * f64::from(step.gradient_scale);
    let first_moment = first_moment * step.beta_1 + gradient.clone() * (1.0 - step.beta_1);
    let squared = gradient.clone() * gradient * (1.0 - step.beta_2);
    let second_moment = second_moment * step.beta_2 + squared;
    let n = step.step as f64;
    let rate = step.learning_rate / (1.0 - step.beta_1.powf(n));
    let root = second_moment.clone().sqrt() / (1.0 - step.beta_2.powf(n)).sqrt();
    let shrunk = parameter * (1.0 - step.learning_rate * step.weight_decay);
    let parameter = shrunk - first_moment.clone() * rate / (root + step.epsilon);
    AdamWTensors { parameter, first_moment, second_moment }
}

/// See [`super::sum_of_squares`].
pub fn sum_of_squares<const D: usize>(tensor: &Tensor<D>) -> f64 {
    (tensor.clone() * tensor.clone()).sum().into_scalar::<f64>()
}
