//! Every setting worth a thought, with what one half of the trace and the times of the parts promise of it.

use super::results::{CandidateResults, Origin};
use crate::decode::measure::Way;
use crate::decode::policy::{KvPolicy, POLICIES};
use crate::decode::rule::{ExitRule, Rule};
use crate::decode::{HeadChoice, Settings};
use crate::error::Result;
use crate::forecast::Watched;
use crate::forecast::cost::Cost;
use crate::forecast::times::Times;
use crate::gates::{GATES, SetGate};
use crate::speculate::Drafts;
use crate::trace::Trace;
use crate::trial::WayFacts;

/// What candidates are looked for with.
pub struct Search<'a> {
    /// The half of the trace that chooses.
    pub trace: &'a Trace,
    /// The parts.
    pub times: &'a Times,
    /// Ways to read the head.
    pub heads: &'a [HeadChoice],
    /// The share of tokens to keep.
    pub keep: f64,
    /// Of a guarantee.
    pub confidence: f64,
    /// So many new tokens never leave.
    pub min_tokens: usize,
}

/// A setting with its promise.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The setting.
    pub way: Way,
    /// Where its threshold or plan comes from.
    pub origin: Origin,
    /// The mean exit; none of speculation.
    pub average_exit: Option<f64>,
    /// By the times of the parts.
    pub predicted_speed_up: f64,
    /// The share of tokens that are the full model's, on its own context.
    pub predicted_equal: f64,
}

impl Candidate {
    /// As it is stored.
    #[must_use]
    pub fn results(&self) -> CandidateResults {
        CandidateResults {
            way: WayFacts::of(&self.way),
            origin: self.origin,
            average_exit: self.average_exit,
            predicted_speed_up: self.predicted_speed_up,
            predicted_equal: self.predicted_equal,
        }
    }
}

/// Sets of exits before the last at which gates are read: all, every second and every third counted from the
/// last one, and the middle alone.
#[must_use]
pub fn exit_sets(layers: usize) -> Vec<Vec<usize>> {
    let every = |step: usize| -> Vec<usize> {
        (1..layers).filter(|exit| (layers - exit).is_multiple_of(step)).collect()
    };
    let mut sets = vec![every(1), every(2), every(3), vec![layers / 2]];
    sets.retain(|set| !set.is_empty() && set[0] > 0);
    let mut distinct: Vec<Vec<usize>> = Vec::new();
    for set in sets {
        if !distinct.contains(&set) {
            distinct.push(set);
        }
    }
    distinct
}

/// All settings, the most promising first.
///
/// # Errors
/// A trace none of whose tokens may leave, or that is not of greedy text.
pub fn candidates(search: &Search<'_>) -> Result<Vec<Candidate>> {
    let cost = Cost { trace: search.trace, times: search.times };
    let plain = cost.plain();
    let mut found = speculation(&cost, plain);
    for exits in exit_sets(search.trace.layers()) {
        let watched = Watched::new(search.trace, &exits, search.min_tokens)?;
        for &gate in GATES {
            let mut set: Vec<(SetGate, Origin)> = Vec::new();
            for (found, origin) in [
                (watched.keeping(gate, search.keep), Origin::Keep),
                (watched.keeping_texts(gate, search.keep), Origin::KeepTexts),
                (watched.certified(gate, 1.0 - search.keep, search.confidence), Origin::Guarantee),
            ] {
                // A threshold that two rules find is one setting, named by the stricter rule.
                let Some(found) = found else { continue };
                set.retain(|(other, _)| other.threshold != found.threshold);
                set.push((found, origin));
            }
            for (gate, origin) in set {
                found.extend(exiting(search, &cost, plain, &watched, gate, origin));
            }
        }
    }
    found.sort_by(|a, b| b.predicted_speed_up.total_cmp(&a.predicted_speed_up));
    Ok(found)
}

/// A gate with every head and policy.
fn exiting(
    search: &Search<'_>,
    cost: &Cost<'_>,
    plain: f64,
    watched: &Watched<'_>,
    gate: SetGate,
    origin: Origin,
) -> Vec<Candidate> {
    let judged = watched.judge(gate);
    let policies = POLICIES.iter().copied().filter(|policy| policy.takes_effect());
    let pairs = policies.flat_map(|policy| search.heads.iter().map(move |&head| (policy, head)));
    let candidate = |(policy, head): (&'static dyn KvPolicy, HeadChoice)| {
        let seconds = cost.exits(watched, gate, &head.to_string(), policy.name())?;
        Some(Candidate {
            way: Way::Exits(Settings {
                rule: ExitRule { rule: Rule::Signals(gate), decays: false },
                policy,
                head,
                exits: watched.read_at().to_vec(),
                min_tokens: search.min_tokens,
                fitted: None,
            }),
            origin,
            average_exit: Some(judged.average_exit),
            predicted_speed_up: plain / seconds,
            predicted_equal: judged.equal_share,
        })
    };
    pairs.filter_map(candidate).collect()
}

/// The plan that the trace promises most of, and plans chosen while decoding, which can find it.
fn speculation(cost: &Cost<'_>, plain: f64) -> Vec<Candidate> {
    let Some((plan, seconds)) = cost.best_plan() else { return Vec::new() };
    let candidate = |drafts, origin, seconds: f64| Candidate {
        way: Way::Speculation(drafts),
        origin,
        average_exit: None,
        predicted_speed_up: plain / seconds,
        predicted_equal: 1.0,
    };
    // An adaptive decoder does not draft where that does not pay.
    vec![
        candidate(Drafts::Fixed(plan), Origin::Agreement, seconds),
        candidate(Drafts::Adaptive, Origin::Adaptive, seconds.min(plain)),
    ]
}

/// The places of at most `most` settings that are worth trying, unlike enough to learn from: both ways of
/// speculating, exact and projected keys and values (they promise alike and keep unlike), thresholds that keep
/// whole texts or are guaranteed; then what promises most of each other gate, and of all.
#[must_use]
pub fn shortlist(candidates: &[Candidate], most: usize) -> Vec<usize> {
    let facts: Vec<WayFacts> =
        candidates.iter().map(|candidate| WayFacts::of(&candidate.way)).collect();
    let origin = |at: usize| candidates[at].origin;
    let mut chosen: Vec<usize> = Vec::new();
    let mut choose = |fits: &dyn Fn(usize, &[usize]) -> bool| {
        let found = (0..candidates.len()).find(|at| !chosen.contains(at) && fits(*at, &chosen));
        chosen.extend(found);
    };
    let is = |at: usize, from: Origin, kv: &str| origin(at) == from && facts[at].kv() == Some(kv);
    choose(&|at, _| origin(at) == Origin::Adaptive);
    choose(&|at, _| is(at, Origin::Keep, "deferred"));
    choose(&|at, _| is(at, Origin::KeepTexts, "deferred"));
    choose(&|at, _| origin(at) == Origin::Agreement);
    choose(&|at, _| is(at, Origin::KeepTexts, "recompute"));
    choose(&|at, _| is(at, Origin::Guarantee, "deferred"));
    choose(&|at, _| is(at, Origin::Keep, "recompute"));
    choose(&|at, chosen| {
        facts[at].gate_name().is_some()
            && chosen.iter().all(|&other| facts[other].gate_name() != facts[at].gate_name())
    });
    for _ in 0..candidates.len() {
        choose(&|_, _| true);
    }
    chosen.truncate(most);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::times::Asked;
    use crate::trace::sample;

    #[test]
    fn exits_are_counted_from_the_last_one() {
        assert_eq!(exit_sets(6), [vec![1, 2, 3, 4, 5], vec![2, 4], vec![3]]);
        assert_eq!(exit_sets(8), [vec![1, 2, 3, 4, 5, 6, 7], vec![2, 4, 6], vec![2, 5], vec![4]]);
        assert_eq!(exit_sets(2), [[1]]);
        assert!(exit_sets(1).is_empty());
    }

    #[test]
    fn a_shortlist_is_of_many_kinds() {
        let trace = sample::generated(&[20; 40], 6, 3, 5);
        let heads: Vec<HeadChoice> = vec!["full".parse().unwrap()];
        let asked = vec![Asked { head: "full".into(), first: 0.5, later: 0.5, confirm: 0.0 }];
        let times = Times {
            prompt: 1.0,
            layer: 1.0,
            further_layer: 0.5,
            head: 0.5,
            further_head: 0.25,
            key_value: 0.25,
            asked,
        };
        let search = Search {
            trace: &trace,
            times: &times,
            heads: &heads,
            keep: 0.5,
            confidence: 0.5,
            min_tokens: 2,
        };
        let all = candidates(&search).unwrap();
        assert!(all.is_sorted_by(|a, b| a.predicted_speed_up >= b.predicted_speed_up));
        assert!(all.iter().all(|candidate| candidate.predicted_equal >= 0.5));
        let short: Vec<&Candidate> = shortlist(&all, 6).iter().map(|&at| &all[at]).collect();
        assert_eq!(short.len(), 6);
        let kinds = |origin| short.iter().filter(|of| of.origin == origin).count();
        assert_eq!((kinds(Origin::Adaptive), kinds(Origin::Agreement)), (1, 1));
        let fastest = all
            .iter()
            .find(|of| of.origin == Origin::Keep && WayFacts::of(&of.way).kv() == Some("deferred"));
        let fastest = WayFacts::of(&fastest.unwrap().way);
        assert!(short.iter().any(|of| WayFacts::of(&of.way) == fastest));
        assert_eq!(shortlist(&all, 1), shortlist(&all, 6)[..1]);
    }
}
