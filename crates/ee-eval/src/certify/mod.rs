//! `ee-eval calibrate`: thresholds with a guarantee, from a trace; no model is loaded.
//!
//! On a random half of the examples each gate, and cutting the model off at one depth, is tested from its tightest
//! threshold to its loosest (Learn-then-Test with Hoeffding–Bentkus p-values, one fixed sequence per line). Which
//! thresholds stand in a sequence follows from the signals of the other half alone, so that nothing of what decides
//! has chosen them. The last threshold that passes at level ε is certified for its line looked at alone; the last that
//! passes at ε divided by the number of lines is certified together with all the others', so that one who then picks
//! the best of them, by whatever rule, keeps the promise (Bonferroni). That best one is the certificate.
//!
//! The other half only shows what thresholds do. Beside them stands the exact best threshold under the quality rule
//! of `ee-eval gates`, chosen on the deciding half, which promises nothing. On a trace of generated text an exit is
//! judged on the full model's own context: a token that leaves early and differs would change what follows it when
//! decoding, and that is not in the promise.

mod bound;
pub(crate) mod certificate;
mod losses;
mod report;
mod results;
mod sequence;

use bound::examples_needed;
use ee_decode::gates::{ExitSpace, Gate, Scale, SetGate, rules};
use indexmap::IndexMap;

use crate::error::{EvalError, Result};
use crate::exits::constant::{self, Constant, answers_per_exit, only_label};
use crate::exits::oracle;
use crate::exits::score::Scorer;
use crate::exits::sweep::{self, Agreement, LabelScores};
use crate::gates::{Numbers, exits_on};
use crate::trace::Trace;
use crate::words::count;

pub(crate) use losses::Against;
pub(crate) use losses::{Halves, examples};
pub(crate) use report::{findings, table, write};
pub(crate) use results::{Best, Calibration, GateCalibration, Line, Point, Promised, Rule, Split};
pub(crate) use sequence::Tested;
use sequence::{Promise, certified, ladder, test};

/// Distance of the thresholds that [`certify`] tests, in the gate's unit.
const CERTIFY_STEP: f64 = 0.05;
/// Steps into which the way of the mean exit from N to 1 is divided, on the half that does not decide.
const STEPS: usize = 100;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Request {
    /// δ, the risk that a threshold may have.
    pub(crate) risk: f64,
    /// 1 − ε, how probable it must be that it has no more.
    pub(crate) confidence: f64,
    pub(crate) against: Against,
    /// The share of the full score that the quality rule beside it keeps.
    pub(crate) keep: f64,
    pub(crate) seed: u64,
}

/// Certifies a threshold of every gate.
pub(crate) fn calibrate(
    trace: &Trace,
    request: &Request,
    mut notices: Vec<String>,
) -> Result<Calibration> {
    let generation = trace.facts.generation.as_ref();
    let is_own = generation.is_some_and(|facts| !facts.teacher_forced);
    if request.against == Against::Gold && (is_own || !trace.facts.has_gold) {
        return Err(EvalError::NoGold { task: trace.facts.task.clone() });
    }
    let n = losses::examples(trace).len();
    if n < 2 {
        let what = format!("expected at least 2 examples, one per half, found {n}");
        return Err(EvalError::Empty { what });
    }
    if generation.is_some() {
        notices.push(
            "every token's exit is judged on the full model's own context: errors that grow while decoding are not in the promise"
                .to_owned(),
        );
    }
    notices.extend(trace.facts.chosen_here());
    if generation.is_none() {
        notices.extend(constant::notices(&answers_per_exit(trace), &trace.facts.labels));
    }
    let halves = Halves::draw(trace, request.seed);
    let promised = Promised::of(request, &halves, rules().count());
    notices.extend(too_few(&promised));
    let mut gates = IndexMap::new();
    for gate in rules() {
        let found = GateCalibration::of(&halves, gate, request, &promised)?;
        notices.extend(rejected(gate, &found, &promised));
        notices.extend(found.rule.notice(gate));
        gates.insert(gate.name().to_owned(), found);
    }
    notices.extend(empty_rule(&halves.calibration, request.keep)?);
    let best = Best::of(&gates);
    let layers = trace.layers();
    Ok(Calibration { layers, n, promised, best, gates, notices, trace: trace.facts.clone() })
}

/// The threshold that is certified on these examples for losses against the full model's predictions, where
/// rows leave at `exits(threshold)`; none where none is, or no risk is allowed.
pub(crate) fn certify(
    trace: &Trace,
    scale: Scale,
    exits: impl Fn(f32) -> Vec<usize>,
    risk: f64,
    confidence: f64,
) -> Option<f32> {
    let level = level(confidence);
    let promise = Promise { risk, level, against: Against::Full };
    if risk <= 0.0 {
        return None;
    }
    let tested = test(trace, exits, &ladder(scale, CERTIFY_STEP), promise);
    certified(&tested, level).map(|last| last.threshold)
}

/// The fewest examples that certify anything: where nothing is ever lost; none where no risk is allowed.
pub(crate) fn examples_to_certify(risk: f64, confidence: f64) -> Option<usize> {
    if risk > 0.0 { examples_needed(0.0, risk, level(confidence)) } else { None }
}

/// 0.05, not 0.050000000000000044.
fn level(confidence: f64) -> f64 {
    ((1.0 - confidence) * 1e12).round() / 1e12
}

impl Promised {
    fn of(request: &Request, halves: &Halves, lines: usize) -> Self {
        let level = level(request.confidence);
        let count = |half: &Trace| losses::examples(half).len();
        let needed =
            |level| examples_needed(0.0, request.risk, level).expect("no loss is below any bound");
        Self {
            method: "Learn then Test, fixed sequence, Hoeffding–Bentkus; Bonferroni over lines"
                .to_owned(),
            risk: request.risk,
            confidence: request.confidence,
            level,
            lines,
            level_of_all: level / lines as f64,
            against: request.against,
            n: count(&halves.calibration),
            needed: needed(level),
            needed_of_all: needed(level / lines as f64),
            split: Split {
                seed: request.seed,
                calibration: count(&halves.calibration),
                held_out: count(&halves.held_out),
            },
        }
    }
}

impl GateCalibration {
    fn of(
        halves: &Halves,
        gate: &'static dyn Gate,
        request: &Request,
        promised: &Promised,
    ) -> Result<Self> {
        let Halves { calibration, held_out } = halves;
        let Promised { risk, level, level_of_all, against, .. } = *promised;
        // Nothing from the deciding half: the sequence must be fixed before any of its losses is seen.
        let sequence = sweep::thresholds(&Numbers::of(held_out, gate), STEPS);
        let numbers = Numbers::of(calibration, gate);
        let exits = |threshold| numbers.exits(|_| threshold);
        let tested = test(calibration, exits, &sequence, Promise { risk, level, against });
        let space = ExitSpace { layers: calibration.layers(), labels: calibration.facts.outputs() };
        let never = gate.range(space).never;
        let point = |threshold| Point::of(held_out, SetGate { gate, threshold }, against);
        let line = |level| {
            let certified = certified(&tested, level);
            let held_out = point(certified.map_or(never, |last| last.threshold));
            Line { certified, held_out }
        };
        Ok(Self {
            alone: line(level),
            among_all: line(level_of_all),
            rule: Rule::of(calibration, gate, request.keep, point)?,
            tested,
        })
    }
}

impl Best {
    /// The line that leaves shallowest on the half that does not decide, of those certified together; of equal ones
    /// the first, which is the fixed depth and pays for no gate.
    fn of(gates: &IndexMap<String, GateCalibration>) -> Option<Self> {
        let certified = gates.iter().filter_map(|(name, gate)| {
            let found = gate.among_all.certified?;
            Some(Self { gate: name.clone(), certified: found, held_out: gate.among_all.held_out })
        });
        certified.min_by(|a, b| a.held_out.average_exit.total_cmp(&b.held_out.average_exit))
    }
}

impl Point {
    /// What a gate does on some examples.
    pub(crate) fn of(trace: &Trace, gate: SetGate, against: Against) -> Self {
        let exits = exits_on(gate, trace);
        let losses = losses::losses(trace, &exits, against);
        Self {
            risk: losses.iter().sum::<f64>() / losses.len() as f64,
            average_exit: oracle::average(&exits),
        }
    }
}

impl Rule {
    /// The exact best threshold under the quality rule.
    fn of(
        calibration: &Trace,
        gate: &'static dyn Gate,
        keep: f64,
        point: impl Fn(f32) -> Point,
    ) -> Result<Self> {
        let numbers = Numbers::of(calibration, gate);
        let (metric, candidates) = if calibration.facts.generation.is_some() {
            let scores = Agreement { trace: calibration };
            ("agreement", sweep::curve_of(&numbers, &scores))
        } else {
            let scorer = &Scorer::of_trace(calibration)?[0];
            let scores = LabelScores { trace: calibration, scorer };
            (scorer.name(), sweep::curve_of(&numbers, &scores))
        };
        // The first candidate is the full model.
        let best = sweep::best(&candidates, sweep::floor(candidates[0].score, keep));
        let only = match calibration.facts.generation {
            Some(_) => None,
            None => {
                let exits = numbers.exits(|_| best.threshold);
                let given = exits.iter().enumerate();
                only_label(given.map(|(row, &exit)| calibration.prediction(row, exit)))
            }
        };
        Ok(Self {
            keep,
            metric: metric.to_owned(),
            threshold: best.threshold,
            only_label: only.map(|label| calibration.facts.labels[label as usize].clone()),
            held_out: point(best.threshold),
        })
    }

    /// Says that keeping the score takes no model.
    fn notice(&self, gate: &dyn Gate) -> Option<String> {
        let label = self.only_label.as_ref()?;
        Some(format!(
            "the {:.0} % rule takes {}:{}, where every calibration example is answered `{label}`: that is the constant \
             answer, and no success of a gate",
            100.0 * self.keep,
            gate.name(),
            self.threshold,
        ))
    }
}

/// Says that the constant answer keeps what the quality rule asks.
fn empty_rule(calibration: &Trace, keep: f64) -> Result<Option<String>> {
    if calibration.facts.generation.is_some() {
        return Ok(None);
    }
    let scorers = Scorer::of_trace(calibration)?;
    let full = scorers[0].score_of_exit(calibration, calibration.layers());
    Ok(Constant::of_trace(calibration, &scorers).keeps(scorers[0].name(), full, keep))
}

/// Says that there are too few examples for any promise, or for one of the best line.
fn too_few(promised: &Promised) -> Option<String> {
    let Promised { n, needed, needed_of_all, lines, .. } = *promised;
    if n < needed {
        return Some(format!(
            "no threshold could be certified: {n} calibration examples are too few, {needed} are needed even where \
             nothing is ever lost, {} in the whole trace",
            2 * needed
        ));
    }
    (n < needed_of_all).then(|| {
        format!(
            "the best of {lines} lines could not be certified: {n} calibration examples are too few for all of them \
             together, {needed_of_all} are needed even where nothing is ever lost, {} in the whole trace",
            2 * needed_of_all
        )
    })
}

/// Says why a gate's first threshold was rejected, where there were examples enough.
fn rejected(gate: &dyn Gate, found: &GateCalibration, promised: &Promised) -> Option<String> {
    let Promised { risk: bound, level, n, needed, .. } = *promised;
    if found.alone.certified.is_some() || n < needed {
        return None;
    }
    let Tested { threshold, risk, p_value } = found.tested[0];
    let more = match examples_needed(risk, bound, level) {
        Some(enough) => format!("about {enough} calibration examples would do at this risk"),
        None => "more would not help".to_owned(),
    };
    Some(format!(
        "no threshold of {name} could be certified: at {name}:{threshold}, the first that was tested, the risk is \
         {risk:.4} on {} (p = {p_value:.3}); {more}",
        count(n, "example"),
        name = gate.name()
    ))
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
