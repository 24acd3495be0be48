//! The task's metrics on texts that are at hand.

use std::collections::BTreeMap;

use ee_tasks::{GenerationTask, TextMetric};

use super::Work;
use super::results::MetricScores;
use crate::decoding::{Generated, TextRecord};
use crate::error::Result;

/// The task's metrics that can be computed; says which cannot.
pub(super) fn metrics(
    task: Option<&GenerationTask>,
    allow_code_execution: bool,
) -> Vec<Box<dyn TextMetric>> {
    let Some(task) = task else { return Vec::new() };
    let built = task.metrics.iter().filter_map(|name| {
        ee_tasks::metrics::text::by_name(name, allow_code_execution)
            .inspect_err(|error| eprintln!("notice: {} is not scored: {error}", task.name))
            .ok()
    });
    built.collect()
}

/// The texts with what the metrics say of each.
pub(super) fn records(
    work: &Work,
    metrics: &[Box<dyn TextMetric>],
    prompts: &[Vec<u32>],
    texts: &[Generated],
) -> Result<Vec<TextRecord>> {
    let examples = (0_u32..).zip(work.examples.iter().zip(prompts).zip(texts));
    let record = |(number, ((example, prompt), generated))| {
        let ((example, prompt), generated): ((&ee_tasks::TextExample, &Vec<u32>), &Generated) =
            ((example, prompt), generated);
        let answer =
            work.task.as_ref().map_or(generated.text.as_str(), |task| task.answer(&generated.text));
        let references: Vec<&str> = example.references.iter().map(String::as_str).collect();
        let mut statistics = BTreeMap::new();
        for metric in metrics {
            statistics.insert(metric.name().to_owned(), metric.statistics(answer, &references)?);
        }
        Ok(TextRecord {
            example: number,
            prompt: example.prompt.clone(),
            prediction: answer.to_owned(),
            references: example.references.clone(),
            prompt_tokens: prompt.len(),
            new_tokens: generated.tokens.len(),
            ended: generated.has_ended,
            statistics,
        })
    };
    examples.map(record).collect()
}

/// The scores of the speculated and of the plain texts.
pub(super) fn scores(
    metrics: &[Box<dyn TextMetric>],
    speculated: &[TextRecord],
    plain: &[TextRecord],
) -> Vec<MetricScores> {
    let first = speculated.first().map(|record| record.references.len());
    let n_references =
        first.filter(|&n| speculated.iter().all(|record| record.references.len() == n));
    let of = |metric: &dyn TextMetric, records: &[TextRecord]| {
        let mut sum: Vec<f64> = Vec::new();
        for record in records {
            let statistics = &record.statistics[metric.name()];
            sum.resize(statistics.len(), 0.0);
            sum.iter_mut().zip(statistics).for_each(|(sum, more)| *sum += more);
        }
        metric.score(&sum)
    };
    let both = |metric: &dyn TextMetric| MetricScores {
        name: metric.name().to_owned(),
        signature: metric.signature(n_references),
        score: of(metric, speculated),
        plain_score: of(metric, plain),
    };
    metrics.iter().map(|metric| both(metric.as_ref())).collect()
}
