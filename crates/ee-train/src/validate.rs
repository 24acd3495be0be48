//! Scores every exit on the validation split: no graph, no dropout, the whole split each time.

use burn::module::Module;
use ee_models::arch::bert::Encoder;
use ee_models::signal::Signals;
use ee_models::{Batch, ExitModel};
use ee_tasks::metrics::{self, Metric};
use serde::Serialize;

use crate::data::Split;
use crate::error::Result;

/// Scores of one metric at the exits 1..=N.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExitScores {
    /// The metric's name.
    pub metric: String,
    /// In the order of the exits.
    pub scores: Vec<f64>,
}

impl ExitScores {
    /// The score of the last exit.
    pub fn last(&self) -> f64 {
        *self.scores.last().expect("a model has at least one exit")
    }
}

/// Every metric at every exit; the leading metric first.
///
/// # Errors
/// When a batch cannot be given to the model.
pub fn validate(
    model: &Encoder,
    split: &Split,
    metrics: &[Box<dyn Metric>],
    batch_size: usize,
) -> Result<Vec<ExitScores>> {
    let model = model.valid();
    let n_exits = model.n_layers();
    let mut predictions = vec![vec![0; split.len()]; n_exits];
    for rows in split.evaluation_order(batch_size) {
        let batch: Batch = split.batch(&rows)?;
        let signals = Signals::read(model.exit_logits(&batch), n_exits);
        for (place, &row) in rows.iter().enumerate() {
            for (exit, (signal, _)) in signals.row(place).iter().enumerate() {
                predictions[exit][row] = signal.prediction as usize;
            }
        }
    }
    let scores = |metric: &dyn Metric| {
        predictions.iter().map(|exit| metrics::score(metric, exit, split.labels())).collect()
    };
    Ok(metrics
        .iter()
        .map(|metric| ExitScores {
            metric: metric.name().to_owned(),
            scores: scores(metric.as_ref()),
        })
        .collect())
}
