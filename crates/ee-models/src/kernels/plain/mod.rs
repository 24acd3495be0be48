//! The default bodies: plain tensor operations, for every backend and as the reference in tests.

mod decoder;
mod head;

use burn::tensor::{Bool, DType, Distribution, Int, Tensor, TensorData, activation, module};

use super::{Activation, AdamW, AdamWTensors, AttentionShape, Dropout, FeedForwardParameters};

pub use decoder::{
    add_rms_norm, causal_attention, project, rms_norm, rotate, row_statistics, silu_product,
    write_cache,
};
pub use head::{head_loss, pull};

/// See [`super::linear`].
pub fn linear(input: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    input.matmul(weight.transpose()) + bias.unsqueeze::<2>()
}

/// See [`super::feed_forward`].
pub fn feed_forward(
    input: Tensor<2>,
    parameters: FeedForwardParameters,
    function: Activation,
) -> Tensor<2> {
    let inner = linear(input, parameters.up_weight, parameters.up_bias);
    let inner = match function {
        Activation::Gelu => activation::gelu(inner),
        Activation::GeluTanh => activation::gelu_approximate(inner),
        Activation::QuickGelu => inner.clone() * activation::sigmoid(inner * 1.702),
        Activation::Relu => activation::relu(inner),
        Activation::Silu => activation::silu(inner),
        Activation::Tanh => activation::tanh(inner),
    };
    linear(inner, parameters.down_weight, parameters.down_bias)
}

/// See [`super::attention`].
pub fn attention(
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    shape: &AttentionShape,
    dropout: Dropout,
) -> Tensor<2> {
    let [rows, d_model] = query.dims();
    let (batch, width) = (shape.lengths.len(), shape.width);
    let d_head = d_model / shape.heads;
    let split =
        |state: Tensor<2>| state.reshape([batch, width, shape.heads, d_head]).swap_dims(1, 2);
    let scores = split(query).matmul(split(key).swap_dims(2, 3)) / (d_head as f64).sqrt();
    let masked = padding(shape, &scores.device()).reshape([batch, 1, 1, width]).expand([
        batch,
        shape.heads,
        width,
        width,
    ]);
    let probabilities = activation::softmax(scores.mask_fill(masked, f32::NEG_INFINITY), 3);
    mask(probabilities, dropout).matmul(split(value)).swap_dims(1, 2).reshape([rows, d_model])
}

/// True where a token is padding, `[batch, width]`.
fn padding(shape: &AttentionShape, device: &burn::tensor::Device) -> Tensor<2, Bool> {
    let flags: Vec<bool> = shape
        .lengths
        .iter()
        .flat_map(|&length| (0..shape.width).map(move |position| position >= length))
        .collect();
    Tensor::from_data(TensorData::new(flags, [shape.lengths.len(), shape.width]), device)
}

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

/// Dropout by the backend's own generator, seeded anew for every call.
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
