//! What is decoded: prompts, how far they go on, and how their continuations are scored.

use ee_decode::generate::Choice;
use ee_tasks::TextMetric;
use ee_tasks::metrics::bootstrap_of;

use super::record::{Output, Texts};
use super::rounds::Tried;
use super::texts::Found;
use crate::decoding::{Request, Scoring, n_references, of_metric, score};
use crate::error::{EvalError, Result};
use crate::exits::ideal::MetricScore;
use crate::exits::score::BOOTSTRAP_SEED;
use crate::subject::DecoderSubject;
use crate::trace::MetricFacts;

/// Prompts with what is known of them.
pub(crate) struct Material {
    pub(crate) request: Request,
    scoring: Scoring,
    pub(crate) prompts: Vec<Vec<u32>>,
    pub(crate) terms: Terms,
}

/// How prompts are decoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) choice: Choice,
    pub(crate) batch: usize,
    /// Timed rounds; none where only the texts are wanted.
    pub(crate) rounds: usize,
    /// Whether programs that the model wrote may be run to score them.
    pub(crate) allow_code_execution: bool,
}

impl Material {
    /// Refuses a prompt that does not fit the model, and no prompt at all.
    pub(crate) fn new(subject: &DecoderSubject, request: Request, terms: Terms) -> Result<Self> {
        if request.examples.is_empty() {
            return Err(EvalError::Empty { what: "there is no prompt".to_owned() });
        }
        let scoring = Scoring::of(request.task.as_ref(), terms.allow_code_execution);
        let prompts = (0..request.examples.len()).map(|place| request.ids(subject, place));
        Ok(Self { prompts: prompts.collect::<Result<_>>()?, request, scoring, terms })
    }

    /// The number of the example at a place.
    pub(super) fn number(&self, place: usize) -> usize {
        self.request.examples[place].0
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

    /// The texts of one way of decoding, scored.
    pub(super) fn texts(&self, way: &Tried<Found>) -> Result<Texts> {
        let found = &way.found;
        let mut outputs = Vec::with_capacity(self.prompts.len());
        for (place, (number, example)) in self.request.examples.iter().enumerate() {
            let generated = &found.texts[place];
            let text = self.scoring.answer(&generated.text).to_owned();
            outputs.push(Output {
                example: *number,
                prompt: example.prompt.clone(),
                tokens: generated.tokens.clone(),
                exits: found.exits[place].clone(),
                statistics: self.scoring.statistics(&text, &example.references)?,
                text,
                whole: generated.text.clone(),
                ended: generated.has_ended,
            });
        }
        let mut texts = Texts::of(outputs, found.rows, &way.timed, way.prompts.as_secs_f64());
        let metrics = self.scoring.metrics().iter();
        texts.scores = metrics.map(|metric| self.score(&**metric, &texts.outputs)).collect();
        Ok(texts)
    }

    fn score(&self, metric: &dyn TextMetric, outputs: &[Output]) -> MetricScore {
        let statistics = of_metric(metric, outputs.iter().map(|output| &output.statistics));
        let interval = bootstrap_of(|sum| metric.score(sum), &statistics, BOOTSTRAP_SEED);
        MetricScore {
            name: metric.name().to_owned(),
            signature: metric.signature(self.n_references()),
            score: Some(score(metric, &statistics)),
            interval: Some([interval.low, interval.high]),
            constant: None,
            examples: statistics.len(),
        }
    }
}
