//! What trials store.

use ee_decode::clock::Clock;
use ee_decode::speculate::Tally;
use ee_tasks::metrics::bootstrap_of;
use serde::{Deserialize, Serialize};

use super::places::{Place, places};
use super::quality::{Quality, Worth};
use super::way::WayFacts;
use crate::decode::fidelity::Fidelity;
use crate::decode::measure::Timed;
use crate::decode::pace::Pace;
use crate::decode::results::{Output, Shares, Texts};
use crate::exits::oracle;
use crate::exits::score::BOOTSTRAP_SEED;
use crate::machine::Load;
use crate::trace::MetricFacts;

/// Some ways of decoding on the same examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trials {
    /// Texts per batch.
    pub batch: usize,
    /// Timed rounds.
    pub rounds: usize,
    /// New tokens per text at most.
    pub max_new_tokens: usize,
    /// The task's metrics that could be computed; the first one leads.
    pub metrics: Vec<MetricFacts>,
    /// The device.
    pub device: String,
    /// What other programs took of the machine in the timed rounds; none where the system does not tell.
    pub load: Option<Load>,
    /// New tokens per second of plain decoding, prompts included.
    pub plain_tokens_per_second: f64,
    /// The full model's texts, decoded plainly.
    pub plain: Texts,
    /// Its times.
    pub plain_timed: Vec<Timed>,
    /// Its texts of further prompts that quality alone is judged on, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub further: Option<Texts>,
    /// Every way.
    pub trials: Vec<Trial>,
}

/// One way of decoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The way.
    pub way: WayFacts,
    /// Whether it leaves texts as they are, by construction.
    pub lossless: bool,
    /// New tokens per second, prompts included.
    pub tokens_per_second: f64,
    /// The same by plain decoding's, at the same rows and tokens.
    #[serde(flatten)]
    pub pace: Pace,
    /// What every batch took.
    pub timed: Vec<Timed>,
    /// Closeness to plain decoding.
    pub fidelity: Fidelity,
    /// The bootstrap 95 % interval of the share of equal tokens, resampling texts.
    pub equal_interval: [f64; 2],
    /// What early exit has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// What speculation has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drafted: Option<Drafted>,
    /// The texts; their prompts stand with the plain ones.
    pub texts: Texts,
    /// Those of the further prompts, where they were decoded in this way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub further: Option<Texts>,
}

/// What early exit has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Left {
    /// The mean exit of all new tokens.
    pub average_exit: f64,
    /// New tokens by exit, 1..=N.
    pub histogram: Vec<usize>,
    /// Where the time after the prompts went.
    pub shares: Shares,
    /// Reads of the whole head per token after the first.
    pub head_reads_per_token: f64,
}

/// What speculation has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Drafted {
    /// α: the share of examined drafts that stayed.
    pub agreement: Option<f64>,
    /// Tokens that a round gave.
    pub tokens_per_round: f64,
}

impl Trials {
    /// The leading metric's score of plain decoding.
    #[must_use]
    pub fn full_score(&self) -> Option<f64> {
        leading(&self.plain)
    }

    /// The leading metric.
    #[must_use]
    pub fn metric(&self) -> Option<&str> {
        self.metrics.first().map(|metric| metric.name.as_str())
    }

    /// What a way's timed texts are worth beside the full model's.
    #[must_use]
    pub fn worth(&self, trial: &Trial) -> Worth {
        self.worth_of(&trial.texts, &self.plain)
    }

    /// The same of the further texts; none where they were not decoded.
    #[must_use]
    pub fn further_worth(&self, trial: &Trial) -> Option<Worth> {
        Some(self.worth_of(trial.further.as_ref()?, self.further.as_ref()?))
    }

    fn worth_of(&self, ours: &Texts, full: &Texts) -> Worth {
        let [ours, full] = [ours, full].map(|texts| texts.outputs.iter().collect::<Vec<&Output>>());
        // The timed texts decide what is looked at, whichever texts are judged by it.
        let scores = self.full_score().is_some_and(|full| full > 0.0);
        Worth::of(self.metrics.first().filter(|_| scores), &ours, &full)
    }

    /// Whether every true early exit keeps this share of the full model's quality on further texts, judged by the
    /// timed ones; the doubt is shared out over all of them.
    #[must_use]
    pub fn qualities(&self, keep: f64, doubt: f64) -> Vec<Option<Quality>> {
        let n = self.trials.iter().filter(|trial| !trial.lossless).count().max(1);
        let judge = |trial: &Trial| self.worth(trial).judge(keep, doubt / n as f64);
        self.trials.iter().map(|trial| (!trial.lossless).then(|| judge(trial))).collect()
    }

    /// What [`Trials::worth`] looks at.
    #[must_use]
    pub fn quality(&self) -> &str {
        match (self.full_score(), self.metric()) {
            (Some(full), Some(metric)) if full > 0.0 => metric,
            _ => "equal tokens",
        }
    }

    /// A way's part of it on the timed texts, 1 for the full model.
    #[must_use]
    pub fn kept(&self, trial: &Trial) -> f64 {
        self.worth(trial).share()
    }

    /// Where a way's texts part from the full model's.
    #[must_use]
    pub fn places(&self, trials: &[&Trial]) -> Vec<Place> {
        places(trials.iter().flat_map(|trial| pairs(&trial.texts, &self.plain)))
    }
}

impl Trial {
    /// What a way's texts and clocks say, beside plain decoding's; times of all rounds.
    pub(super) fn of(
        way: WayFacts,
        mut texts: Texts,
        (timed, clock, tally): (Vec<Timed>, &Clock, &Tally),
        (plain, plain_timed): (&Texts, &[Timed]),
        layers: usize,
    ) -> Self {
        let rounds = plain_timed[0].seconds.len();
        let tokens_per_second = texts.tokens_per_second(rounds);
        let lossless = way.is_lossless();
        let exits: Vec<usize> =
            texts.outputs.iter().flat_map(|output| output.exits.iter().copied()).collect();
        let steps = texts.step_tokens().max(1) as f64;
        let left = (!lossless).then(|| Left {
            average_exit: oracle::average(&exits),
            histogram: oracle::histogram(&exits, layers),
            shares: Shares::of(clock),
            head_reads_per_token: clock.head_reads as f64 / steps,
        });
        let drafted = lossless.then(|| Drafted {
            agreement: tally.agreement(),
            tokens_per_round: tally.tokens_per_round(),
        });
        let fidelity = Fidelity::of(pairs(&texts, plain));
        let equal_interval = equal_interval(&texts, plain);
        texts.outputs.iter_mut().for_each(|output| output.prompt.clear());
        Self {
            way,
            lossless,
            tokens_per_second,
            pace: Pace::of(&timed, plain_timed),
            timed,
            fidelity,
            equal_interval,
            left,
            drafted,
            texts,
            further: None,
        }
    }

    /// The leading metric's score.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        leading(&self.texts)
    }
}

fn leading(texts: &Texts) -> Option<f64> {
    texts.scores.first().and_then(|score| score.score)
}

/// The texts beside the full model's.
fn pairs<'a>(texts: &'a Texts, plain: &'a Texts) -> impl Iterator<Item = (&'a [u32], &'a [u32])> {
    let pairs = texts.outputs.iter().zip(&plain.outputs);
    pairs.map(|(ours, full)| (ours.tokens.as_slice(), full.tokens.as_slice()))
}

fn equal_interval(texts: &Texts, plain: &Texts) -> [f64; 2] {
    let statistics: Vec<Vec<f64>> = pairs(texts, plain)
        .map(|(ours, full)| {
            let equal = ours.iter().zip(full).filter(|(ours, full)| ours == full).count();
            vec![equal as f64, ours.len().max(full.len()) as f64]
        })
        .collect();
    let interval = bootstrap_of(|sum| sum[0] / sum[1], &statistics, BOOTSTRAP_SEED);
    [interval.low, interval.high]
}
