//! From a trace to results: scores, ideal exits, and every gate at its best threshold.

use ee_decode::gates::{self, ExitSpace, Gate, SetGate, rules};
use indexmap::IndexMap;

use crate::error::{EvalError, Result};
use crate::exits::constant::{self, Constant, answers_per_exit, only_label};
use crate::exits::oracle::{self, Ideal};
use crate::exits::score::Scorer;
use crate::exits::sweep::{self, Candidate};
use crate::gates::exits_on;
use crate::labels::results::{Cut, GateResults, Results, Score, Within};
use crate::trace::Trace;

/// Steps of the average exit into which a stored curve is thinned, of at most 4 points each.
const CURVE_BINS: usize = 128;

impl Results {
    /// Everything that a trace says.
    pub(crate) fn of_trace(trace: &Trace, keep: f64, mut notices: Vec<String>) -> Result<Self> {
        if trace.rows() == 0 {
            return Err(EvalError::Empty { what: "the trace holds no rows".to_owned() });
        }
        if trace.facts.generation.is_some() {
            return Err(EvalError::GeneratedText { task: trace.facts.task.clone() });
        }
        let scorers = Scorer::of_trace(trace)?;
        let scores: Vec<Score> =
            scorers.iter().map(|scorer| Score::of_trace(trace, scorer)).collect();
        let full = scores[0].full;
        if !trace.facts.has_gold {
            notices.push(
                "the split has no labels: scores are the share of rows with the full model's answer, and say \
                 nothing of whether it is right"
                    .to_owned(),
            );
        }
        if full <= 0.0 {
            notices.push(format!(
                "the full model's {} is {full:.4}; a share of it means nothing, so gates may lose at most {:.4}",
                scores[0].name,
                full - sweep::floor(full, keep),
            ));
        }
        let ideal_exits = oracle::ideal_exits(trace);
        let floor = sweep::floor(full, keep);
        notices.extend(trace.facts.chosen_here());
        let constant = Constant::of_trace(trace, &scorers);
        let answers = answers_per_exit(trace);
        notices.extend(constant::notices(&answers, &trace.facts.labels));
        notices.extend(constant.keeps(&scores[0].name, full, keep));
        let mut gates = IndexMap::new();
        let mut within: Vec<Within> = Vec::new();
        for gate in rules() {
            let candidates = sweep::curve(trace, gate, &scorers[0]);
            let found = GateResults::of(trace, gate, &scorers, floor, &ideal_exits, &candidates);
            notices.extend(found.notice(gate, trace.layers(), keep));
            gates.insert(gate.name().to_owned(), found);
            if gate.reads_signals() {
                extend(&mut within, gate.name(), &candidates, trace.layers());
            }
        }
        let mut results = Self {
            layers: trace.layers(),
            n: trace.rows(),
            keep,
            ideal: Ideal::of_trace(trace, &ideal_exits),
            constant,
            score: scores[0].clone(),
            scores,
            confidence_per_exit: trace.mean_confidences(),
            answers_per_exit: answers,
            gates,
            within,
            cut: None,
            certified: vec![],
            speed: vec![],
            notices,
            trace: trace.facts.clone(),
        };
        results.cut = Cut::weigh(&results, trace, &scorers[0], floor);
        Ok(results)
    }

    /// The gate called `name` at its best threshold.
    pub(crate) fn set_gate(&self, name: &str) -> Result<SetGate> {
        let gate = gates::by_name(name)?;
        let threshold = self
            .gates
            .get(name)
            .map_or(gate.range(self.space()).never, |results| results.threshold);
        Ok(SetGate { gate, threshold })
    }

    /// The gate of the shallowest average exit, fixed depths aside; none where the rule lets every gate give
    /// everything the same answer.
    pub(crate) fn best_gate(&self) -> Option<(&str, &GateResults)> {
        let gates = self.gates.iter().filter(|(name, found)| {
            name.as_str() != gates::FIXED.name() && found.only_label.is_none()
        });
        let best = gates.min_by(|a, b| a.1.average_exit.total_cmp(&b.1.average_exit));
        best.map(|(name, found)| (name.as_str(), found))
    }

    /// The shallowest fixed depth that keeps the required score.
    pub(crate) fn fixed(&self) -> &GateResults {
        &self.gates[gates::FIXED.name()]
    }

    /// The shape that gates need to know.
    pub(crate) fn space(&self) -> ExitSpace {
        ExitSpace { layers: self.layers, labels: self.trace.labels.len() }
    }
}

impl Score {
    fn of_trace(trace: &Trace, scorer: &Scorer) -> Self {
        let layers = trace.layers();
        let per_exit: Vec<f64> =
            (1..=layers).map(|exit| scorer.score_of_exit(trace, exit)).collect();
        let interval = scorer.interval_of_exit(trace, layers);
        Self {
            name: scorer.name().to_owned(),
            signature: scorer.signature(),
            full: per_exit[layers - 1],
            interval: [interval.low, interval.high],
            per_exit,
        }
    }
}

impl GateResults {
    /// The best threshold of a gate and what it does; `scorers` begins with the leading metric, of which
    /// `candidates` is the curve.
    fn of(
        trace: &Trace,
        gate: &'static dyn Gate,
        scorers: &[Scorer],
        floor: f64,
        ideal_exits: &[usize],
        candidates: &[Candidate],
    ) -> Self {
        let best = sweep::best(candidates, floor);
        let exits = exits_on(SetGate { gate, threshold: best.threshold }, trace);
        let scores =
            scorers.iter().map(|scorer| (scorer.name().to_owned(), scorer.score_at(trace, &exits)));
        let pairs = || exits.iter().zip(ideal_exits);
        let share = |count: usize| count as f64 / exits.len() as f64;
        let given = exits.iter().enumerate().map(|(row, &exit)| trace.prediction(row, exit));
        let label = |label: u32| trace.facts.labels[label as usize].clone();
        Self {
            threshold: best.threshold,
            average_exit: best.average_exit,
            score: best.score,
            scores: scores.collect(),
            distance: pairs().map(|(exit, ideal)| exit.abs_diff(*ideal)).sum::<usize>() as f64
                / exits.len() as f64,
            premature: share(pairs().filter(|(exit, ideal)| exit < ideal).count()),
            late: share(pairs().filter(|(exit, ideal)| exit > ideal).count()),
            histogram: oracle::histogram(&exits, trace.layers()),
            only_label: only_label(given).map(label),
            candidates: candidates.len(),
            curve: sweep::thinned(candidates, CURVE_BINS),
        }
    }

    /// What a reader should know about a gate's best threshold.
    fn notice(&self, gate: &dyn Gate, layers: usize, keep: f64) -> Option<String> {
        let (name, percent) = (gate.name(), 100.0 * keep);
        match &self.only_label {
            _ if self.average_exit >= layers as f64 => Some(match gate.reads_signals() {
                true => format!(
                    "no threshold of {name} leaves early and keeps {percent:.0} % of the full score; its threshold never fires"
                ),
                false => format!("no depth before the last keeps {percent:.0} % of the full score"),
            }),
            Some(label) => Some(format!(
                "{name}:{} keeps {percent:.0} % of the full score by giving every example the answer `{label}`, which needs no model",
                self.threshold
            )),
            None => None,
        }
    }
}

/// Enters a gate's curve, from the last exit to the first, into the best within 1..=N layers.
fn extend(within: &mut Vec<Within>, gate: &str, candidates: &[Candidate], layers: usize) {
    for depth in 1..=layers {
        let inside = candidates.iter().filter(|found| found.average_exit <= depth as f64);
        // Of equal scores the shallowest, which comes last.
        let best = inside.max_by(|a, b| a.score.total_cmp(&b.score));
        let Some(&Candidate { threshold, average_exit, score }) = best else { continue };
        let found = Within { layers: depth, gate: gate.to_owned(), threshold, average_exit, score };
        match within.get_mut(depth - 1) {
            None => within.push(found),
            Some(before) if (score, -average_exit) > (before.score, -before.average_exit) => {
                *before = found;
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample;

    #[test]
    fn the_field_names_are_the_promised_ones() {
        let trace = sample::random(40, 4, 2, 1);
        let json = serde_json::to_value(Results::of_trace(&trace, 0.98, vec![]).unwrap()).unwrap();
        for key in ["max", "average", "perc", "histogram", "saturation_average", "chance_average"] {
            assert!(json["ideal"].get(key).is_some(), "ideal.{key}");
        }
        for key in ["name", "full", "per_exit"] {
            assert!(json["score"].get(key).is_some(), "score.{key}");
        }
        for gate in rules() {
            for key in ["threshold", "average_exit", "score", "distance", "premature", "late"] {
                assert!(
                    json["gates"][gate.name()].get(key).is_some(),
                    "gates.{}.{key}",
                    gate.name()
                );
            }
        }
        assert_eq!((json["layers"].as_u64(), json["n"].as_u64()), (Some(4), Some(40)));
    }

    #[test]
    fn figures_of_a_trace_that_can_be_checked_by_hand() {
        // Ideal exits 1, 3, 2, 1; saturation exits 3, 3, 2, 1.
        let rows: [&[u32]; 4] = [&[1, 0, 1], &[0, 0, 1], &[1, 0, 0], &[1, 1, 1]];
        let trace = sample::of_predictions(&rows, &[1, 1, 0, 0], 2);
        let results = Results::of_trace(&trace, 0.5, vec![]).unwrap();
        let ideal = &results.ideal;
        assert_eq!((ideal.max, ideal.average, ideal.perc), (3, 1.75, 0.75));
        assert_eq!(ideal.histogram, [2, 1, 1]);
        assert_eq!(ideal.saturation_average, 2.25);
        assert_eq!(results.score.per_exit, [0.25, 0.25, 0.75]);
        // Patience 1 leaves at 3, 2, 3, 2 with labels 1, 0, 0, 1: half are right. Patience 0 leaves
        // at 1, where a quarter is right, less than half of 0.75.
        let patience = &results.gates["patience"];
        assert_eq!((patience.threshold, patience.average_exit, patience.score), (1.0, 2.5, 0.5));
        assert_eq!((patience.distance, patience.premature, patience.late), (1.25, 0.25, 0.75));
    }

    #[test]
    fn generated_text_is_sent_to_the_command_that_reads_it() {
        let trace = sample::generated(&[2], 3, 9, 1);
        let error = Results::of_trace(&trace, 0.98, vec![]).unwrap_err();
        assert!(error.to_string().contains("`ee-eval ideal` reads this trace"), "{error}");
    }

    #[test]
    fn a_full_score_that_is_not_positive_is_announced() {
        let trace = sample::of_predictions(&[&[0, 0], &[0, 0]], &[1, 1], 2);
        let results = Results::of_trace(&trace, 0.98, vec![]).unwrap();
        assert_eq!(results.notices.len(), 7, "{:?}", results.notices);
        assert!(results.notices[0].contains("a share of it means nothing"));
        assert!(
            results.notices[1].contains("exits 1 and 2 give every example the answer `label_0`")
        );
    }

    #[test]
    fn a_fixed_depth_is_the_score_of_its_exit_and_gates_are_held_against_it() {
        for seed in 0..10 {
            let trace = sample::random(60, 5, 3, seed);
            let results = Results::of_trace(&trace, 0.9, vec![]).unwrap();
            let fixed = &results.gates["fixed"];
            let scores = &results.score.per_exit;
            let shallowest = scores.iter().position(|&score| score >= 0.9 * scores[4]).unwrap();
            assert_eq!(fixed.threshold as usize, shallowest + 1);
            assert_eq!(
                (fixed.average_exit, fixed.score),
                (shallowest as f64 + 1.0, scores[shallowest])
            );
            let curve: Vec<f64> = fixed.curve.iter().rev().map(|point| point.score).collect();
            assert_eq!(&curve, scores);
            for within in &results.within {
                let gate: SetGate =
                    format!("{}:{}", within.gate, within.threshold).parse().unwrap();
                let exits = exits_on(gate, &trace);
                assert_eq!(within.average_exit, oracle::average(&exits));
                assert!(within.average_exit <= within.layers as f64);
                let best = gates::GATES.iter().flat_map(|gate| &results.gates[gate.name()].curve);
                let best = best.filter(|point| point.average_exit <= within.layers as f64);
                assert_eq!(within.score, best.map(|point| point.score).fold(0.0, f64::max));
            }
            assert_eq!(results.within.len(), 5);
        }
    }

    #[test]
    fn a_rule_that_the_constant_answer_keeps_is_no_success() {
        // Exit 1 says `label_1` whatever it sees, and three of four rows are that; exit 2 is right.
        let rows: Vec<&[u32]> = vec![&[1, 1], &[1, 1], &[1, 1], &[1, 0]];
        let trace = sample::of_predictions(&rows, &[1, 1, 1, 0], 2);
        let results = Results::of_trace(&trace, 0.7, vec![]).unwrap();
        assert_eq!((results.constant.score(), results.constant.share), (0.75, 0.75));
        for rule in rules() {
            let found = &results.gates[rule.name()];
            assert_eq!((found.average_exit, found.only_label.as_deref()), (1.0, Some("label_1")));
        }
        assert!(results.best_gate().is_none());
        let said = results.notices.join("\n");
        for part in ["exit 1 gives every", "75.0 % of the full model's", "which needs no model"] {
            assert!(said.contains(part), "{said}");
        }
        let strict = Results::of_trace(&trace, 0.98, vec![]).unwrap();
        assert_eq!(strict.best_gate().map(|(_, gate)| gate.average_exit), Some(2.0));
        assert!(!strict.notices.join("\n").contains("which needs no model"));
    }
}
