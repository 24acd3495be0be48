//! The promise of `recommend`, tested on simulated worlds in which the truth is known.
//!
//! Each world draws texts of a model that does not exist. A run draws a trace and the texts of the other half, lets
//! [`choose`] do all that it does with a real model, and asks a few thousand further texts of that world whether
//! what it recommended is faster and keeps the quality. A recommendation that is wrong in either is broken. What
//! the estimates alone would have recommended is counted beside it: the fastest setting that kept the quality on
//! the timed texts and whose own 95 % interval lies above 1.

use std::cell::RefCell;

use ee_models::signal::{agreement, signal};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use super::candidates::Search;
use super::choose::{Live, Tried, choose};
use super::decide::{LEAST, Verdict};
use crate::advise::times::{Ask, Asked, Times};
use crate::certify::examples;
use crate::error::Result;
use crate::pace::{Pace, Timed};
use crate::tokens::Watched;
use crate::trace::{ExitColumns, GenerationFacts, Trace, TraceFacts};
use crate::trial::Way;
use crate::trial::quality::{EQUAL_TOKENS, Worth};
use ee_decode::{HeadChoice, Settings};

/// Exits.
const LAYERS: usize = 4;
/// New tokens of a text.
const TOKENS: u32 = 14;
/// Texts on which ways are timed, and rounds.
const TIMED: usize = 24;
const ROUNDS: usize = 3;
/// Texts that tell what a setting is really worth.
const TRUTH: usize = 3000;

/// A world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum World {
    /// One text in forty is lost by whatever leaves early, and nothing shows it beforehand: slightly too many where
    /// 98 % are to be kept.
    Rare,
    /// Each exit is right as often as it is sure, so that every threshold that looks just good enough on some
    /// texts is as often a little too loose.
    Near,
    /// Early exits are always right and gain no time.
    Slow,
    /// Early exits are almost always right where they are sure, and gain time.
    Good,
}

impl World {
    /// Every world.
    pub(crate) const ALL: [Self; 4] = [Self::Rare, Self::Near, Self::Slow, Self::Good];

    /// In results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rare => "rare losses",
            Self::Near => "thresholds at the demand",
            Self::Slow => "nothing is faster",
            Self::Good => "good exits",
        }
    }

    /// Per token after the first and exit: how sure it is, and whether it is the last one's.
    fn text(self, random: &mut ChaCha8Rng) -> Vec<[(f32, bool); LAYERS]> {
        let is_lost = self == Self::Rare && random.random::<f64>() < 0.025;
        // Texts are hard or easy as a whole: their tokens are not independent draws.
        let hardness = random.random::<f32>();
        let token = |random: &mut ChaCha8Rng| {
            std::array::from_fn(|at| {
                if at + 1 == LAYERS {
                    return (0.999, true);
                }
                let depth = (at + 1) as f32 / LAYERS as f32;
                let doubt = match self {
                    // All tokens are as sure.
                    Self::Rare => 0.1,
                    _ => (random.random::<f32>() * (0.3 + hardness) * (1.0 - depth)).min(0.49),
                };
                let is_right = match self {
                    Self::Rare => !is_lost,
                    Self::Near => random.random::<f32>() >= doubt,
                    Self::Slow => true,
                    Self::Good => doubt < 0.2 || random.random::<f32>() >= doubt,
                };
                (1.0 - doubt, is_right)
            })
        };
        (0..TOKENS).map(|_| token(random)).collect()
    }

    /// A trace of some texts.
    fn trace(self, texts: usize, random: &mut ChaCha8Rng) -> Trace {
        let mut signals = ExitColumns::default();
        let (mut example, mut position) = (Vec::new(), Vec::new());
        for number in 0..texts as u32 {
            for (place, exits) in (0..).zip(self.text(random)) {
                for (sure, is_right) in exits {
                    let gap = (sure / (1.0 - sure)).ln();
                    let logits = if is_right { [0.0, gap] } else { [gap, 0.0] };
                    signals.push(signal(&logits), agreement(&logits, 1));
                }
                example.push(number);
                position.push(place);
            }
        }
        let rows = example.len();
        Trace {
            facts: facts(texts, rows),
            gold: vec![1; rows],
            prompt_tokens: vec![10; rows],
            example,
            position,
            signals,
        }
    }

    /// A text's time in layers, where its tokens leave at these exits.
    fn seconds(self, exits: &[usize]) -> f64 {
        let of = |exit: &usize| match self {
            Self::Slow => LAYERS as f64,
            _ => *exit as f64,
        };
        // A prompt, and a head per token.
        4.0 + exits.iter().map(|exit| of(exit) + 0.3).sum::<f64>()
    }

    /// How much times vary: text by text, and round by round.
    fn noise(self) -> [f64; 2] {
        if self == Self::Slow { [0.25, 0.1] } else { [0.05, 0.05] }
    }
}

fn facts(texts: usize, rows: usize) -> TraceFacts {
    let max_new_tokens = TOKENS as usize;
    TraceFacts {
        format: crate::trace::facts::FORMAT,
        model: "a made-up world".to_owned(),
        has_gold: true,
        generation: Some(GenerationFacts { vocabulary: 2, max_new_tokens, ..Default::default() }),
        layers: LAYERS,
        rows,
        examples: texts,
        batch: 1,
        ..TraceFacts::default()
    }
}

/// What is asked of every run.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Demand {
    pub(crate) keep: f64,
    /// Of the promise.
    pub(crate) confidence: f64,
    /// Texts: one half chooses, the other tries.
    pub(crate) texts: usize,
    pub(crate) tries: usize,
}

/// What came of many runs in a world.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Outcome {
    pub(crate) runs: usize,
    pub(crate) recommended: usize,
    /// Of them, those whose setting is no faster or keeps less: at most 1 − confidence of all runs may.
    pub(crate) broken: usize,
    /// What the estimates alone would have recommended.
    pub(crate) estimates_recommended: usize,
    /// Of it, what is no faster or keeps less.
    pub(crate) estimates_broken: usize,
}

/// Runs the whole choice in a world, each time with other texts.
pub(crate) fn simulate(world: World, demand: Demand, runs: u64) -> Result<Outcome> {
    let truth = world.trace(TRUTH, &mut ChaCha8Rng::seed_from_u64(u64::MAX));
    let outcomes = (0..runs).into_par_iter().map(|seed| run(world, demand, &truth, seed));
    let outcomes: Vec<[Option<bool>; 2]> = outcomes.collect::<Result<_>>()?;
    let count = |which: usize, is_wanted: fn(Option<bool>) -> bool| {
        outcomes.iter().filter(|of| is_wanted(of[which])).count()
    };
    let (is_any, is_broken) = (|of: Option<bool>| of.is_some(), |of| of == Some(false));
    Ok(Outcome {
        runs: outcomes.len(),
        recommended: count(0, is_any),
        broken: count(0, is_broken),
        estimates_recommended: count(1, is_any),
        estimates_broken: count(1, is_broken),
    })
}

/// Whether what was recommended is what it is said to be; none where nothing was. Then the same of the estimates.
fn run(world: World, demand: Demand, truth: &Trace, seed: u64) -> Result<[Option<bool>; 2]> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let half = demand.texts / 2;
    let calibration = world.trace(half, &mut random);
    let timed = world.trace(TIMED.min(half), &mut random);
    let further = world.trace(half.saturating_sub(TIMED), &mut random);
    let (asks, times) = parts()?;
    let search = Search {
        trace: &calibration,
        observed: None,
        times: &times,
        asks: &asks,
        keep: demand.keep,
        confidence: demand.confidence,
        min_tokens: 1,
        max_new_tokens: TOKENS as usize,
    };
    let mut live = Texts { world, timed, further, random: RefCell::new(random), naive: None };
    let chosen = choose(&search, demand.tries, &mut live)?;
    let is_true = |place: usize| -> Result<bool> {
        let way = &chosen.candidates[chosen.tried[place]].way;
        let (kept, speed_up) = worth(world, way, truth)?;
        // Sums are rounded.
        Ok(kept >= demand.keep && speed_up > 1.0 + 1e-9)
    };
    let ours = match chosen.verdict {
        Verdict::EarlyExit { trial } | Verdict::Speculation { trial } => Some(is_true(trial)?),
        Verdict::Plain { .. } => None,
    };
    let naive = live.naive.take().and_then(|paces| {
        let places = 0..paces.len();
        let wanted = places.filter(|&place| {
            let low = paces[place].speed_up_interval.map_or(0.0, |[low, _]| low);
            chosen.findings[place].seems_kept && paces[place].speed_up >= LEAST && low > 1.0
        });
        wanted.max_by(|&a, &b| paces[a].speed_up.total_cmp(&paces[b].speed_up))
    });
    Ok([ours, naive.map(is_true).transpose()?])
}

/// The times of the parts: asking a head costs a third of a layer.
fn parts() -> Result<(Vec<Ask>, Times)> {
    let ask = Ask::Head(HeadChoice::default());
    let asked =
        Asked { name: ask.name(), first: 0.3, later: 0.3, leave_at_first: 0.0, leave_later: 0.0 };
    let times = Times {
        prompt: 4.0,
        layer: 1.0,
        further_layer: 0.8,
        head: 0.3,
        further_head: 0.3,
        key_value: 0.1,
        asked: vec![asked],
    };
    Ok((vec![ask], times))
}

/// The exits of every token of every text; none for speculation, which leaves texts as they are.
fn exits(settings: &Settings, trace: &Trace) -> Result<Vec<usize>> {
    let watched = Watched::new(trace, &settings.exits, settings.min_tokens)?;
    Ok(watched.up_to(TOKENS as usize).exits(settings.rule))
}

/// Per text, the share of its tokens that are the full model's, and its time, without noise.
fn of_texts(world: World, way: &Way, trace: &Trace) -> Result<Vec<(f64, f64)>> {
    let all = vec![LAYERS; trace.rows()];
    let exits = match way {
        Way::Exits(settings) => exits(settings, trace)?,
        Way::Speculation(_) => all.clone(),
    };
    let of = |rows: std::ops::Range<usize>| {
        let equal =
            rows.clone().filter(|&row| trace.prediction(row, exits[row]) == trace.gold[row]);
        // A draft costs what it brings.
        (equal.count() as f64 / rows.len() as f64, world.seconds(&exits[rows]))
    };
    Ok(examples(trace).into_iter().map(of).collect())
}

/// The share that is kept and the speed-up.
fn worth(world: World, way: &Way, truth: &Trace) -> Result<(f64, f64)> {
    let texts = of_texts(world, way, truth)?;
    let kept = texts.iter().map(|(share, _)| share).sum::<f64>() / texts.len() as f64;
    let seconds: f64 = texts.iter().map(|(_, seconds)| seconds).sum();
    let plain = texts.len() as f64 * world.seconds(&[LAYERS; TOKENS as usize]);
    Ok((kept, plain / seconds))
}

/// The other half.
struct Texts {
    world: World,
    timed: Trace,
    further: Trace,
    random: RefCell<ChaCha8Rng>,
    naive: Option<Vec<Pace>>,
}

impl Texts {
    /// Times of every text in every round.
    fn clock(&self, seconds: impl Iterator<Item = f64>) -> Vec<Timed> {
        let mut random = self.random.borrow_mut();
        let [by_text, by_round] = self.world.noise();
        let of = |seconds: f64| {
            let text = seconds * (by_text * normal(&mut random)).exp();
            let rounds = (0..ROUNDS).map(|_| text * (by_round * normal(&mut random)).exp());
            Timed { texts: vec![], tokens: TOKENS as usize, seconds: rounds.collect() }
        };
        seconds.map(of).collect()
    }
}

impl Live for Texts {
    fn timed(&mut self, ways: &[Way]) -> Result<Vec<Tried>> {
        let n = examples(&self.timed).len();
        let plain = std::iter::repeat_n(self.world.seconds(&[LAYERS; TOKENS as usize]), n);
        let plain = self.clock(plain);
        let tried = ways.iter().map(|way| {
            let texts = of_texts(self.world, way, &self.timed)?;
            let ours = self.clock(texts.iter().map(|(_, seconds)| *seconds));
            Ok(Tried {
                lossless: matches!(way, Way::Speculation(_)),
                pace: Pace::of(&ours, &plain),
                share: texts.iter().map(|(share, _)| share).sum::<f64>() / n as f64,
            })
        });
        let tried: Vec<Tried> = tried.collect::<Result<_>>()?;
        self.naive = Some(tried.iter().map(|tried| tried.pace).collect());
        Ok(tried)
    }

    fn further(&mut self, places: &[usize], ways: &[Way]) -> Result<Vec<Worth>> {
        let worth = places.iter().map(|&place| {
            let texts = of_texts(self.world, &ways[place], &self.further)?;
            let shares = texts.into_iter().map(|(share, _)| [share, 1.0]).collect();
            Ok(Worth::of_means(EQUAL_TOKENS, shares))
        });
        worth.collect()
    }
}

/// A draw from the normal distribution (Box & Muller 1958).
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

#[cfg(test)]
mod tests;
