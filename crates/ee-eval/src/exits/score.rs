//! Scores of predictions, ready for sweeps: a metric's statistics of every (prediction, gold) pair,
//! tabulated once.
//!
//! A metric is per-example statistics and a score of their sum, so that one row changing its
//! prediction costs two additions and not a pass over the data. The statistics of classification
//! metrics are counts; their running sums are exact.

use ee_tasks::metrics::{self, Interval, Metric};

use crate::error::{EvalError, Result};
use crate::trace::{MetricFacts, Trace};

/// The seed of every bootstrap, so that a report's intervals can be recomputed.
pub(crate) const BOOTSTRAP_SEED: u64 = 0;

/// What the rows of a trace are scored against: the right labels, or where there are none the full model's.
pub(crate) fn references(trace: &Trace) -> Vec<u32> {
    (0..trace.rows()).map(|row| trace.reference(row)).collect()
}

/// What takes a score's place where there is no gold.
pub(crate) const AGREEMENT: &str = "agreement";

/// A metric with its tabulated statistics.
pub struct Scorer {
    metric: Box<dyn Metric>,
    /// Whether it compares with the full model's answers and not with right ones.
    of_agreement: bool,
    n_labels: usize,
    /// Statistics at `gold * n_labels + prediction`.
    statistics: Vec<Vec<f64>>,
}

impl Scorer {
    /// The metric called `name` for a task of `n_labels` labels.
    pub fn new(name: &str, n_labels: usize) -> Result<Self> {
        let metric = metrics::by_name(name, n_labels).map_err(|error| EvalError::Metric {
            name: name.to_owned(),
            reason: error.to_string(),
        })?;
        let statistics = (0..n_labels * n_labels)
            .map(|pair| metric.statistics(pair % n_labels, pair / n_labels))
            .collect();
        Ok(Self { metric, of_agreement: false, n_labels, statistics })
    }

    /// The share of rows with the full model's answer: what can be said where the right one is unknown.
    fn agreement(n_labels: usize) -> Result<Self> {
        Ok(Self { of_agreement: true, ..Self::new("accuracy", n_labels)? })
    }

    /// One scorer for each of the metrics of a trace, the first one leads; without gold that of agreement.
    pub(crate) fn of_trace(trace: &Trace) -> Result<Vec<Self>> {
        let facts = &trace.facts;
        if !facts.has_gold {
            return Ok(vec![Self::agreement(facts.labels.len())?]);
        }
        if facts.metrics.is_empty() {
            return Err(EvalError::Metric {
                name: "none".to_owned(),
                reason: "the trace names no metric".to_owned(),
            });
        }
        facts.metrics.iter().map(|metric| Self::matching(metric, facts.labels.len())).collect()
    }

    /// The metric of some facts, computed as they say.
    fn matching(facts: &MetricFacts, n_labels: usize) -> Result<Self> {
        let scorer = Self::new(&facts.name, n_labels)?;
        let signature = scorer.signature();
        if signature == facts.signature {
            return Ok(scorer);
        }
        let reason =
            format!("the trace has it as {}, this build computes {signature}", facts.signature);
        Err(EvalError::Metric { name: facts.name.clone(), reason })
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.of_agreement { AGREEMENT } else { self.metric.name() }
    }

    /// How the metric is computed.
    pub(crate) fn signature(&self) -> String {
        match self.of_agreement {
            true => format!("{AGREEMENT}|with:the last exit"),
            false => self.metric.signature(),
        }
    }

    pub(crate) fn statistics(&self, prediction: u32, gold: u32) -> &[f64] {
        &self.statistics[gold as usize * self.n_labels + prediction as usize]
    }

    /// The sum of the statistics of some predictions.
    pub(crate) fn sum(&self, pairs: impl Iterator<Item = (u32, u32)>) -> Vec<f64> {
        let mut sum = vec![0.0; self.statistics[0].len()];
        for (prediction, gold) in pairs {
            self.add(&mut sum, prediction, gold, 1.0);
        }
        sum
    }

    /// Adds `times` × the statistics of one prediction to `sum`.
    pub(crate) fn add(&self, sum: &mut [f64], prediction: u32, gold: u32, times: f64) {
        for (total, value) in sum.iter_mut().zip(self.statistics(prediction, gold)) {
            *total += times * value;
        }
    }

    pub(crate) fn score(&self, sum: &[f64]) -> f64 {
        self.metric.score(sum)
    }

    /// The score of the rows of a trace when row r leaves at `exits[r]`, from 1.
    pub(crate) fn score_at(&self, trace: &Trace, exits: &[usize]) -> f64 {
        let pairs = exits
            .iter()
            .enumerate()
            .map(|(row, &exit)| (trace.prediction(row, exit), trace.reference(row)));
        self.score(&self.sum(pairs))
    }

    /// The score when every row leaves at `exit`, from 1.
    pub(crate) fn score_of_exit(&self, trace: &Trace, exit: usize) -> f64 {
        let pairs =
            (0..trace.rows()).map(|row| (trace.prediction(row, exit), trace.reference(row)));
        self.score(&self.sum(pairs))
    }

    /// The 95 % bootstrap interval of the score when every row leaves at `exit`, from 1.
    pub(crate) fn interval_of_exit(&self, trace: &Trace, exit: usize) -> Interval {
        let statistics: Vec<Vec<f64>> = (0..trace.rows())
            .map(|row| self.statistics(trace.prediction(row, exit), trace.reference(row)).to_vec())
            .collect();
        metrics::bootstrap(self.metric.as_ref(), &statistics, BOOTSTRAP_SEED)
    }
}
