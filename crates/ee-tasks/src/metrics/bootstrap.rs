//! How sure a score is: the percentile bootstrap (Efron 1979).
//!
//! A resample draws as many examples as there are, with replacement. Examples with equal counts
//! cannot be told apart, so a resample only counts how many of each kind it drew (a confusion table
//! has a handful of kinds) and sums their statistics once.

use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Metric;

/// Resamples behind an [`Interval`].
pub const RESAMPLES: usize = 1000;

/// A 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// 2.5th percentile of the resampled scores.
    pub low: f64,
    /// 97.5th percentile of the resampled scores.
    pub high: f64,
}

/// The 95 % percentile interval of the score; depends on the statistics and the seed alone.
///
/// # Panics
/// If there are no examples.
pub fn bootstrap(metric: &dyn Metric, statistics: &[Vec<f64>], seed: u64) -> Interval {
    bootstrap_of(|sum| metric.score(sum), statistics, seed)
}

/// As [`bootstrap`], for anything that scores a sum of statistics.
///
/// # Panics
/// If there are no examples.
pub fn bootstrap_of(score: impl Fn(&[f64]) -> f64, statistics: &[Vec<f64>], seed: u64) -> Interval {
    assert!(!statistics.is_empty(), "at least one example");
    let (kinds, kind_of) = distinct(statistics);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut scores: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let mut drawn = vec![0.0; kinds.len()];
            for _ in 0..kind_of.len() {
                drawn[kind_of[rng.random_range(0..kind_of.len())]] += 1.0;
            }
            score(&weighted_sum(&kinds, &drawn))
        })
        .collect();
    scores.sort_by(f64::total_cmp);
    Interval { low: percentile(&scores, 0.025), high: percentile(&scores, 0.975) }
}

/// The different statistics, and which of them each example has.
fn distinct(statistics: &[Vec<f64>]) -> (Vec<&[f64]>, Vec<usize>) {
    let mut kinds: Vec<&[f64]> = Vec::new();
    // By their bits: texts are of as many kinds as there are examples.
    let mut kind_by_bits: HashMap<Vec<u64>, usize> = HashMap::new();
    let kind_of = statistics
        .iter()
        .map(|counts| {
            let bits = counts.iter().map(|count| count.to_bits()).collect();
            *kind_by_bits.entry(bits).or_insert_with(|| {
                kinds.push(counts);
                kinds.len() - 1
            })
        })
        .collect();
    (kinds, kind_of)
}

fn weighted_sum(kinds: &[&[f64]], drawn: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; kinds[0].len()];
    for (counts, times) in kinds.iter().zip(drawn) {
        sum.iter_mut().zip(*counts).for_each(|(sum, count)| *sum += times * count);
    }
    sum
}

/// The percentile of sorted values, linear between neighbours.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}
