//! `ee-eval calibrate`: thresholds with a guarantee, from a trace; no model is loaded.
//!
//! On a random half of the examples each gate is tested from its tightest threshold to its loosest
//! (Learn-then-Test with Hoeffding–Bentkus p-values, one fixed sequence per gate); the last threshold that passes is
//! certified: with the stated confidence over the draw of the examples, its risk on further examples like
//! these is at most the stated one. The other half only shows what the threshold does. Beside it stands the
//! exact best threshold under the quality rule of `ee-eval gates`, chosen on the same half, which promises
//! nothing. On a trace of generated text an exit is judged on the full model's own context: a token that
//! leaves early and differs would change what follows it when decoding, and that is not in the promise.

mod bound;
mod losses;
mod report;
mod results;
mod sequence;

use indexmap::IndexMap;

use crate::error::{EvalError, Result};
use crate::gates::{Comparison, ExitSpace, GATES, Gate, Numbers, Scale, SetGate};
use crate::oracle;
use crate::score::Scorer;
use crate::sweep::{self, Agreement, LabelScores};
use crate::trace::Trace;

use bound::examples_needed;
pub use losses::Against;
pub(crate) use losses::{Halves, examples};
pub use report::{table, write};
pub use results::{Calibration, Certificate, GateCalibration, Point, Rule, Split};
pub use sequence::Tested;
use sequence::{Promise, certified, ladder, test};

/// Distance of the thresholds that [`certify`] tests, in the gate's unit.
const CERTIFY_STEP: f64 = 0.05;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request {
    /// δ, the risk that a threshold may have.
    pub risk: f64,
    /// 1 − ε, how probable it must be that it has no more.
    pub confidence: f64,
    /// What losses are counted against.
    pub against: Against,
    /// Distance of the thresholds that are tested, in the gate's unit.
    pub step: f64,
    /// The share of the full score that the quality rule beside it keeps.
    pub keep: f64,
    /// From which the split follows.
    pub seed: u64,
}

/// Certifies a threshold of every gate.
///
/// # Errors
/// [`EvalError::Empty`] for fewer than two examples, [`EvalError::NoGold`] where losses against the gold are
/// asked of a text that the model wrote itself, [`EvalError::Metric`] for a metric unknown to this build.
pub fn calibrate(
    trace: &Trace,
    request: &Request,
    mut notices: Vec<String>,
) -> Result<Calibration> {
    let generation = trace.facts.generation.as_ref();
    if request.against == Against::Gold && generation.is_some_and(|facts| !facts.teacher_forced) {
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
    let halves = Halves::draw(trace, request.seed);
    let certificate = Certificate::of(request, &halves);
    notices.extend(too_few(&certificate));
    let mut gates = IndexMap::new();
    for &gate in GATES {
        let found = GateCalibration::of(&halves, gate, request, &certificate)?;
        notices.extend(rejected(gate, &found, &certificate));
        gates.insert(gate.name().to_owned(), found);
    }
    let layers = trace.layers();
    Ok(Calibration { layers, n, certificate, gates, notices, trace: trace.facts.clone() })
}

/// The threshold that is certified on these examples for losses against the full model's predictions, where
/// rows leave at `exits(threshold)`; none where none is, or no risk is allowed.
#[must_use]
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
#[must_use]
pub(crate) fn examples_to_certify(risk: f64, confidence: f64) -> Option<usize> {
    if risk > 0.0 { examples_needed(0.0, risk, level(confidence)) } else { None }
}

/// 0.05, not 0.050000000000000044.
fn level(confidence: f64) -> f64 {
    ((1.0 - confidence) * 1e12).round() / 1e12
}

impl Certificate {
    fn of(request: &Request, halves: &Halves) -> Self {
        let level = level(request.confidence);
        let count = |half: &Trace| losses::examples(half).len();
        Self {
            method: "Learn then Test, fixed sequence, Hoeffding–Bentkus".to_owned(),
            risk: request.risk,
            confidence: request.confidence,
            level,
            against: request.against,
            step: request.step,
            n: count(&halves.calibration),
            needed: examples_needed(0.0, request.risk, level).expect("no loss is below any bound"),
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
        certificate: &Certificate,
    ) -> Result<Self> {
        let Halves { calibration, held_out } = halves;
        let space = ExitSpace { layers: calibration.layers(), labels: calibration.facts.outputs() };
        let Certificate { risk, level, against, .. } = *certificate;
        let promise = Promise { risk, level, against };
        let ladder = ladder(Scale::of(gate, space), request.step);
        let exits = |threshold| SetGate { gate, threshold }.exits(calibration);
        let tested = test(calibration, exits, &ladder, promise);
        let point = |threshold| Point::of(held_out, SetGate { gate, threshold }, against);
        Ok(Self {
            certified: certified(&tested, level),
            held_out: point(
                certified(&tested, level).map_or(gate.range(space).never, |last| last.threshold),
            ),
            rule: Rule::of(calibration, gate, request.keep, point)?,
            tested,
        })
    }
}

impl Point {
    /// What a gate does on some examples.
    fn of(trace: &Trace, gate: SetGate, against: Against) -> Self {
        let exits = gate.exits(trace);
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
        gate: &dyn Gate,
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
        Ok(Self {
            keep,
            metric: metric.to_owned(),
            threshold: best.threshold,
            held_out: point(best.threshold),
        })
    }
}

/// Says that there are too few examples for any promise.
fn too_few(certificate: &Certificate) -> Option<String> {
    let Certificate { n, needed, .. } = *certificate;
    (n < needed).then(|| {
        format!(
            "no threshold could be certified: {n} calibration examples are too few, {needed} are needed even where \
             nothing is ever lost, {} in the whole trace",
            2 * needed
        )
    })
}

/// Says why a gate's first threshold was rejected, where there were examples enough.
fn rejected(gate: &dyn Gate, found: &GateCalibration, certificate: &Certificate) -> Option<String> {
    let Certificate { risk: bound, level, n, needed, .. } = *certificate;
    if found.certified.is_some() || n < needed {
        return None;
    }
    let Tested { threshold, risk, p_value } = found.tested[0];
    let more = match examples_needed(risk, bound, level) {
        Some(enough) => format!("about {enough} calibration examples would do at this risk"),
        None if gate.comparison() == Comparison::AtLeast => "more would not help".to_owned(),
        None => "more would not help, a smaller --step may".to_owned(),
    };
    Some(format!(
        "no threshold of {name} could be certified: at {name}:{threshold}, the first that was tested, the risk is \
         {risk:.4} on {n} examples (p = {p_value:.3}); {more}",
        name = gate.name()
    ))
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
