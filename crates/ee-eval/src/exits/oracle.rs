//! Where a prediction could have left: the ideal exit, the saturation exit, and what chance gives.
//!
//! The ideal exit looks at the last exit's answer, so it is a bound, not a method. On a task of few
//! labels a layer that knows nothing often agrees with the last one; the exits expected by chance
//! say how much of an early ideal exit is that. They are computed, not sampled: shuffled over the
//! examples, exit j shows a given row label c with probability q_j(c), its share among exit j's
//! predictions, independently of the other exits, so the expectation over all shuffles is exact.

use ee_models::signal::ideal_exit;
use serde::{Deserialize, Serialize};

use crate::trace::Trace;

/// The shallowest exit, from 1, from which on every deeper exit's prediction equals the last one's.
pub(crate) fn saturation_exit(predictions: &[u32]) -> usize {
    let last = predictions[predictions.len() - 1];
    predictions.len()
        - predictions.iter().rev().take_while(|&&prediction| prediction == last).count()
        + 1
}

/// The ideal exit of every row of a trace.
pub fn ideal_exits(trace: &Trace) -> Vec<usize> {
    (0..trace.rows()).map(|row| ideal_exit(trace.predictions(row))).collect()
}

/// The saturation exit of every row of a trace.
pub(crate) fn saturation_exits(trace: &Trace) -> Vec<usize> {
    (0..trace.rows()).map(|row| saturation_exit(trace.predictions(row))).collect()
}

/// How many rows leave at each of the exits 1..=`layers`.
pub(crate) fn histogram(exits: &[usize], layers: usize) -> Vec<usize> {
    let mut counts = vec![0; layers];
    for exit in exits {
        counts[exit - 1] += 1;
    }
    counts
}

/// The mean of some exits.
pub(crate) fn average(exits: &[usize]) -> f64 {
    exits.iter().sum::<usize>() as f64 / exits.len() as f64
}

/// The share of rows whose ideal exit would be each of 1..=N if every exit's predictions were
/// shuffled over the rows; the exact expectation over all shuffles, summing to 1.
pub(crate) fn chance_histogram(trace: &Trace) -> Vec<f64> {
    let layers = trace.layers();
    let shares = label_shares(trace);
    let mut histogram = vec![0.0; layers];
    for (label, &share_of_rows) in shares[layers - 1].iter().enumerate() {
        let mut still_inside = share_of_rows;
        for exit in 1..layers {
            let leaves = still_inside * shares[exit - 1][label];
            histogram[exit - 1] += leaves;
            still_inside -= leaves;
        }
        histogram[layers - 1] += still_inside;
    }
    histogram
}

/// The mean exit of a histogram of shares over exits 1..=N.
pub(crate) fn average_of_shares(histogram: &[f64]) -> f64 {
    histogram.iter().zip(1..).map(|(share, exit)| share * f64::from(exit)).sum()
}

/// q_j(c): the share among the predictions of each exit of each label that the last exit gives, of a
/// vocabulary a small part.
fn label_shares(trace: &Trace) -> Vec<Vec<f64>> {
    let layers = trace.layers();
    let mut given: Vec<u32> = (0..trace.rows()).map(|row| trace.prediction(row, layers)).collect();
    given.sort_unstable();
    given.dedup();
    let mut place_of = vec![None; trace.facts.outputs()];
    for (place, &label) in given.iter().enumerate() {
        place_of[label as usize] = Some(place);
    }
    let mut shares = vec![vec![0.0; given.len()]; layers];
    let one_row = 1.0 / trace.rows() as f64;
    for row in 0..trace.rows() {
        for (exit_shares, &label) in shares.iter_mut().zip(trace.predictions(row)) {
            if let Some(place) = place_of[label as usize] {
                exit_shares[place] += one_row;
            }
        }
    }
    shares
}

/// The ideal exit and what it should be compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ideal {
    /// The deepest ideal exit of any row.
    pub(crate) max: usize,
    /// The mean ideal exit.
    pub(crate) average: f64,
    /// The share of rows, 0 to 1, whose ideal exit is before the last.
    pub(crate) perc: f64,
    /// Rows by ideal exit, 1..=N.
    pub(crate) histogram: Vec<usize>,
    /// The mean of the shallowest exit from which all deeper ones agree with the last.
    pub(crate) saturation_average: f64,
    /// Rows by saturation exit, 1..=N.
    pub(crate) saturation_histogram: Vec<usize>,
    /// The mean ideal exit expected when every exit's predictions are shuffled over the rows.
    pub(crate) chance_average: f64,
    /// The share of rows expected at exits 1..=N then.
    pub(crate) chance_histogram: Vec<f64>,
}

impl Ideal {
    /// The figures of the ideal exits of a trace, and of what they should be compared with.
    pub(crate) fn of_trace(trace: &Trace, ideal_exits: &[usize]) -> Self {
        let layers = trace.layers();
        let saturated = saturation_exits(trace);
        let of_ideal = histogram(ideal_exits, layers);
        let by_chance = chance_histogram(trace);
        Self {
            max: ideal_exits.iter().copied().max().unwrap_or(0),
            average: average(ideal_exits),
            perc: 1.0 - of_ideal[layers - 1] as f64 / trace.rows() as f64,
            histogram: of_ideal,
            saturation_average: average(&saturated),
            saturation_histogram: histogram(&saturated, layers),
            chance_average: average_of_shares(&by_chance),
            chance_histogram: by_chance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample;
    use rand::seq::SliceRandom;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn the_ideal_exit_comes_before_the_answer_settles() {
        assert_eq!(ideal_exit(&[1, 0, 1, 1]), 1);
        assert_eq!(saturation_exit(&[1, 0, 1, 1]), 3);
        assert_eq!(ideal_exit(&[0, 0, 0, 1]), 4);
        assert_eq!(saturation_exit(&[0, 0, 0, 1]), 4);
        assert_eq!(ideal_exit(&[2, 2]), 1);
        assert_eq!(saturation_exit(&[2, 2]), 1);
        assert_eq!((ideal_exit(&[5]), saturation_exit(&[5])), (1, 1));
    }

    #[test]
    fn chance_on_two_even_labels_halves_at_every_exit() {
        let trace =
            sample::of_predictions(&[&[0, 0, 0], &[1, 0, 1], &[0, 1, 0], &[1, 1, 1]], &[0; 4], 2);
        assert_eq!(chance_histogram(&trace), vec![0.5, 0.25, 0.25]);
        assert_eq!(average_of_shares(&chance_histogram(&trace)), 1.75);
    }

    #[test]
    fn chance_knows_vocabularies() {
        // Token 7 ends three rows of four and is a quarter of exit 1; token 2 is half of it.
        let trace = sample::of_predictions(&[&[7, 7], &[2, 7], &[2, 7], &[5, 2]], &[0; 4], 9);
        assert_eq!(chance_histogram(&sample::as_text(trace, &[4])), vec![0.3125, 0.6875]);
    }

    #[test]
    fn chance_is_the_mean_over_shuffles() {
        let trace = sample::random(60, 5, 3, 11);
        let mut random = StdRng::seed_from_u64(3);
        let rounds = 4000;
        let mut total = 0.0;
        for _ in 0..rounds {
            let columns: Vec<Vec<u32>> = (1..=5)
                .map(|exit| {
                    let mut column: Vec<u32> =
                        (0..60).map(|row| trace.prediction(row, exit)).collect();
                    column.shuffle(&mut random);
                    column
                })
                .collect();
            let exits: Vec<usize> = (0..60)
                .map(|row| {
                    ideal_exit(&columns.iter().map(|column| column[row]).collect::<Vec<_>>())
                })
                .collect();
            total += average(&exits);
        }
        let sampled = total / f64::from(rounds);
        let exact = average_of_shares(&chance_histogram(&trace));
        // One shuffle's mean has a standard deviation near 0.15; 4000 of them one of 0.0024.
        assert!((sampled - exact).abs() < 0.01, "sampled {sampled}, exact {exact}");
    }
}
