//! The end of a training pass: the head's product, its losses, and where backward passes begin.

use burn::tensor::Tensor;

use super::{Weight, flex, plain};

/// What the head says of some labelled states.
#[derive(Debug)]
pub struct HeadLoss {
    /// Σ −log p(label), in nats.
    pub loss: f64,
    /// Rows whose argmax (ties: lowest column) is the label.
    pub right: usize,
    /// The gradient of the states, `[rows, d]`; `None` where no gradient was asked for.
    pub of_states: Option<Tensor<2>>,
}

/// The head's gradients, which are added to; `None` where none is wanted.
#[derive(Debug)]
pub struct HeadGradients {
    /// `[outputs, d]`
    pub matrix: Option<Tensor<2>>,
    /// `[outputs]`
    pub bias: Option<Tensor<1>>,
}

/// Cross-entropy of softmax(x Wᵀ + b) against a label per row, and the gradients of `factor` · its sum.
///
/// Nothing carries a graph (one host synchronisation). On the CPU the logits become their own gradient and
/// `gradients` are added to in place where nobody else holds them.
///
/// # Shapes
/// `states` `[rows, d]`, `weight` `[outputs, d]`, `labels` `[rows]`.
///
/// # Panics
/// When there is not one label per row or a label is no output.
pub fn head_loss(
    states: Tensor<2>,
    weight: &Weight,
    labels: &[u32],
    factor: Option<f64>,
    gradients: Option<&mut HeadGradients>,
) -> HeadLoss {
    match gradients {
        None => flex::head_loss(&states, weight, labels, factor, None)
            .unwrap_or_else(|| plain::head_loss(states, weight, labels, factor, None)),
        Some(gradients) => flex::head_loss(&states, weight, labels, factor, Some(gradients))
            .unwrap_or_else(|| plain::head_loss(states, weight, labels, factor, Some(gradients))),
    }
}

/// A number whose gradient with respect to `state` is `gradient`, for a backward pass to begin with; what
/// the number is depends on the body.
///
/// # Shapes
/// Both `[rows, d]`; `state` is tracked, `gradient` carries no graph.
pub fn pull(state: Tensor<2>, gradient: Tensor<2>) -> Tensor<1> {
    flex::pull(&state, &gradient).unwrap_or_else(|| plain::pull(state, gradient))
}
