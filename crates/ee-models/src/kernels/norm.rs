//! Norms, alone and of a residual sum.

use burn::tensor::Tensor;

use super::arguments::Dropout;
use super::{flex, plain};

/// y = γ (s − mean(s)) / √(var(s) + ε) + β with s = `residual` + dropout(`input`) (Ba et al. 2016).
///
/// # Shapes
/// `input`, `residual` `[rows, d]`, `gamma`, `beta` `[d]` → `[rows, d]`.
pub fn residual_norm(
    input: Tensor<2>,
    residual: Tensor<2>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    dropout: Dropout,
) -> Tensor<2> {
    flex::residual_norm(&input, &residual, &gamma, &beta, epsilon, dropout)
        .unwrap_or_else(|| plain::residual_norm(input, residual, gamma, beta, epsilon, dropout))
}

/// y = γ (x − mean(x)) / √(var(x) + ε) + β (Ba et al. 2016).
///
/// # Shapes
/// `input` `[rows, d]`, `gamma`, `beta` `[d]` → `[rows, d]`.
pub fn layer_norm(input: Tensor<2>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let nothing = Tensor::zeros(input.dims(), &input.device());
    residual_norm(input, nothing, gamma, beta, epsilon, Dropout::NONE)
}

/// y = γ x / √(mean(x²) + ε) (Zhang & Sennrich 2019).
///
/// # Shapes
/// `input` `[rows, d]`, `gamma` `[d]` → `[rows, d]`.
pub fn rms_norm(input: Tensor<2>, gamma: Tensor<1>, epsilon: f64) -> Tensor<2> {
    flex::rms_norm(&input, &gamma, epsilon)
        .unwrap_or_else(|| plain::rms_norm(input, gamma, epsilon))
}

/// s = `residual` + `input`, and the norm of s.
///
/// # Shapes
/// `input`, `residual` `[rows, d]`, `gamma` `[d]` → both `[rows, d]`.
pub fn add_rms_norm(
    input: Tensor<2>,
    residual: Tensor<2>,
    gamma: Tensor<1>,
    epsilon: f64,
) -> [Tensor<2>; 2] {
    flex::add_rms_norm(&input, &residual, &gamma, epsilon)
        .unwrap_or_else(|| plain::add_rms_norm(input, residual, gamma, epsilon))
}
