//! From a trace to results: scores, ideal exits, and every gate at its best threshold.

use indexmap::IndexMap;

use crate::error::{EvalError, Result};
use crate::gates::{self, ExitSpace, GATES, Gate, SetGate};
use crate::oracle;
use crate::results::{CurvePoint, GateResults, Ideal, Results, Score};
use crate::score::Scorer;
use crate::sweep::{self, Candidate};
use crate::trace::Trace;

/// Steps of the average exit into which a stored curve is thinned, of at most 4 points each.
const CURVE_BINS: usize = 128;

impl Results {
    /// Everything that a trace says.
    ///
    /// # Errors
    /// [`EvalError::Metric`] for metrics unknown to this build, [`EvalError::Empty`] for no rows,
    /// [`EvalError::GeneratedText`] where rows are tokens.
    pub fn of_trace(trace: &Trace, keep: f64, mut notices: Vec<String>) -> Result<Self> {
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
        if full <= 0.0 {
            notices.push(format!(
                "the full model's {} is {full:.4}; a share of it means nothing, so gates may lose at most {:.4}",
                scores[0].name,
                full - sweep::floor(full, keep),
            ));
        }
        let ideal_exits = oracle::ideal_exits(trace);
        let floor = sweep::floor(full, keep);
        let mut gates = IndexMap::new();
        for &gate in GATES {
            let found = GateResults::of_trace(trace, gate, &scorers, floor, &ideal_exits);
            if found.average_exit >= trace.layers() as f64 {
                notices.push(format!(
                    "no threshold of {} leaves early and keeps {:.0} % of the full score; its threshold never fires",
                    gate.name(),
                    100.0 * keep
                ));
            }
            gates.insert(gate.name().to_owned(), found);
        }
        Ok(Self {
            layers: trace.layers(),
            n: trace.rows(),
            keep,
            ideal: Ideal::of_trace(trace, &ideal_exits),
            score: scores[0].clone(),
            scores,
            confidence_per_exit: confidence_per_exit(trace),
            gates,
            speed: vec![],
            notices,
            trace: trace.facts.clone(),
        })
    }

    /// The gate called `name` at its best threshold.
    ///
    /// # Errors
    /// [`EvalError::UnknownGate`].
    pub fn set_gate(&self, name: &str) -> Result<SetGate> {
        let gate = gates::by_name(name)?;
        let threshold = self
            .gates
            .get(name)
            .map_or(gate.range(self.space()).never, |results| results.threshold);
        Ok(SetGate { gate, threshold })
    }

    /// The shape that gates need to know.
    #[must_use]
    pub fn space(&self) -> ExitSpace {
        ExitSpace { layers: self.layers, labels: self.trace.labels.len() }
    }
}

impl Ideal {
    /// The figures of the ideal exits of a trace, and of what they should be compared with.
    ///
    /// # Panics
    /// When the trace has no row.
    #[must_use]
    pub fn of_trace(trace: &Trace, ideal_exits: &[usize]) -> Self {
        let layers = trace.layers();
        let saturation_exits = oracle::saturation_exits(trace);
        let histogram = oracle::histogram(ideal_exits, layers);
        let chance_histogram = oracle::chance_histogram(trace);
        Self {
            max: ideal_exits.iter().copied().max().unwrap_or(0),
            average: oracle::average(ideal_exits),
            perc: 1.0 - histogram[layers - 1] as f64 / trace.rows() as f64,
            histogram,
            saturation_average: oracle::average(&saturation_exits),
            saturation_histogram: oracle::histogram(&saturation_exits, layers),
            chance_average: oracle::average_of_shares(&chance_histogram),
            chance_histogram,
        }
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
    /// The best threshold of a gate and what it does; `scorers` begins with the leading metric.
    fn of_trace(
        trace: &Trace,
        gate: &'static dyn Gate,
        scorers: &[Scorer],
        floor: f64,
        ideal_exits: &[usize],
    ) -> Self {
        let candidates = sweep::curve(trace, gate, &scorers[0]);
        let best = sweep::best(&candidates, floor);
        let exits = SetGate { gate, threshold: best.threshold }.exits(trace);
        let scores =
            scorers.iter().map(|scorer| (scorer.name().to_owned(), scorer.score_at(trace, &exits)));
        let pairs = || exits.iter().zip(ideal_exits);
        let share = |count: usize| count as f64 / exits.len() as f64;
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
            candidates: candidates.len(),
            curve: sweep::thinned(&candidates, CURVE_BINS)
                .into_iter()
                .map(CurvePoint::from)
                .collect(),
        }
    }
}

impl From<Candidate> for CurvePoint {
    fn from(candidate: Candidate) -> Self {
        let Candidate { threshold, average_exit, score } = candidate;
        Self { threshold, average_exit, score }
    }
}

/// The mean confidence of each exit.
fn confidence_per_exit(trace: &Trace) -> Vec<f64> {
    let layers = trace.layers();
    let mut sums = vec![0.0; layers];
    for row in trace.signals.confidence.chunks(layers) {
        for (sum, &confidence) in sums.iter_mut().zip(row) {
            *sum += f64::from(confidence);
        }
    }
    sums.into_iter().map(|sum| sum / trace.rows() as f64).collect()
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
        for gate in GATES {
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
        assert_eq!(results.notices.len(), 1);
    }
}
