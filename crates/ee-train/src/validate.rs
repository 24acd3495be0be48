//! Scores every exit on the validation split: no graph, no dropout, the whole split each time.

use ee_models::loss::evaluate;
use ee_models::signal::{NotFinite, Signals};
use ee_tasks::metrics::{self, Metric};
use serde::Serialize;

use crate::data::Split;
use crate::error::Result;
use crate::step::MicroBatch;
use crate::subject::Trainable;
use crate::write::Writer;

/// e to the mean cross-entropy of a token; the measure of text that chooses the best checkpoint.
const PERPLEXITY: &str = "perplexity";

pub(crate) enum Measure {
    Labels(LabelMeasure),
    /// Perplexity and accuracy of learned tokens; a metric of what the model writes leads where it is to write.
    Tokens(Option<Box<Writer>>),
}

pub(crate) struct LabelMeasure {
    /// The first one leads.
    pub(crate) metrics: Vec<Box<dyn Metric>>,
    /// The task's label that each of the head's outputs means: metrics tell labels apart, and know the
    /// task's alone.
    pub(crate) label_of: Vec<usize>,
}

/// Scores of one metric at the exits 1..=N.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ExitScores {
    pub(crate) metric: String,
    /// `None` where an exit was not asked.
    pub(crate) scores: Vec<Option<f64>>,
}

impl ExitScores {
    fn new(metric: &str, scores: Vec<f64>) -> Self {
        Self { metric: metric.to_owned(), scores: scores.into_iter().map(Some).collect() }
    }

    /// Of the last exit alone.
    pub(crate) fn of_last(metric: &str, score: f64, n_exits: usize) -> Self {
        let mut scores = vec![None; n_exits - 1];
        scores.push(Some(score));
        Self { metric: metric.to_owned(), scores }
    }

    /// The score of the last exit.
    pub(crate) fn last(&self) -> f64 {
        self.scores.last().copied().flatten().expect("the last exit is always asked")
    }
}

impl Measure {
    /// The metric that chooses the best checkpoint, by the last exit.
    pub(crate) fn leading(&self) -> &'static str {
        match self {
            Self::Labels(measure) => measure.metrics[0].name(),
            Self::Tokens(Some(writer)) => writer.metric(),
            Self::Tokens(None) => PERPLEXITY,
        }
    }

    /// Whether the leading metric rose from `best` to `score`, or fell where less is better. What is no
    /// finite number never improves anything, and every number improves on it.
    pub(crate) fn improves(&self, score: f64, best: Option<f64>) -> bool {
        let Some(best) = best.filter(|best| best.is_finite()) else { return score.is_finite() };
        match self {
            Self::Labels(_) | Self::Tokens(Some(_)) => score > best,
            Self::Tokens(None) => score < best,
        }
    }

    /// Every metric at every exit; the leading metric first.
    pub(crate) fn scores<M: Trainable>(
        &self,
        model: &M,
        split: &Split,
        batch_size: usize,
    ) -> Result<Vec<ExitScores>> {
        let model = model.valid();
        match self {
            Self::Labels(measure) => of_labels(&model, split, measure, batch_size),
            Self::Tokens(writer) => {
                let mut scores = of_tokens(&model, split, batch_size)?;
                if let (Some(writer), Some(decoder)) = (writer, model.decoder()) {
                    let score = writer.score(decoder)?;
                    scores.insert(0, ExitScores::of_last(writer.metric(), score, model.n_layers()));
                }
                Ok(scores)
            }
        }
    }
}

fn of_labels<M: Trainable>(
    model: &M,
    split: &Split,
    measure: &LabelMeasure,
    batch_size: usize,
) -> Result<Vec<ExitScores>> {
    let LabelMeasure { metrics, label_of } = measure;
    let n_exits = model.n_layers();
    let (outputs, mut predictions) = (split.labels(), vec![vec![0; split.len()]; n_exits]);
    for rows in split.evaluation_order(batch_size) {
        let MicroBatch { batch, .. } = split.batch(&rows)?;
        let signals = Signals::read(model.exit_logits(&batch), n_exits)
            .map_err(|error| ee_models::Error::from(error.of_row(|place| rows[place])))?;
        for (place, &row) in rows.iter().enumerate() {
            for (exit, (signal, _)) in signals.row(place).iter().enumerate() {
                predictions[exit][row] = label_of[signal.prediction as usize];
            }
        }
    }
    let labels: Vec<usize> = outputs.into_iter().map(|output| label_of[output]).collect();
    let scores = |metric: &dyn Metric| {
        predictions.iter().map(|exit| metrics::score(metric, exit, &labels)).collect()
    };
    Ok(metrics
        .iter()
        .map(|metric| ExitScores::new(metric.name(), scores(metric.as_ref())))
        .collect())
}

fn of_tokens<M: Trainable>(model: &M, split: &Split, batch_size: usize) -> Result<Vec<ExitScores>> {
    let mut losses = vec![0.0; model.n_layers()];
    let (mut right, mut tokens) = (losses.clone(), 0.0);
    for rows in split.evaluation_order(batch_size) {
        let MicroBatch { batch, targets } = split.batch(&rows)?;
        // Rows may have nothing to predict, a text of one token for example.
        if targets.is_empty() {
            continue;
        }
        let n = targets.len() as f64;
        tokens += n;
        let readings = evaluate(model, &batch, &targets);
        if let Some(exit) = readings.iter().position(|reading| !reading.loss.is_finite()) {
            let row = not_finite(model, split, &rows, exit)?;
            return Err(
                ee_models::Error::from(NotFinite { exit: exit + 1, row, token: None }).into()
            );
        }
        for (exit, reading) in readings.into_iter().enumerate() {
            losses[exit] += n * reading.loss;
            right[exit] += n * reading.accuracy;
        }
    }
    let mean = |sums: &[f64]| -> Vec<f64> { sums.iter().map(|sum| sum / tokens).collect() };
    let losses = mean(&losses);
    Ok(vec![
        ExitScores::new(PERPLEXITY, losses.iter().map(|loss| loss.exp()).collect()),
        ExitScores::new("token_accuracy", mean(&right)),
        ExitScores::new("loss", losses),
    ])
}

/// The first of some rows whose loss at the exit of an index is not finite.
fn not_finite<M: Trainable>(
    model: &M,
    split: &Split,
    rows: &[usize],
    exit: usize,
) -> Result<usize> {
    for &row in rows {
        let MicroBatch { batch, targets } = split.batch(&[row])?;
        if !targets.is_empty() && !evaluate(model, &batch, &targets)[exit].loss.is_finite() {
            return Ok(row);
        }
    }
    Ok(rows[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_never_the_best() {
        let measure = Measure::Tokens(None);
        for (score, best, improves) in [
            (3.0, None, true),
            (f64::NAN, None, false),
            (f64::INFINITY, None, false),
            (3.0, Some(f64::NAN), true),
            (f64::NAN, Some(3.0), false),
            (2.0, Some(3.0), true),
            (4.0, Some(3.0), false),
        ] {
            assert_eq!(measure.improves(score, best), improves, "{score} after {best:?}");
        }
    }
}
