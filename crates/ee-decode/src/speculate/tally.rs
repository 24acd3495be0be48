//! What speculation counts.

use std::collections::BTreeMap;

use super::Plan;
use crate::clock::Clock;

/// How often an exit's guesses stayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// Guesses that the full model judged: those before the first rejected one, and that one.
    pub examined: usize,
    /// Guesses that stayed.
    pub accepted: usize,
}

impl Acceptance {
    /// α: the share that stayed; none where nothing was examined.
    pub fn rate(self) -> Option<f64> {
        (self.examined > 0).then(|| self.accepted as f64 / self.examined as f64)
    }
}

/// The counts of one run or of several.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Texts.
    pub texts: usize,
    /// Tokens that rounds produced; each text's first one comes from its prompt.
    pub round_tokens: usize,
    /// Rounds, whatever the number of rows.
    pub rounds: usize,
    /// How often rounds read a layer's weights.
    pub layer_reads: usize,
    /// How often rounds read the head's weight, looks not counted.
    pub head_reads: usize,
    /// By plan, rounds counted once for each of their rows, with the drafts that the row had room for.
    pub plans: BTreeMap<Plan, usize>,
    /// By draft exit.
    pub acceptance: BTreeMap<usize, Acceptance>,
    /// Where the time went, if that was asked.
    pub clock: Clock,
}

impl Tally {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.texts += other.texts;
        self.round_tokens += other.round_tokens;
        self.rounds += other.rounds;
        self.layer_reads += other.layer_reads;
        self.head_reads += other.head_reads;
        for (plan, n) in &other.plans {
            *self.plans.entry(*plan).or_default() += n;
        }
        for (exit, more) in &other.acceptance {
            let acceptance = self.acceptance.entry(*exit).or_default();
            acceptance.examined += more.examined;
            acceptance.accepted += more.accepted;
        }
        self.clock.add(&other.clock);
    }

    /// Counts a row's round: what it drafted and how many tokens came of it.
    pub(super) fn count_row(&mut self, plan: Plan, tokens: usize) {
        *self.plans.entry(plan).or_default() += 1;
        if plan.drafts == 0 {
            return;
        }
        let accepted = tokens - 1;
        let acceptance = self.acceptance.entry(plan.exit).or_default();
        acceptance.accepted += accepted;
        acceptance.examined += plan.drafts.min(accepted + 1);
    }

    /// Rounds, counted once for each of their rows.
    pub fn row_rounds(&self) -> usize {
        self.plans.values().sum()
    }

    /// α over all exits that drafted.
    pub fn agreement(&self) -> Option<f64> {
        let sum = |count: fn(&Acceptance) -> usize| self.acceptance.values().map(count).sum();
        Acceptance { examined: sum(|of| of.examined), accepted: sum(|of| of.accepted) }.rate()
    }

    /// Tokens that a round gave a row on average; 0 where there was no round.
    pub fn tokens_per_round(&self) -> f64 {
        self.round_tokens as f64 / self.row_rounds().max(1) as f64
    }

    /// What 1 + α + … + α^D says of the same plans, with the α of each plan's exit.
    pub fn expected_tokens_per_round(&self) -> f64 {
        let expected = self.plans.iter().map(|(plan, &n)| {
            let agreement = self.acceptance.get(&plan.exit).and_then(|of| of.rate());
            n as f64 * expected_tokens(agreement.unwrap_or(0.0), plan.drafts)
        });
        expected.sum::<f64>() / self.row_rounds().max(1) as f64
    }
}

/// 1 + α + … + α^D: tokens of a round whose drafts stay with probability α each.
pub(super) fn expected_tokens(agreement: f64, drafts: usize) -> f64 {
    (0..=drafts as i32).map(|power| agreement.powi(power)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_draft_is_examined_and_those_behind_it_are_not() {
        let mut tally = Tally::default();
        let plan = Plan { exit: 2, drafts: 3 };
        // One draft stays, the second is rejected; all three stay; the first is rejected.
        for tokens in [2, 4, 1] {
            tally.count_row(plan, tokens);
        }
        tally.round_tokens = 7;
        assert_eq!(tally.acceptance[&2], Acceptance { examined: 6, accepted: 4 });
        assert_eq!(tally.row_rounds(), 3);
        let a: f64 = 4.0 / 6.0;
        let expected = 1.0 + a + a * a + a * a * a;
        assert!((tally.expected_tokens_per_round() - expected).abs() < 1e-12);
        assert!((tally.tokens_per_round() - 7.0 / 3.0).abs() < 1e-12);
        let mut twice = tally.clone();
        twice.add(&tally);
        assert_eq!((twice.row_rounds(), twice.agreement()), (6, Some(a)));
    }

    #[test]
    fn without_drafts_a_round_gives_one_token() {
        let mut tally = Tally::default();
        tally.count_row(Plan::PLAIN, 1);
        tally.round_tokens = 1;
        assert_eq!(tally.agreement(), None);
        assert_eq!((tally.tokens_per_round(), tally.expected_tokens_per_round()), (1.0, 1.0));
    }
}
