//! Cross-entropy of rows of logits, which become their own gradient.

use rayon::prelude::*;

use super::instructions::vectorised;
use super::math::{self, exp};
use super::sizes::product;

/// Partial results per row.
const LANES: usize = 16;
/// Numbers between additions to a sum in f64.
const PIECE: usize = 16 * LANES;

/// Sums over the rows of [`cross_entropy`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// Σ −log p\[label\] with −log p\[j\] = log Σ exp(z) − z\[j\], in nats.
    pub loss: f64,
    /// The same of smoothed labels.
    pub smoothed: f64,
    /// Rows whose argmax (ties: lowest column) is the label.
    pub right: usize,
}

/// Cross-entropy of every row against its label; with a factor, `logits` become the gradient of `factor` ·
/// the sum of the smoothed one.
///
/// Smoothing by ε gives ε / (n − 1) of the weight to each of the n − 1 other columns (fairseq's form of Szegedy et
/// al. 2016): (1 − ε) −log p\[label\] + ε / (n − 1) Σ −log p\[other\]. Its gradient is softmax(z) less these weights.
///
/// # Shapes
/// `logits` `[rows, n_columns]`, `labels` `[rows]`.
///
/// # Panics
/// If sizes do not fit together or a label is not a column.
pub fn cross_entropy(
    logits: &mut [f32],
    n_columns: usize,
    labels: &[u32],
    smoothing: f64,
    factor: Option<f64>,
) -> CrossEntropy {
    let numbers = product([labels.len(), n_columns]);
    assert_eq!(numbers, logits.len(), "a label per row of {n_columns} logits");
    assert!(labels.is_empty() || n_columns > 0, "a label is a column, and there is none");
    let rows: Vec<CrossEntropy> = logits
        .par_chunks_exact_mut(n_columns.max(1))
        .zip(labels)
        .map(|(row, &label)| of_row(row, label as usize, smoothing, factor))
        .collect();
    // In the order of the rows, whatever the threads.
    rows.into_iter().fold(CrossEntropy::default(), |sum, row| CrossEntropy {
        loss: sum.loss + row.loss,
        smoothed: sum.smoothed + row.smoothed,
        right: sum.right + row.right,
    })
}

fn of_row(row: &mut [f32], label: usize, smoothing: f64, factor: Option<f64>) -> CrossEntropy {
    let max = largest(row);
    let columns = row.len() as f64;
    // The weight of each column but the label's; there is no other to give any to in a row of one.
    let share = smoothing / (columns - 1.0).max(1.0);
    let all = if smoothing == 0.0 { 0.0 } else { total(row) };
    let gold = row[label];
    let right = gold == max && !row[..label].contains(&max);
    let sum = exponentials(row, max);
    // NaN compares with nothing: such a row has no argmax.
    let right = right && sum.is_finite();
    if let Some(factor) = factor {
        scale(row, (factor / sum) as f32, (factor * share) as f32);
        let weight = 1.0 - smoothing;
        row[label] = (factor * (f64::from(gold - max).exp() / sum - weight)) as f32;
    }
    // A logit that is not a number must show in the loss.
    let partition = sum.ln() + f64::from(max);
    let loss = partition - f64::from(gold);
    let smoothed = match smoothing {
        0.0 => loss,
        _ => (1.0 - smoothing - share) * loss + share * (columns * partition - all),
    };
    CrossEntropy { loss, smoothed, right: usize::from(right) }
}

vectorised! {
    fn largest(row: &[f32]) -> f32 {
        math::largest::<LANES>(row)
    }
}

vectorised! {
    /// z to exp(z − max), and their sum: lanes in f32 over a piece, then in f64.
    fn exponentials(row: &mut [f32], max: f32) -> f64 {
        let mut total = 0.0_f64;
        for piece in row.chunks_mut(PIECE) {
            let mut sums = [0.0_f32; LANES];
            let (blocks, rest) = piece.as_chunks_mut::<LANES>();
            for block in blocks {
                for lane in 0..LANES {
                    block[lane] = exp::<FUSED>(block[lane] - max);
                    sums[lane] += block[lane];
                }
            }
            for (sum, z) in sums.iter_mut().zip(rest) {
                *z = exp::<FUSED>(*z - max);
                *sum += *z;
            }
            total += f64::from(sums.iter().sum::<f32>());
        }
        total
    }
}

vectorised! {
    /// Lanes in f32 over a piece, then in f64.
    fn total(row: &[f32]) -> f64 {
        let mut total = 0.0_f64;
        for piece in row.chunks(PIECE) {
            let mut sums = [0.0_f32; LANES];
            let (blocks, rest) = piece.as_chunks::<LANES>();
            for block in blocks {
                for lane in 0..LANES {
                    sums[lane] += block[lane];
                }
            }
            for (sum, z) in sums.iter_mut().zip(rest) {
                *sum += *z;
            }
            total += f64::from(sums.iter().sum::<f32>());
        }
        total
    }
}

vectorised! {
    fn scale(row: &mut [f32], factor: f32, less: f32) {
        for value in row {
            *value = *value * factor - less;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, assert_same_on_any_threads, numbers};

    #[test]
    fn rows_equal_the_formula_and_become_their_gradient() {
        for (columns, smoothing) in
            [1, 2, 7, 16, 100, 1031].into_iter().flat_map(|n| [(n, 0.0), (n, 0.1)])
        {
            let logits: Vec<f32> = numbers(5 * columns, 3).iter().map(|x| x * 9.0).collect();
            let labels: Vec<u32> = (0..5).map(|row| (row * 37 % columns) as u32).collect();
            let (mut loss, mut smoothed, mut right, mut gradient) = (0.0, 0.0, 0, Vec::new());
            let weight = |is_gold: bool| match (is_gold, columns) {
                (true, _) => 1.0 - smoothing,
                (false, columns) => smoothing / (columns - 1) as f64,
            };
            for (row, &label) in logits.chunks(columns).zip(&labels) {
                let sum: f64 = row.iter().map(|&z| f64::from(z).exp()).sum();
                loss += sum.ln() - f64::from(row[label as usize]);
                let of_columns = row.iter().enumerate().map(|(column, &z)| {
                    weight(column == label as usize) * (sum.ln() - f64::from(z))
                });
                smoothed += of_columns.sum::<f64>();
                let best = (0..columns).rev().max_by(|&a, &b| row[a].total_cmp(&row[b]));
                right += usize::from(best == Some(label as usize));
                gradient.extend((0..columns).map(|column| {
                    let gold = weight(column == label as usize);
                    0.5 * (f64::from(row[column]).exp() / sum - gold)
                }));
            }
            let mut watched = logits.clone();
            let read = cross_entropy(&mut watched, columns, &labels, smoothing, None);
            assert!((read.loss - loss).abs() < 1e-5 && read.right == right, "{read:?} {loss}");
            assert!((read.smoothed - smoothed).abs() < 1e-5, "{read:?} {smoothed}");
            let mut found = logits;
            assert_eq!(cross_entropy(&mut found, columns, &labels, smoothing, Some(0.5)), read);
            assert_close(&found, &gradient, 1e-6);
        }
    }

    #[test]
    fn of_equal_logits_the_lowest_is_the_answer() {
        let right = |label| cross_entropy(&mut [1.0, 2.0, 2.0], 3, &[label], 0.0, None).right;
        assert_eq!([right(0), right(1), right(2)], [0, 1, 0]);
    }

    #[test]
    fn a_logit_that_is_no_number_makes_the_loss_none() {
        let read = cross_entropy(&mut [1.0, f32::NAN, 0.0], 3, &[0], 0.0, None);
        assert!(read.loss.is_nan() && read.right == 0, "{read:?}");
    }

    #[test]
    fn threads_do_not_change_a_loss_or_a_gradient() {
        let logits = numbers(41 * 513, 3);
        let labels: Vec<u32> = (0..41).collect();
        assert_same_on_any_threads(|| {
            let mut logits = logits.clone();
            let read = cross_entropy(&mut logits, 513, &labels, 0.1, Some(1.0));
            logits.push(read.loss as f32);
            logits
        });
    }
}
