//! The learning rate of each step, as `transformers` and fairseq schedule it.

use std::f64::consts::PI;

use serde::Serialize;

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// In a straight line to zero at the last step.
    Linear,
    /// Along half a cosine to zero at the last step.
    Cosine,
    /// Not at all.
    Constant,
    /// With the inverse square root of the number of steps, whatever their total.
    #[serde(rename = "inverse_sqrt")]
    InverseSqrt,
}

/// Every kind by its name in a run file.
pub const SCHEDULES: &[(&str, ScheduleKind)] = &[
    ("linear", ScheduleKind::Linear),
    ("cosine", ScheduleKind::Cosine),
    ("constant", ScheduleKind::Constant),
    ("inverse_sqrt", ScheduleKind::InverseSqrt),
];

/// The learning rate's course over a run, as a factor of its peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The course after the warm-up.
    pub kind: ScheduleKind,
    /// The factor of the first step, where there is a warm-up.
    pub start: f64,
    /// Steps in which the factor rises from `start` to 1.
    pub warm_up: u64,
    /// Steps of the whole run.
    pub total: u64,
}

impl Schedule {
    /// The factor of a step counted from 0: start + (1 − start) s / w during the warm-up, after it with
    /// p = (s − w) / (total − w) either 1 − p or (1 + cos π p) / 2
    /// (`get_linear_schedule_with_warmup`, `get_cosine_schedule_with_warmup`), or √(w / s) (fairseq's
    /// `InverseSquareRootSchedule`, whose first update, too, has the rate that the warm-up starts from).
    pub fn factor(&self, step: u64) -> f64 {
        let Self { kind, start, warm_up, total } = *self;
        if step < warm_up {
            return start + (1.0 - start) * step as f64 / warm_up as f64;
        }
        let progress = (step - warm_up) as f64 / total.saturating_sub(warm_up).max(1) as f64;
        match kind {
            ScheduleKind::Linear => (1.0 - progress).max(0.0),
            ScheduleKind::Cosine => (0.5 * (1.0 + (PI * progress).cos())).max(0.0),
            ScheduleKind::Constant => 1.0,
            ScheduleKind::InverseSqrt => (warm_up.max(1) as f64 / step.max(1) as f64).sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_those_of_transformers() {
        let golden = include_str!("../../../tests/golden/schedules.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        let number = |key: &str| golden[key].as_u64().unwrap();
        let (total, warm_up) = (number("total_steps"), number("warmup_steps"));
        for (name, kind) in [("linear", ScheduleKind::Linear), ("cosine", ScheduleKind::Cosine)] {
            let schedule = Schedule { kind, start: 0.0, warm_up, total };
            let expected = golden[name].as_array().unwrap();
            assert_eq!(expected.len() as u64, total + 1);
            for (step, expected) in expected.iter().enumerate() {
                let (factor, expected) = (schedule.factor(step as u64), expected.as_f64().unwrap());
                assert!((factor - expected).abs() < 1e-12, "{name} {step}: {factor} {expected}");
            }
        }
    }

    #[test]
    fn a_constant_schedule_still_warms_up() {
        let schedule = Schedule { kind: ScheduleKind::Constant, start: 0.0, warm_up: 4, total: 10 };
        let factors: Vec<f64> = (0..6).map(|step| schedule.factor(step)).collect();
        assert_eq!(factors, [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
    }

    #[test]
    fn inverse_square_roots_are_fairseqs() {
        let golden = include_str!("../../../tests/golden/inverse_sqrt.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        for run in golden.as_array().unwrap() {
            let number = |key: &str| run[key].as_f64().unwrap();
            let (peak, warm_up) = (number("lr"), run["warmup_updates"].as_u64().unwrap());
            let start = number("warmup_init_lr") / peak;
            let kind = ScheduleKind::InverseSqrt;
            let schedule = Schedule { kind, start, warm_up, total: 40 };
            let expected = run["rates"].as_array().unwrap();
            assert!(expected.len() > warm_up as usize + 10);
            for (step, expected) in expected.iter().enumerate() {
                let (rate, expected) =
                    (peak * schedule.factor(step as u64), expected.as_f64().unwrap());
                let off = (rate - expected).abs();
                assert!(off <= 1e-12 * expected, "{run} {step}: {rate} {expected}");
            }
        }
    }
}
