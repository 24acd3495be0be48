//! Leave when the runner-up is far: the difference of the two highest probabilities is above the
//! threshold (CALM's softmax response gate).

use ee_models::signal::Signal;

use super::{ExitSpace, Gate, Range};

/// p₁ − p₂ > T.
#[derive(Debug)]
pub(super) struct Margin;

impl Gate for Margin {
    fn name(&self) -> &'static str {
        "margin"
    }

    fn rule(&self) -> &'static str {
        "leave when the two highest probabilities differ by > T"
    }

    fn sample(&self) -> f32 {
        0.5
    }

    fn range(&self, _: ExitSpace) -> Range {
        // A tie has the margin 0 and must fire at the open end.
        Range { never: 1.0, always: -0.001 }
    }

    fn number(&self, seen: &[Signal]) -> f32 {
        seen[seen.len() - 1].margin
    }
}
