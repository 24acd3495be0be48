use burn::tensor::{DType, Int, Tensor, TensorData, activation};
use ee_kernels::not_below_zero;

use super::project;
use crate::kernels::arguments::{HeadGradients, HeadLoss, RowStatistics, Scoring, Weight};

/// See [`crate::kernels::head_loss`].
pub fn head_loss(
    states: Tensor<2>,
    weight: &Weight,
    labels: &[u32],
    Scoring { smoothing, factor }: Scoring,
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
    let share = smoothing / (outputs - 1).max(1) as f64;
    let smoothed = match smoothing {
        0.0 => loss,
        _ => {
            let all = -log_probabilities.clone().sum().into_scalar::<f64>();
            (1.0 - smoothing - share) * loss + share * all
        }
    };
    let of_states = factor.map(|factor| {
        let more = Tensor::full([rows, 1], 1.0 - smoothing - share, &states.device());
        let weights = Tensor::full([rows, outputs], share, &states.device());
        let weights = weights.scatter(1, gold, more, burn::tensor::IndexingUpdateOp::Add);
        let of_logits = (log_probabilities.exp() - weights) * factor;
        if let Some(gradients) = gradients {
            add(gradients, &of_logits, states);
        }
        of_logits.matmul(weight.matrix.clone().cast(DType::F32))
    });
    HeadLoss { loss, smoothed, right: right as usize, of_states }
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

/// See [`crate::kernels::row_statistics`].
pub fn row_statistics(logits: Tensor<2>, given: Option<&[u32]>) -> Vec<RowStatistics> {
    let [rows, columns] = logits.dims();
    let device = logits.device();
    let (max, argmax) = logits.clone().max_dim_with_indices(1);
    let ids = Tensor::<1, Int>::arange(0..columns as i64, &device).reshape([1, columns]);
    let is_best = ids.clone().expand([rows, columns]).equal(argmax.clone().expand([rows, columns]));
    let second = logits.clone().mask_fill(is_best, f32::NEG_INFINITY).max_dim(1);
    // Not clamped: what is not finite has to show in the sums.
    let shifted = logits.clone() - max.clone();
    let weights = shifted.clone().exp();
    let partition = weights.clone().sum_dim(1);
    let weighted = (weights * shifted).sum_dim(1);
    let (rank, at) = match given {
        None => (None, None),
        Some(given) => {
            let given: Vec<i64> = given.iter().map(|&id| i64::from(id)).collect();
            let given = Tensor::<2, Int>::from_data(TensorData::new(given, [rows, 1]), &device);
            let at = logits.clone().gather(1, given.clone());
            let wide = at.clone().expand([rows, columns]);
            let earlier = ids.expand([rows, columns]).lower(given.expand([rows, columns]));
            let tied = logits.clone().equal(wide.clone()).bool_and(earlier);
            let before = logits.greater(wide).bool_or(tied).int().sum_dim(1);
            (Some(numbers_of(before.float())), Some(numbers_of(at)))
        }
    };
    let argmax: Vec<i64> = argmax.into_data().try_into_vec_as().expect("indices are integers");
    let [max, second, partition, weighted] = [max, second, partition, weighted].map(numbers_of);
    (0..rows)
        .map(|row| {
            let partition = f64::from(partition[row]);
            RowStatistics {
                argmax: argmax[row] as u32,
                max: max[row],
                second: second[row],
                partition,
                entropy: not_below_zero(partition.ln() - f64::from(weighted[row]) / partition)
                    as f32,
                given_rank: rank.as_ref().map_or(0, |rank| rank[row] as u32),
                given_probability: at
                    .as_ref()
                    .map_or(0.0, |at| (f64::from(at[row] - max[row]).exp() / partition) as f32),
            }
        })
        .collect()
}

fn numbers_of(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_into_vec_as().expect("floating-point numbers")
}
