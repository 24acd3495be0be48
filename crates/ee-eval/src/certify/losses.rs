//! What leaving early costs: one loss in [0, 1] per example, and the halves on which losses are measured.
//!
//! The guarantee counts independent draws. Examples are independent, the tokens of one text are not, so a text is
//! one draw whose loss is a share of its tokens.

use std::ops::Range;

use clap::ValueEnum;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::trace::Trace;

/// What an early exit is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Against {
    /// The full model's prediction: the share of an example's predictions that differ from it.
    Full,
    /// The gold: how much larger the share of wrong predictions is than the full model's, not below 0.
    Gold,
}

/// The rows of each example, in the order of the trace.
pub(crate) fn examples(trace: &Trace) -> Vec<Range<usize>> {
    let mut start = 0;
    let runs = trace.example.chunk_by(|one, other| one == other);
    let ranges = runs.map(|run| {
        let rows = start..start + run.len();
        start = rows.end;
        rows
    });
    ranges.collect()
}

/// The loss of every example when row r leaves at `exits[r]`, from 1.
pub(super) fn losses(trace: &Trace, exits: &[usize], against: Against) -> Vec<f64> {
    let loss = |rows: Range<usize>| {
        let n = rows.len() as f64;
        let differs = |row: usize, exit: usize, from: u32| trace.prediction(row, exit) != from;
        let count = |wrong: &dyn Fn(usize) -> bool| rows.clone().filter(|&row| wrong(row)).count();
        let last = trace.layers();
        match against {
            Against::Full => {
                count(&|row| differs(row, exits[row], trace.prediction(row, last))) as f64 / n
            }
            Against::Gold => {
                let early = count(&|row| differs(row, exits[row], trace.gold[row]));
                let full = count(&|row| differs(row, last, trace.gold[row]));
                early.saturating_sub(full) as f64 / n
            }
        }
    };
    examples(trace).into_iter().map(loss).collect()
}

/// A trace in two: thresholds are certified on one half and shown on the other.
pub(crate) struct Halves {
    /// Decides; the larger half if the number of examples is odd.
    pub(crate) calibration: Trace,
    /// Only shows.
    pub(crate) held_out: Trace,
}

impl Halves {
    /// A random split by example, which follows from the seed and the number of examples.
    pub(crate) fn draw(trace: &Trace, seed: u64) -> Self {
        let mut examples = examples(trace);
        examples.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let (chosen, rest) = examples.split_at(examples.len().div_ceil(2));
        let half = |of: &[Range<usize>]| {
            let mut of = of.to_vec();
            of.sort_by_key(|rows| rows.start);
            trace.select(&of.into_iter().flatten().collect::<Vec<_>>())
        };
        Self { calibration: half(chosen), held_out: half(rest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample;

    /// Two texts, of one token and of four; three exits.
    fn two_texts() -> Trace {
        let rows: [&[u32]; 5] = [&[1, 2, 2], &[3, 3, 3], &[4, 3, 3], &[4, 4, 3], &[5, 5, 5]];
        sample::as_text(sample::of_predictions(&rows, &[2, 3, 4, 4, 6], 9), &[1, 4])
    }

    #[test]
    fn a_text_is_one_example_and_its_loss_a_share_of_its_tokens() {
        let trace = two_texts();
        assert_eq!(examples(&trace), [0..1, 1..5]);
        // At exit 1 the first text's token differs from the full model's, and two of the other four.
        assert_eq!(losses(&trace, &[1; 5], Against::Full), [1.0, 0.5]);
        assert_eq!(losses(&trace, &[2; 5], Against::Full), [0.0, 0.25]);
        assert_eq!(losses(&trace, &[3; 5], Against::Full), [0.0, 0.0]);
        assert_eq!(losses(&trace, &[1, 3, 3, 1, 1], Against::Full), [1.0, 0.25]);
    }

    #[test]
    fn against_the_gold_only_what_is_lost_counts() {
        // The full model is right on the first text and wrong on three tokens of the second; exit 1 is
        // wrong on the first and right where the full model was wrong twice.
        let trace = two_texts();
        assert_eq!(losses(&trace, &[1; 5], Against::Gold), [1.0, 0.0]);
        assert_eq!(losses(&trace, &[3; 5], Against::Gold), [0.0, 0.0]);
        let worse: [&[u32]; 2] = [&[1, 0], &[1, 0]];
        let trace = sample::of_predictions(&worse, &[0, 1], 2);
        assert_eq!(losses(&trace, &[1, 1], Against::Gold), [1.0, 0.0]);
    }

    #[test]
    fn halves_hold_every_text_whole_and_once() {
        let trace = sample::generated(&[3, 1, 4, 1, 5, 9, 2], 3, 20, 1);
        let Halves { calibration, held_out } = Halves::draw(&trace, 5);
        assert_eq!((examples(&calibration).len(), examples(&held_out).len()), (4, 3));
        let mut rows: Vec<(u32, u32)> = [&calibration, &held_out]
            .iter()
            .flat_map(|half| half.example.iter().copied().zip(half.position.iter().copied()))
            .collect();
        rows.sort_unstable();
        let all: Vec<_> =
            trace.example.iter().copied().zip(trace.position.iter().copied()).collect();
        assert_eq!(rows, all);
        let again = Halves::draw(&trace, 5).calibration;
        assert_eq!(again.example, calibration.example);
        assert!(
            (0..20).any(|seed| Halves::draw(&trace, seed).calibration.example != again.example)
        );
    }
}
