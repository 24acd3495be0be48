//! What trials store.

use ee_models::speculate::Tally;
use ee_tasks::metrics::bootstrap_of;
use serde::{Deserialize, Serialize};

use super::pace::Pace;
use super::places::{Place, places};
use super::way::WayFacts;
use crate::decode::clock::Clock;
use crate::decode::fidelity::Fidelity;
use crate::decode::measure::Timed;
use crate::decode::results::{Shares, Texts};
use crate::oracle;
use crate::results::Spread;
use crate::score::BOOTSTRAP_SEED;
use crate::sweep::floor;
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
    /// New tokens per second of plain decoding, prompts included.
    pub plain_tokens_per_second: f64,
    /// The full model's texts, decoded plainly.
    pub plain: Texts,
    /// Its times.
    pub plain_timed: Vec<Timed>,
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
    /// The same by plain decoding's.
    pub speed_up: f64,
    /// The same round by round.
    pub speed_up_by_round: Spread,
    /// The bootstrap 95 % interval of its median, resampling batches of texts; none of a single batch.
    pub speed_up_interval: Option<[f64; 2]>,
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

    /// Whether a way keeps this share of the full model's quality: of the leading metric where the full model
    /// scores in it at all, else of its tokens.
    #[must_use]
    pub fn keeps(&self, trial: &Trial, keep: f64) -> bool {
        match (self.full_score(), trial.score()) {
            (Some(full), Some(score)) if full > 0.0 => score >= floor(full, keep),
            _ => trial.fidelity.equal_share >= keep,
        }
    }

    /// What [`Trials::keeps`] looks at.
    #[must_use]
    pub fn quality(&self) -> &str {
        match (self.full_score(), self.metric()) {
            (Some(full), Some(metric)) if full > 0.0 => metric,
            _ => "equal tokens",
        }
    }

    /// A way's part of it, 1 for the full model.
    #[must_use]
    pub fn kept(&self, trial: &Trial) -> f64 {
        match (self.full_score(), trial.score()) {
            (Some(full), Some(score)) if full > 0.0 => score / full,
            _ => trial.fidelity.equal_share,
        }
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
        let (ours, theirs) = (lengths(&texts), lengths(plain));
        let pace = Pace { tokens: &ours, timed: &timed };
        let (speed_up_by_round, speed_up_interval) =
            pace.against(Pace { tokens: &theirs, timed: plain_timed });
        let tokens_per_second = texts.tokens_per_second(rounds);
        let lossless = way.is_lossless();
        let exits: Vec<usize> =
            texts.outputs.iter().flat_map(|output| output.exits.iter().copied()).collect();
        let steps = (rounds * texts.step_tokens()).max(1) as f64;
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
            speed_up: tokens_per_second / plain.tokens_per_second(rounds),
            speed_up_by_round,
            speed_up_interval,
            timed,
            fidelity,
            equal_interval,
            left,
            drafted,
            texts,
        }
    }

    /// The leading metric's score.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        leading(&self.texts)
    }
}

fn lengths(texts: &Texts) -> Vec<usize> {
    texts.outputs.iter().map(|output| output.tokens.len()).collect()
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
