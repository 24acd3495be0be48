//! What a calibration stores.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::losses::Against;
use super::sequence::Tested;
use crate::trace::TraceFacts;

/// What `ee-eval calibrate` found, as `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration {
    pub(crate) layers: usize,
    pub(crate) n: usize,
    pub(crate) promised: Promised,
    /// The line that `certificate.json` certifies; none where no line is certified among all.
    pub(crate) best: Option<Best>,
    /// The fixed depth (`fixed`) and every gate.
    pub(crate) gates: IndexMap<String, GateCalibration>,
    pub(crate) notices: Vec<String>,
    pub(crate) trace: TraceFacts,
}

/// The promise, and what it rests on. For each line alone P(risk of its threshold ≤ `risk`) ≥ `confidence`; and of
/// the thresholds certified among all, P(all risks ≤ `risk`) ≥ `confidence`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Promised {
    pub(crate) method: String,
    /// δ, the highest mean loss per example.
    pub(crate) risk: f64,
    /// 1 − ε
    pub(crate) confidence: f64,
    /// ε, which every p-value of a threshold certified alone and of those before it is at most.
    pub(crate) level: f64,
    /// Lines that were tested: gates and the fixed depth.
    pub(crate) lines: usize,
    /// ε by the number of lines, for thresholds certified among all.
    pub(crate) level_of_all: f64,
    pub(crate) against: Against,
    /// Calibration examples: independent draws.
    pub(crate) n: usize,
    /// Calibration examples that one line needs where nothing is ever lost.
    pub(crate) needed: usize,
    /// Those that all lines together need then.
    pub(crate) needed_of_all: usize,
    pub(crate) split: Split,
}

/// A random split of the examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Split {
    /// From which the split follows, given the number of examples.
    pub(crate) seed: u64,
    /// Examples that decided.
    pub(crate) calibration: usize,
    /// Examples whose signals chose the thresholds to test, and that show what these do.
    pub(crate) held_out: usize,
}

/// The best of the lines that are certified together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// The gate, or `fixed`.
    pub(crate) gate: String,
    pub(crate) certified: Tested,
    /// What it does on the other half.
    pub(crate) held_out: Point,
}

/// One gate, or the fixed depth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GateCalibration {
    /// Certified as if it were the only one: for a reader who had chosen it beforehand.
    pub(crate) alone: Line,
    /// Certified together with all the others: for a reader who picks the best of them.
    pub(crate) among_all: Line,
    pub(crate) rule: Rule,
    /// Every test in its order, the failure that ended them included.
    pub(crate) tested: Vec<Tested>,
}

/// A threshold with a guarantee.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The threshold with its figures on the calibration half; none where the first test failed.
    pub(crate) certified: Option<Tested>,
    /// What it does on the other half; without one, what the full model does.
    pub(crate) held_out: Point,
}

/// What a threshold does on some examples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    /// The mean loss per example.
    pub(crate) risk: f64,
    pub(crate) average_exit: f64,
}

/// The exact best threshold under the quality rule on the calibration half, which promises nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) keep: f64,
    /// The score: the task's leading metric, or of generated text the `agreement` with the full model's tokens.
    pub(crate) metric: String,
    pub(crate) threshold: f32,
    /// The label that all calibration examples are given there; none where they are given several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) only_label: Option<String>,
    /// What it does on the other half.
    pub(crate) held_out: Point,
}
