//! Linear layers and the activations between them.

use burn::tensor::Tensor;

use super::arguments::{Activation, Rows, Weight};
use super::{flex, plain};

/// Prepares a weight for repeated reading, where the backend can.
pub fn settle(weight: &Tensor<2>) {
    flex::settle(weight);
}

/// y = x Wᵀ + b for several weights at once.
///
/// # Shapes
/// `input` `[rows, in]`, each weight `[out, in]` with its own `out` → `[rows, out]` each.
pub fn project<const N: usize>(
    input: Tensor<2>,
    weights: [Weight; N],
    rows: Rows,
) -> [Tensor<2>; N] {
    flex::project(&input, &weights, rows).unwrap_or_else(|| plain::project(input, weights))
}

/// y = W₂ f(W₁ x + b₁) + b₂ for many rows; the CPU body keeps W₁ x + b₁ alone for its backward pass.
///
/// # Shapes
/// `input` `[rows, d_model]`, `up` `[inner, d_model]`, `down` `[d_model, inner]` → `[rows, d_model]`.
pub fn feed_forward(
    input: Tensor<2>,
    up: Weight,
    down: Weight,
    activation: Activation,
) -> Tensor<2> {
    flex::feed_forward(&input, &up, &down, activation)
        .unwrap_or_else(|| plain::feed_forward(input, up, down, activation))
}

/// f(x), number by number.
///
/// # Shapes
/// `[rows, d]` → the same.
pub fn activate(input: Tensor<2>, activation: Activation) -> Tensor<2> {
    flex::activate(&input, activation).unwrap_or_else(|| plain::activate(input, activation))
}

/// silu(x) · factor with silu(x) = x / (1 + e⁻ˣ), the activation of gated linear units (Shazeer 2020).
///
/// # Shapes
/// Both `[rows, d]` → the same.
pub fn silu_product(input: Tensor<2>, factor: Tensor<2>) -> Tensor<2> {
    flex::silu_product(&input, &factor).unwrap_or_else(|| plain::silu_product(input, factor))
}
