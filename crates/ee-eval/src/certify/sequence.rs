//! Fixed-sequence testing: from the tightest threshold towards the loosest, as long as each is proven safe.
//!
//! The thresholds are fixed before any loss is seen, so that stopping at the first failure costs none of
//! the confidence however many there are (Angelopoulos et al. 2021; as CALM, Schuster et al. 2022). Coarse
//! steps lose some depth and no validity.

use ee_decode::gates::{Comparison, Scale};
use serde::{Deserialize, Serialize};

use super::bound::p_value;
use super::losses::{Against, losses};
use crate::trace::Trace;

/// One threshold that was tested.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tested {
    pub(crate) threshold: f32,
    /// The mean loss of the calibration examples.
    pub(crate) risk: f64,
    /// Of the hypothesis that the true risk is above its bound.
    pub(crate) p_value: f64,
}

/// What is promised: the risk stays at or below `risk` with probability 1 − `level`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Promise {
    /// δ
    pub(super) risk: f64,
    /// ε
    pub(super) level: f64,
    pub(super) against: Against,
}

/// The thresholds of a gate from the first that can fire to one that always does: in steps of `step` in the
/// gate's own unit (a probability, nats), of patience every whole number.
pub(super) fn ladder(Scale { comparison, range }: Scale, step: f64) -> Vec<f32> {
    let (step, sign) = match comparison {
        Comparison::Above => (step, -1.0),
        Comparison::Below => (step, 1.0),
        Comparison::AtLeast => (1.0, -1.0),
    };
    let (never, always) = (f64::from(range.never), f64::from(range.always));
    let inside = |threshold: &f64| sign * (always - threshold) > 0.0;
    // Multiplied, not added up: 0.95, 0.9, 0.85 are what they seem.
    let steps = (1_u32..).map(|number| never + sign * step * f64::from(number));
    let rounded = |threshold: f64| (threshold * 1e6).round() / 1e6;
    steps.map(rounded).take_while(inside).map(|inner| inner as f32).chain([range.always]).collect()
}

/// Tests thresholds one after the other on the calibration half, whose rows leave at `exits(threshold)`; the
/// first failure included.
pub(super) fn test(
    calibration: &Trace,
    exits: impl Fn(f32) -> Vec<usize>,
    ladder: &[f32],
    promise: Promise,
) -> Vec<Tested> {
    let mut tested = Vec::new();
    for &threshold in ladder {
        let losses = losses(calibration, &exits(threshold), promise.against);
        let sum: f64 = losses.iter().sum();
        let p_value = p_value(sum, losses.len(), promise.risk);
        tested.push(Tested { threshold, risk: sum / losses.len() as f64, p_value });
        if p_value > promise.level {
            break;
        }
    }
    tested
}

/// The last threshold of a sequence that was proven safe.
pub(super) fn certified(tested: &[Tested], level: f64) -> Option<Tested> {
    tested.iter().copied().take_while(|tested| tested.p_value <= level).last()
}

#[cfg(test)]
mod tests {
    use ee_decode::gates::{self, ExitSpace, GATES, SetGate};

    use super::*;
    use crate::gates::exits_on;
    use crate::trace::sample;

    const SPACE: ExitSpace = ExitSpace { layers: 6, labels: 2 };

    #[test]
    fn steps_go_from_the_first_that_can_fire_to_one_that_always_does() {
        let of = |name: &str, step| ladder(gates::by_name(name).unwrap().scale(SPACE), step);
        assert_eq!(of("confidence", 0.25), [0.75, 0.5, 0.25, 0.0]);
        assert_eq!(of("margin", 0.5), [0.5, 0.0, -0.001]);
        assert_eq!(of("entropy", 0.3)[..2], [0.3, 0.6]);
        assert_eq!(of("entropy", 0.3).len(), 3);
        assert_eq!(of("patience", 0.05), [4.0, 3.0, 2.0, 1.0, 0.0]);
        assert_eq!(of("confidence", 0.05)[..4], [0.95, 0.9, 0.85, 0.8]);
    }

    #[test]
    fn every_gates_first_step_can_fire_and_its_last_always_does() {
        let trace = sample::random(40, 6, 2, 3);
        for &gate in GATES {
            let ladder = ladder(gate.scale(SPACE), 0.05);
            SetGate { gate, threshold: ladder[0] }.check(SPACE).unwrap();
            let last = SetGate { gate, threshold: ladder[ladder.len() - 1] };
            assert!(exits_on(last, &trace).iter().all(|&exit| exit == 1), "{}", gate.name());
        }
    }

    #[test]
    fn the_first_failure_ends_the_sequence() {
        let tested = |p_values: &[f64]| -> Vec<Tested> {
            let one =
                |(at, &p_value): (usize, &f64)| Tested { threshold: at as f32, risk: 0.0, p_value };
            p_values.iter().enumerate().map(one).collect()
        };
        let last = |p_values: &[f64]| certified(&tested(p_values), 0.05).map(|last| last.threshold);
        assert_eq!(last(&[0.01, 0.05, 0.2, 0.01]), Some(1.0));
        assert_eq!(last(&[0.2, 0.01]), None);
        assert_eq!(last(&[0.01]), Some(0.0));
    }

    #[test]
    fn a_sequence_that_can_be_checked_by_hand() {
        // Every row is as sure as can be and leaves at exit 1 at once; one of eight differs there.
        let mut rows: Vec<&[u32]> = vec![&[1, 1]; 7];
        rows.push(&[0, 1]);
        let trace = sample::of_predictions(&rows, &[1; 8], 2);
        let gate = gates::by_name("confidence").unwrap();
        let promise = Promise { risk: 0.5, level: 0.15, against: Against::Full };
        let exits = |threshold| exits_on(SetGate { gate, threshold }, &trace);
        let tested = test(&trace, exits, &[0.5, 0.0], promise);
        // h₁(1/8, 1/2) = ln 2 − H(1/8) = 0.3164 nats, eight times: e^−2.531. P(Bin(8, ½) ≤ 1) = 9/256,
        // times e: 0.0956, which is more.
        assert_eq!(tested.len(), 2);
        assert_eq!(tested[0].risk, 0.125);
        assert!((tested[0].p_value - 0.0796).abs() < 1e-4, "{}", tested[0].p_value);
        assert_eq!(test(&trace, exits, &[0.5, 0.0], Promise { level: 0.07, ..promise }).len(), 1);
    }
}
