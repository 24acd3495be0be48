//! Leave when the model is sure: the highest probability max p is above the threshold.

use ee_models::signal::Signal;

use super::{ExitSpace, Gate, Range};

/// max p > T.
#[derive(Debug)]
pub(super) struct Confidence;

impl Gate for Confidence {
    fn name(&self) -> &'static str {
        "confidence"
    }

    fn rule(&self) -> &'static str {
        "leave when the highest probability is > T"
    }

    fn sample(&self) -> f32 {
        0.9
    }

    fn range(&self, _: ExitSpace) -> Range {
        // The highest of several probabilities is never 0.
        Range { never: 1.0, always: 0.0 }
    }

    fn number(&self, seen: &[Signal]) -> f32 {
        seen[seen.len() - 1].confidence
    }
}
