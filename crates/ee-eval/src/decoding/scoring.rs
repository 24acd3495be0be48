//! A task's metrics on given texts.

use std::collections::BTreeMap;

use ee_tasks::{GenerationTask, TextExample, TextMetric};

use crate::error::Result;

/// By metric, numbers whose sum over texts a score is computed from.
pub(crate) type Statistics = BTreeMap<String, Vec<f64>>;

/// The metrics of a task that can be computed.
pub(crate) struct Scoring {
    task: Option<GenerationTask>,
    metrics: Vec<Box<dyn TextMetric>>,
}

impl Scoring {
    /// Reports on the terminal which metrics cannot be computed; without a task there are none.
    pub(crate) fn of(task: Option<&GenerationTask>, allow_code_execution: bool) -> Self {
        let names = task.iter().flat_map(|task| task.metrics.iter().map(move |name| (task, name)));
        let built = names.filter_map(|(task, name)| {
            task.build_metric(name, allow_code_execution)
                .inspect_err(|error| {
                    ee_files::note!("notice: {} is not scored: {error}", task.name)
                })
                .ok()
        });
        Self { metrics: built.collect(), task: task.cloned() }
    }

    pub(crate) fn metrics(&self) -> &[Box<dyn TextMetric>] {
        &self.metrics
    }

    /// What of the text generated for an example counts.
    pub(crate) fn answer<'t>(&self, example: &TextExample, text: &'t str) -> &'t str {
        self.task.as_ref().map_or(text, |task| task.answer_to(example, text))
    }

    /// The metrics' statistics of an answer.
    pub(crate) fn statistics(&self, answer: &str, references: &[String]) -> Result<Statistics> {
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        let metrics = self.metrics.iter();
        metrics
            .map(|metric| Ok((metric.name().to_owned(), metric.statistics(answer, &references)?)))
            .collect()
    }
}

/// A metric's numbers of every text that has them.
pub(crate) fn of_metric<'s>(
    metric: &dyn TextMetric,
    texts: impl IntoIterator<Item = &'s Statistics>,
) -> Vec<Vec<f64>> {
    texts.into_iter().filter_map(|statistics| statistics.get(metric.name()).cloned()).collect()
}

/// A metric's score over some texts.
pub(crate) fn score(metric: &dyn TextMetric, numbers: &[Vec<f64>]) -> f64 {
    let mut sum = vec![0.0; numbers.first().map_or(0, Vec::len)];
    for one in numbers {
        sum.iter_mut().zip(one).for_each(|(sum, value)| *sum += value);
    }
    metric.score(&sum)
}

/// How many references every text has; none where they differ.
pub(crate) fn n_references(counts: impl IntoIterator<Item = usize>) -> Option<usize> {
    let mut counts = counts.into_iter();
    let first = counts.next()?;
    counts.all(|n| n == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_without_a_task_have_no_scores() {
        let scoring = Scoring::of(None, false);
        let example = TextExample {
            prompt: String::new(),
            response: String::new(),
            references: vec![],
            line: 1,
        };
        assert_eq!(scoring.answer(&example, "a. b"), "a. b");
        assert!(scoring.statistics("a", &["a".to_owned()]).unwrap().is_empty());
    }

    #[test]
    fn sums_over_texts_are_scored() {
        let metric = ee_tasks::metrics::text::by_name("exact_match", false).unwrap();
        let of = |text: &str| {
            Statistics::from([("exact_match".to_owned(), metric.statistics(text, &["a"]).unwrap())])
        };
        let texts = [of("a"), of("b"), of("a"), of("a"), Statistics::new()];
        let numbers = of_metric(&*metric, &texts);
        assert_eq!(numbers.len(), 4);
        assert_eq!(score(&*metric, &numbers), 0.75);
    }

    #[test]
    fn references_are_counted_where_every_text_has_as_many() {
        assert_eq!(n_references([]), None);
        assert_eq!(n_references([2, 2]), Some(2));
        assert_eq!(n_references([2, 1]), None);
    }
}
