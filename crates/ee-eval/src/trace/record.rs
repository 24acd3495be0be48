//! A trace in memory: the signals of every exit for every prediction, column by column.
//!
//! A model runs once and is queried forever: ideal exits, gates at every threshold, scores per exit
//! and all plots are functions of this table. Per-exit columns are flat, `[rows × layers]` with the
//! exits of one row side by side, so that a row's exits are one slice and a file's list column is
//! one copy.

use ee_models::signal::Signal;

use super::columns::{ExitColumns, pick};
use super::facts::TraceFacts;

/// A trace: facts, one entry per row in the plain columns, N entries per row in [`ExitColumns`].
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// What was run.
    pub facts: TraceFacts,
    /// The example's number in its split, from 0.
    pub example: Vec<u32>,
    /// The position of the prediction among the example's new tokens, from 0; 0 for a classifier.
    pub position: Vec<u32>,
    /// The right label; for generated text the token that stands there. Empty where the facts have no gold.
    pub gold: Vec<u32>,
    /// Tokens of the example's prompt; empty for a classifier.
    pub prompt_tokens: Vec<u32>,
    /// What every exit says.
    pub signals: ExitColumns,
}

impl Trace {
    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.example.len()
    }

    /// The number of exits, N.
    pub(crate) fn layers(&self) -> usize {
        self.facts.layers
    }

    /// The predictions of one row at exits 1..=N.
    #[must_use]
    pub fn predictions(&self, row: usize) -> &[u32] {
        let layers = self.layers();
        &self.signals.prediction[row * layers..(row + 1) * layers]
    }

    /// The prediction of one row at `exit`, from 1.
    #[must_use]
    pub fn prediction(&self, row: usize, exit: usize) -> u32 {
        self.predictions(row)[exit - 1]
    }

    /// What the answers of a row are scored against: the right one, or the full model's where that is unknown.
    pub(crate) fn reference(&self, row: usize) -> u32 {
        self.gold.get(row).copied().unwrap_or_else(|| self.prediction(row, self.layers()))
    }

    /// The signals of one row at exits 1..=N, replacing what `into` held.
    pub(crate) fn exits(&self, row: usize, into: &mut Vec<Signal>) {
        let layers = self.layers();
        into.clear();
        into.extend((row * layers..(row + 1) * layers).map(|at| self.signals.signal(at)));
    }

    /// The mean of the highest probability at exits 1..=N.
    pub(crate) fn mean_confidences(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.layers()];
        for row in self.signals.confidence.chunks_exact(self.layers()) {
            sums.iter_mut().zip(row).for_each(|(sum, &confidence)| *sum += f64::from(confidence));
        }
        sums.into_iter().map(|sum| sum / self.rows() as f64).collect()
    }

    /// The given rows, in the given order.
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        Self {
            facts: TraceFacts { rows: rows.len(), ..self.facts.clone() },
            example: pick(&self.example, rows, 1),
            position: pick(&self.position, rows, 1),
            gold: pick_any(&self.gold, rows),
            prompt_tokens: pick_any(&self.prompt_tokens, rows),
            signals: self.signals.pick(rows, self.layers()),
        }
    }

    /// The same rows as if the model were read at these exits and the last one only.
    ///
    /// `exits` are increasing, from 1; the last one need not be among them.
    pub(crate) fn at_exits(&self, exits: &[usize]) -> Self {
        let layers = self.layers();
        let read: Vec<usize> =
            exits.iter().copied().filter(|&exit| exit < layers).chain([layers]).collect();
        let places: Vec<usize> = (0..self.rows())
            .flat_map(|row| read.iter().map(move |exit| row * layers + exit - 1))
            .collect();
        Self {
            facts: TraceFacts { layers: read.len(), ..self.facts.clone() },
            example: self.example.clone(),
            position: self.position.clone(),
            gold: self.gold.clone(),
            prompt_tokens: self.prompt_tokens.clone(),
            signals: self.signals.pick(&places, 1),
        }
    }
}

/// The values of the given rows of a plain column; none for a missing column.
fn pick_any<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    if values.is_empty() { Vec::new() } else { pick(values, rows, 1) }
}
