//! Gates that read states and not the head: the head is read once, where a token leaves.

use std::fmt;

use burn::tensor::Tensor;
use ee_models::gate::LinearGate;
use ee_models::signal::cosine;

/// Every gate on states; the command line, its help and the tests walk this list.
pub const STATE_GATES: &[&dyn StateGate] = &[&Cosine, &Learned];

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
    /// The thresholds between which the gate's behaviour changes: from the first on it never leaves.
    fn never(&self) -> f32 {
        1.0
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
