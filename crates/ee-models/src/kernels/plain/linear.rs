use burn::tensor::{DType, Tensor, activation};

use crate::kernels::arguments::{Activation, Weight};

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

/// See [`crate::kernels::feed_forward`].
pub fn feed_forward(input: Tensor<2>, up: Weight, down: Weight, function: Activation) -> Tensor<2> {
    let [inner] = project(input, [up]);
    let [output] = project(activate(inner, function), [down]);
    output
}

/// See [`crate::kernels::activate`].
pub fn activate(input: Tensor<2>, function: Activation) -> Tensor<2> {
    match function {
        Activation::Gelu => activation::gelu(input),
        Activation::GeluTanh => activation::gelu_approximate(input),
        Activation::QuickGelu => input.clone() * activation::sigmoid(input * 1.702),
        Activation::Relu => activation::relu(input),
        Activation::Silu => activation::silu(input),
        Activation::Tanh => activation::tanh(input),
    }
}

/// See [`crate::kernels::silu_product`].
pub fn silu_product(input: Tensor<2>, factor: Tensor<2>) -> Tensor<2> {
    activation::silu(input) * factor
}
