//! Whether a gate earns its keep, or cutting the model off at one depth is the better answer.
//!
//! A fixed depth reads one head and decides nothing, so it wins where it scores at least as high as every threshold
//! of every gate that runs no more layers. Thresholds are chosen on the very rows, which favours the gates: where the
//! fixed depth wins all the same, it does so against the odds.

use ee_decode::gates::{FIXED, SetGate};

use crate::exits::paired::Paired;
use crate::exits::score::{Scorer, references};
use crate::gates::exits_on;
use crate::labels::results::{Cut, Results, Within};
use crate::trace::Trace;

impl Cut {
    /// Weighs the best gate of a trace's results; none where there is none to weigh.
    pub(crate) fn weigh(
        results: &Results,
        trace: &Trace,
        scorer: &Scorer,
        floor: f64,
    ) -> Option<Self> {
        let (name, gate) = results.best_gate()?;
        let scores = &results.score.per_exit;
        let wins = |&depth: &usize| {
            let score = scores[depth - 1];
            score >= floor && score >= results.within[depth - 1].score
        };
        // No deeper than the gate, up to the rest of a layer: depths are whole.
        let deepest = (gate.average_exit.ceil() as usize).min(results.layers - 1);
        let better = (1..=deepest).find(wins);
        let depth = better.unwrap_or(results.fixed().threshold as usize);
        let against = results.within[depth - 1].clone();
        Some(Self {
            gate: name.to_owned(),
            depth,
            score: scores[depth - 1],
            is_better: better.is_some(),
            paired: paired(trace, scorer, depth, &against),
            against,
        })
    }

    /// The fixed depth as it is typed.
    pub(crate) fn typed(&self) -> String {
        format!("{}:{}", FIXED.name(), self.depth)
    }
}

/// A fixed depth beside a gate, on the same rows.
fn paired(trace: &Trace, scorer: &Scorer, depth: usize, against: &Within) -> Paired {
    let gate = ee_decode::gates::by_name(&against.gate).expect("results name gates that there are");
    let exits = exits_on(SetGate { gate, threshold: against.threshold }, trace);
    let of_gate: Vec<u32> =
        exits.iter().enumerate().map(|(row, &exit)| trace.prediction(row, exit)).collect();
    let of_depth: Vec<u32> = (0..trace.rows()).map(|row| trace.prediction(row, depth)).collect();
    Paired::of(scorer, &references(trace), &of_gate, &of_depth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample;

    /// A trace of three exits: predictions, the confidence of exits 1 and 2, and gold.
    fn trace(rows: &[([u32; 3], [f32; 2], u32)]) -> Trace {
        let predictions: Vec<&[u32]> = rows.iter().map(|row| &row.0[..]).collect();
        let gold: Vec<u32> = rows.iter().map(|row| row.2).collect();
        let mut trace = sample::of_predictions(&predictions, &gold, 2);
        for (row, (_, sure, _)) in rows.iter().enumerate() {
            for (exit, &sure) in sure.iter().enumerate() {
                let at = 3 * row + exit;
                trace.signals.confidence[at] = sure;
                trace.signals.margin[at] = 2.0 * sure - 1.0;
                trace.signals.entropy[at] = 1.0 - sure;
            }
        }
        trace
    }

    #[test]
    fn cutting_off_wins_where_confidence_misleads() {
        // Exit 1 is surest where it is wrong; exit 2 is right.
        let rows = [
            ([1, 0, 0], [0.9, 0.6], 0),
            ([0, 1, 1], [0.9, 0.6], 1),
            ([0, 0, 0], [0.6, 0.6], 0),
            ([1, 1, 1], [0.6, 0.6], 1),
        ];
        let results = Results::of_trace(&trace(&rows), 0.98, vec![]).unwrap();
        let cut = results.cut.unwrap();
        assert!(cut.is_better, "{cut:?}");
        assert_eq!((cut.depth, cut.score, cut.typed().as_str()), (2, 1.0, "fixed:2"));
        // Leaving at 1 where it is sure: 2 rows at 1, 2 at 3 make 2 layers, and half of the answers.
        assert!(cut.against.score < 1.0 && cut.paired.difference > 0.0, "{cut:?}");
    }

    #[test]
    fn a_gate_that_knows_when_to_go_on_is_not_cut_off() {
        // Exit 1 is sure where it is right, and two rows of eight need the last layer.
        let mut rows = [([0, 0, 0], [0.9, 0.9], 0), ([1, 1, 1], [0.9, 0.9], 1)].repeat(3);
        rows.extend([([1, 1, 0], [0.6, 0.6], 0), ([0, 0, 1], [0.6, 0.6], 1)]);
        let results = Results::of_trace(&trace(&rows), 0.98, vec![]).unwrap();
        let cut = results.cut.unwrap();
        assert!(!cut.is_better && cut.depth == 3, "{cut:?}");
        assert_eq!((cut.against.average_exit, cut.against.score), (1.5, 1.0));
    }
}
