//! The guarantee put to the test: many traces from populations whose true risk is known at every threshold.
//!
//! Exit 1 is as sure as a number c drawn evenly from (0, 1); `confidence:λ` leaves where c > λ. A share of
//! runs above 1 − confidence (and three standard deviations of that share) would break the promise. That
//! the test can fail is shown beside it: common shortcuts do break it.

use ee_decode::gates::by_name;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::*;
use crate::gates::exits_on;
use crate::trace::sample;

const RUNS: u64 = 1000;
const CONFIDENCE: f64 = 0.9;

/// A trace of two exits: per example the tokens, each as sure as c at exit 1 and right or not.
fn trace(examples: &[Vec<(f32, bool)>]) -> Trace {
    let tokens: Vec<(f32, bool)> = examples.concat();
    let rows: Vec<[u32; 2]> = tokens.iter().map(|(_, right)| [u32::from(*right), 1]).collect();
    let rows: Vec<&[u32]> = rows.iter().map(|row| &row[..]).collect();
    let mut trace = sample::of_predictions(&rows, &vec![1; rows.len()], 2);
    for (at, (sure, _)) in tokens.iter().enumerate() {
        trace.signals.confidence[2 * at] = *sure;
    }
    let number = |(example, tokens): (u32, &Vec<(f32, bool)>)| vec![example; tokens.len()];
    trace.example = (0..).zip(examples).flat_map(number).collect();
    trace
}

/// Labels: wrong at exit 1 with probability 1 − c. The risk at λ is ∫_λ¹ (1 − c) dc = (1 − λ)²/2.
fn labels(n: usize, seed: u64) -> Trace {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut one = || {
        let sure: f32 = random.random();
        vec![(sure, random.random::<f32>() < sure)]
    };
    trace(&(0..n).map(|_| one()).collect::<Vec<_>>())
}

fn risk_of_labels(threshold: f32) -> f64 {
    (1.0 - f64::from(threshold)).powi(2) / 2.0
}

/// Texts of 30 tokens: in every fifth whatever leaves is wrong, in the others nothing is. The risk at λ is
/// (1 − λ)/5.
fn texts(n: usize, seed: u64) -> Vec<Vec<(f32, bool)>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut one = || {
        let right = random.random::<f32>() >= 0.2;
        (0..30).map(|_| (random.random(), right)).collect()
    };
    (0..n).map(|_| one()).collect()
}

fn risk_of_texts(threshold: f32) -> f64 {
    (1.0 - f64::from(threshold)) / 5.0
}

/// Three gates that know different things: confidence c, margin m and entropy e are drawn evenly from (0, 1), and
/// exit 1 is wrong with probability ((1 − c) + (1 − m) + e)/3. One half of the rows is wrong there, so the fixed depth
/// is not certified, nor is patience.
fn three_gates(n: usize, seed: u64) -> Trace {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let numbers: Vec<[f32; 3]> = (0..n).map(|_| random.random()).collect();
    let right = numbers.iter().map(|[c, m, e]| random.random::<f32>() >= (2.0 - c - m + e) / 3.0);
    let mut trace = trace(&right.map(|right| vec![(0.0, right)]).collect::<Vec<_>>());
    for (row, [confidence, margin, entropy]) in numbers.into_iter().enumerate() {
        trace.signals.confidence[2 * row] = confidence;
        trace.signals.margin[2 * row] = margin;
        trace.signals.entropy[2 * row] = entropy;
    }
    trace
}

/// The true risk of one of them where a share s of the rows leaves, its surest: ∫₀ˢ (x + 1)/3 dx.
fn risk_of_share(share: f64) -> f64 {
    (share * share / 2.0 + share) / 3.0
}

/// The true risk of a gate of [`three_gates`] at a threshold.
fn risk_of_gate(gate: &str, threshold: f32) -> f64 {
    let threshold = f64::from(threshold).clamp(0.0, 1.0);
    match gate {
        "confidence" | "margin" => risk_of_share(1.0 - threshold),
        "entropy" => risk_of_share(threshold),
        _ => 0.5,
    }
}

/// What happened in some runs.
#[derive(Debug, Default)]
struct Outcome {
    /// Runs whose certified threshold has a true risk above its bound.
    broken: u64,
    certified: u64,
    /// The mean of the certified thresholds.
    threshold: f64,
}

/// The threshold that a way of calibrating chooses on a trace, in many runs.
fn outcome(
    draw: impl Fn(u64) -> Trace + Sync,
    choose: impl Fn(&Trace) -> Option<f32> + Sync,
    true_risk: impl Fn(f32) -> f64,
    bound: f64,
) -> Outcome {
    let mut outcome = Outcome::default();
    let chosen: Vec<f32> =
        (0..RUNS).into_par_iter().filter_map(|seed| choose(&draw(seed))).collect();
    for threshold in chosen {
        outcome.certified += 1;
        outcome.broken += u64::from(true_risk(threshold) > bound);
        outcome.threshold += f64::from(threshold);
    }
    outcome.threshold /= outcome.certified as f64;
    outcome
}

/// Runs that may break the promise: 1 − confidence of them and three standard deviations.
fn allowed() -> f64 {
    let level = 1.0 - CONFIDENCE;
    RUNS as f64 * level + 3.0 * (RUNS as f64 * level * (1.0 - level)).sqrt()
}

/// As `ee-eval calibrate` does.
fn calibrated(trace: &Trace, risk: f64) -> Calibration {
    let request =
        Request { risk, confidence: CONFIDENCE, against: Against::Full, keep: 0.98, seed: 7 };
    calibrate(trace, &request, vec![]).unwrap()
}

/// The threshold of one gate that was chosen beforehand.
fn certify(trace: &Trace, risk: f64) -> Option<f32> {
    let found = calibrated(trace, risk);
    found.gates["confidence"].alone.certified.map(|certified| certified.threshold)
}

/// The loosest threshold whose risk on the trace looks small enough.
fn take_at_face_value(trace: &Trace, risk: f64) -> Option<f32> {
    let gate = by_name("confidence").unwrap();
    let ladder = ladder(gate.scale(ExitSpace { layers: 2, labels: 2 }), 0.05);
    let looks = |threshold: &f32| {
        Point::of(trace, SetGate { gate, threshold: *threshold }, Against::Full).risk <= risk
    };
    ladder.into_iter().take_while(looks).last()
}

#[test]
fn the_risk_of_labels_is_kept_at_the_promised_rate() {
    // At 0.7 the true risk is 0.045, slightly above the bound: the hardest case.
    let bound = 0.044;
    let kept =
        outcome(|seed| labels(800, seed), |trace| certify(trace, bound), risk_of_labels, bound);
    assert!(kept.broken as f64 <= allowed(), "{kept:?}");
    assert!(kept.certified as f64 > 0.95 * RUNS as f64, "most runs certify something: {kept:?}");
    assert!(kept.threshold < 0.85, "and something loose, where 0.75 is the best: {kept:?}");
    let naive = |trace: &Trace| take_at_face_value(trace, bound);
    let naive = outcome(|seed| labels(400, seed), naive, risk_of_labels, bound);
    assert!(naive.broken as f64 > 2.0 * allowed(), "{naive:?}");
}

#[test]
fn the_risk_of_texts_is_kept_and_that_of_their_tokens_would_not_be() {
    // At 0.7 the true risk is 0.06.
    let bound = 0.059;
    let kept = outcome(
        |seed| trace(&texts(400, seed)),
        |trace| certify(trace, bound),
        risk_of_texts,
        bound,
    );
    assert!(kept.broken as f64 <= allowed(), "{kept:?}");
    assert!(kept.certified as f64 > 0.95 * RUNS as f64, "most runs certify something: {kept:?}");
    assert!(kept.threshold < 0.9, "and something loose, where 0.75 is the best: {kept:?}");
    // Thirty tokens of one text are not thirty independent draws.
    let tokens = |seed| {
        let alone = texts(100, seed).into_iter().flatten().map(|token| vec![token]);
        trace(&alone.collect::<Vec<_>>())
    };
    let wrong = outcome(tokens, |half| certify_on_all(half, bound), risk_of_texts, bound);
    assert!(wrong.broken as f64 > 2.0 * allowed(), "{wrong:?}");
}

#[test]
fn whoever_picks_the_best_of_all_lines_keeps_the_promise() {
    // A bound so small that few thresholds lie between those that are far below it and those above.
    let bound = 0.05;
    let runs: Vec<(Option<f64>, Option<f64>)> = (0..RUNS)
        .into_par_iter()
        .map(|seed| {
            let found = calibrated(&three_gates(800, seed), bound);
            let best = found.best.as_ref();
            let kept = best.map(|best| risk_of_gate(&best.gate, best.certified.threshold));
            // What the guarantee of a single line does not cover: the loosest of lines that were certified alone.
            let alone = found.gates.iter().filter_map(|(gate, found)| {
                Some((gate, found.alone.certified?, found.alone.held_out.average_exit))
            });
            let picked = alone.min_by(|a, b| a.2.total_cmp(&b.2));
            (kept, picked.map(|(gate, found, _)| risk_of_gate(gate, found.threshold)))
        })
        .collect();
    let broken = |risks: &mut dyn Iterator<Item = Option<f64>>| -> usize {
        risks.flatten().filter(|&risk| risk > bound).count()
    };
    let kept = broken(&mut runs.iter().map(|run| run.0));
    let picked = broken(&mut runs.iter().map(|run| run.1));
    assert!(kept as f64 <= allowed(), "{kept} of {RUNS}");
    assert!(picked > 2 * kept.max(5), "certified alone {picked}, among all {kept}");
    let certified = runs.iter().filter(|run| run.0.is_some()).count();
    assert!(certified as f64 > 0.9 * RUNS as f64, "most runs certify something: {certified}");
}

/// The certified threshold where every row decides, as if it were an independent draw.
fn certify_on_all(trace: &Trace, risk: f64) -> Option<f32> {
    let gate = by_name("confidence").unwrap();
    let ladder = ladder(gate.scale(ExitSpace { layers: 2, labels: 2 }), 0.05);
    let level = 1.0 - CONFIDENCE;
    let exits = |threshold| exits_on(SetGate { gate, threshold }, trace);
    let tested = test(trace, exits, &ladder, Promise { risk, level, against: Against::Full });
    certified(&tested, level).map(|last| last.threshold)
}
