//! What a comparison of decoders stores.

use ee_decode::Settings;
use indexmap::IndexMap;
use serde::Serialize;

use crate::exits::ideal::Summary;
use crate::tokens::TokenGate;
use crate::trial::quality::Quality;
use crate::trial::{Trial, Trials};

/// What `compare` stores for a task of generated text.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TextComparison {
    pub(crate) task: String,
    pub(crate) split: String,
    /// The share of the tokens that may leave which gates keep on the trace, and of the full model's quality.
    pub(crate) keep: f64,
    pub(crate) min_tokens: usize,
    pub(crate) findings: Vec<String>,
    pub(crate) models: IndexMap<String, TextResults>,
}

/// Everything about one model.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TextResults {
    pub(crate) summary: Summary,
    /// The share of tokens, at exits 1..=N, that are the last exit's.
    pub(crate) agreement_per_exit: Vec<f64>,
    /// The mean of the highest probability at exits 1..=N.
    pub(crate) confidence_per_exit: Vec<f64>,
    /// Every gate at its best threshold on the trace, shut where none keeps enough; and the model cut off at the
    /// shallowest depth that does, else before the last.
    pub(crate) gates: IndexMap<String, TokenGate>,
    pub(crate) trials: Trials,
    /// What the decoded texts say about each way's quality on further texts, all at once with a confidence of 95 %;
    /// none for what is lossless.
    pub(crate) qualities: Vec<Option<Quality>>,
    pub(crate) notices: Vec<String>,
}

pub(super) use ee_decode::gates::FIXED_NAME as FIXED;
pub(super) use ee_decode::rule::IDEAL;

impl TextResults {
    /// Layers of the encoder, where there is one.
    pub(super) fn encoder_layers(&self) -> Option<usize> {
        self.summary.trace.encoder_layers()
    }

    /// Layers in words: the encoder's before the decoder's, which are the exits.
    pub(super) fn layers(&self) -> String {
        match self.encoder_layers() {
            Some(encoder) => format!("{encoder}-{}", self.summary.layers),
            None => self.summary.layers.to_string(),
        }
    }

    /// Trials of gates that a decoder can run: not those that look at the last exit first.
    pub(super) fn of_gates(&self) -> impl Iterator<Item = &Trial> {
        let all = self.trials.trials.iter();
        all.filter(|trial| !trial.lossless && !trial.way.is_ideal())
    }

    /// Ideal exits with a policy.
    pub(super) fn ideal(&self, kv: &str) -> Option<&Trial> {
        let mut trials = self.trials.trials.iter();
        trials.find(|trial| trial.way.is_ideal() && trial.way.kv() == Some(kv))
    }

    /// The fastest true early exit that kept the quality on the texts that were decoded.
    pub(super) fn fastest(&self, keep: f64) -> Option<&Trial> {
        self.fastest_of(keep, |_| true)
    }

    /// The same of the gates alone, or of the model cut off alone.
    pub(super) fn fastest_of(
        &self,
        keep: f64,
        is_wanted: impl Fn(&Trial) -> bool,
    ) -> Option<&Trial> {
        let kept =
            self.of_gates().filter(|trial| is_wanted(trial) && self.trials.kept(trial) >= keep);
        kept.max_by(|a, b| a.pace.speed_up.total_cmp(&b.pace.speed_up))
    }

    /// The quality of a trial to expect on further texts; none for what is lossless.
    pub(super) fn quality(&self, trial: &Trial) -> Option<&Quality> {
        let place = self.trials.trials.iter().position(|other| std::ptr::eq(other, trial))?;
        self.qualities[place].as_ref()
    }

    /// Speculation.
    pub(super) fn lossless(&self) -> Option<&Trial> {
        self.trials.trials.iter().find(|trial| trial.lossless)
    }

    /// The faster head of a gate with a policy.
    pub(super) fn with(&self, gate: &str, kv: &str) -> Option<&Trial> {
        let is_gate =
            |settings: &Settings| settings.rule.to_string().split(':').next() == Some(gate);
        let of = self.of_gates().filter(|trial| trial.way.settings().is_some_and(is_gate));
        let of = of.filter(|trial| trial.way.kv() == Some(kv));
        of.max_by(|a, b| a.pace.speed_up.total_cmp(&b.pace.speed_up))
    }
}
