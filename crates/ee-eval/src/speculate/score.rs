//! The task's metrics on both ways' texts.

use ee_tasks::{TextExample, TextMetric};

use super::results::MetricScores;
use crate::decoding::{Generated, Request, Scoring, n_references, of_metric, score};
use crate::error::Result;
use crate::trace::TextRecord;

/// The texts with what the metrics say of each.
pub(super) fn records(
    request: &Request,
    scoring: &Scoring,
    prompts: &[Vec<u32>],
    texts: &[Generated],
) -> Result<Vec<TextRecord>> {
    let examples = request.examples.iter().zip(prompts.iter().zip(texts));
    let record = |(asked, told): (&(usize, TextExample), (&Vec<u32>, &Generated))| {
        let ((number, example), (prompt, generated)) = (asked, told);
        let answer = scoring.answer(&generated.text);
        Ok(TextRecord {
            example: *number as u32,
            prompt: example.prompt.clone(),
            prediction: answer.to_owned(),
            references: example.references.clone(),
            prompt_tokens: prompt.len(),
            new_tokens: generated.tokens.len(),
            ended: generated.has_ended,
            statistics: scoring.statistics(answer, &example.references)?,
        })
    };
    examples.map(record).collect()
}

/// The scores of the speculated and of the plain texts.
pub(super) fn scores(
    scoring: &Scoring,
    speculated: &[TextRecord],
    plain: &[TextRecord],
) -> Vec<MetricScores> {
    let n_references = n_references(speculated.iter().map(|record| record.references.len()));
    let both = |metric: &dyn TextMetric| {
        let of = |records: &[TextRecord]| {
            let statistics = records.iter().map(|record| &record.statistics);
            score(metric, &of_metric(metric, statistics))
        };
        MetricScores {
            name: metric.name().to_owned(),
            signature: metric.signature(n_references),
            score: of(speculated),
            plain_score: of(plain),
        }
    };
    scoring.metrics().iter().map(|metric| both(&**metric)).collect()
}
