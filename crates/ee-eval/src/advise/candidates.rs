//! Every setting worth considering, with what one half of the trace and the times of the parts predict for it.

use super::half::Observed;
use super::origin::Origin;
use crate::advise::cost::Cost;
use crate::advise::times::{Ask, Asked, Times};
use crate::error::Result;
use crate::tokens::states::StateNumbers;
use crate::tokens::{TokenGate, Watched};
use crate::trace::Trace;
use crate::trial::Way;
use ee_decode::gates::{self, GATES, Gate};
use ee_decode::policy::{KvPolicy, POLICIES};
use ee_decode::rule::{ExitRule, OpenRule};
use ee_decode::{HeadChoice, Settings};
use serde::Serialize;

/// The inputs of the search for candidates.
pub(crate) struct Search<'a> {
    /// The half of the trace that chooses.
    pub(crate) trace: &'a Trace,
    /// The numbers of gates on states for some of its texts; none where those gates are not considered.
    pub(crate) observed: Option<&'a Observed>,
    pub(crate) times: &'a Times,
    /// Ways of asking whether a token leaves.
    pub(crate) asks: &'a [Ask],
    pub(crate) keep: f64,
    /// Of everything that is promised.
    pub(crate) confidence: f64,
    /// New tokens of each text that never leave.
    pub(crate) min_tokens: usize,
    pub(crate) max_new_tokens: usize,
}

impl Search<'_> {
    /// The confidence of each guaranteed threshold alone, so that all of them hold at once with the stated one:
    /// every gate, still and decaying, at every set of exits is a sequence of tests of its own, and so are the
    /// depths at which all tokens leave.
    pub(crate) fn confidence_of_each(&self) -> f64 {
        let states = self.asks.iter().filter(|ask| ask.state_gate().is_some()).count();
        let gates = GATES.len() + states;
        let sequences = 1 + 2 * gates * exit_sets(self.trace.layers()).len();
        1.0 - (1.0 - self.confidence) / sequences as f64
    }

    /// Some texts as seen by gates that are read at these exits.
    fn watched<'t>(
        &self,
        trace: &'t Trace,
        states: Option<&'t StateNumbers>,
        exits: &[usize],
    ) -> Result<Watched<'t>> {
        let watched = Watched::new(trace, exits, self.min_tokens)?;
        Ok(watched.up_to(self.max_new_tokens).with_states(states))
    }

    /// The thresholds of a gate that the rules find, each once.
    fn thresholds(&self, watched: &Watched<'_>, open: OpenRule) -> Vec<(ExitRule, Origin)> {
        let (risk, confidence) = (1.0 - self.keep, self.confidence_of_each());
        distinct([
            (watched.keeping(open, self.keep), Origin::Keep),
            (watched.keeping_texts(open, self.keep), Origin::KeepTexts),
            (watched.certified(open, risk, confidence), Origin::Guarantee),
        ])
    }

    /// A rule with the head read where a token leaves.
    fn settings(&self, rule: ExitRule, policy: &'static dyn KvPolicy, exits: &[usize]) -> Settings {
        let (head, exits) = (HeadChoice::default(), exits.to_vec());
        Settings { rule, policy, head, exits, min_tokens: self.min_tokens, fitted: None }
    }

    /// The depths at which the model can be cut off, each once.
    fn depths(&self, watched: &Watched<'_>) -> Vec<(ExitRule, Origin)> {
        let (risk, confidence) = (1.0 - self.keep, self.confidence_of_each());
        distinct([
            (watched.cut_keeping(self.keep), Origin::Keep),
            (watched.cut_keeping_texts(self.keep), Origin::KeepTexts),
            (watched.cut_certified(risk, confidence), Origin::Guarantee),
        ])
    }
}

/// A rule that two ways of choosing find is one setting, named after the stricter of them, which comes later.
fn distinct<const N: usize>(found: [(Option<ExitRule>, Origin); N]) -> Vec<(ExitRule, Origin)> {
    let mut set: Vec<(ExitRule, Origin)> = Vec::new();
    for (rule, origin) in found {
        let Some(rule) = rule else { continue };
        set.retain(|(other, _)| other.to_string() != rule.to_string());
        set.push((rule, origin));
    }
    set
}

/// A setting with its promise.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Candidate {
    pub(crate) way: Way,
    pub(crate) origin: Origin,
    /// The mean exit; none for speculation.
    pub(crate) average_exit: Option<f64>,
    /// By the times of the parts.
    pub(crate) predicted_speed_up: f64,
    /// The share of tokens that are the full model's, on its own context.
    pub(crate) predicted_equal: f64,
}

/// Sets of exits before the last at which gates are read: all, every second and every third counted from the
/// last one, and the middle alone.
pub(crate) fn exit_sets(layers: usize) -> Vec<Vec<usize>> {
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
pub(crate) fn candidates(search: &Search<'_>) -> Result<Vec<Candidate>> {
    let cost = Cost { trace: search.trace, times: search.times };
    let mut found = speculation(&cost, cost.plain());
    let every: Vec<usize> = (1..search.trace.layers()).collect();
    let watched = search.watched(search.trace, None, &every)?;
    for depth in search.depths(&watched) {
        found.extend(cutting(search, &cost, &watched, depth));
    }
    // Gates on states are judged on the texts that were run again for them.
    let states = search.observed.map(|of| (&of.trace, Some(&of.numbers)));
    for (trace, states) in std::iter::once((search.trace, None)).chain(states) {
        let cost = Cost { trace, times: search.times };
        let plain = cost.plain();
        for exits in exit_sets(trace.layers()) {
            let watched = search.watched(trace, states, &exits)?;
            for gate in gates::all().filter(|gate| gate.is_on_states() == states.is_some()) {
                for decays in [false, true] {
                    for set in search.thresholds(&watched, OpenRule { gate, decays }) {
                        found.extend(exiting(search, (&cost, plain), &watched, gate, set));
                    }
                }
            }
        }
    }
    found.sort_by(|a, b| b.predicted_speed_up.total_cmp(&a.predicted_speed_up));
    Ok(found)
}

/// A gate asked in every way that applies to it, with every policy.
fn exiting(
    search: &Search<'_>,
    (cost, plain): (&Cost<'_>, f64),
    watched: &Watched<'_>,
    gate: &'static dyn Gate,
    (rule, origin): (ExitRule, Origin),
) -> Vec<Candidate> {
    let (judged, exits) = (watched.judge(rule), watched.exits(rule));
    let asks = search.asks.iter().filter(|ask| ask.is_of(gate));
    let asks = asks.filter_map(|ask| Some((ask, search.times.asked(ask)?)));
    let candidate = |((ask, asked), policy): ((&Ask, &Asked), &'static dyn KvPolicy)| {
        let speed_up = plain / cost.exits(watched, &exits, asked, policy.cost());
        let plainest = search.settings(rule, policy, watched.read_at());
        let settings = Settings { head: ask.head(), fitted: ask.fitted(), ..plainest };
        Candidate::exits(settings, origin, &judged, speed_up)
    };
    policies()
        .flat_map(|policy| asks.clone().map(move |ask| (ask, policy)))
        .map(candidate)
        .collect()
}

/// The model cut off at a depth, with every policy.
fn cutting(
    search: &Search<'_>,
    cost: &Cost<'_>,
    watched: &Watched<'_>,
    (rule, origin): (ExitRule, Origin),
) -> Vec<Candidate> {
    let (judged, exits, plain) = (watched.judge(rule), watched.exits(rule), cost.plain());
    let only: Vec<usize> = rule.depth().into_iter().collect();
    let candidate = |policy: &'static dyn KvPolicy| {
        let speed_up = plain / cost.cut(watched, &exits, policy.cost());
        Candidate::exits(search.settings(rule, policy, &only), origin, &judged, speed_up)
    };
    policies().map(candidate).collect()
}

/// Policies under which tokens leave.
fn policies() -> impl Iterator<Item = &'static dyn KvPolicy> {
    POLICIES.iter().copied().filter(|policy| policy.takes_effect())
}

impl Candidate {
    fn exits(settings: Settings, origin: Origin, judged: &TokenGate, speed_up: f64) -> Self {
        Self {
            way: Way::Exits(settings),
            origin,
            average_exit: Some(judged.average_exit),
            predicted_speed_up: speed_up,
            predicted_equal: judged.equal_share,
        }
    }
}

/// The plan that is best by the trace, and plans chosen while decoding, which can find it.
fn speculation(cost: &Cost<'_>, plain: f64) -> Vec<Candidate> {
    let Some((plan, seconds)) = cost.best_plan() else { return Vec::new() };
    let candidate = |plan, origin, seconds: f64| Candidate {
        way: Way::Speculation(plan),
        origin,
        average_exit: None,
        predicted_speed_up: plain / seconds,
        predicted_equal: 1.0,
    };
    // An adaptive decoder does not draft where that does not pay.
    vec![
        candidate(Some(plan), Origin::Agreement, seconds),
        candidate(None, Origin::Adaptive, seconds.min(plain)),
    ]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::trace::sample;
    use ee_decode::gates::STATE_GATES;

    #[test]
    fn exits_are_counted_from_the_last_one() {
        assert_eq!(exit_sets(6), [vec![1, 2, 3, 4, 5], vec![2, 4], vec![3]]);
        assert_eq!(exit_sets(8), [vec![1, 2, 3, 4, 5, 6, 7], vec![2, 4, 6], vec![2, 5], vec![4]]);
        assert_eq!(exit_sets(2), [[1]]);
        assert!(exit_sets(1).is_empty());
    }

    /// The ways of asking, and what parts take where asking a head is as expensive as half a layer and a state as
    /// a hundredth.
    pub(crate) fn parts() -> (Vec<Ask>, Times) {
        let cosine = STATE_GATES.iter().find(|gate| gate.name() == "cosine").unwrap();
        let asks = vec![Ask::Head("full".parse().unwrap()), Ask::States(*cosine, None)];
        let asked = |name: &str, each, leave| Asked {
            name: name.into(),
            first: each,
            later: each,
            leave_at_first: leave,
            leave_later: leave,
        };
        let times = Times {
            prompt: 1.0,
            layer: 1.0,
            further_layer: 0.5,
            head: 0.5,
            further_head: 0.25,
            key_value: 0.25,
            asked: vec![asked("head full", 0.5, 0.0), asked("cosine", 0.01, 0.5)],
        };
        (asks, times)
    }

    /// Half of the tokens are to be kept.
    pub(crate) fn search<'a>(trace: &'a Trace, (asks, times): &'a (Vec<Ask>, Times)) -> Search<'a> {
        Search {
            trace,
            observed: None,
            times,
            asks,
            keep: 0.5,
            confidence: 0.5,
            min_tokens: 2,
            max_new_tokens: 20,
        }
    }

    /// Texts on which a gate on states knows as much as confidence does.
    pub(crate) fn observed(trace: &Trace) -> Observed {
        let exits = trace.layers() - 1;
        let confidences = trace.signals.confidence.chunks_exact(trace.layers());
        let numbers = confidences.flat_map(|row| row[..exits].to_vec()).collect();
        let numbers = StateNumbers::of(exits, vec![("cosine", numbers)]);
        Observed { trace: trace.clone(), numbers }
    }

    #[test]
    fn the_model_can_be_cut_off_where_enough_agrees() {
        // Exit 1 is the last one's answer in no text, exit 2 in all but one token of the fourth text, exit 3 always.
        let mut rows: Vec<&[u32]> = vec![&[0, 1, 1, 1]; 16];
        rows[13] = &[0, 0, 1, 1];
        let trace = sample::as_text(sample::of_predictions(&rows, &[1; 16], 2), &[4; 4]);
        let parts = parts();
        let half = search(&trace, &parts);
        let mut search = Search { keep: 0.9, min_tokens: 1, max_new_tokens: 4, ..half };
        let depths = |search: &Search<'_>| -> Vec<(String, Origin)> {
            let all = candidates(search).unwrap().into_iter();
            let of = all.filter(|of| of.gate_name().is_none() && of.settings().is_some());
            let mut found: Vec<(String, Origin)> = of
                .filter(|of| of.settings().unwrap().policy.name() == "deferred")
                .map(|of| (of.rule().unwrap().to_string(), of.origin))
                .collect();
            found.sort_by(|a, b| a.0.cmp(&b.0));
            found
        };
        // 11 of 12 tokens that may leave, three of four texts.
        let (two, three) = ("fixed:2".to_owned(), "fixed:3".to_owned());
        assert_eq!(depths(&search), [(two.clone(), Origin::Keep), (three, Origin::KeepTexts)]);
        search.keep = 0.7;
        assert_eq!(depths(&search), [(two, Origin::KeepTexts)]);
    }

    #[test]
    fn guarantees_are_corrected_for_all_sequences() {
        let trace = sample::generated(&[20; 40], 6, 3, 5);
        let parts = parts();
        let search = Search { confidence: 0.9, ..search(&trace, &parts) };
        // Four gates on signals and one on states, still or decaying, at three sets of exits; and the depths.
        assert!((search.confidence_of_each() - (1.0 - 0.1 / 31.0)).abs() < 1e-12);
    }

    #[test]
    fn gates_on_states_are_candidates_where_they_were_observed() {
        let trace = sample::generated(&[20; 40], 6, 3, 5);
        let (parts, observed) = (parts(), observed(&trace));
        let mut search = search(&trace, &parts);
        assert!(!candidates(&search).unwrap().iter().any(Candidate::reads_states));
        search.observed = Some(&observed);
        let all = candidates(&search).unwrap();
        // With confidence's numbers the thresholds are confidence's, whose asking costs more.
        let of = |name: &str, decays: bool| {
            let fits = |of: &&Candidate| {
                let is_like = |settings: &Settings| {
                    settings.rule.decays == decays && settings.exits == [2, 4]
                };
                of.settings().is_some_and(is_like)
                    && of.gate_name() == Some(name)
                    && of.origin == Origin::KeepTexts
            };
            all.iter().find(fits).unwrap()
        };
        for decays in [false, true] {
            let [states, signals] = ["cosine", "confidence"].map(|name| of(name, decays));
            assert_eq!(states.average_exit, signals.average_exit);
            assert!(states.predicted_speed_up > signals.predicted_speed_up);
            let settings = states.settings().unwrap();
            assert_eq!(settings.head.to_string(), "gate");
        }
    }
}
