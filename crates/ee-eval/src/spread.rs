//! The summary of several measurements of one thing.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// A median with the range of what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Median and range of some measurements.
    pub(crate) fn of(measurements: &[f64]) -> Self {
        let mut sorted = measurements.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        };
        Self { median, min: sorted[0], max: sorted[sorted.len() - 1] }
    }
}

/// Seconds of `steps` runs, after one that warms up.
pub(crate) fn timed(steps: usize, mut step: impl FnMut()) -> Spread {
    step();
    let seconds: Vec<f64> = (0..steps)
        .map(|_| {
            let started = Instant::now();
            step();
            started.elapsed().as_secs_f64()
        })
        .collect();
    Spread::of(&seconds)
}
