//! The few settings that are tried, out of all those considered.

use super::candidates::Candidate;
use super::origin::Origin;
use ee_decode::Settings;
use ee_decode::policy::Cost;
use ee_decode::rule::ExitRule;

/// The places of at most `most` settings that are worth trying, different enough to learn from: both ways of
/// speculating; the model cut off where it keeps tokens; still thresholds of gates on signals that keep tokens, keep
/// whole texts or are guaranteed, with exact and projected keys and values (their predictions are alike, their
/// quality is not); of gates on states what promises most and what keeps whole texts; of thresholds that decay what
/// promises most, with exact keys and values; then what promises most of each other gate, and of all.
pub(crate) fn shortlist(candidates: &[Candidate], most: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut choose = |fits: &dyn Fn(&Candidate, &[usize]) -> bool| {
        let mut places = 0..candidates.len();
        let fits = |at: &usize| !chosen.contains(at) && fits(&candidates[*at], &chosen);
        let found = places.find(fits);
        chosen.extend(found);
    };
    choose(&|of, _| of.origin == Origin::Adaptive);
    choose(&|of, _| of.is_plainest(Origin::Keep, Cost::Later));
    choose(&|of, _| of.is_plainest(Origin::KeepTexts, Cost::Later));
    choose(&|of, _| of.way.is_cut() && of.is_exact());
    choose(&|of, _| of.reads_states() && of.is_exact());
    choose(&|of, _| of.origin == Origin::Agreement);
    choose(&|of, _| of.is_plainest(Origin::KeepTexts, Cost::Projections));
    choose(&|of, _| of.is_plainest(Origin::Guarantee, Cost::Later));
    choose(&|of, _| of.reads_states() && of.is_exact() && of.origin == Origin::KeepTexts);
    choose(&|of, _| of.decays() && of.is_exact());
    choose(&|of, _| of.is_plainest(Origin::Keep, Cost::Projections));
    choose(&|of, chosen| {
        let name = of.gate_name();
        name.is_some() && chosen.iter().all(|&other| candidates[other].gate_name() != name)
    });
    for _ in 0..candidates.len().min(most) {
        choose(&|_, _| true);
    }
    chosen.truncate(most);
    chosen
}

impl Candidate {
    pub(super) fn settings(&self) -> Option<&Settings> {
        self.way.settings()
    }

    pub(super) fn rule(&self) -> Option<ExitRule> {
        self.settings().map(|settings| settings.rule)
    }

    pub(super) fn gate_name(&self) -> Option<&'static str> {
        Some(self.rule()?.gate()?.0.gate.name())
    }

    pub(super) fn reads_states(&self) -> bool {
        self.rule().is_some_and(|rule| rule.is_on_states())
    }

    fn decays(&self) -> bool {
        self.rule().is_some_and(|rule| rule.decays)
    }

    /// Whether keys and values are the full model's.
    fn is_exact(&self) -> bool {
        self.settings().is_some_and(|settings| settings.policy.is_exact())
    }

    /// Whether it is a gate on signals with a still threshold found so, under this policy.
    fn is_plainest(&self, origin: Origin, kv: Cost) -> bool {
        let is_still = |settings: &Settings| {
            let rule = settings.rule;
            rule.gate().is_some_and(|(open, _)| !open.gate.is_on_states() && !open.decays)
                && settings.policy.cost() == kv
        };
        self.origin == origin && self.settings().is_some_and(is_still)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::candidates::tests::{observed, parts, search};
    use crate::advise::candidates::{Search, candidates};
    use crate::trace::sample;

    #[test]
    fn a_shortlist_is_of_many_kinds() {
        let trace = sample::generated(&[20; 40], 6, 3, 5);
        let (parts, observed) = (parts(), observed(&trace));
        let search = Search { observed: Some(&observed), ..search(&trace, &parts) };
        let all = candidates(&search).unwrap();
        assert!(all.is_sorted_by(|a, b| a.predicted_speed_up >= b.predicted_speed_up));
        assert!(all.iter().all(|candidate| candidate.predicted_equal >= 0.5));
        let short: Vec<&Candidate> = shortlist(&all, 10).iter().map(|&at| &all[at]).collect();
        assert_eq!(short.len(), 10);
        let kinds = |origin| short.iter().filter(|of| of.origin == origin).count();
        assert_eq!((kinds(Origin::Adaptive), kinds(Origin::Agreement)), (1, 1));
        let first = |fits: &dyn Fn(&Candidate) -> bool| {
            let found = all.iter().find(|of| fits(of)).unwrap();
            let way = found.way.command();
            assert!(short.iter().any(|of| of.way.command() == way), "{way:?}");
        };
        for (origin, kv) in [
            (Origin::Keep, Cost::Later),
            (Origin::KeepTexts, Cost::Later),
            (Origin::KeepTexts, Cost::Projections),
            (Origin::Guarantee, Cost::Later),
        ] {
            first(&|of| of.is_plainest(origin, kv));
        }
        first(&|of| of.reads_states() && of.is_exact());
        first(&|of| of.decays() && of.is_exact());
        first(&|of| of.way.is_cut() && of.is_exact());
        assert_eq!(shortlist(&all, 1), shortlist(&all, 10)[..1]);
    }
}
