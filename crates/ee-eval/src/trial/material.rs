//! What is decoded: prompts, how far they go on, and how their continuations are scored.

use ee_decode::generate::Choice;

use crate::decoding::{Request, Scoring, n_references};
use crate::error::{EvalError, Result};
use crate::subject::DecoderSubject;
use crate::trace::MetricFacts;

/// Prompts with what is known of them.
pub(crate) struct Material {
    pub(crate) request: Request,
    pub(super) scoring: Scoring,
    /// Empty where the source is, which nothing is written for.
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
        let prompts: Vec<Vec<u32>> = prompts.collect::<Result<_>>()?;
        if prompts.iter().all(Vec::is_empty) {
            return Err(EvalError::Empty { what: "every source is empty".to_owned() });
        }
        Ok(Self { prompts, request, scoring, terms })
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

    pub(super) fn n_references(&self) -> Option<usize> {
        n_references(self.request.examples.iter().map(|(_, example)| example.references.len()))
    }
}
