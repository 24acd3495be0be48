//! How predictions are scored against gold labels.
//!
//! Every metric is a count per example and a score of the summed counts, so that scores of
//! parts, of every exit and of bootstrap resamples need no second look at the examples; and it
//! signs its numbers with how they were computed (after sacreBLEU, Post 2018).

mod bootstrap;
mod classification;
pub mod text;

pub use bootstrap::{Interval, RESAMPLES, bootstrap, bootstrap_of};

use crate::error::Error;
use ee_files::did_you_mean;

/// A score of classifications, higher is better.
pub trait Metric: Send + Sync {
    /// The name in task files: `f1`.
    fn name(&self) -> &'static str;

    /// How the number was computed: `f1|average:binary|positive:1|labels:2|ee-tasks:0.1.0`.
    fn signature(&self) -> String;

    /// The counts of one example; all examples have the same number of counts.
    ///
    /// # Panics
    /// If a label is not below the metric's number of labels.
    fn statistics(&self, prediction: usize, gold: usize) -> Vec<f64>;

    /// The score of summed counts, in 0..1 (Matthews in −1..1).
    fn score(&self, sum: &[f64]) -> f64;
}

/// A metric as its file registers it.
struct Entry {
    name: &'static str,
    /// How many labels there must be, and which metric takes others.
    labels: Option<(usize, &'static str)>,
    build: fn(usize) -> Box<dyn Metric>,
}

/// Every metric, file by file.
const METRICS: &[&[Entry]] = &[classification::METRICS];

/// The name of every metric.
pub fn names() -> impl Iterator<Item = &'static str> {
    METRICS.iter().copied().flatten().map(|entry| entry.name)
}

/// The metric of that name for labels `0..n_labels`.
///
/// # Errors
/// An unknown name; a number of labels that the metric is not for.
pub fn by_name(name: &str, n_labels: usize) -> Result<Box<dyn Metric>, Error> {
    let found = METRICS.iter().copied().flatten().find(|entry| entry.name == name);
    let entry = found.ok_or_else(|| Error::Unknown {
        what: "metric",
        name: name.to_owned(),
        hint: did_you_mean(name, names()),
    })?;
    if let Some((expected, other)) = entry.labels
        && n_labels != expected
    {
        let message =
            format!("metric `{name}` is for {expected} labels, found {n_labels}: use `{other}`");
        return Err(Error::Request(message));
    }
    Ok((entry.build)(n_labels))
}

/// The sum of the statistics of many examples.
///
/// # Panics
/// If there are no examples, or fewer gold labels than predictions.
pub fn sum(metric: &dyn Metric, predictions: &[usize], gold: &[usize]) -> Vec<f64> {
    assert_eq!(predictions.len(), gold.len(), "one gold label per prediction");
    let mut pairs = predictions
        .iter()
        .zip(gold)
        .map(|(prediction, gold)| metric.statistics(*prediction, *gold));
    let mut total = pairs.next().expect("at least one example");
    for statistics in pairs {
        total.iter_mut().zip(statistics).for_each(|(total, count)| *total += count);
    }
    total
}

/// The score of predictions against gold labels; panics as [`sum`] does.
pub fn score(metric: &dyn Metric, predictions: &[usize], gold: &[usize]) -> f64 {
    metric.score(&sum(metric, predictions, gold))
}

#[cfg(test)]
mod tests;
