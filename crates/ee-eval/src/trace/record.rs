//! A trace in memory: the signals of every exit for every prediction, column by column.
//!
//! A model runs once and is asked for ever: ideal exits, gates at every threshold, scores per exit
//! and all plots are functions of this table. Per-exit columns are flat, `[rows × layers]` with the
//! exits of one row side by side, so that a row's exits are one slice and a file's list column is
//! one copy.

use std::path::{Component, Path};
use std::str::FromStr;

use ee_models::signal::{Agreement, Signal};
use serde::{Deserialize, Serialize};

/// The version of the file format that this build writes and reads.
pub const FORMAT: u32 = 1;

/// How a checkpoint was trained, as far as its folder tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// The loss of the last exit alone.
    Final,
    /// The sum of every exit's loss.
    Joint,
    /// Not recorded in the checkpoint's folder.
    Unknown,
}

impl Objective {
    /// What tables call it.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Joint => "joint",
            Self::Final => "plain",
            Self::Unknown => "unknown",
        }
    }
}

/// The examples that made a checkpoint, as far as its folder tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainedOn {
    /// The task's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The split whose examples were learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_split: Option<String>,
    /// The split whose score chose the checkpoint among those of its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_on: Option<String>,
}

/// A metric by name, with the signature of how it is computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricFacts {
    /// The registered name, e.g. `f1`.
    pub name: String,
    /// What exactly was computed.
    pub signature: String,
}

/// What is special about a trace of generated text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationFacts {
    /// Whether the model was given the gold text, rather than its own greedy one.
    pub teacher_forced: bool,
    /// Entries of the vocabulary: predictions are below it.
    pub vocabulary: usize,
    /// New tokens per example at most.
    pub max_new_tokens: usize,
    /// The format of the weights in memory: `f32`, `f16`, `bf16`.
    pub weights: String,
    /// Examples of this trace whose prompt was cut to fit the model's positions.
    pub truncated: usize,
}

/// Which part of a run a trace holds: examples whose number leaves `index − 1` when divided by `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 1 to `count`.
    pub index: u32,
    /// Into how many parts the run was split.
    pub count: u32,
}

impl Shard {
    /// The whole run.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// Whether `example` (from 0) belongs to this shard.
    #[must_use]
    pub fn holds(self, example: usize) -> bool {
        example % self.count as usize == self.index as usize - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if 1 <= index && index <= count => Ok(Self { index, count }),
            _ => Err("expected i/n with i from 1 to n, e.g. 1/4".to_owned()),
        }
    }
}

/// What was run, on what, and how: stored in the file's metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceFacts {
    /// The file format's version, see [`FORMAT`].
    pub format: u32,
    /// The checkpoint's folder as it was given.
    pub model: String,
    /// SHA-256 of the checkpoint's weights, in hexadecimal.
    pub checkpoint_sha256: String,
    /// The architecture, e.g. `bert`.
    pub architecture: String,
    /// How the checkpoint was trained.
    pub objective: Objective,
    /// What the checkpoint's folder says of its training.
    #[serde(default)]
    pub training: TrainedOn,
    /// The task's name.
    pub task: String,
    /// The task's split.
    pub split: String,
    /// The names of the labels, in the order of their numbers; none for generated text.
    pub labels: Vec<String>,
    /// Whether the rows have right answers; a classification may have been asked without them.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub has_gold: bool,
    /// Present for generated text: a row is a new token then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationFacts>,
    /// The task's metrics; the first one leads.
    pub metrics: Vec<MetricFacts>,
    /// The number of exits, N.
    pub layers: usize,
    /// Rows in this trace.
    pub rows: usize,
    /// Examples of the whole run over all its shards, after `--limit`.
    pub examples: usize,
    /// Which part of the run this is.
    pub shard: Shard,
    /// Examples per batch.
    pub batch: usize,
    /// Inputs were cut to so many tokens.
    pub max_length: usize,
    /// The device, e.g. `cpu`.
    pub device: String,
    /// Wall-clock time of the model's run, without loading.
    pub seconds: f64,
    /// Always 0: no trace depends on chance. Files of this format have it.
    pub seed: u64,
    /// The version of ee-eval.
    pub version: String,
}

impl TraceFacts {
    /// What reports call the model: the last `depth` folders of its path, or as many as it has.
    #[must_use]
    pub fn model_name(&self, depth: usize) -> String {
        let folders: Vec<_> = Path::new(&self.model)
            .components()
            .filter_map(|part| match part {
                Component::Normal(folder) => Some(folder.to_string_lossy()),
                _ => None,
            })
            .collect();
        match folders.len() {
            0 => self.model.clone(),
            n => folders[n.saturating_sub(depth)..].join("/"),
        }
    }

    /// Says that the checkpoint has seen these examples before, where it has.
    #[must_use]
    pub fn chosen_here(&self) -> Option<String> {
        let TrainedOn { task, training_split, chosen_on } = &self.training;
        let is_here = |split: &Option<String>| {
            task.as_ref() == Some(&self.task) && split.as_ref() == Some(&self.split)
        };
        let what = match () {
            () if is_here(training_split) => "taught this checkpoint",
            () if is_here(chosen_on) => "also chose this checkpoint among those of its run",
            () => return None,
        };
        Some(format!(
            "the split `{}` {what}: scores on it are too good, and what is chosen or certified on it holds less for other \
             examples; take a split that neither trained nor chose",
            self.split
        ))
    }

    /// How many things a prediction may be: labels, or entries of the vocabulary.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.generation.as_ref().map_or(self.labels.len(), |generation| generation.vocabulary)
    }
}

/// Traces say nothing of it where they have them.
fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(flag: &bool) -> bool {
    *flag
}

/// Per-exit columns, each `[rows × layers]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExitColumns {
    /// The exit's label.
    pub prediction: Vec<u32>,
    /// Probability of the exit's label.
    pub confidence: Vec<f32>,
    /// Difference of the two highest probabilities.
    pub margin: Vec<f32>,
    /// Entropy in nats.
    pub entropy: Vec<f32>,
    /// Rank, from 1, that this exit gives to the last exit's label.
    pub final_rank: Vec<u32>,
    /// Probability that this exit gives to the last exit's label.
    pub final_probability: Vec<f32>,
}

impl ExitColumns {
    /// Appends one exit of the row that is being filled.
    pub fn push(&mut self, signal: Signal, agreement: Agreement) {
        self.prediction.push(signal.prediction);
        self.confidence.push(signal.confidence);
        self.margin.push(signal.margin);
        self.entropy.push(signal.entropy);
        self.final_rank.push(agreement.final_rank);
        self.final_probability.push(agreement.final_probability);
    }
}

impl ExitColumns {
    /// The given places of every column, `width` values each.
    fn pick(&self, places: &[usize], width: usize) -> Self {
        Self {
            prediction: pick(&self.prediction, places, width),
            confidence: pick(&self.confidence, places, width),
            margin: pick(&self.margin, places, width),
            entropy: pick(&self.entropy, places, width),
            final_rank: pick(&self.final_rank, places, width),
            final_probability: pick(&self.final_probability, places, width),
        }
    }
}

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
    #[must_use]
    pub fn layers(&self) -> usize {
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

    /// What the answers of a row are scored against: the right one, or where nobody knows it the full model's.
    #[must_use]
    pub fn reference(&self, row: usize) -> u32 {
        self.gold.get(row).copied().unwrap_or_else(|| self.prediction(row, self.layers()))
    }

    /// The signals of one row at exits 1..=N, replacing what `into` held.
    pub fn exits(&self, row: usize, into: &mut Vec<Signal>) {
        let layers = self.layers();
        into.clear();
        into.extend((row * layers..(row + 1) * layers).map(|at| Signal {
            prediction: self.signals.prediction[at],
            confidence: self.signals.confidence[at],
            margin: self.signals.margin[at],
            entropy: self.signals.entropy[at],
        }));
    }

    /// The given rows, in the given order.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            facts: TraceFacts { rows: rows.len(), ..self.facts.clone() },
            example: pick(&self.example, rows, 1),
            position: pick(&self.position, rows, 1),
            gold: pick_any(&self.gold, rows),
            prompt_tokens: pick_any(&self.prompt_tokens, rows),
            signals: self.signals.pick(rows, self.layers()),
        }
    }

    /// The same rows as a model would show them that is read at these exits and the last one alone.
    ///
    /// `exits` rise, from 1; the last one need not be among them.
    ///
    /// # Panics
    /// When an exit is not there.
    #[must_use]
    pub fn at_exits(&self, exits: &[usize]) -> Self {
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

/// The values of the given rows of a plain column; none of a column that is not there.
fn pick_any<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    if values.is_empty() { Vec::new() } else { pick(values, rows, 1) }
}

/// The values of the given rows of a column with `width` values per row.
fn pick<T: Copy>(values: &[T], rows: &[usize], width: usize) -> Vec<T> {
    rows.iter().flat_map(|&row| &values[row * width..(row + 1) * width]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::Shard;

    #[test]
    fn shards_count_from_one() {
        assert_eq!("2/4".parse(), Ok(Shard { index: 2, count: 4 }));
        for text in ["0/4", "5/4", "1", "1/0", "a/b"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
