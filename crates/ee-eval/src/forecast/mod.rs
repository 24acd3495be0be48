//! What a trace of generated text says of decoding before anything is decoded: thresholds, exits, agreement, and
//! with measured times of the parts ([`times`]) the speed ([`cost`]).
//!
//! Every token is judged on the full model's own context. Errors that grow while decoding, and stand-ins for
//! keys and values, are not seen here: only trials show them.

pub mod cost;
pub mod times;

use serde::{Deserialize, Serialize};

use crate::calibrate::certify;
use crate::error::{EvalError, Result};
use crate::gates::{ExitSpace, Gate, SetGate};
use crate::oracle;
use crate::sweep::{Agreement, WholeTexts, best, curve_of};
use crate::trace::Trace;

/// A trace as gates meet it while decoding: read at some exits, the first tokens never leaving.
pub struct Watched<'t> {
    trace: &'t Trace,
    /// Before the last.
    exits: Vec<usize>,
    /// The rows that may leave.
    rows: Vec<usize>,
    /// They alone, at those exits and the last one.
    asked: Trace,
}

/// A gate at a threshold, on the full model's context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenGate {
    /// The threshold.
    pub threshold: f32,
    /// The mean exit of all tokens.
    pub average_exit: f64,
    /// The share of all tokens that are the full model's.
    pub equal_share: f64,
    /// Of tokens that may leave, the mean of |gate exit − ideal exit|.
    pub distance: f64,
    /// The share of them that leave before their ideal exit.
    pub premature: f64,
    /// The share of them that leave after it.
    pub late: f64,
    /// All tokens by exit, 1..=N.
    pub histogram: Vec<usize>,
}

impl<'t> Watched<'t> {
    /// A greedy trace, read at `exits`, whose first `min_tokens` tokens of each text, one at least, never leave.
    ///
    /// # Errors
    /// [`EvalError::Setting`] for a trace that is not of greedy text, [`EvalError::Empty`] where no token may
    /// leave.
    pub fn new(trace: &'t Trace, exits: &[usize], min_tokens: usize) -> Result<Self> {
        if trace.facts.generation.as_ref().is_none_or(|facts| facts.teacher_forced) {
            let reason = "expected a trace of text that the model wrote itself".to_owned();
            return Err(EvalError::Setting { reason });
        }
        let first = min_tokens.max(1);
        let rows: Vec<usize> =
            (0..trace.rows()).filter(|&row| trace.position[row] as usize >= first).collect();
        if rows.is_empty() {
            let what = format!(
                "no text of the trace has more than {first} new tokens, and the first {first} never leave: --min-tokens"
            );
            return Err(EvalError::Empty { what });
        }
        let exits: Vec<usize> =
            exits.iter().copied().filter(|&exit| exit < trace.layers()).collect();
        let asked = trace.select(&rows).at_exits(&exits);
        Ok(Self { trace, exits, rows, asked })
    }

    /// The threshold that gives the shallowest exits while this share of the tokens that may leave stays the
    /// full model's; none where the gate would have to stay shut.
    #[must_use]
    pub fn keeping(&self, gate: &'static dyn Gate, keep: f64) -> Option<SetGate> {
        let curve = curve_of(&self.asked, gate, &Agreement { trace: &self.asked });
        let found = SetGate { gate, threshold: best(&curve, keep).threshold };
        self.that_fires(found)
    }

    /// The threshold that gives the shallowest exits while this share of the texts stays the full model's, token
    /// for token; none where the gate would have to stay shut.
    #[must_use]
    pub fn keeping_texts(&self, gate: &'static dyn Gate, keep: f64) -> Option<SetGate> {
        let curve = curve_of(&self.asked, gate, &WholeTexts::new(&self.asked));
        self.that_fires(SetGate { gate, threshold: best(&curve, keep).threshold })
    }

    /// The threshold that is certified to change at most this share of a text's tokens; none where none is.
    #[must_use]
    pub fn certified(
        &self,
        gate: &'static dyn Gate,
        risk: f64,
        confidence: f64,
    ) -> Option<SetGate> {
        let threshold = certify(&self.asked, gate, risk, confidence)?;
        self.that_fires(SetGate { gate, threshold })
    }

    fn that_fires(&self, gate: SetGate) -> Option<SetGate> {
        let space = ExitSpace { layers: self.asked.layers(), labels: self.asked.facts.outputs() };
        let is_open = gate.check(space).is_ok()
            && gate.exits(&self.asked).iter().any(|&exit| exit < self.asked.layers());
        is_open.then_some(gate)
    }

    /// The exit of every token of the trace.
    #[must_use]
    pub fn exits(&self, gate: SetGate) -> Vec<usize> {
        let layers = self.trace.layers();
        let mut exits = vec![layers; self.trace.rows()];
        for (&row, place) in self.rows.iter().zip(gate.exits(&self.asked)) {
            exits[row] = self.exits.get(place - 1).copied().unwrap_or(layers);
        }
        exits
    }

    /// What a gate makes of the trace.
    #[must_use]
    pub fn judge(&self, gate: SetGate) -> TokenGate {
        let exits = self.exits(gate);
        let of = |row: usize| (exits[row], oracle::ideal_exit(self.trace.predictions(row)));
        let n = self.rows.len() as f64;
        let share = |holds: &dyn Fn(usize, usize) -> bool| {
            let rows = self.rows.iter().filter(|&&row| {
                let (exit, ideal) = of(row);
                holds(exit, ideal)
            });
            rows.count() as f64 / n
        };
        let apart = self.rows.iter().map(|&row| {
            let (exit, ideal) = of(row);
            exit.abs_diff(ideal)
        });
        TokenGate {
            threshold: gate.threshold,
            average_exit: oracle::average(&exits),
            equal_share: equal_share(self.trace, &exits),
            distance: apart.sum::<usize>() as f64 / n,
            premature: share(&|exit, ideal| exit < ideal),
            late: share(&|exit, ideal| exit > ideal),
            histogram: oracle::histogram(&exits, self.trace.layers()),
        }
    }

    /// Whether each token of the trace may leave.
    #[must_use]
    pub fn may_leave(&self) -> Vec<bool> {
        let mut may = vec![false; self.trace.rows()];
        self.rows.iter().for_each(|&row| may[row] = true);
        may
    }

    /// The exits before the last at which gates are read.
    #[must_use]
    pub fn read_at(&self) -> &[usize] {
        &self.exits
    }
}

/// The share of tokens that are the last exit's when row r leaves at `exits[r]`.
#[must_use]
pub fn equal_share(trace: &Trace, exits: &[usize]) -> f64 {
    let layers = trace.layers();
    let is_equal =
        |row: &usize| trace.prediction(*row, exits[*row]) == trace.prediction(*row, layers);
    (0..trace.rows()).filter(is_equal).count() as f64 / trace.rows() as f64
}

/// The share of tokens, at each of the exits 1..=N, that are the last exit's.
#[must_use]
pub fn agreement_per_exit(trace: &Trace) -> Vec<f64> {
    (1..=trace.layers()).map(|exit| equal_share(trace, &vec![exit; trace.rows()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::{self, GATES};
    use crate::trace::sample;

    #[test]
    fn gates_know_only_the_exits_they_read_and_the_tokens_that_may_leave() {
        // One text of four tokens, four exits; every signal is as sure as can be.
        let rows: [&[u32]; 4] = [&[1, 1, 1, 2], &[3, 4, 4, 4], &[5, 6, 6, 6], &[8, 8, 7, 8]];
        let trace = sample::as_text(sample::of_predictions(&rows, &[0; 4], 9), &[4]);
        let watched = Watched::new(&trace, &[2, 4], 2).unwrap();
        let sure = SetGate { gate: gates::by_name("confidence").unwrap(), threshold: 0.5 };
        // Positions 2 and 3 leave at the first exit read, 2.
        assert_eq!(watched.exits(sure), [4, 4, 2, 2]);
        assert_eq!(watched.may_leave(), [false, false, true, true]);
        let judged = watched.judge(sure);
        assert_eq!((judged.average_exit, judged.equal_share), (3.0, 1.0));
        // Ideal exits 2 and 1.
        assert_eq!((judged.distance, judged.premature, judged.late), (0.5, 0.0, 0.5));
        let first = Watched::new(&trace, &[1, 2, 3], 0).unwrap();
        assert_eq!(first.exits(sure), [4, 1, 1, 1]);
        assert_eq!(first.judge(sure).equal_share, 0.5);
        assert!(Watched::new(&trace, &[1], 4).is_err());
        assert_eq!(agreement_per_exit(&trace), [0.25, 0.75, 0.5, 1.0]);
    }

    #[test]
    fn thresholds_are_the_best_of_all_that_keep_enough() {
        let trace = sample::generated(&[9, 12, 7, 14], 6, 8, 3);
        let watched = Watched::new(&trace, &[2, 3, 5], 3).unwrap();
        let kept = |exits: &[usize]| {
            let may = watched.may_leave();
            let rows: Vec<usize> = (0..trace.rows()).filter(|&row| may[row]).collect();
            let exits: Vec<usize> = rows.iter().map(|&row| exits[row]).collect();
            equal_share(&trace.select(&rows), &exits)
        };
        for &gate in GATES {
            let Some(found) = watched.keeping(gate, 0.7) else { continue };
            assert!(kept(&watched.exits(found)) >= 0.7, "{found}");
            // A little looser, one token more leaves: too few are kept, or nothing is shallower.
            let range = gate.range(ExitSpace { layers: 4, labels: 8 });
            for step in 0..=400 {
                let threshold = range.never + (range.always - range.never) * step as f32 / 400.0;
                let exits = watched.exits(SetGate { gate, threshold });
                if kept(&exits) >= 0.7 {
                    let average = oracle::average(&exits);
                    assert!(average >= watched.judge(found).average_exit - 1e-9, "{found}");
                }
            }
        }
        assert!(GATES.iter().any(|&gate| watched.keeping(gate, 0.7).is_some()));
    }
}
