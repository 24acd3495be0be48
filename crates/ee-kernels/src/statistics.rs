//! Statistics of a row of logits, computed without writing its softmax.
//!
//! A NaN stays one, and a row with an infinite logit has no entropy: +∞ leaves no probabilities, and −∞, which
//! elsewhere masks an output, is here an overflow, as no model of ours masks its logits. So
//! [`RowStatistics::is_finite`] tells from numbers at hand whether every logit was finite.

use rayon::prelude::*;

use super::instructions::vectorised;
use super::math::{exp, fused};
use super::sizes::product;

/// Partial results per row.
const LANES: usize = 16;

/// A row of logits in numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowStatistics {
    /// Column of the largest logit; the lowest one on ties.
    pub argmax: u32,
    /// The largest logit.
    pub max: f32,
    /// The second largest; equal to `max` on ties, −∞ if there is one column.
    pub second: f32,
    /// Σ exp(z − max)
    pub partition: f64,
    /// Of the softmax, in nats: log Z − Σ p·z, z shifted by the largest.
    pub entropy: f32,
    /// Columns before the given one when sorted by decreasing logit, then by column; 0 if none was given.
    pub given_rank: u32,
    /// Softmax of the given column; 0 if none was given.
    pub given_probability: f32,
}

impl RowStatistics {
    /// Whether every logit of the row was finite (and the largest and the smallest less than 3.4e38 apart).
    pub fn is_finite(&self) -> bool {
        // The largest alone is asked for rows of one column: −∞ is its own largest.
        self.max.is_finite() && self.partition.is_finite() && self.entropy.is_finite()
    }
}

/// The statistics of every row; `given` names a column per row.
///
/// # Shapes
/// `logits` `[rows, n_columns]`, `given` `[rows]`.
///
/// # Panics
/// If there are no columns, rows are not whole, or a given column is outside.
pub fn row_statistics(
    logits: &[f32],
    n_columns: usize,
    given: Option<&[u32]>,
) -> Vec<RowStatistics> {
    assert!(n_columns > 0, "at least one column");
    assert_eq!(logits.len() % n_columns, 0, "rows of {n_columns} logits");
    if let Some(given) = given {
        assert_eq!(product([given.len(), n_columns]), logits.len(), "a given column per row");
    }
    logits
        .par_chunks_exact(n_columns)
        .enumerate()
        .map(|(row, logits)| of_row(logits, given.map(|given| given[row])))
        .collect()
}

fn of_row(logits: &[f32], given: Option<u32>) -> RowStatistics {
    let (max, second) = two_largest(logits);
    let argmax = logits.iter().position(|&z| z == max).unwrap_or(0) as u32;
    let (sum, weighted) = sums(logits, max);
    let log_sum = sum.ln();
    let (given_rank, given_probability) = given.map_or((0, 0.0), |column| {
        let z = logits[column as usize];
        let (before, after) = logits.split_at(column as usize);
        (
            count(before, |x| x >= z) + count(after, |x| x > z),
            (f64::from(z - max).exp() / sum) as f32,
        )
    });
    RowStatistics {
        argmax,
        max,
        second,
        partition: sum,
        entropy: not_below_zero(log_sum - weighted / sum) as f32,
        given_rank,
        given_probability,
    }
}

/// Values that rounding left below 0 become 0; NaN stays, where `f64::max` would give 0.
pub fn not_below_zero(entropy: f64) -> f64 {
    if entropy < 0.0 { 0.0 } else { entropy }
}

/// Number of logits that satisfy `holds`.
#[inline(always)]
fn count(logits: &[f32], holds: impl Fn(f32) -> bool) -> u32 {
    logits.iter().map(|&x| u32::from(holds(x))).sum()
}

vectorised! {
    fn two_largest(logits: &[f32]) -> (f32, f32) {
        let mut first = [f32::NEG_INFINITY; LANES];
        let mut second = [f32::NEG_INFINITY; LANES];
        let (blocks, rest) = logits.as_chunks::<LANES>();
        for block in blocks {
            for lane in 0..LANES {
                let z = block[lane];
                let smaller = if z < first[lane] { z } else { first[lane] };
                second[lane] = if smaller > second[lane] { smaller } else { second[lane] };
                first[lane] = if z > first[lane] { z } else { first[lane] };
            }
        }
        let (mut best, mut next) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        for &z in first.iter().chain(&second).chain(rest) {
            next = next.max(z.min(best));
            best = best.max(z);
        }
        (best, next)
    }
}

vectorised! {
    /// Σ exp(z − max) and Σ (z − max)·exp(z − max); lanes in f32 over 256 columns, then in f64.
    fn sums(logits: &[f32], max: f32) -> (f64, f64) {
        let (mut total, mut total_weighted) = (0.0_f64, 0.0_f64);
        for piece in logits.chunks(16 * LANES) {
            let (mut sum, mut weighted) = ([0.0_f32; LANES], [0.0_f32; LANES]);
            let (blocks, rest) = piece.as_chunks::<LANES>();
            for block in blocks {
                for lane in 0..LANES {
                    let z = block[lane] - max;
                    let e = exp::<FUSED>(z);
                    sum[lane] += e;
                    weighted[lane] = fused::<FUSED>(z, e, weighted[lane]);
                }
            }
            for (lane, &z) in rest.iter().enumerate() {
                let z = z - max;
                let e = exp::<FUSED>(z);
                sum[lane] += e;
                weighted[lane] = fused::<FUSED>(z, e, weighted[lane]);
            }
            total += f64::from(sum.iter().sum::<f32>());
            total_weighted += f64::from(weighted.iter().sum::<f32>());
        }
        (total, total_weighted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, assert_same_on_any_threads, numbers};

    fn logits(rows: usize, columns: usize) -> Vec<f32> {
        numbers(rows * columns, 3).iter().map(|x| (x * 12.0 * 8.0).round() / 8.0).collect()
    }

    #[test]
    fn rows_equal_the_sorted_softmax() {
        for columns in [1, 2, 7, 16, 100, 1031] {
            let logits = logits(5, columns);
            let given: Vec<u32> = (0..5).map(|row| (row * 37 % columns) as u32).collect();
            let found = row_statistics(&logits, columns, Some(&given));
            for ((row, found), &given) in logits.chunks(columns).zip(&found).zip(&given) {
                let mut order: Vec<usize> = (0..columns).collect();
                order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
                assert_eq!(found.argmax as usize, order[0]);
                assert_eq!(found.max, row[order[0]]);
                let second = order.get(1).map_or(f32::NEG_INFINITY, |&column| row[column]);
                assert_eq!(found.second, second);
                let z: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
                let p: Vec<f64> = row.iter().map(|&x| f64::from(x).exp() / z).collect();
                let entropy = -p.iter().map(|p| p * p.ln()).sum::<f64>();
                assert_close(
                    &[
                        (f64::from(found.max) + found.partition.ln()) as f32,
                        found.entropy,
                        found.given_probability,
                    ],
                    &[z.ln(), entropy, p[given as usize]],
                    3e-6,
                );
                let rank = order.iter().position(|&column| column == given as usize);
                assert_eq!(Some(found.given_rank as usize), rank);
            }
        }
    }

    #[test]
    fn large_logits_stay_finite() {
        let found = row_statistics(&[1e4, -3e38, 1e4], 3, None)[0];
        assert_eq!((found.argmax, found.second, found.is_finite()), (0, 1e4, true));
        assert_close(&[found.entropy, found.partition as f32], &[2.0_f64.ln(), 2.0], 1e-6);
    }

    #[test]
    fn one_logit_that_is_not_finite_shows_wherever_it_stands() {
        // Every position in a vector register, and in the remainder after the last one.
        for columns in [1, 2, 7, 16, 37, 300] {
            let row = logits(1, columns);
            assert!(row_statistics(&row, columns, None)[0].is_finite());
            for place in 0..columns {
                for wrong in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut row = row.clone();
                    row[place] = wrong;
                    let found = row_statistics(&row, columns, Some(&[0]))[0];
                    assert!(!found.is_finite(), "{wrong} at {place} of {columns}: {found:?}");
                }
            }
        }
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!row_statistics(&[wrong; 20], 20, None)[0].is_finite(), "all are {wrong}");
        }
    }

    #[test]
    fn threads_do_not_change_statistics() {
        let logits = logits(41, 513);
        assert_same_on_any_threads(|| {
            let rows = row_statistics(&logits, 513, None);
            rows.into_iter().flat_map(|row| [row.entropy, row.partition as f32]).collect()
        });
    }
}
