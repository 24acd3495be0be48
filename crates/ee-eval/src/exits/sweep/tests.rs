use ee_decode::gates::{ExitSpace, GATES, SetGate};

use super::*;
use crate::gates::exits_on;
use crate::trace::sample;

/// Every threshold that could matter: all numbers, their neighbours, and beyond both ends.
fn all_thresholds(trace: &Trace, gate: &'static dyn Gate) -> Vec<f32> {
    let space = ExitSpace { layers: trace.layers(), labels: trace.facts.labels.len() };
    let range = gate.range(space);
    let mut signals = Vec::new();
    let mut thresholds = vec![range.never, range.always];
    for row in 0..trace.rows() {
        trace.exits(row, &mut signals);
        for exit in 1..=trace.layers() {
            let number = gate.number(&signals[..exit]);
            thresholds.extend([number, number.next_up(), number.next_down()]);
        }
    }
    thresholds
}

#[test]
fn whole_texts_are_counted_at_every_point() {
    for seed in 0..5 {
        let trace = sample::generated(&[3, 1, 6, 2, 4, 5], 5, 4, seed);
        let scores = WholeTexts::new(&trace);
        for &gate in GATES {
            for candidate in curve_of(&Numbers::of(&trace, gate), &scores) {
                let exits = exits_on(SetGate { gate, threshold: candidate.threshold }, &trace);
                let differs =
                    |row: usize| trace.prediction(row, exits[row]) != trace.prediction(row, 5);
                let whole = (0..6).filter(|&text| {
                    (0..trace.rows()).all(|row| trace.example[row] != text || !differs(row))
                });
                let share = whole.count() as f64 / 6.0;
                assert!((candidate.score - share).abs() < 1e-12, "{}", gate.name());
            }
        }
    }
}

#[test]
fn every_point_is_what_its_threshold_does() {
    for seed in 0..20 {
        let trace = sample::random(30, 6, 2 + seed as usize % 2, seed);
        let scorer = Scorer::new("accuracy", trace.facts.labels.len()).unwrap();
        for &gate in GATES {
            for candidate in curve(&trace, gate, &scorer) {
                let exits = exits_on(SetGate { gate, threshold: candidate.threshold }, &trace);
                let average = exits.iter().sum::<usize>() as f64 / exits.len() as f64;
                assert_eq!(candidate.average_exit, average, "{} seed {seed}", gate.name());
                assert_eq!(
                    candidate.score,
                    scorer.score_at(&trace, &exits),
                    "{} seed {seed}",
                    gate.name()
                );
            }
        }
    }
}

#[test]
fn the_best_threshold_is_the_best_of_all_thresholds() {
    for seed in 0..20 {
        let trace = sample::random(30, 6, 2 + seed as usize % 2, seed);
        let scorer = Scorer::new("accuracy", trace.facts.labels.len()).unwrap();
        let full = scorer.score_of_exit(&trace, trace.layers());
        for &gate in GATES {
            let candidates = curve(&trace, gate, &scorer);
            for keep in [1.0, 0.98, 0.9, 0.5] {
                let found = best(&candidates, floor(full, keep));
                let shallowest = all_thresholds(&trace, gate)
                    .into_iter()
                    .map(|threshold| exits_on(SetGate { gate, threshold }, &trace))
                    .filter(|exits| scorer.score_at(&trace, exits) >= floor(full, keep))
                    .map(|exits| exits.iter().sum::<usize>())
                    .min()
                    .unwrap();
                let average = shallowest as f64 / trace.rows() as f64;
                assert_eq!(found.average_exit, average, "{} seed {seed} keep {keep}", gate.name());
            }
        }
    }
}

#[test]
fn tokens_are_swept_by_their_agreement() {
    let trace = sample::generated(&[7, 1, 12], 5, 30, 4);
    for &gate in GATES {
        for candidate in curve_of(&Numbers::of(&trace, gate), &Agreement { trace: &trace }) {
            let exits = exits_on(SetGate { gate, threshold: candidate.threshold }, &trace);
            let equal = (0..20)
                .filter(|&row| trace.prediction(row, exits[row]) == trace.prediction(row, 5));
            assert_eq!(candidate.score, equal.count() as f64 / 20.0, "{}", gate.name());
        }
    }
}

#[test]
fn a_curve_begins_at_the_last_exit_and_ends_at_the_first() {
    let trace = sample::random(50, 4, 3, 2);
    let scorer = Scorer::new("accuracy", 3).unwrap();
    for &gate in GATES {
        let candidates = curve(&trace, gate, &scorer);
        assert_eq!(candidates[0].average_exit, 4.0, "{}", gate.name());
        assert_eq!(candidates[candidates.len() - 1].average_exit, 1.0, "{}", gate.name());
        assert!(candidates.windows(2).all(|pair| pair[1].average_exit < pair[0].average_exit));
    }
}

#[test]
fn neighbouring_numbers_are_told_apart() {
    let (low, high) = (0.5_f32, 0.5_f32.next_up());
    let above = between(Comparison::Above, high, low);
    assert!(high > above && low <= above);
    let below = between(Comparison::Below, low, high);
    assert!(low < below && high >= below);
}

#[test]
fn the_floor_of_a_score_that_is_not_positive_lies_below_it() {
    assert_eq!(floor(0.5, 0.98), 0.98 * 0.5);
    assert!(floor(-0.5, 0.9) < -0.5);
    assert_eq!(floor(0.0, 0.9), 0.0);
}

#[test]
fn thinning_keeps_ends_and_extremes() {
    let candidates: Vec<Candidate> = (0..10_000)
        .map(|at| Candidate {
            threshold: at as f32,
            average_exit: 12.0 - f64::from(at) * 0.001,
            score: if at == 5003 { 2.0 } else { 0.5 },
        })
        .collect();
    let thin = thinned(&candidates, 64);
    assert!(thin.len() <= 256);
    assert_eq!((thin[0], thin[thin.len() - 1]), (candidates[0], candidates[9_999]));
    assert!(thin.iter().any(|candidate| candidate.score == 2.0));
}

#[test]
fn thresholds_step_evenly_and_part_other_rows_alike_whatever_ranks_them() {
    // With two labels confidence, margin and entropy rank alike.
    let (here, there) = (sample::continuous(400, 6, 1), sample::continuous(300, 6, 2));
    let exits = |name: &str| -> Vec<Vec<usize>> {
        let gate = ee_decode::gates::by_name(name).unwrap();
        let found = thresholds(&Numbers::of(&here, gate), 50);
        assert!(found.len() > 40 && found.len() <= 51, "{name}: {}", found.len());
        found.into_iter().map(|threshold| exits_on(SetGate { gate, threshold }, &there)).collect()
    };
    let confidence = exits("confidence");
    assert_eq!(confidence, exits("margin"));
    assert_eq!(confidence, exits("entropy"));
    assert!(confidence.last().unwrap().iter().all(|&exit| exit == 1));
    for pair in confidence.windows(2) {
        assert!(pair[0].iter().zip(&pair[1]).all(|(tight, loose)| loose <= tight));
    }
    // On their own rows each comes a fiftieth of the way further, a row's exits more or less.
    let gate = ee_decode::gates::by_name("margin").unwrap();
    for (step, threshold) in (1..).zip(thresholds(&Numbers::of(&here, gate), 50)) {
        let exits = exits_on(SetGate { gate, threshold }, &here);
        let average = exits.iter().sum::<usize>() as f64 / 400.0;
        assert!((average - (6.0 - 5.0 * f64::from(step) / 50.0)).abs() < 0.2, "{step}: {average}");
    }
}

#[test]
fn whole_numbers_are_all_tried() {
    let trace = sample::random(80, 6, 2, 4);
    let of = |name: &str| {
        thresholds(&Numbers::of(&trace, ee_decode::gates::by_name(name).unwrap()), 100)
    };
    assert_eq!(of("fixed"), [5.0, 4.0, 3.0, 2.0, 1.0]);
    assert_eq!(of("patience"), [4.0, 3.0, 2.0, 1.0, 0.0]);
    // Rows that are all as sure as can be leave at 1 as soon as any does.
    let sure = sample::of_predictions(&[&[1, 1], &[0, 1]], &[1, 1], 2);
    let confidence = Numbers::of(&sure, ee_decode::gates::by_name("confidence").unwrap());
    assert_eq!(thresholds(&confidence, 100), [0.0]);
}
