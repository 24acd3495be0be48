//! Which exit drafts, and how many tokens, by what was measured so far (compare DEL, Zarch et al. 2025).
//!
//! Two things are measured while decoding: how often each exit's guess is the full model's, and what the
//! parts of a round take for a number of rows. A plan promises (1 + α + … + α^D) tokens in the time of its
//! layers and heads; plain decoding is the plan without drafts. Of the best exit a round then drafts as long
//! as one more guess is worth its time, by how often guesses as sure as those before it stayed (compare
//! Draft & Verify, Zhang et al. 2024). Exits that do not draft are looked at where they could be better by
//! what is known of them, as long as looking takes a small share of the time: doubt about an exit grows
//! between looks, and what can no longer be better costs nothing.

mod costs;
#[cfg(test)]
mod tests;
mod trust;

use super::Plan;
use super::accept::Drafted;
use crate::clock::{Clock, Part};
use costs::{Costs, Prices};
use trust::Trust;

pub(super) use trust::Outcome;

/// The longest draft that is considered.
pub(super) const LONGEST: usize = 12;
/// The share of the time that looking may take.
const LOOK_SHARE: f64 = 0.04;
/// Exits that one look takes at most.
const LOOKED_AT: usize = 6;
/// What an observation weighs a token later: about the last five hundred tokens count.
const FADING: f64 = 0.998;
/// One round in this many drafts longer than is thought to pay, as what longer drafts take is known from them
/// alone.
const TRIAL: usize = 12;
/// How much of its worth a draft of such a round has to bring.
const TRIAL_WORTH: f64 = 0.5;
/// How much better an exit must possibly be to be looked at.
const WORTH: f64 = 1.02;
/// How much faster than plain decoding drafting must promise to be: what a promise leaves out, cropping
/// caches and telling who watches, is more expensive for several tokens than for one.
const WORTH_DRAFTING: f64 = 1.04;

/// What adapting knows; it serves one model on one machine, for any number of batches.
#[derive(Debug)]
pub struct Adaptive {
    /// For the exits 1..N.
    exits: Vec<Trust>,
    costs: Costs,
    has_looked: bool,
    /// Of the latest look.
    look: f64,
    looks: f64,
    seconds: f64,
    /// A row's tokens and seconds lately, of rounds that drafted.
    pace: [f64; 2],
}

/// What a round is to do.
#[derive(Debug)]
pub(super) struct Course {
    /// Its drafts are the most that may be.
    pub(super) plan: Plan,
    /// Where a round may stop earlier.
    pub(super) pace: Option<Pace>,
    /// Exits that are to be looked at.
    pub(super) looks: Vec<usize>,
}

/// What the parts of a round took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seconds {
    draft_layers: f64,
    draft_heads: f64,
    verification_layers: f64,
    verification_head: f64,
    looks: f64,
}

impl Seconds {
    /// A round's clock.
    pub(super) fn of(clock: &Clock) -> Self {
        let seconds = |part| clock.spent(part).as_secs_f64();
        Self {
            draft_layers: seconds(Part::DraftLayers),
            draft_heads: seconds(Part::DraftHeads),
            verification_layers: seconds(Part::Layers),
            verification_head: seconds(Part::Heads),
            looks: seconds(Part::Looks),
        }
    }

    fn sum(&self) -> f64 {
        self.draft_layers
            + self.draft_heads
            + self.verification_layers
            + self.verification_head
            + self.looks
    }
}

/// What a round teaches.
#[derive(Clone, Debug)]
pub(super) struct Lesson {
    /// With the drafts that were made.
    pub(super) plan: Plan,
    pub(super) rows: usize,
    /// Of all rows.
    pub(super) tokens: usize,
    pub(super) seconds: Seconds,
    /// Choosing and bookkeeping.
    pub(super) rest: f64,
    pub(super) outcomes: Vec<Outcome>,
}

impl Adaptive {
    /// A fresh state for a model of `n_layers`.
    pub fn new(n_layers: usize) -> Self {
        Self {
            exits: vec![Trust::default(); n_layers - 1],
            costs: Costs::default(),
            has_looked: false,
            look: 0.0,
            looks: 0.0,
            seconds: 0.0,
            pace: [0.0; 2],
        }
    }

    /// The estimated agreement of the exits 1..N.
    pub fn agreement(&self) -> Vec<f64> {
        self.exits.iter().map(Trust::rate).collect()
    }

    fn n_layers(&self) -> usize {
        self.exits.len() + 1
    }

    /// The exits to look at where a prompt ends: all, the first time. Later ones do not help: a prompt is
    /// not what the model would have said.
    pub(super) fn first_looks(&self) -> Vec<usize> {
        if self.has_looked { Vec::new() } else { (1..self.n_layers()).collect() }
    }

    /// The plan with the highest predicted speed for this number of rows.
    pub(super) fn course(&self, rows: usize) -> Course {
        let Some(prices) = self.costs.prices(rows, self.n_layers()) else {
            return Course { plan: Plan::PLAIN, pace: None, looks: Vec::new() };
        };
        let plain = (Plan::PLAIN, WORTH_DRAFTING * prices.promise(Plan::PLAIN, 0.0));
        let drafting = (1..).zip(&self.exits);
        let best = drafting
            .map(|(exit, trust)| prices.best_length(exit, trust.rate()))
            .fold(plain, |best, found| if found.1 > best.1 { found } else { best });
        let looks = self.contenders(&prices, best);
        let (Plan { exit, drafts }, promise) = best;
        if drafts == 0 {
            return Course { plan: Plan::PLAIN, pace: None, looks };
        }
        // A draft has to bring more than going on with the next round does, which is better than lengths that
        // are fixed.
        let [tokens, seconds] = self.pace;
        let least = if seconds > 0.0 { promise.max(tokens / seconds) } else { promise };
        let is_trial = self.costs.rounds().is_multiple_of(TRIAL);
        let least = if is_trial { TRIAL_WORTH * least } else { least };
        let pace = Pace::new(exit, self.exits[exit - 1], &prices, least * rows as f64, rows);
        Course { plan: Plan { exit, drafts: LONGEST }, pace: Some(pace), looks }
    }

    /// The exits that could still be better than the best one, the most promising first.
    fn contenders(&self, prices: &Prices, best: (Plan, f64)) -> Vec<usize> {
        if self.looks + self.look > LOOK_SHARE * self.seconds {
            return Vec::new();
        }
        let others = (1..).zip(&self.exits).filter(|(exit, _)| *exit != best.0.exit);
        let mut could: Vec<(usize, f64)> = others
            .map(|(exit, trust)| (exit, prices.best_length(exit, trust.upper()).1))
            .filter(|(_, promise)| *promise > WORTH * best.1)
            .collect();
        could.sort_unstable_by(|a, b| b.1.total_cmp(&a.1));
        could.into_iter().take(LOOKED_AT).map(|(exit, _)| exit).collect()
    }

    pub(super) fn learn(&mut self, lesson: &Lesson) {
        let Lesson { plan, rows, tokens, ref seconds, rest, ref outcomes } = *lesson;
        self.costs.note(plan, rows, self.n_layers(), seconds, rest);
        self.seconds += seconds.sum() + rest;
        let fading = FADING.powi(tokens as i32);
        self.exits.iter_mut().for_each(|trust| trust.fade(fading));
        if plan.drafts > 0 {
            let latest = [tokens as f64 / rows as f64, seconds.sum() - seconds.looks + rest];
            self.pace.iter_mut().zip(latest).for_each(|(sum, new)| *sum = *sum * fading + new);
        }
        self.learn_looks(outcomes, seconds.looks);
    }

    /// Learns what was looked at, and what that took.
    pub(super) fn learn_looks(&mut self, outcomes: &[Outcome], seconds: f64) {
        for outcome in outcomes {
            self.exits[outcome.exit - 1].observe(outcome);
        }
        if seconds > 0.0 {
            self.has_looked = true;
            self.look = seconds;
            self.looks += seconds;
        }
    }
}

/// Whether a round drafts on.
#[derive(Debug)]
pub(super) struct Pace {
    trust: Trust,
    /// What each further draft takes, from the second on.
    marginal: Vec<f64>,
    /// Tokens per second of all rows, which a draft has to bring.
    least: f64,
    /// By row, how likely all its drafts so far stay.
    chains: Vec<f64>,
}

impl Pace {
    fn new(exit: usize, trust: Trust, prices: &Prices, least: f64, rows: usize) -> Self {
        let round = |drafts| prices.round(Plan { exit, drafts });
        let marginal = (1..LONGEST).map(|drafts| round(drafts + 1) - round(drafts)).collect();
        Self { trust, marginal, least, chains: vec![1.0; rows] }
    }

    /// Takes every row's latest guess, and says whether one more is worth its time; rows without room for it
    /// bring nothing.
    pub(super) fn goes_on(&mut self, drafts: &[Vec<Drafted>], room: &[usize]) -> bool {
        let longest = drafts.iter().map(Vec::len).max().unwrap_or(0);
        let mut brings = 0.0;
        for ((chain, drafts), &room) in self.chains.iter_mut().zip(drafts).zip(room) {
            let Some(guess) = drafts.last() else { continue };
            if drafts.len() < room {
                *chain *= self.trust.rate_at(guess.confidence);
                brings += *chain * self.trust.rate();
            }
        }
        self.marginal.get(longest - 1).is_some_and(|takes| brings > self.least * takes)
    }
}
