//! What `ee-eval decode` stores: every token with its exit, and the numbers that follow from them and from
//! the clock.

use std::collections::BTreeMap;

use ee_decode::clock::{Clock, Part};
use ee_models::loss::Objective;
use serde::{Deserialize, Serialize};

use super::fidelity::{Fidelity, repetition};
use super::measure::Timed;
use super::pace::Pace;
use crate::exits::ideal::MetricScore;
use crate::machine::Load;
use crate::trace::{MetricFacts, facts};

/// Everything of one call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecodeResults {
    /// What was run.
    pub facts: DecodeFacts,
    /// What other programs took of the machine in the timed rounds; none where the system does not tell.
    pub load: Option<Load>,
    /// The full model's texts, decoded plainly.
    pub plain: Texts,
    /// What every batch of them took.
    pub plain_timed: Vec<Timed>,
    /// One per rule and policy. Early exit that takes effect may change texts: none of these is lossless.
    pub runs: Vec<RunResults>,
}

/// What was run, on what, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecodeFacts {
    /// The checkpoint's folder as it was given.
    pub model: String,
    /// SHA-256 of the checkpoint's weights, in hexadecimal.
    pub checkpoint_sha256: String,
    /// The architecture, e.g. `llama`.
    pub architecture: String,
    /// How the checkpoint was trained.
    #[serde(with = "facts::objective")]
    pub objective: Option<Objective>,
    /// The number of exits, N.
    pub layers: usize,
    /// The task and its split; none for texts from the command line.
    pub task: Option<[String; 2]>,
    /// The task's metrics.
    pub metrics: Vec<MetricFacts>,
    /// New tokens per text at most.
    pub max_new_tokens: usize,
    /// So many new tokens never leave.
    pub min_tokens: usize,
    /// The exits before the last at which gates are read.
    pub exits: Vec<usize>,
    /// How the head is read before the last exit.
    pub head: String,
    /// Texts per batch.
    pub batch: usize,
    /// Timed rounds of everything.
    pub rounds: usize,
    /// The format of the weights in memory.
    pub weights: String,
    /// The device.
    pub device: String,
    /// Bytes per second at which all threads together read as much memory as the weights take; none on
    /// other devices than the CPU.
    pub read_bytes_per_second: Option<f64>,
    /// The version of ee-eval.
    pub version: String,
}

/// Texts and how long they took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Texts {
    /// In the order of the prompts.
    pub outputs: Vec<Output>,
    /// Rows that a step of these texts had on average.
    pub rows: f64,
    /// New tokens of a timed round, whose rows end where plain decoding's do.
    pub timed_tokens: usize,
    /// Seconds of all timed rounds, prompts included.
    pub seconds: f64,
    /// Seconds of it until the first new tokens.
    pub prompt_seconds: f64,
    /// The task's metrics.
    pub scores: Vec<MetricScore>,
    /// The share of 4-grams that their text has had before.
    pub repeated_4_grams: f64,
    /// Texts that ran to their longest length.
    pub unfinished: usize,
}

/// One text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The prompt's number, from 0.
    pub example: usize,
    /// What the model was given.
    pub prompt: String,
    /// New tokens, an end token included.
    pub tokens: Vec<u32>,
    /// The exit, from 1, of each.
    pub exits: Vec<usize>,
    /// The text, up to the first stop text.
    pub text: String,
    /// Whether it ended by itself.
    pub ended: bool,
    /// By metric, numbers whose sum over texts a score is computed from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statistics: BTreeMap<String, Vec<f64>>,
}

/// One rule with one policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResults {
    /// The rule as typed.
    pub gate: String,
    /// The policy.
    pub kv: String,
    /// Whether exits took effect: without, the texts are the full model's by construction.
    pub takes_effect: bool,
    /// The mean exit of all new tokens.
    pub average_exit: f64,
    /// New tokens by exit, 1..=N.
    pub histogram: Vec<usize>,
    /// Speed against plain decoding of the same prompts, run in turn.
    pub speed: DecodeSpeed,
    /// What every batch took.
    pub timed: Vec<Timed>,
    /// Closeness to plain decoding.
    pub fidelity: Fidelity,
    /// The texts.
    pub texts: Texts,
    /// What a reader should know, one sentence each.
    pub notices: Vec<String>,
}

/// Where the time of a run went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DecodeSpeed {
    /// New tokens per second, prompts included.
    pub tokens_per_second: f64,
    /// The same of plain decoding.
    pub plain_tokens_per_second: f64,
    /// One by the other.
    #[serde(flatten)]
    pub pace: Pace,
    /// The ratio without prompts and first tokens, of all rounds.
    pub step_speed_up: f64,
    /// Seconds of the steps after the prompts of a run of its own, in which parts are timed.
    pub step_seconds: f64,
    /// Shares of them: layers, whole heads, gates, keys and values, the rest.
    pub shares: Shares,
    /// Bytes of weights that the steps read.
    pub weight_bytes: u64,
    /// New tokens per second that reading these bytes alone would leave possible.
    pub bandwidth_bound: Option<f64>,
    /// Reads of the whole head per step's token, 1 for plain decoding alone.
    pub head_reads_per_token: f64,
}

/// Shares of the steps' time; they add up to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// Layers.
    pub layers: f64,
    /// Whole heads.
    pub heads: f64,
    /// Deciding: pruned heads, numbers of states.
    pub gates: f64,
    /// Filling keys and values above exits.
    pub kv: f64,
    /// All else.
    pub rest: f64,
}

impl Shares {
    /// The shares of a clock's steps.
    #[must_use]
    pub fn of(clock: &Clock) -> Self {
        let total = clock.steps.as_secs_f64().max(f64::MIN_POSITIVE);
        let share = |part| clock.spent(part).as_secs_f64() / total;
        let [layers, heads, gates, kv] =
            [Part::Layers, Part::Heads, Part::Gates, Part::Kv].map(share);
        Self { layers, heads, gates, kv, rest: 1.0 - layers - heads - gates - kv }
    }
}

impl Texts {
    /// Texts with what follows from their tokens.
    #[must_use]
    pub fn of(outputs: Vec<Output>, rows: f64, timed: &[Timed], prompt_seconds: f64) -> Self {
        let seconds = timed.iter().flat_map(|batch| &batch.seconds).sum();
        Self {
            rows,
            timed_tokens: timed.iter().map(|batch| batch.tokens).sum(),
            repeated_4_grams: repetition(outputs.iter().map(|output| output.tokens.as_slice())),
            unfinished: outputs.iter().filter(|output| !output.ended).count(),
            outputs,
            seconds,
            prompt_seconds,
            scores: Vec::new(),
        }
    }

    /// New tokens after the first of each text.
    #[must_use]
    pub fn step_tokens(&self) -> usize {
        self.outputs.iter().map(|output| output.tokens.len().saturating_sub(1)).sum()
    }

    /// New tokens per second of `rounds`, prompts included.
    #[must_use]
    pub fn tokens_per_second(&self, rounds: usize) -> f64 {
        (rounds * self.timed_tokens) as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// The same without prompts and first tokens.
    #[must_use]
    pub fn step_tokens_per_second(&self, rounds: usize) -> f64 {
        let seconds = self.seconds - self.prompt_seconds;
        let tokens = self.timed_tokens.saturating_sub(self.outputs.len());
        (rounds * tokens) as f64 / seconds.max(f64::MIN_POSITIVE)
    }
}

impl RunResults {
    /// What a run's texts and clock say, beside plain decoding.
    #[must_use]
    pub fn of(
        [gate, kv]: [String; 2],
        takes_effect: bool,
        (texts, timed, clock): (Texts, &[Timed], &Clock),
        (plain, plain_timed): (&Texts, &[Timed]),
        facts: &DecodeFacts,
    ) -> Self {
        let exits: Vec<usize> =
            texts.outputs.iter().flat_map(|output| output.exits.iter().copied()).collect();
        let rounds = facts.rounds;
        let (ours, theirs) = (texts.tokens_per_second(rounds), plain.tokens_per_second(rounds));
        let steps = texts.step_tokens() as f64;
        let bound = |bandwidth: f64| steps * bandwidth / (clock.weight_bytes as f64).max(1.0);
        let pairs = texts.outputs.iter().zip(&plain.outputs);
        let pairs = pairs.map(|(ours, full)| (ours.tokens.as_slice(), full.tokens.as_slice()));
        Self {
            gate,
            kv,
            takes_effect,
            average_exit: crate::exits::oracle::average(&exits),
            histogram: crate::exits::oracle::histogram(&exits, facts.layers),
            speed: DecodeSpeed {
                tokens_per_second: ours,
                plain_tokens_per_second: theirs,
                pace: Pace::of(timed, plain_timed),
                step_speed_up: texts.step_tokens_per_second(rounds)
                    / plain.step_tokens_per_second(rounds),
                step_seconds: clock.steps.as_secs_f64(),
                shares: Shares::of(clock),
                weight_bytes: clock.weight_bytes,
                bandwidth_bound: facts.read_bytes_per_second.map(bound),
                head_reads_per_token: clock.head_reads as f64 / steps.max(1.0),
            },
            timed: timed.to_vec(),
            fidelity: Fidelity::of(pairs),
            texts,
            notices: Vec::new(),
        }
    }
}
