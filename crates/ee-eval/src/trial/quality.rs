//! How much of the full model's quality a way of decoding keeps, and what can be said about further texts.
//!
//! Quality is compared text by text with the full model's on the same prompt. Where a text has a number between 0
//! and 1 and the score is the mean (exact match, F1, ROUGE, pass@1; without a metric the share of the text's
//! tokens that are the full model's), the bounds hold for any number of texts and any distribution: they
//! are bets. Under "at most the share k is kept" the numbers ours − k · full have no positive mean, so that
//! a gambler who stakes a part of his money on each of them, knowing only those before, multiplies it by 1/ε with
//! a probability of at most ε (Ville 1939; Waudby-Smith & Ramdas 2021, "Estimating means of bounded random variables
//! by betting"). Scores of sums (BLEU, chrF) have no such bound: there a paired bootstrap over texts is all
//! there is, approximate, and never surer than this few texts could be were each whole text kept or lost.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::fidelity::equal;
use super::outputs::Output;
use crate::exits::score::BOOTSTRAP_SEED;
use crate::trace::MetricFacts;

/// The part of what a bet could lose at most that is staked at most: no single text ruins the gambler.
const NERVE: f64 = 0.9;
/// Texts that the first bets assume to have seen.
const PRETENDED: f64 = 100.0;
/// Shares that are tested.
const SHARES: usize = 500;
/// What is looked at where no metric says anything.
pub(crate) const EQUAL_TOKENS: &str = "equal tokens";
/// Resamples of a paired bootstrap.
const RESAMPLES: usize = 2000;

/// What texts are worth: ours, and the full model's on the same prompts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Worth {
    /// What is looked at: a metric, or `equal tokens`.
    pub(crate) what: String,
    texts: Texts,
}

#[derive(Debug, Clone, PartialEq)]
enum Texts {
    /// Numbers in 0..1 whose means are compared.
    Means(Vec<[f64; 2]>),
    /// A metric's statistics, whose sums are scored.
    Sums(Vec<[Vec<f64>; 2]>),
}

/// Whether the demanded share is kept on further texts like these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kept {
    /// The lower bound is no lower.
    Yes,
    /// The upper bound is lower.
    No,
    /// These texts cannot tell.
    Unknown,
}

impl Kept {
    /// As tables have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "cannot be told",
        }
    }
}

/// What some texts say about a way's quality.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Quality {
    pub(crate) what: String,
    pub(crate) texts: usize,
    /// The share of the full model's quality that they have; above 1 where they are better.
    pub(crate) share: f64,
    /// Up to the doubt, further texts keep at least this share.
    pub(crate) at_least: f64,
    /// Up to the doubt, they keep at most this share; `f64::MAX` where no bound up to 1 can be shown.
    pub(crate) at_most: f64,
    /// The doubt that is left on each side.
    pub(crate) doubt: f64,
    /// Whether the bounds hold for any number of texts and any distribution.
    pub(crate) is_exact: bool,
    pub(crate) kept: Kept,
    /// About how many texts would do if they were like these; none where more would hardly help.
    pub(crate) needed: Option<usize>,
}

impl Worth {
    /// By the leading metric where there is one that says something, else by the share of equal tokens.
    pub(crate) fn of(metric: Option<&MetricFacts>, ours: &[Output], full: &[Output]) -> Self {
        if let Some(worth) = metric.and_then(|metric| Self::by_metric(&metric.name, ours, full)) {
            return worth;
        }
        let pairs = ours.iter().zip(full);
        let share = |(ours, full): (&Output, &Output)| {
            let [equal, all] = equal(&ours.tokens, &full.tokens);
            [if all == 0 { 1.0 } else { equal as f64 / all as f64 }, 1.0]
        };
        Self::of_means(EQUAL_TOKENS, pairs.map(share).collect())
    }

    /// Numbers between 0 and 1, ours and the full model's.
    pub(crate) fn of_means(what: &str, texts: Vec<[f64; 2]>) -> Self {
        Self { what: what.to_owned(), texts: Texts::Means(texts) }
    }

    fn by_metric(name: &str, ours: &[Output], full: &[Output]) -> Option<Self> {
        let score = ee_tasks::metrics::text::score_by_name(name).ok()?;
        let pairs = ours.iter().zip(full);
        let texts: Option<Vec<[Vec<f64>; 2]>> = pairs
            .map(|(ours, full)| {
                Some([ours.statistics.get(name)?.clone(), full.statistics.get(name)?.clone()])
            })
            .collect();
        let texts = texts.filter(|texts| !texts.is_empty())?;
        let [_, full] = sums(&texts, &vec![1.0; texts.len()]);
        if score(&full).is_nan() {
            return None;
        }
        let is_mean =
            |of: &Vec<f64>| matches!(of[..], [value, 1.0] if (0.0..=1.0).contains(&value));
        let texts = match texts.iter().flatten().all(is_mean) {
            true => Texts::Means(texts.iter().map(|[ours, full]| [ours[0], full[0]]).collect()),
            false => Texts::Sums(texts),
        };
        Some(Self { what: name.to_owned(), texts })
    }

    /// Texts.
    pub(crate) fn len(&self) -> usize {
        match &self.texts {
            Texts::Means(texts) => texts.len(),
            Texts::Sums(texts) => texts.len(),
        }
    }

    /// The share of the full model's quality that these very texts have.
    pub(crate) fn share(&self) -> f64 {
        match &self.texts {
            Texts::Means(texts) => share_of_means(texts),
            Texts::Sums(texts) => self.ratio(texts, &vec![1.0; texts.len()]),
        }
    }

    /// Whether this share is kept, with this doubt left on each side.
    pub(crate) fn judge(&self, keep: f64, doubt: f64) -> Quality {
        let (share, texts) = (self.share(), self.len());
        let [at_least, at_most] = match &self.texts {
            _ if texts == 0 => [0.0, f64::MAX],
            Texts::Means(texts) => {
                let bets = Bets::new(texts);
                [bets.at_least(keep, doubt), bets.at_most(keep, doubt)]
            }
            Texts::Sums(of) => {
                // Were each whole text kept or lost, this few could say no more.
                let few = doubt.powf(1.0 / texts as f64);
                let [low, high] = self.resampled(of, doubt);
                [low.min(few), high.max(1.0 - few)]
            }
        };
        let kept = match () {
            () if at_least >= keep => Kept::Yes,
            () if at_most < keep => Kept::No,
            () => Kept::Unknown,
        };
        let needed = match &self.texts {
            Texts::Means(texts) => Bets::new(texts).needed(keep, doubt),
            Texts::Sums(of) => (share > keep).then(|| {
                let wider = (share - self.resampled(of, doubt)[0]) / (share - keep);
                (texts as f64 * wider * wider).max(doubt.ln() / keep.ln()).ceil() as usize
            }),
        };
        let (what, is_exact) = (self.what.clone(), matches!(self.texts, Texts::Means(_)));
        Quality { what, texts, share, at_least, at_most, doubt, is_exact, kept, needed }
    }

    /// The score of our texts by the full model's, each counted this often.
    fn ratio(&self, texts: &[[Vec<f64>; 2]], times: &[f64]) -> f64 {
        let Ok(score) = ee_tasks::metrics::text::score_by_name(&self.what) else { return f64::NAN };
        let [ours, full] = sums(texts, times).map(|sum| score(&sum));
        if full > 0.0 { ours / full } else { 1.0 }
    }

    /// The bounds of a paired bootstrap.
    fn resampled(&self, texts: &[[Vec<f64>; 2]], doubt: f64) -> [f64; 2] {
        let n = texts.len();
        let mut random = ChaCha8Rng::seed_from_u64(BOOTSTRAP_SEED);
        let mut ratios: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let mut times = vec![0.0; n];
                (0..n).for_each(|_| times[random.random_range(0..n)] += 1.0);
                self.ratio(texts, &times)
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        let at = |share: f64| ratios[((share * RESAMPLES as f64) as usize).min(RESAMPLES - 1)];
        [at(doubt), at(1.0 - doubt)]
    }
}

fn sums(texts: &[[Vec<f64>; 2]], times: &[f64]) -> [Vec<f64>; 2] {
    [0, 1].map(|which: usize| {
        let mut sum = vec![0.0; texts[0][which].len()];
        for (text, times) in texts.iter().zip(times) {
            sum.iter_mut().zip(&text[which]).for_each(|(sum, value)| *sum += times * value);
        }
        sum
    })
}

fn share_of_means(texts: &[[f64; 2]]) -> f64 {
    let [ours, full] = [0, 1].map(|which: usize| texts.iter().map(|text| text[which]).sum::<f64>());
    if full > 0.0 { ours / full } else { 1.0 }
}

/// Texts in the order in which they are bet on: a draw, as files may have an order.
struct Bets(Vec<[f64; 2]>);

impl Bets {
    fn new(texts: &[[f64; 2]]) -> Self {
        let mut texts = texts.to_vec();
        texts.shuffle(&mut ChaCha8Rng::seed_from_u64(BOOTSTRAP_SEED));
        Self(texts)
    }

    /// The largest share that is surely kept, `keep` among those tried.
    fn at_least(&self, keep: f64, doubt: f64) -> f64 {
        let rejects = |share: &f64| self.exceeds(*share) >= -doubt.ln();
        shares(keep).into_iter().take_while(rejects).last().unwrap_or(0.0)
    }

    /// The smallest share that is surely not exceeded; `f64::MAX` where no bound up to 1 can be shown.
    fn at_most(&self, keep: f64, doubt: f64) -> f64 {
        let rejects = |share: &f64| self.falls_short(*share) >= -doubt.ln();
        let mut downwards = shares(keep);
        downwards.reverse();
        downwards.into_iter().take_while(rejects).last().unwrap_or(f64::MAX)
    }

    /// ln of the most that bets against "at most this share is kept" have ever won.
    fn exceeds(&self, share: f64) -> f64 {
        let gains = self.0.iter().map(|[ours, full]| ours - share * full);
        winnings(gains, share, (1.0 - share).max(1.0 / SHARES as f64))
    }

    /// ln of the most that bets against "at least this share is kept" have ever won.
    fn falls_short(&self, share: f64) -> f64 {
        winnings(self.0.iter().map(|[ours, full]| share * full - ours), 1.0, share / 4.0)
    }

    /// Texts like these that would show that the share is kept.
    fn needed(&self, keep: f64, doubt: f64) -> Option<usize> {
        let gains = || self.0.iter().map(|[ours, full]| ours - keep * full);
        let [mean, square] = [gains().sum::<f64>(), gains().map(|gain| gain * gain).sum()]
            .map(|sum| sum / self.0.len() as f64);
        if mean.is_nan() || mean <= 0.0 {
            return None;
        }
        let bet = (mean / square).min(NERVE / keep);
        let growth = gains().map(|gain| (bet * gain).ln_1p()).sum::<f64>() / self.0.len() as f64;
        (growth > 0.0).then(|| (-doubt.ln() / growth).ceil() as usize)
    }
}

/// Increasing shares up to 1, including this one.
fn shares(keep: f64) -> Vec<f64> {
    let mut shares: Vec<f64> = (1..=SHARES).map(|at| at as f64 / SHARES as f64).collect();
    shares.push(keep);
    shares.sort_by(f64::total_cmp);
    shares
}

/// ln of the most money that one unit ever became: each stake is the best one for the gains so far and some
/// that a text is expected to bring; a gain is at least −`worst`.
fn winnings(gains: impl Iterator<Item = f64>, worst: f64, expected: f64) -> f64 {
    let (mut sum, mut squares) = (PRETENDED * expected, PRETENDED * expected * expected);
    let (mut money, mut most) = (0.0_f64, 0.0_f64);
    for gain in gains {
        let stake = (sum / squares).clamp(0.0, NERVE / worst);
        money += (stake * gain).ln_1p();
        most = most.max(money);
        (sum, squares) = (sum + gain, squares + gain * gain);
    }
    most
}

#[cfg(test)]
mod tests;
