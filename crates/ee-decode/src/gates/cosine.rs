//! Leave when the state has settled: a layer hardly changes its direction (CALM's hidden-state saturation).

use ee_models::signal::cosine;

use super::{ExitSpace, Gate, Range, Reads, StateView};

/// cos(hᵈ, hᵈ⁻¹) > T.
#[derive(Debug)]
pub(super) struct Cosine;

impl Gate for Cosine {
    fn name(&self) -> &'static str {
        "cosine"
    }

    fn rule(&self) -> &'static str {
        "leave when the cosine of the state and the one a layer before is > T"
    }

    fn sample(&self) -> f32 {
        0.98
    }

    fn reads(&self) -> Reads {
        Reads::States
    }

    fn range(&self, _: ExitSpace) -> Range {
        // A number of −1 must fire at the open end.
        Range { never: 1.0, always: -1.001 }
    }

    fn numbers(&self, view: StateView<'_>) -> Vec<f32> {
        cosine(view.state, view.before)
    }
}
