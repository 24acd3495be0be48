use burn::tensor::{DType, Int, Tensor, TensorData, activation};

use super::project;
use crate::kernels::{HeadGradients, HeadLoss, Weight};

/// See [`crate::kernels::head_loss`].
pub fn head_loss(
    states: Tensor<2>,
    weight: &Weight,
    labels: &[u32],
    factor: Option<f64>,
    gradients: Option<&mut HeadGradients>,
) -> HeadLoss {
    let [rows, _] = states.dims();
    assert_eq!(labels.len(), rows, "one label per row");
    let [logits] = project(states.clone(), [weight.clone()]);
    let [_, outputs] = logits.dims();
    assert!(labels.iter().all(|&label| (label as usize) < outputs), "labels are outputs");
    let gold: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
    let gold = Tensor::<2, Int>::from_data(TensorData::new(gold, [rows, 1]), &logits.device());
    let right = logits.clone().argmax(1).equal(gold.clone()).int().sum().into_scalar::<i64>();
    let log_probabilities = activation::log_softmax(logits, 1);
    let loss = -log_probabilities.clone().gather(1, gold.clone()).sum().into_scalar::<f64>();
    let of_states = factor.map(|factor| {
        let one = Tensor::ones([rows, 1], &states.device());
        let is_gold = Tensor::zeros([rows, outputs], &states.device());
        let is_gold = is_gold.scatter(1, gold, one, burn::tensor::IndexingUpdateOp::Add);
        let of_logits = (log_probabilities.exp() - is_gold) * factor;
        if let Some(gradients) = gradients {
            add(gradients, &of_logits, states);
        }
        of_logits.matmul(weight.matrix.clone().cast(DType::F32))
    });
    HeadLoss { loss, right: right as usize, of_states }
}

fn add(gradients: &mut HeadGradients, of_logits: &Tensor<2>, states: Tensor<2>) {
    if let Some(matrix) = gradients.matrix.take() {
        gradients.matrix = Some(matrix + of_logits.clone().transpose().matmul(states));
    }
    if let Some(bias) = gradients.bias.take() {
        gradients.bias = Some(bias + of_logits.clone().sum_dim(0).squeeze_dim(0));
    }
}

/// See [`crate::kernels::pull`].
pub fn pull(state: Tensor<2>, gradient: Tensor<2>) -> Tensor<1> {
    (state * Tensor::from_inner(gradient)).sum()
}
