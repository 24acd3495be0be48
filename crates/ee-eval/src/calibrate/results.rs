//! What a calibration stores.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::losses::Against;
use super::sequence::Tested;
use crate::trace::TraceFacts;

/// What `ee-eval calibrate` found, as `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The number of exits, N.
    pub layers: usize,
    /// Examples of both halves.
    pub n: usize,
    /// What is promised of every certified threshold.
    pub certificate: Certificate,
    /// Every gate.
    pub gates: IndexMap<String, GateCalibration>,
    /// What a reader should know, one sentence each.
    pub notices: Vec<String>,
    /// What was run.
    pub trace: TraceFacts,
}

/// The promise, and what it rests on: for each gate P(risk of its certified threshold ≤ `risk`) ≥ `confidence`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// How thresholds were certified.
    pub method: String,
    /// δ, the highest mean loss per example.
    pub risk: f64,
    /// 1 − ε
    pub confidence: f64,
    /// ε, which every p-value of a certified threshold and of those before it is at most.
    pub level: f64,
    /// What losses are counted against.
    pub against: Against,
    /// Distance of the thresholds that were tested, in the gate's unit.
    pub step: f64,
    /// Calibration examples: independent draws.
    pub n: usize,
    /// Calibration examples that are needed where nothing is ever lost.
    pub needed: usize,
    /// Which examples decided.
    pub split: Split,
}

/// A random split of the examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// From which the split follows, given the number of examples.
    pub seed: u64,
    /// Examples that decided.
    pub calibration: usize,
    /// Examples that only show.
    pub held_out: usize,
}

/// One gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateCalibration {
    /// The certified threshold with its figures on the calibration half; none where the first test failed.
    pub certified: Option<Tested>,
    /// What it does on the other half; without one, what the full model does.
    pub held_out: Point,
    /// The quality rule, for comparison.
    pub rule: Rule,
    /// Every test in its order, the failure that ended them included.
    pub tested: Vec<Tested>,
}

/// What a threshold does on some examples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The mean loss per example.
    pub risk: f64,
    /// The mean exit of the predictions.
    pub average_exit: f64,
}

/// The exact best threshold under the quality rule on the calibration half, which promises nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The share of the full score that was to be kept.
    pub keep: f64,
    /// The score: the task's leading metric, or of generated text the `agreement` with the full model's tokens.
    pub metric: String,
    /// The threshold.
    pub threshold: f32,
    /// What it does on the other half.
    pub held_out: Point,
}
