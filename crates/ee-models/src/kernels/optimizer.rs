//! The optimizer's step.

use burn::tensor::Tensor;

use super::arguments::{AdamW, AdamWTensors};
use super::{flex, plain};

/// m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², θ ← θ (1 − αλ) − α m̂ / (√v̂ + ε).
///
/// On the CPU backend the update is in place when nothing else holds the tensors.
///
/// # Shapes
/// All tensors are of one shape and carry no graph.
pub fn adamw<const D: usize>(
    tensors: AdamWTensors<D>,
    gradient: Tensor<D>,
    step: AdamW,
) -> AdamWTensors<D> {
    flex::adamw(tensors, &gradient, step)
        .unwrap_or_else(|tensors| plain::adamw(tensors, gradient, step))
}

/// Σ x² in f64 (one host synchronisation).
pub fn sum_of_squares<const D: usize>(tensor: &Tensor<D>) -> f64 {
    flex::sum_of_squares(tensor).unwrap_or_else(|| plain::sum_of_squares(tensor))
}
