//! Leave at one depth, whatever is seen: the model cut off, the baseline of every gate.

use ee_models::signal::Signal;

use super::{Comparison, ExitSpace, Gate, Range, Reads};

/// What it is called.
pub const NAME: &str = "fixed";

/// Depth ≥ T.
#[derive(Debug)]
pub(super) struct Fixed;

impl Gate for Fixed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn rule(&self) -> &'static str {
        "leave at exit T"
    }

    fn sample(&self) -> f32 {
        6.0
    }

    fn comparison(&self) -> Comparison {
        Comparison::AtLeast
    }

    fn range(&self, space: ExitSpace) -> Range {
        Range { never: space.layers as f32, always: 1.0 }
    }

    fn number(&self, seen: &[Signal]) -> f32 {
        seen.len() as f32
    }

    fn reads(&self) -> Reads {
        Reads::Depth
    }
}
