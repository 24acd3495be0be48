//! Texts that a way of decoding gave, and the numbers that follow from them.

use std::collections::BTreeMap;

use ee_tasks::metrics::bootstrap_of;
use serde::Serialize;

use super::fidelity::{equal, repetition};
use crate::exits::ideal::MetricScore;
use crate::exits::score::BOOTSTRAP_SEED;
use crate::pace::{Timed, tokens};
use crate::report::table::Cell;

/// Texts and how long they took.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Texts {
    /// In the order of the prompts.
    pub(crate) outputs: Vec<Output>,
    /// Rows that a step of these texts had on average.
    pub(crate) rows: f64,
    /// New tokens of a timed round, whose rows end where plain decoding's do.
    pub(crate) timed_tokens: usize,
    /// Seconds of all timed rounds, prompts included.
    pub(crate) seconds: f64,
    /// Seconds of it until the first new tokens.
    pub(crate) prompt_seconds: f64,
    pub(crate) scores: Vec<MetricScore>,
    /// The share of 4-grams that their text has had before.
    pub(crate) repeated_4_grams: f64,
    /// Texts that ran to their longest length.
    pub(crate) unfinished: usize,
}

/// One text.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Output {
    /// The prompt's number, from 0.
    pub(crate) example: usize,
    pub(crate) prompt: String,
    /// New tokens, an end token included.
    pub(crate) tokens: Vec<u32>,
    /// The exit, from 1, of each.
    pub(crate) exits: Vec<usize>,
    /// The text, up to the first stop text.
    pub(crate) text: String,
    /// The same with all that came.
    #[serde(skip)]
    pub(crate) whole: String,
    pub(crate) ended: bool,
    /// By metric, numbers whose sum over texts a score is computed from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) statistics: BTreeMap<String, Vec<f64>>,
}

impl Texts {
    /// Texts with what follows from their tokens.
    pub(super) fn of(
        outputs: Vec<Output>,
        rows: f64,
        timed: &[Timed],
        prompt_seconds: f64,
    ) -> Self {
        Self {
            rows,
            timed_tokens: tokens(timed),
            repeated_4_grams: repetition(outputs.iter().map(|output| output.tokens.as_slice())),
            unfinished: outputs.iter().filter(|output| !output.ended).count(),
            outputs,
            seconds: timed.iter().flat_map(|batch| &batch.seconds).sum(),
            prompt_seconds,
            scores: Vec::new(),
        }
    }

    /// New tokens after the first of each text.
    pub(super) fn step_tokens(&self) -> usize {
        self.outputs.iter().map(|output| output.tokens.len().saturating_sub(1)).sum()
    }

    /// New tokens per second of `rounds`, prompts included.
    pub(super) fn tokens_per_second(&self, rounds: usize) -> f64 {
        (rounds * self.timed_tokens) as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// How many times as many tokens a second these texts gave as others of the same prompts, prompts and first
    /// tokens left out; none where there were no others.
    pub(super) fn step_speed_up(&self, plain: &Self, rounds: usize) -> Option<f64> {
        let ratio = self.step_tokens_per_second(rounds) / plain.step_tokens_per_second(rounds);
        ratio.is_finite().then_some(ratio)
    }

    fn step_tokens_per_second(&self, rounds: usize) -> f64 {
        let seconds = self.seconds - self.prompt_seconds;
        let begun = self.outputs.iter().filter(|output| !output.tokens.is_empty()).count();
        let tokens = self.timed_tokens.saturating_sub(begun);
        (rounds * tokens) as f64 / seconds.max(f64::MIN_POSITIVE)
    }

    /// The leading metric's score.
    pub(crate) fn score(&self) -> Option<f64> {
        self.scores.first().and_then(|score| score.score)
    }

    /// These texts beside others of the same prompts.
    pub(super) fn beside<'a>(
        &'a self,
        full: &'a Self,
    ) -> impl Iterator<Item = (&'a [u32], &'a [u32])> {
        let pairs = self.outputs.iter().zip(&full.outputs);
        pairs.map(|(ours, full)| (ours.tokens.as_slice(), full.tokens.as_slice()))
    }

    pub(super) fn equal_interval(&self, full: &Self) -> [f64; 2] {
        let pairs = self.beside(full);
        let statistics: Vec<Vec<f64>> =
            pairs.map(|(ours, full)| equal(ours, full).map(|n| n as f64).to_vec()).collect();
        let interval = bootstrap_of(|sum| sum[0] / sum[1], &statistics, BOOTSTRAP_SEED);
        [interval.low, interval.high]
    }

    /// Where the prompts stand with other texts already.
    pub(super) fn forget_prompts(&mut self) {
        self.outputs.iter_mut().for_each(|output| output.prompt.clear());
    }

    /// Texts that ran to their longest length.
    pub(crate) fn unfinished_cell(&self) -> Cell {
        let text = format!("{} of {}", self.unfinished, self.outputs.len());
        Cell::Number { value: self.unfinished as f64, text }
    }
}
