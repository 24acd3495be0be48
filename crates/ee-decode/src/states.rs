//! Gates that read states and not the head: the head is read once, where a token leaves.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Tensor;
use ee_models::Decoder;
use ee_models::gate::LinearGate;
use ee_models::signal::cosine;

use crate::error::Result;
use crate::gates::Range;

/// Every gate on states; the command line, its help and the tests walk this list.
pub const STATE_GATES: &[&dyn StateGate] = &[&Cosine, &Learned];

/// Reads the gate that was fitted for a model.
///
/// # Errors
/// When the file is absent or broken, or of another model's sizes.
pub fn fitted(path: &Path, model: &dyn Decoder) -> Result<Arc<LinearGate>> {
    let width = model.head_weight().matrix.dims()[1];
    Ok(Arc::new(LinearGate::read(path, model.n_layers(), width, &model.device())?))
}

/// What such a gate may see.
#[derive(Debug)]
pub struct StateView<'a> {
    /// The exit, from 1.
    pub exit: usize,
    /// The states one layer before, `[rows, d_model]`.
    pub before: Tensor<2>,
    /// The states of the exit, `[rows, d_model]`.
    pub state: Tensor<2>,
    /// The fitted gate, where one was read.
    pub fitted: Option<&'a LinearGate>,
}

/// A rule on states: leave when the number is above the threshold.
pub trait StateGate: Sync + fmt::Debug {
    /// The name on the command line and in files.
    fn name(&self) -> &'static str;
    /// The rule in one line; T is the threshold.
    fn rule(&self) -> &'static str;
    /// The thresholds that matter: of numbers from 0 to 1, which fire above, but for another body.
    fn range(&self) -> Range {
        // A number of 0 must fire at the open end.
        Range { never: 1.0, always: -0.001 }
    }
    /// Whether it has to be fitted before, and read from a file.
    fn is_fitted(&self) -> bool {
        false
    }
    /// One number per row.
    fn numbers(&self, view: StateView<'_>) -> Vec<f32>;
}

/// cos(hᵈ, hᵈ⁻¹) > T: the state has settled (CALM's hidden-state saturation).
#[derive(Debug)]
struct Cosine;

impl StateGate for Cosine {
    fn name(&self) -> &'static str {
        "cosine"
    }

    fn rule(&self) -> &'static str {
        "leave when the cosine of the state and the one a layer before is > T"
    }

    fn range(&self) -> Range {
        Range { never: 1.0, always: -1.001 }
    }

    fn numbers(&self, view: StateView<'_>) -> Vec<f32> {
        cosine(view.state, view.before)
    }
}

/// sigmoid(w · features + b) > T (see [`ee_models::gate`]).
#[derive(Debug)]
struct Learned;

impl StateGate for Learned {
    fn name(&self) -> &'static str {
        "learned"
    }

    fn rule(&self) -> &'static str {
        "leave when the learned gate's probability is > T"
    }

    fn is_fitted(&self) -> bool {
        true
    }

    fn numbers(&self, view: StateView<'_>) -> Vec<f32> {
        let fitted = view.fitted.expect("settings were checked");
        fitted.probabilities(view.exit, view.state)
    }
}
