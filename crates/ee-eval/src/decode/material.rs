//! What is decoded: prompts, and how their continuations are scored.

use ee_decode::clock::Clock;
use ee_tasks::metrics::bootstrap_of;
use ee_tasks::{GenerationTask, TextExample, TextMetric};

use super::measure::{Measured, Work};
use super::results::{Output, Texts};
use crate::cli::DecodeArguments;
use crate::decoding::{Request, Scoring, n_references, of_metric, score};
use crate::error::{EvalError, Result};
use crate::exits::ideal::MetricScore;
use crate::exits::score::BOOTSTRAP_SEED;
use crate::subject::DecoderSubject;
use crate::trace::MetricFacts;

/// Prompts with what is known of them.
pub(crate) struct Material {
    pub(super) request: Request,
    scoring: Scoring,
    pub(crate) work: Work,
}

/// How prompts are continued.
pub(crate) struct Continuation {
    /// New tokens per text; by default the task's.
    pub(crate) max_new_tokens: Option<usize>,
    /// Whether prompts that are too long are cut.
    pub(crate) truncate: bool,
    /// Texts per batch.
    pub(crate) batch: usize,
    /// Timed rounds.
    pub(crate) rounds: usize,
    /// Whether programs that the model wrote may be run to score them.
    pub(crate) allow_code_execution: bool,
}

/// The prompts that were asked for.
///
/// # Errors
/// A task that cannot be read, a prompt that does not fit the model.
pub(super) fn material(arguments: &DecodeArguments, subject: &DecoderSubject) -> Result<Material> {
    let DecodeArguments { ref texts, batch, rounds, allow_code_execution, .. } = *arguments;
    let request = Request::read(texts)?;
    let scoring = Scoring::of(request.task.as_ref(), allow_code_execution);
    Material::of(subject, request, scoring, batch, rounds)
}

impl Material {
    /// Some examples of a task, with their numbers in the split.
    ///
    /// # Errors
    /// A prompt that does not fit the model; no example.
    pub(crate) fn of_examples(
        subject: &DecoderSubject,
        task: &GenerationTask,
        split: &str,
        examples: impl IntoIterator<Item = (usize, TextExample)>,
        continuation: Continuation,
    ) -> Result<Self> {
        let Continuation { max_new_tokens, truncate, batch, rounds, allow_code_execution } =
            continuation;
        let request = Request {
            split: split.to_owned(),
            examples: examples.into_iter().collect(),
            stop: task.stop.clone(),
            max_new_tokens: max_new_tokens.unwrap_or(task.max_new_tokens),
            truncate,
            task: Some(task.clone()),
        };
        let scoring = Scoring::of(Some(task), allow_code_execution);
        Self::of(subject, request, scoring, batch, rounds)
    }

    fn of(
        subject: &DecoderSubject,
        request: Request,
        scoring: Scoring,
        batch: usize,
        rounds: usize,
    ) -> Result<Self> {
        if request.examples.is_empty() {
            return Err(EvalError::Empty { what: "there is no prompt".to_owned() });
        }
        let prompts = (0..request.examples.len()).map(|place| request.ids(subject, place));
        let work = Work {
            prompts: prompts.collect::<Result<_>>()?,
            examples: request.examples.iter().map(|(number, _)| *number).collect(),
            stop: request.stop.clone(),
            max_new_tokens: request.max_new_tokens,
            batch,
            rounds,
        };
        Ok(Self { request, scoring, work })
    }

    /// The metrics as results name them.
    pub(crate) fn metric_facts(&self) -> Vec<MetricFacts> {
        let facts = self.scoring.metrics().iter().map(|metric| MetricFacts {
            name: metric.name().to_owned(),
            signature: metric.signature(self.n_references()),
        });
        facts.collect()
    }

    fn n_references(&self) -> Option<usize> {
        n_references(self.request.examples.iter().map(|(_, example)| example.references.len()))
    }
}

/// The texts of one way of decoding, scored.
///
/// # Errors
/// What the metrics say.
pub(crate) fn texts(material: &Material, way: Measured) -> Result<(Texts, Clock)> {
    let Measured { texts, exits, rows, timed, prompts, clock, .. } = way;
    let mut outputs = Vec::with_capacity(texts.len());
    for (asked, (generated, exits)) in
        material.request.examples.iter().zip(texts.into_iter().zip(exits))
    {
        let (number, example) = asked;
        let text = material.scoring.answer(&generated.text).to_owned();
        outputs.push(Output {
            example: *number,
            prompt: example.prompt.clone(),
            tokens: generated.tokens,
            exits,
            statistics: material.scoring.statistics(&text, &example.references)?,
            text,
            ended: generated.has_ended,
        });
    }
    let mut texts = Texts::of(outputs, rows, &timed, prompts.as_secs_f64());
    let metrics = material.scoring.metrics().iter();
    texts.scores = metrics.map(|metric| metric_score(&**metric, &texts, material)).collect();
    Ok((texts, clock))
}

fn metric_score(metric: &dyn TextMetric, texts: &Texts, material: &Material) -> MetricScore {
    let statistics = of_metric(metric, texts.outputs.iter().map(|output| &output.statistics));
    let interval = bootstrap_of(|sum| metric.score(sum), &statistics, BOOTSTRAP_SEED);
    MetricScore {
        name: metric.name().to_owned(),
        signature: metric.signature(material.n_references()),
        score: Some(score(metric, &statistics)),
        interval: Some([interval.low, interval.high]),
        constant: None,
        examples: statistics.len(),
    }
}
