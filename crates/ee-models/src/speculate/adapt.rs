//! Which exit drafts, and how many tokens, by what was measured so far (compare DEL, Zarch et al. 2025).
//!
//! Two things are measured while decoding: how often each exit's guess is the full model's, and what a layer
//! and the head take for a number of rows. A plan promises (1 + α + … + α^D) tokens in the time of its
//! layers and heads; plain decoding is the plan without drafts. The agreement of exits that do not draft is
//! looked at now and then, as long as that takes a small share of the time. Numbers of rows that were never
//! timed, or long ago, are taken to be as cheap as the next smaller ones: a plan that is dearer shows it at
//! once.

use std::collections::BTreeMap;

use super::Plan;
use super::look::Look;
use super::run::Round;
use super::tally::expected_tokens;

/// The longest draft that is considered.
pub(super) const LONGEST: usize = 8;
/// The share of the time that looking may take.
const LOOK_SHARE: f64 = 0.03;
/// What an observation of agreement weighs after the next one: about the last hundred count.
const FADING: f64 = 0.99;
/// Rounds after which a time that was not measured again is forgotten.
const REMEMBERED: usize = 64;
/// Latest times of which the median counts.
const RECENT: usize = 5;

/// What adapting knows; it serves one model on one machine, for any number of batches.
#[derive(Debug)]
pub struct Adaptive {
    /// For the exits 1..N.
    agreement: Vec<Agreement>,
    layer: Times,
    head: Times,
    round: usize,
    looks: usize,
    look_seconds: f64,
    seconds: f64,
}

impl Adaptive {
    /// Knows nothing yet of a model of so many layers.
    pub fn new(n_layers: usize) -> Self {
        Self {
            agreement: vec![Agreement::default(); n_layers - 1],
            layer: Times::default(),
            head: Times::default(),
            round: 0,
            looks: 0,
            look_seconds: 0.0,
            seconds: 0.0,
        }
    }

    /// The estimated agreement of the exits 1..N.
    pub fn agreement(&self) -> Vec<f64> {
        self.agreement.iter().map(|exit| exit.rate()).collect()
    }

    pub(super) fn wants_look(&self) -> bool {
        !self.agreement.is_empty()
            && (self.looks == 0 || self.look_seconds < LOOK_SHARE * self.seconds)
    }

    /// The plan that promises most for so many rows.
    pub(super) fn plan(&self, rows: usize) -> Plan {
        let drafting = (1..=self.agreement.len())
            .flat_map(|exit| (1..=LONGEST).map(move |drafts| Plan { exit, drafts }));
        // Without any measurement every promise is 0, and plain decoding measures.
        let plain = (Plan::PLAIN, self.promise(Plan::PLAIN, rows));
        let best = drafting.fold(plain, |best, plan| {
            let promise = self.promise(plan, rows);
            if promise > best.1 { (plan, promise) } else { best }
        });
        best.0
    }

    /// Tokens per second of a row.
    fn promise(&self, Plan { exit, drafts }: Plan, rows: usize) -> f64 {
        let n_layers = self.agreement.len() + 1;
        let wide = (drafts + 1) * rows;
        let (Some(layer), Some(wide_layer)) = (self.layer.at(rows), self.layer.at(wide)) else {
            return 0.0;
        };
        let (Some(head), Some(wide_head)) = (self.head.at(rows), self.head.at(wide)) else {
            return 0.0;
        };
        let draft = ((drafts + 1) * exit) as f64 * layer + drafts as f64 * head;
        let verification = (n_layers - exit) as f64 * wide_layer + wide_head;
        // Plain decoding guesses nothing.
        let agreement = exit.checked_sub(1).map_or(0.0, |at| self.agreement[at].rate());
        expected_tokens(agreement, drafts) / (draft + verification)
    }

    pub(super) fn learn(&mut self, round: &Round) {
        let Round { plan: Plan { exit, drafts }, rows, seconds, .. } = *round;
        self.round += 1;
        let n_layers = self.agreement.len() + 1;
        let wide = rows * (drafts + 1);
        let mut note = |times: fn(&mut Self) -> &mut Times, rows, seconds: f64, parts: usize| {
            if parts > 0 {
                let now = self.round;
                times(self).note(rows, seconds / parts as f64, now);
            }
        };
        note(|of| &mut of.layer, rows, seconds.draft_layers, exit * (drafts + 1));
        note(|of| &mut of.layer, wide, seconds.verification_layers, n_layers - exit);
        note(|of| &mut of.head, rows, seconds.draft_heads, drafts);
        note(|of| &mut of.head, wide, seconds.verification_head, 1);
        self.layer.forget(self.round);
        self.head.forget(self.round);
        self.seconds += seconds.draft_layers
            + seconds.draft_heads
            + seconds.verification_layers
            + seconds.verification_head;
        match &round.look {
            // It holds the drafting exit's positions, too.
            Some(look) => self.learn_look(look),
            None => {
                let super::Acceptance { examined, accepted } = round.acceptance;
                if let Some(at) = exit.checked_sub(1) {
                    self.agreement[at].observe(accepted as f64, examined);
                }
            }
        }
    }

    pub(super) fn learn_look(&mut self, look: &Look) {
        self.looks += 1;
        self.look_seconds += look.seconds;
        for (agreement, &sum) in self.agreement.iter_mut().zip(&look.sums) {
            agreement.observe(sum, look.positions);
        }
    }
}

/// How often an exit agreed lately.
#[derive(Clone, Debug, Default)]
struct Agreement {
    agreed: f64,
    seen: f64,
}

impl Agreement {
    fn observe(&mut self, agreed: f64, seen: usize) {
        let fading = FADING.powi(seen as i32);
        self.agreed = self.agreed * fading + agreed;
        self.seen = self.seen * fading + seen as f64;
    }

    /// As if it had agreed and disagreed half a time each before.
    fn rate(&self) -> f64 {
        (self.agreed + 0.5) / (self.seen + 1.0)
    }
}

/// Measured seconds by number of rows.
#[derive(Debug, Default)]
struct Times(BTreeMap<usize, Recent>);

/// The latest times for one number of rows.
#[derive(Debug, Default)]
struct Recent {
    seconds: Vec<f64>,
    round: usize,
}

impl Times {
    fn note(&mut self, rows: usize, seconds: f64, round: usize) {
        let recent = self.0.entry(rows).or_default();
        if recent.seconds.len() == RECENT {
            recent.seconds.remove(0);
        }
        recent.seconds.push(seconds);
        recent.round = round;
    }

    fn forget(&mut self, now: usize) {
        self.0.retain(|_, recent| recent.round + REMEMBERED > now);
    }

    /// Seconds for so many rows: between two measured numbers on the line through them, beyond the largest as
    /// that one.
    fn at(&self, rows: usize) -> Option<f64> {
        let below = self.0.range(..=rows).next_back().map(|(n, recent)| (*n, recent.median()));
        let above = self.0.range(rows..).next().map(|(n, recent)| (*n, recent.median()));
        match (below, above) {
            (Some((low, from)), Some((high, to))) if low < high => {
                let share = (rows - low) as f64 / (high - low) as f64;
                Some(from + share * (to - from))
            }
            (Some((_, seconds)), _) | (None, Some((_, seconds))) => Some(seconds),
            (None, None) => None,
        }
    }
}

impl Recent {
    fn median(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twelve layers of 1 s and a head of 3 s, whatever the rows, and exits that agree so often.
    fn knowing(agreement: [f64; 11]) -> Adaptive {
        let mut adaptive = Adaptive::new(12);
        adaptive.layer.note(1, 1.0, 0);
        adaptive.head.note(1, 3.0, 0);
        for (exit, rate) in adaptive.agreement.iter_mut().zip(agreement) {
            exit.observe(1000.0 * rate, 1000);
        }
        adaptive
    }

    #[test]
    fn what_agrees_early_drafts_and_what_never_agrees_does_not() {
        let mut agreement = [0.0; 11];
        agreement[3] = 0.9;
        let Plan { exit, drafts } = knowing(agreement).plan(1);
        // By hand: D = 4 gives 4.1 tokens in 12 + 16 + 15 = 43 s, plain 1 in 15 s.
        assert!(exit == 4 && drafts >= 2, "{exit}, {drafts}");
        assert_eq!(knowing([0.0; 11]).plan(1).drafts, 0);
        assert_eq!(Adaptive::new(12).plan(1).drafts, 0);
        assert_eq!(Adaptive::new(1).plan(1), Plan::PLAIN);
    }

    #[test]
    fn promises_are_the_formula() {
        let adaptive = knowing([0.5; 11]);
        // The estimate of 500 of 1000, faded, is close to one half.
        let promise = adaptive.promise(Plan { exit: 2, drafts: 2 }, 1);
        let expected = (1.0 + 0.5 + 0.25) / ((12.0 + 2.0 * 2.0) * 1.0 + 3.0 * 3.0);
        assert!((promise - expected).abs() < 1e-12, "{promise} for {expected}");
    }

    #[test]
    fn times_between_measured_numbers_of_rows_lie_on_a_line() {
        let mut times = Times::default();
        assert_eq!(times.at(1), None);
        times.note(2, 1.0, 0);
        for seconds in [5.0, 3.0, 4.0] {
            times.note(6, seconds, 60);
        }
        assert_eq!([1, 2, 3, 6, 9].map(|rows| times.at(rows).unwrap()), [1.0, 1.0, 1.75, 4.0, 4.0]);
        times.forget(64);
        assert_eq!(times.at(2), Some(4.0));
    }

    #[test]
    fn costly_wide_rows_shorten_drafts() {
        let mut agreement = [0.0; 11];
        agreement[3] = 0.9;
        let cheap = knowing(agreement);
        let mut dear = knowing(agreement);
        // Each further row costs as much as the first.
        for rows in 2..=9 {
            dear.layer.note(rows, rows as f64, 0);
            dear.head.note(rows, 3.0 * rows as f64, 0);
        }
        assert!(dear.plan(1).drafts < cheap.plan(1).drafts);
    }

    #[test]
    fn looks_keep_to_their_share_of_the_time() {
        let mut adaptive = Adaptive::new(4);
        assert!(adaptive.wants_look());
        let look = Look { sums: vec![1.0, 2.0, 4.0], positions: 4, seconds: 0.3 };
        adaptive.learn_look(&look);
        let found = adaptive.agreement();
        for (found, expected) in found.iter().zip([1.5 / 5.0, 2.5 / 5.0, 4.5 / 5.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
        adaptive.seconds = 9.9;
        assert!(!adaptive.wants_look());
        adaptive.seconds = 10.1;
        assert!(adaptive.wants_look());
    }
}
