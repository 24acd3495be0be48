//! What is decoded: prompts, how far they go on, and how their continuations are scored.

use ee_decode::generate::Choice;
use ee_models::loss::Objective;
use serde::Serialize;

use crate::decoding::{Request, Scoring, n_references};
use crate::error::{EvalError, Result};
use crate::subject::DecoderSubject;
use crate::trace::{MetricFacts, facts};
use crate::words::count;

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

/// What was run, on what, and how, in whichever way texts are continued.
#[derive(Debug, Serialize)]
pub(crate) struct RunFacts {
    pub(crate) model: String,
    pub(crate) checkpoint_sha256: String,
    pub(crate) architecture: String,
    #[serde(with = "facts::objective")]
    pub(crate) objective: Option<Objective>,
    pub(crate) layers: usize,
    /// Layers of the encoder that reads the prompts, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encoder_layers: Option<usize>,
    pub(crate) task: Option<[String; 2]>,
    pub(crate) metrics: Vec<MetricFacts>,
    pub(crate) max_new_tokens: usize,
    pub(crate) batch: usize,
    pub(crate) rounds: usize,
    pub(crate) weights: String,
    pub(crate) device: String,
    pub(crate) version: String,
}

impl RunFacts {
    pub(super) fn of(subject: &DecoderSubject, material: &Material) -> Self {
        let (request, terms) = (&material.request, material.terms);
        Self {
            model: subject.folder().display().to_string(),
            checkpoint_sha256: subject.checksum().to_owned(),
            architecture: subject.architecture().to_owned(),
            objective: subject.objective(),
            layers: subject.model().n_layers(),
            encoder_layers: subject.encoder_layers(),
            task: request.task.as_ref().map(|task| [task.name.clone(), request.split.clone()]),
            metrics: material.metric_facts(),
            max_new_tokens: request.max_new_tokens,
            batch: terms.batch,
            rounds: terms.rounds,
            weights: subject.weights().to_owned(),
            device: subject.device().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The same in a sentence, of so many texts; `how` is what is said of this way alone.
    pub(super) fn source(&self, texts: usize, how: &str) -> String {
        let sha: String = self.checkpoint_sha256.chars().take(12).collect();
        let what = match &self.task {
            Some([task, split]) => format!("{task} {split}"),
            None => "the command line".to_owned(),
        };
        let metrics: Vec<&str> = self.metrics.iter().map(|metric| &*metric.signature).collect();
        format!(
            "{} ({}, SHA-256 {sha}…, weights in {}), {} of {what}, at most {} each, {how}batch {}, {} on {} with ee-eval {}; \
             metrics: {}.",
            self.model,
            self.architecture,
            self.weights,
            count(texts, "text"),
            count(self.max_new_tokens, "new token"),
            self.batch,
            count(self.rounds, "round"),
            self.device,
            self.version,
            metrics.join("; "),
        )
    }
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
