//! Leave when the answer has settled: the last T + 1 exits give the same label (PABEE).

use ee_models::signal::Signal;

use super::{Comparison, ExitSpace, Gate, Range};

/// The last T + 1 predictions are equal.
#[derive(Debug)]
pub(super) struct Patience;

impl Gate for Patience {
    fn name(&self) -> &'static str {
        "patience"
    }

    fn rule(&self) -> &'static str {
        "leave when the last T + 1 predictions are equal"
    }

    fn sample(&self) -> f32 {
        2.0
    }

    fn comparison(&self) -> Comparison {
        Comparison::AtLeast
    }

    fn range(&self, space: ExitSpace) -> Range {
        // N − 1 repetitions are seen at exit N at the earliest, where every row leaves in any case.
        Range { never: space.layers as f32 - 1.0, always: 0.0 }
    }

    fn number(&self, seen: &[Signal]) -> f32 {
        let last = seen[seen.len() - 1].prediction;
        let equal = seen.iter().rev().take_while(|signal| signal.prediction == last).count();
        equal as f32 - 1.0
    }
}
