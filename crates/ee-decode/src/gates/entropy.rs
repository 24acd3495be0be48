//! Leave when the answer is decided: the entropy of the distribution is below the threshold.

use ee_models::signal::Signal;

use super::{Comparison, ExitSpace, Gate, Range};

/// H(p) < T, in nats.
#[derive(Debug)]
pub(super) struct Entropy;

impl Gate for Entropy {
    fn name(&self) -> &'static str {
        "entropy"
    }

    fn rule(&self) -> &'static str {
        "leave when the entropy in nats is < T"
    }

    fn sample(&self) -> f32 {
        0.1
    }

    fn comparison(&self) -> Comparison {
        Comparison::Below
    }

    fn range(&self, space: ExitSpace) -> Range {
        // H ≤ ln(labels), which the rounding of an even distribution may exceed by a few units in
        // the last place.
        Range { never: 0.0, always: 1.001 * (space.labels as f32).ln() }
    }

    fn number(&self, seen: &[Signal]) -> f32 {
        seen[seen.len() - 1].entropy
    }
}
