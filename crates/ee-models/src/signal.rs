//! The only place where logits become numbers.
//!
//! A signal is what is kept of one exit for one prediction. Gates, ideal exits, calibration and plots
//! read signals, never logits. Entropy is log Z − Σ p z with every logit z shifted by the largest, so that
//! neither exp overflows nor p log p is taken at p = 0. Logits are reduced where they are; only these
//! numbers travel to the host.

use burn::tensor::Tensor;

use crate::exit::ExitModel;
use crate::kernels::cpu::row_statistics;
use crate::kernels::{self, RowStatistics};

/// Rows whose logits are alive at once: 32 MiB of them with 32,000 outputs.
const CHUNK: usize = 256;

/// What one exit says about one prediction, on its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    /// The argmax; of equal logits the lowest id.
    pub prediction: u32,
    /// Probability of the prediction.
    pub confidence: f32,
    /// Probability of the prediction less that of the runner-up.
    pub margin: f32,
    /// Entropy of the distribution, in nats.
    pub entropy: f32,
}

/// How one exit sees the prediction of the last exit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// 1 where this exit ranks the last exit's prediction first; of equal logits lower ids come first.
    pub final_rank: u32,
    /// Probability that this exit gives to the last exit's prediction.
    pub final_probability: f32,
}

/// The signals of every exit for a batch of predictions.
#[derive(Clone, Debug, PartialEq)]
pub struct Signals {
    n_exits: usize,
    /// Row after row, within a row exit after exit.
    values: Vec<(Signal, Agreement)>,
}

impl Signals {
    /// Reads the logits of all exits (two host synchronisations).
    ///
    /// # Shapes
    /// `logits` `[exits * rows, outputs]`, exit after exit, as [`crate::ExitModel::exit_logits`] gives them.
    ///
    /// # Panics
    /// When the rows are no multiple of the exits.
    pub fn read(logits: Tensor<2>, n_exits: usize) -> Self {
        let [n, _] = logits.dims();
        assert_eq!(n % n_exits, 0, "every exit has as many rows");
        let n_rows = n / n_exits;
        let last = kernels::row_statistics(logits.clone().narrow(0, n - n_rows, n_rows), None);
        let last: Vec<u32> = last.iter().map(|row| row.argmax).collect();
        let exits = kernels::row_statistics(logits, Some(&last.repeat(n_exits)));
        Self::gather(n_exits, n_rows, |exit, row| exits[exit * n_rows + row])
    }

    /// Reads states of every exit through the head, a chunk of one exit's logits at a time.
    ///
    /// # Shapes
    /// `states`: `[rows, d_model]` for each of the exits 1..=N.
    pub fn of_states(model: &dyn ExitModel, states: &[Tensor<2>]) -> Self {
        let n_exits = states.len();
        let n_rows = states.first().map_or(0, |states| states.dims()[0]);
        let mut last: Option<Vec<u32>> = None;
        let mut exits = Vec::with_capacity(n_exits);
        // The last exit first: the others are compared with its predictions.
        for states in states.iter().rev() {
            let mut rows = Vec::with_capacity(n_rows);
            for from in (0..n_rows).step_by(CHUNK) {
                let to = (from + CHUNK).min(n_rows);
                let logits = model.read(states.clone().narrow(0, from, to - from), None);
                let given = last.as_ref().map(|last| &last[from..to]);
                rows.extend(kernels::row_statistics(logits, given));
            }
            if last.is_none() {
                let predictions: Vec<u32> = rows.iter().map(|row| row.argmax).collect();
                for row in &mut rows {
                    (row.given_rank, row.given_probability) = (0, (1.0 / row.partition) as f32);
                }
                last = Some(predictions);
            }
            exits.push(rows);
        }
        exits.reverse();
        Self::gather(n_exits, n_rows, |exit, row| exits[exit][row])
    }

    fn gather(
        n_exits: usize,
        n_rows: usize,
        statistics: impl Fn(usize, usize) -> RowStatistics,
    ) -> Self {
        let values = (0..n_rows).flat_map(|row| (0..n_exits).map(move |exit| (exit, row)));
        let values = values.map(|(exit, row)| {
            let statistics = statistics(exit, row);
            (Signal::of(&statistics), Agreement::of(&statistics))
        });
        Self { n_exits, values: values.collect() }
    }

    /// Number of exits.
    pub fn n_exits(&self) -> usize {
        self.n_exits
    }

    /// Number of predictions.
    pub fn n_rows(&self) -> usize {
        self.values.len() / self.n_exits
    }

    /// The signals of one prediction at the exits 1..=N.
    pub fn row(&self, row: usize) -> &[(Signal, Agreement)] {
        &self.values[row * self.n_exits..(row + 1) * self.n_exits]
    }
}

impl Signal {
    fn of(row: &RowStatistics) -> Self {
        let runner_up = f64::from(row.second - row.max).exp();
        Self {
            prediction: row.argmax,
            confidence: (1.0 / row.partition) as f32,
            margin: ((1.0 - runner_up) / row.partition) as f32,
            entropy: row.entropy,
        }
    }
}

impl Agreement {
    fn of(row: &RowStatistics) -> Self {
        Self { final_rank: row.given_rank + 1, final_probability: row.given_probability }
    }
}

/// The signals of one exit for each row of its logits, `[rows, outputs]` (one host synchronisation).
pub fn exit_signals(logits: Tensor<2>) -> Vec<Signal> {
    kernels::row_statistics(logits, None).iter().map(Signal::of).collect()
}

/// The signal of one distribution.
///
/// # Panics
/// When there are no logits.
pub fn signal(logits: &[f32]) -> Signal {
    Signal::of(&row_statistics(logits, logits.len(), None)[0])
}

/// How a distribution sees the output `last`.
///
/// # Panics
/// When `last` is no output.
pub fn agreement(logits: &[f32], last: u32) -> Agreement {
    Agreement::of(&row_statistics(logits, logits.len(), Some(&[last]))[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_equal_logits_are_a_coin() {
        let signal = signal(&[3.0, 3.0]);
        assert_eq!(signal.prediction, 0);
        assert_eq!((signal.confidence, signal.margin), (0.5, 0.0));
        assert!((f64::from(signal.entropy) - 2_f64.ln()).abs() < 1e-7);
    }

    #[test]
    fn huge_logits_do_not_overflow() {
        let signal = signal(&[1e30, -1e30, 0.0]);
        assert_eq!(signal, Signal { prediction: 0, confidence: 1.0, margin: 1.0, entropy: 0.0 });
    }

    #[test]
    fn agreement_ranks_ties_by_id() {
        let logits = [1.0, 2.0, 2.0];
        assert_eq!(agreement(&logits, 1).final_rank, 1);
        assert_eq!(agreement(&logits, 2).final_rank, 2);
        assert_eq!(agreement(&logits, 0).final_rank, 3);
        let total = 1_f64 + 2.0 * 1_f64.exp();
        let expected = (1.0 / total) as f32;
        assert!((agreement(&logits, 0).final_probability - expected).abs() < 1e-7);
    }

    #[test]
    fn last_exit_agrees_with_itself() {
        let device = burn::tensor::Device::flex();
        let logits =
            Tensor::<2>::from_data([[0.0, 1.0], [2.0, 1.0], [5.0, 1.0], [1.0, 3.0]], &device);
        let signals = Signals::read(logits, 2);
        assert_eq!((signals.n_rows(), signals.n_exits()), (2, 2));
        let (first, second) = (signals.row(0), signals.row(1));
        assert_eq!((first[0].0.prediction, first[1].0.prediction), (1, 0));
        assert_eq!((first[0].1.final_rank, first[1].1.final_rank), (2, 1));
        assert_eq!(second[1].1.final_probability, second[1].0.confidence);
    }
}
