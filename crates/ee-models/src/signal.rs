//! The only place where logits become numbers.
//!
//! A signal is what is kept of one exit for one prediction. Gates, ideal exits, calibration and plots
//! read signals, never logits. Entropy is log Z − Σ p z with every logit z shifted by the largest, so that
//! neither exp overflows nor p log p is taken at p = 0. Logits are reduced where they are; only these
//! numbers travel to the host.
//!
//! A row of which a logit is NaN or infinite is not a distribution, and reading it fails with a
//! [`NotFinite`]: otherwise a gate or an argmax would turn it into something that looks like an answer.

mod best;

use burn::tensor::Tensor;

pub use self::best::{Wanted, largest, log_probabilities};
pub use crate::error::NotFinite;
use crate::exit::ExitModel;
use crate::kernels::{self, RowStatistics, Rows};
use ee_kernels::row_statistics;

/// Bytes of logits that are alive at once; somewhat less than the allocator keeps for the next chunk
/// ([`crate::device::keep_freed_memory`]).
const CHUNK_BYTES: usize = 32_768_000;

/// What one exit alone says about one prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    /// The argmax; on ties the lowest id.
    pub prediction: u32,
    /// Probability of the prediction.
    pub confidence: f32,
    /// Probability of the prediction minus that of the runner-up.
    pub margin: f32,
    /// Entropy of the distribution, in nats.
    pub entropy: f32,
}

/// What one exit says about the prediction of the last exit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// 1 where this exit ranks the last exit's prediction first; on ties lower ids come first.
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
    /// # Errors
    /// [`NotFinite`], of the shallowest exit that is not.
    ///
    /// # Panics
    /// When the rows are no multiple of the exits.
    pub fn read(logits: Tensor<2>, n_exits: usize) -> Result<Self, NotFinite> {
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
    ///
    /// # Errors
    /// As [`Signals::read`].
    pub fn of_states(model: &dyn ExitModel, states: &[Tensor<2>]) -> Result<Self, NotFinite> {
        let n_exits = states.len();
        let [outputs, _] = model.head_weight().matrix.dims();
        let chunk = (CHUNK_BYTES / size_of::<f32>() / outputs.max(1)).max(1);
        let n_rows = states.first().map_or(0, |states| states.dims()[0]);
        let mut last: Option<Vec<u32>> = None;
        let mut exits = Vec::with_capacity(n_exits);
        // The last exit first: the others are compared with its predictions.
        for states in states.iter().rev() {
            let mut rows = Vec::with_capacity(n_rows);
            for from in (0..n_rows).step_by(chunk) {
                let to = (from + chunk).min(n_rows);
                let logits = model.read(states.clone().narrow(0, from, to - from), Rows::Many);
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
    ) -> Result<Self, NotFinite> {
        let mut values = Vec::with_capacity(n_rows * n_exits);
        for row in 0..n_rows {
            for exit in 0..n_exits {
                let statistics = statistics(exit, row);
                check(&statistics, exit + 1, row)?;
                values.push((Signal::of(&statistics), Agreement::of(&statistics)));
            }
        }
        Ok(Self { n_exits, values })
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

fn check(row: &RowStatistics, exit: usize, number: usize) -> Result<(), NotFinite> {
    if row.is_finite() { Ok(()) } else { Err(NotFinite { exit, row: number, token: None }) }
}

/// The statistics of one exit's logits, `[rows, outputs]`, all of them finite (one host synchronisation).
///
/// # Errors
/// [`NotFinite`].
pub fn statistics(logits: Tensor<2>, exit: usize) -> Result<Vec<RowStatistics>, NotFinite> {
    let rows = kernels::row_statistics(logits, None);
    rows.iter().enumerate().try_for_each(|(number, row)| check(row, exit, number))?;
    Ok(rows)
}

/// The logits of one exit on the host, row after row, all of them finite (one host synchronisation, which
/// moves all of them).
///
/// # Errors
/// [`NotFinite`].
pub fn on_host(logits: Tensor<2>, exit: usize) -> Result<Vec<f32>, NotFinite> {
    let [_, outputs] = logits.dims();
    let logits: Vec<f32> =
        logits.into_data().try_into_vec_as().expect("logits are floating-point numbers");
    match logits.iter().position(|logit| !logit.is_finite()) {
        Some(at) => Err(NotFinite { exit, row: at / outputs, token: None }),
        None => Ok(logits),
    }
}

/// The signals of one exit, from 1, for each row of its logits, `[rows, outputs]` (one host synchronisation).
///
/// # Errors
/// [`NotFinite`].
pub fn exit_signals(logits: Tensor<2>, exit: usize) -> Result<Vec<Signal>, NotFinite> {
    Ok(statistics(logits, exit)?.iter().map(Signal::of).collect())
}

/// cos(a, b) per row (one host synchronisation); 0 where one of them is 0, NaN where one holds NaN or infinity.
///
/// # Shapes
/// `a`, `b` `[rows, d]`
pub fn cosine(a: Tensor<2>, b: Tensor<2>) -> Vec<f32> {
    let dot = |a: &Tensor<2>, b: &Tensor<2>| (a.clone() * b.clone()).sum_dim(1);
    let sums = Tensor::cat(vec![dot(&a, &b), dot(&a, &a), dot(&b, &b)], 1);
    let sums: Vec<f32> = sums.into_data().try_into_vec_as().expect("states are numbers");
    let of_row = |[ab, aa, bb]: &[f32; 3]| {
        let norms = (f64::from(*aa) * f64::from(*bb)).sqrt();
        if norms == 0.0 { 0.0 } else { (f64::from(*ab) / norms) as f32 }
    };
    sums.as_chunks().0.iter().map(of_row).collect()
}

/// The ideal exit: the shallowest one, from 1, whose prediction equals the last exit's.
///
/// # Panics
/// When there is no exit.
#[must_use]
pub fn ideal_exit(predictions: &[u32]) -> usize {
    let last = predictions[predictions.len() - 1];
    1 + predictions.iter().position(|&prediction| prediction == last).unwrap_or(0)
}

/// The signal of one distribution.
///
/// # Panics
/// When there are no logits.
pub fn signal(logits: &[f32]) -> Signal {
    Signal::of(&row_statistics(logits, logits.len(), None)[0])
}

/// What a distribution says about the output `last`.
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
    fn cosines_are_of_rows() {
        let device = burn::tensor::Device::flex();
        let a = Tensor::<2>::from_data([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]], &device);
        let b = Tensor::<2>::from_data([[6.0, 8.0], [1.0, 1.0], [1.0, 1.0]], &device);
        let found = cosine(a, b);
        assert_eq!((found[0], found[2]), (1.0, 0.0));
        assert!((f64::from(found[1]) - 0.5_f64.sqrt()).abs() < 1e-7);
    }

    #[test]
    fn what_is_not_finite_stops_whoever_reads_it_and_names_the_shallowest_exit() {
        let device = burn::tensor::Device::flex();
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            // Exits 1 to 3 of two rows; the second one's is wrong from exit 2 on.
            let logits =
                [[0.0, 1.0], [2.0, 1.0], [5.0, 1.0], [wrong, 3.0], [1.0, 2.0], [1.0, wrong]];
            let logits = Tensor::<2>::from_data(logits, &device);
            let expected = NotFinite { exit: 2, row: 1, token: None };
            assert_eq!(Signals::read(logits.clone(), 3), Err(expected), "{wrong}");
            let second = logits.narrow(0, 2, 2);
            assert_eq!(exit_signals(second.clone(), 2), Err(expected), "{wrong}");
            assert_eq!(on_host(second, 2), Err(expected), "{wrong}");
        }
        let message = NotFinite { exit: 2, row: 1, token: None }.at_token(5).to_string();
        assert!(message.contains("row 1, new token 5: exit 2 gives NaN"), "{message}");
    }

    #[test]
    fn cosines_of_what_is_not_finite_are_no_numbers() {
        let device = burn::tensor::Device::flex();
        for wrong in [f32::NAN, f32::INFINITY] {
            let a = Tensor::<2>::from_data([[3.0, wrong], [3.0, 4.0]], &device);
            let found = cosine(a, Tensor::from_data([[1.0, 1.0], [3.0, 4.0]], &device));
            assert!(found[0].is_nan() && found[1] == 1.0, "{found:?}");
        }
    }

    #[test]
    fn last_exit_agrees_with_itself() {
        let device = burn::tensor::Device::flex();
        let logits =
            Tensor::<2>::from_data([[0.0, 1.0], [2.0, 1.0], [5.0, 1.0], [1.0, 3.0]], &device);
        let signals = Signals::read(logits, 2).unwrap();
        assert_eq!((signals.n_rows(), signals.n_exits()), (2, 2));
        let (first, second) = (signals.row(0), signals.row(1));
        assert_eq!((first[0].0.prediction, first[1].0.prediction), (1, 0));
        assert_eq!((first[0].1.final_rank, first[1].1.final_rank), (2, 1));
        assert_eq!(second[1].1.final_probability, second[1].0.confidence);
    }
}
