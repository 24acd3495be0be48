//! The best outputs of a distribution.

use std::cmp::Ordering;

use burn::tensor::Tensor;
use ee_kernels::{RowStatistics, row_statistics};
use rayon::prelude::*;

use super::{NotFinite, check};

/// Which outputs of a row are asked for.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// This many of the most probable ones, but for those ruled out: there may be fewer.
    Best(usize, &'a [u32]),
    /// These.
    These(&'a [u32]),
}

/// Outputs of each row with the log of their probabilities, in nats and in decreasing order; ties by lowest id. What
/// is not asked for has its share of the probability all the same (one host synchronisation, which moves all logits).
///
/// # Shapes
/// `logits` `[rows, outputs]`, `wanted` one per row.
///
/// # Errors
/// [`NotFinite`], of exit `exit`.
pub fn log_probabilities(
    logits: Tensor<2>,
    exit: usize,
    wanted: &[Wanted<'_>],
) -> Result<Vec<Vec<(u32, f64)>>, NotFinite> {
    let [_, outputs] = logits.dims();
    let mut logits: Vec<f32> =
        logits.into_data().try_into_vec_as().expect("logits are floating-point numbers");
    let statistics = row_statistics(&logits, outputs, None);
    statistics.iter().enumerate().try_for_each(|(row, of_row)| check(of_row, exit, row))?;
    let rows = logits.par_chunks_exact_mut(outputs).zip(&statistics).zip(wanted);
    let of_row = |((logits, statistics), wanted): ((&mut [f32], &RowStatistics), &Wanted<'_>)| {
        let found = match *wanted {
            Wanted::Best(k, ruled_out) => {
                for &id in ruled_out {
                    logits[id as usize] = f32::NEG_INFINITY;
                }
                largest_of(logits, k)
            }
            Wanted::These(ids) => {
                let mut ids = ids.to_vec();
                ids.sort_unstable_by(|&a, &b| falling(logits, a, b));
                ids
            }
        };
        let log_sum = f64::from(statistics.max) + statistics.partition.ln();
        let log_probability = |id: u32| (id, f64::from(logits[id as usize]) - log_sum);
        let found = found.into_iter().map(log_probability);
        found.filter(|(_, log_probability)| log_probability.is_finite()).collect()
    };
    Ok(rows.map(of_row).collect())
}

/// By decreasing logit, then by id.
fn falling(logits: &[f32], a: u32, b: u32) -> Ordering {
    logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b))
}

/// The ids of the `k` largest logits of each row, in decreasing order; ties by lowest id (one host
/// synchronisation, which moves all logits). Logits are finite: callers have read their signals.
///
/// # Shapes
/// `logits` `[rows, outputs]`
pub fn largest(logits: Tensor<2>, k: usize) -> Vec<Vec<u32>> {
    let [_, outputs] = logits.dims();
    let logits: Vec<f32> =
        logits.into_data().try_into_vec_as().expect("logits are floating-point numbers");
    logits.chunks_exact(outputs).map(|row| largest_of(row, k)).collect()
}

/// The `k`-th largest maximum of blocks bounds the `k`-th largest logit from below, so that two passes and a
/// sort of little more than `k` numbers are enough.
fn largest_of(logits: &[f32], k: usize) -> Vec<u32> {
    const BLOCK: usize = 64;
    let k = k.min(logits.len());
    let (blocks, rest) = logits.as_chunks::<BLOCK>();
    let mut maxima: Vec<f32> = blocks.iter().map(largest_in_block).collect();
    let mut bound = f32::NEG_INFINITY;
    if k > 0 && maxima.len() >= k {
        bound = *maxima.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1;
    }
    let mut found: Vec<u32> = Vec::with_capacity(2 * k);
    for (block, first) in blocks.iter().zip((0_u32..).step_by(BLOCK)) {
        if largest_in_block(block) >= bound {
            let above = block.iter().zip(first..).filter(|(z, _)| **z >= bound);
            found.extend(above.map(|(_, id)| id));
        }
    }
    let first = (logits.len() - rest.len()) as u32;
    found.extend(rest.iter().zip(first..).filter(|(z, _)| **z >= bound).map(|(_, id)| id));
    found.sort_unstable_by(|&a, &b| falling(logits, a, b));
    found.truncate(k);
    found
}

/// Lanes that the compiler keeps in registers.
fn largest_in_block<const N: usize>(block: &[f32; N]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in block.as_chunks::<LANES>().0 {
        for (lane, &z) in lanes.iter_mut().zip(chunk) {
            *lane = if z > *lane { z } else { *lane };
        }
    }
    lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn the_largest_are_those_of_a_sort() {
        for n in [1, 5, 64, 100, 1000] {
            // Few different values: many ties.
            let logits: Vec<f32> = (0..n).map(|i| ((i * 37 + i * i) % 41) as f32 - 20.0).collect();
            let mut order: Vec<u32> = (0..n as u32).collect();
            order.sort_by(|&a, &b| {
                logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b))
            });
            for k in [1, 3, 64, 2000] {
                assert_eq!(largest_of(&logits, k), order[..k.min(n)], "{k} of {n}");
            }
        }
    }

    #[test]
    fn probabilities_are_those_of_the_whole_row() {
        let logits = Tensor::<2>::from_data([[0.0, 2.0, 1.0, 2.0]], &Device::flex());
        let total = (1.0 + 1_f64.exp() + 2.0 * 2_f64.exp()).ln();
        let found = |wanted| log_probabilities(logits.clone(), 1, &[wanted]).unwrap().remove(0);
        let expected = [(3, 2.0), (2, 1.0), (0, 0.0)];
        for ((id, found), (expected, logit)) in found(Wanted::Best(3, &[1])).iter().zip(expected) {
            assert_eq!(*id, expected);
            assert!((found - (logit - total)).abs() < 1e-6, "{id}: {found}");
        }
        let ids = |wanted| -> Vec<u32> { found(wanted).into_iter().map(|(id, _)| id).collect() };
        assert_eq!(ids(Wanted::Best(2, &[])), [1, 3]);
        assert_eq!(ids(Wanted::Best(4, &[1, 2])), [3, 0]);
        assert_eq!(ids(Wanted::These(&[2, 3])), [3, 2]);
        assert_eq!(found(Wanted::These(&[2])), found(Wanted::Best(1, &[1, 3])));
        let wrong = Tensor::<2>::from_data([[0.0, f32::NAN]], &Device::flex());
        assert!(log_probabilities(wrong, 1, &[Wanted::These(&[0])]).is_err());
    }
}
