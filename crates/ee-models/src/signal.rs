//! The only place where logits become numbers.
//!
//! A signal is what is kept of one exit for one prediction. Gates, ideal exits, calibration and plots
//! read signals, never logits. Sums run in f64, so that entropy near zero and probabilities near one
//! keep their digits.

use burn::tensor::Tensor;

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
    /// Reads the logits of all exits (one host synchronisation).
    ///
    /// # Shapes
    /// `logits` `[exits * rows, outputs]`, exit after exit, as [`crate::ExitModel::exit_logits`] gives them.
    ///
    /// # Panics
    /// When the rows are no multiple of the exits.
    pub fn read(logits: Tensor<2>, n_exits: usize) -> Self {
        let [n, outputs] = logits.dims();
        assert_eq!(n % n_exits, 0, "every exit has as many rows");
        let n_rows = n / n_exits;
        let logits = to_host(logits);
        let row = |exit: usize, row: usize| {
            let start = (exit * n_rows + row) * outputs;
            &logits[start..start + outputs]
        };
        let mut values = Vec::with_capacity(n);
        for index in 0..n_rows {
            let last = signal(row(n_exits - 1, index)).prediction;
            values.extend((0..n_exits).map(|exit| {
                let logits = row(exit, index);
                (signal(logits), agreement(logits, last))
            }));
        }
        Self { n_exits, values }
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

/// The signals of one exit for each row of its logits, `[rows, outputs]` (one host synchronisation).
pub fn exit_signals(logits: Tensor<2>) -> Vec<Signal> {
    let [_, outputs] = logits.dims();
    to_host(logits).chunks_exact(outputs).map(signal).collect()
}

fn to_host(logits: Tensor<2>) -> Vec<f32> {
    logits.into_data().try_into_vec_as::<f32>().expect("logits are floating-point numbers")
}

/// The signal of one distribution.
///
/// Entropy is log Z − Σ p z with every logit z shifted by the largest, so that neither exp overflows nor
/// p log p is taken at p = 0.
///
/// # Panics
/// When there are no logits.
pub fn signal(logits: &[f32]) -> Signal {
    let best = argmax(logits);
    let top = f64::from(logits[best]);
    let (mut partition, mut weighted, mut second) = (0.0, 0.0, f64::NEG_INFINITY);
    for (id, &logit) in logits.iter().enumerate() {
        let shifted = f64::from(logit) - top;
        let weight = shifted.exp();
        partition += weight;
        if weight > 0.0 {
            weighted += weight * shifted;
        }
        if id != best {
            second = second.max(shifted);
        }
    }
    Signal {
        prediction: best as u32,
        confidence: (1.0 / partition) as f32,
        margin: ((1.0 - second.exp()) / partition) as f32,
        entropy: (partition.ln() - weighted / partition).max(0.0) as f32,
    }
}

/// How a distribution sees the output `last`.
///
/// # Panics
/// When `last` is no output.
pub fn agreement(logits: &[f32], last: u32) -> Agreement {
    let last = last as usize;
    let given = logits[last];
    let ahead = logits
        .iter()
        .enumerate()
        .filter(|&(id, &logit)| logit > given || (logit == given && id < last))
        .count();
    let top = f64::from(logits[argmax(logits)]);
    let partition: f64 = logits.iter().map(|&logit| (f64::from(logit) - top).exp()).sum();
    Agreement {
        final_rank: ahead as u32 + 1,
        final_probability: ((f64::from(given) - top).exp() / partition) as f32,
    }
}

fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (id, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = id;
        }
    }
    best
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
