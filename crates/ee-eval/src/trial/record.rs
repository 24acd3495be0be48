//! The record of a trial: this way, tried on these examples, beside the plain one.

use std::collections::BTreeMap;

use ee_decode::clock::{Clock, Part};
use ee_decode::speculate::Tally;
use ee_tasks::metrics::bootstrap_of;
use serde::Serialize;

use super::fidelity::{Fidelity, Place, equal, places, repetition};
use super::quality::{EQUAL_TOKENS, Quality, Worth};
use super::rounds::Tried;
use super::texts::Found;
use super::way::Way;
use crate::exits::ideal::MetricScore;
use crate::exits::oracle;
use crate::exits::score::BOOTSTRAP_SEED;
use crate::machine::Load;
use crate::pace::{Pace, Timed, tokens};
use crate::trace::MetricFacts;

/// Some ways of decoding on the same examples.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Trials {
    pub(crate) batch: usize,
    pub(crate) rounds: usize,
    pub(crate) max_new_tokens: usize,
    /// The task's metrics that could be computed; the first one leads.
    pub(crate) metrics: Vec<MetricFacts>,
    pub(crate) device: String,
    /// What other programs took of the machine in the timed rounds; none where the system does not tell.
    pub(crate) load: Option<Load>,
    /// New tokens per second of plain decoding, prompts included.
    pub(crate) plain_tokens_per_second: f64,
    /// The full model's texts, decoded plainly.
    pub(crate) plain: Texts,
    pub(crate) plain_timed: Vec<Timed>,
    /// Its texts of further prompts that quality alone is judged on, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) further: Option<Texts>,
    pub(crate) trials: Vec<Trial>,
}

/// One way of decoding.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Trial {
    pub(crate) way: Way,
    /// Whether it leaves texts as they are, by construction.
    pub(crate) lossless: bool,
    /// New tokens per second, prompts included.
    pub(crate) tokens_per_second: f64,
    /// The same by plain decoding's, at the same rows and tokens.
    #[serde(flatten)]
    pub(crate) pace: Pace,
    pub(crate) timed: Vec<Timed>,
    pub(crate) fidelity: Fidelity,
    /// The bootstrap 95 % interval of the share of equal tokens, resampling texts.
    pub(crate) equal_interval: [f64; 2],
    /// What early exit has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<Left>,
    /// What speculation has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drafted: Option<Drafted>,
    pub(crate) texts: Texts,
    /// Those of the further prompts, where they were decoded in this way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) further: Option<Texts>,
}

/// What early exit has.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Left {
    pub(crate) average_exit: f64,
    /// New tokens by exit, 1..=N.
    pub(crate) histogram: Vec<usize>,
    pub(crate) shares: Shares,
    /// Reads of the whole head per token after the first.
    pub(crate) head_reads_per_token: f64,
    /// The steps after the prompts, in which parts were timed.
    #[serde(skip)]
    pub(crate) steps: Clock,
}

/// What speculation has.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Drafted {
    /// α: the share of examined drafts that stayed.
    pub(crate) agreement: Option<f64>,
    /// Tokens that a round gave.
    pub(crate) tokens_per_round: f64,
    /// All that was counted.
    #[serde(skip)]
    pub(crate) tally: Tally,
}

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
    /// What the model was given.
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

/// Plain decoding, beside which every way is set.
pub(super) struct Beside<'a> {
    pub(super) texts: &'a Texts,
    pub(super) timed: &'a [Timed],
    pub(super) rounds: usize,
}

/// Shares of the steps' time; they add up to 1.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Shares {
    pub(crate) layers: f64,
    pub(crate) heads: f64,
    /// Deciding: pruned heads, numbers of states.
    pub(crate) gates: f64,
    /// Filling keys and values above exits.
    pub(crate) kv: f64,
    pub(crate) rest: f64,
}

impl Shares {
    fn of(clock: &Clock) -> Self {
        let total = clock.steps.as_secs_f64().max(f64::MIN_POSITIVE);
        let share = |part| clock.spent(part).as_secs_f64() / total;
        let [layers, heads, gates, kv] =
            [Part::Layers, Part::Heads, Part::Gates, Part::Kv].map(share);
        Self { layers, heads, gates, kv, rest: 1.0 - layers - heads - gates - kv }
    }
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

    /// The same without prompts and first tokens.
    pub(super) fn step_tokens_per_second(&self, rounds: usize) -> f64 {
        let seconds = self.seconds - self.prompt_seconds;
        let tokens = self.timed_tokens.saturating_sub(self.outputs.len());
        (rounds * tokens) as f64 / seconds.max(f64::MIN_POSITIVE)
    }

    /// The leading metric's score.
    pub(crate) fn score(&self) -> Option<f64> {
        self.scores.first().and_then(|score| score.score)
    }

    /// These texts beside others of the same prompts.
    fn beside<'a>(&'a self, full: &'a Self) -> impl Iterator<Item = (&'a [u32], &'a [u32])> {
        let pairs = self.outputs.iter().zip(&full.outputs);
        pairs.map(|(ours, full)| (ours.tokens.as_slice(), full.tokens.as_slice()))
    }

    fn equal_interval(&self, full: &Self) -> [f64; 2] {
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
}

impl Trials {
    /// The leading metric.
    pub(crate) fn metric(&self) -> Option<&str> {
        self.metrics.first().map(|metric| metric.name.as_str())
    }

    /// What a way's timed texts are worth beside the full model's.
    pub(crate) fn worth(&self, trial: &Trial) -> Worth {
        self.worth_of(&trial.texts, &self.plain)
    }

    /// The same of the further texts; none where they were not decoded.
    pub(crate) fn further_worth(&self, trial: &Trial) -> Option<Worth> {
        Some(self.worth_of(trial.further.as_ref()?, self.further.as_ref()?))
    }

    fn worth_of(&self, ours: &Texts, full: &Texts) -> Worth {
        // The timed texts decide what is looked at, whichever texts are judged by it.
        let metric = self.metrics.first().filter(|_| self.has_score());
        Worth::of(metric, &ours.outputs, &full.outputs)
    }

    fn has_score(&self) -> bool {
        self.plain.score().is_some_and(|full| full > 0.0)
    }

    /// Whether every true early exit keeps this share of the full model's quality on further texts, judged by the
    /// timed ones; the doubt is shared out over all of them.
    pub(crate) fn qualities(&self, keep: f64, doubt: f64) -> Vec<Option<Quality>> {
        let n = self.trials.iter().filter(|trial| !trial.lossless).count().max(1);
        let judge = |trial: &Trial| self.worth(trial).judge(keep, doubt / n as f64);
        self.trials.iter().map(|trial| (!trial.lossless).then(|| judge(trial))).collect()
    }

    /// What [`Trials::worth`] looks at.
    pub(crate) fn quality(&self) -> &str {
        self.metric().filter(|_| self.has_score()).unwrap_or(EQUAL_TOKENS)
    }

    /// A way's part of it on the timed texts, 1 for the full model.
    pub(crate) fn kept(&self, trial: &Trial) -> f64 {
        self.worth(trial).share()
    }

    /// Keeps the prompts with plain decoding's texts alone.
    pub(crate) fn forget_prompts(&mut self) {
        self.trials.iter_mut().for_each(|trial| trial.texts.forget_prompts());
    }

    /// Where some ways' texts part from the full model's.
    pub(crate) fn places(&self, trials: &[&Trial]) -> Vec<Place> {
        places(trials.iter().flat_map(|trial| trial.texts.beside(&self.plain)))
    }
}

impl Trial {
    /// What came of a way, beside plain decoding.
    pub(super) fn of(
        way: &Way,
        tried: Tried<Found>,
        texts: Texts,
        plain: &Beside<'_>,
        layers: usize,
    ) -> Self {
        let Tried { found: Found { clock, tally, .. }, timed, .. } = tried;
        let lossless = way.is_lossless();
        Self {
            lossless,
            way: way.clone(),
            tokens_per_second: texts.tokens_per_second(plain.rounds),
            pace: Pace::of(&timed, plain.timed),
            timed,
            fidelity: Fidelity::of(texts.beside(plain.texts)),
            equal_interval: texts.equal_interval(plain.texts),
            left: (!lossless).then(|| Left::of(&texts, clock, layers)),
            drafted: lossless.then(|| Drafted {
                agreement: tally.agreement(),
                tokens_per_round: tally.tokens_per_round(),
                tally,
            }),
            texts,
            further: None,
        }
    }
}

impl Left {
    fn of(texts: &Texts, clock: Clock, layers: usize) -> Self {
        let exits: Vec<usize> =
            texts.outputs.iter().flat_map(|output| output.exits.iter().copied()).collect();
        Self {
            average_exit: oracle::average(&exits),
            histogram: oracle::histogram(&exits, layers),
            shares: Shares::of(&clock),
            head_reads_per_token: clock.head_reads as f64 / texts.step_tokens().max(1) as f64,
            steps: clock,
        }
    }
}
