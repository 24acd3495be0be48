//! What is computed from the head's logits, and the end of a training pass: losses, and where backward passes begin.

use burn::tensor::Tensor;

use super::arguments::{HeadGradients, HeadLoss, RowStatistics, Scoring, Weight};
use super::{flex, plain};

/// Cross-entropy of softmax(x Wᵀ + b) against a label per row, and the gradients that `scoring` asks for.
///
/// Nothing carries a graph (one host synchronisation). On the CPU the logits become their own gradient and
/// `gradients` are added to in place where nothing else holds them.
///
/// # Shapes
/// `states` `[rows, d]`, `weight` `[outputs, d]`, `labels` `[rows]`.
///
/// # Panics
/// When there is not one label per row or a label is not an output.
pub fn head_loss(
    states: Tensor<2>,
    weight: &Weight,
    labels: &[u32],
    scoring: Scoring,
    gradients: Option<&mut HeadGradients>,
) -> HeadLoss {
    match gradients {
        None => flex::head_loss(&states, weight, labels, scoring, None)
            .unwrap_or_else(|| plain::head_loss(states, weight, labels, scoring, None)),
        Some(gradients) => flex::head_loss(&states, weight, labels, scoring, Some(gradients))
            .unwrap_or_else(|| plain::head_loss(states, weight, labels, scoring, Some(gradients))),
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

/// The numbers wanted of each row of logits; `given` names a column per row. Only these numbers travel to the
/// host (one synchronisation); not differentiated.
///
/// # Shapes
/// `logits` `[rows, n]`, `given` `[rows]`.
pub fn row_statistics(logits: Tensor<2>, given: Option<&[u32]>) -> Vec<RowStatistics> {
    flex::row_statistics(&logits, given).unwrap_or_else(|| plain::row_statistics(logits, given))
}
