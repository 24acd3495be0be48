//! Leave when a learned gate says that the exit's answer is the last one's (see [`ee_models::gate`]).

use super::{ExitSpace, Gate, Range, Reads, StateView};

/// sigmoid(w · features + b) > T.
#[derive(Debug)]
pub(super) struct Learned;

impl Gate for Learned {
    fn name(&self) -> &'static str {
        "learned"
    }

    fn rule(&self) -> &'static str {
        "leave when the learned gate's probability is > T"
    }

    fn sample(&self) -> f32 {
        0.5
    }

    fn reads(&self) -> Reads {
        Reads::FittedStates
    }

    fn range(&self, _: ExitSpace) -> Range {
        // A number of 0 must fire at the open end.
        Range { never: 1.0, always: -0.001 }
    }

    fn numbers(&self, view: StateView<'_>) -> Vec<f32> {
        let fitted = view.fitted.expect("settings were checked");
        fitted.probabilities(view.exit, view.state)
    }
}
