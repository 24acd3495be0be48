//! What was found, as it is stored: `results.json`, from which every report is computed.
//!
//! Field names are a promise to the scripts of others. Numbers are kept unrounded; a report rounds.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::certify::certificate::Checked;
use crate::exits::constant::Constant;
use crate::exits::oracle::Ideal;
use crate::exits::paired::Paired;
use crate::exits::sweep::Candidate;
use crate::trace::TraceFacts;
use crate::trial::speed::Speed;

/// Everything that a trace says about one model on one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) layers: usize,
    pub(crate) n: usize,
    pub(crate) keep: f64,
    pub(crate) ideal: Ideal,
    /// What the most frequent label scores when it is given to all rows.
    pub(crate) constant: Constant,
    /// The leading metric.
    pub(crate) score: Score,
    /// Every metric of the task, the leading one first.
    pub(crate) scores: Vec<Score>,
    /// The mean of the highest probability at exits 1..=N.
    pub(crate) confidence_per_exit: Vec<f64>,
    /// Rows by label at exits 1..=N.
    pub(crate) answers_per_exit: Vec<Vec<usize>>,
    /// The shallowest fixed depth (`fixed`) and every gate at its best threshold.
    pub(crate) gates: IndexMap<String, GateResults>,
    /// The best that any gate does with at most as many layers as exits 1..=N run.
    pub(crate) within: Vec<Within>,
    /// The best gate beside a fixed depth; none where no gate is worth naming, or the model has one layer.
    pub(crate) cut: Option<Cut>,
    /// Certified rules on these rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) certified: Vec<Checked>,
    /// Measured speed; empty when no model was run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) speed: Vec<Speed>,
    pub(crate) notices: Vec<String>,
    pub(crate) trace: TraceFacts,
}

/// A metric's scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Score {
    pub(crate) name: String,
    pub(crate) signature: String,
    /// The last exit's score.
    pub(crate) full: f64,
    /// The bootstrap 95 % interval of the last exit's score.
    pub(crate) interval: [f64; 2],
    pub(crate) per_exit: Vec<f64>,
}

/// A gate at its best threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GateResults {
    /// The threshold of the shallowest average exit that keeps the required score.
    pub(crate) threshold: f32,
    pub(crate) average_exit: f64,
    pub(crate) score: f64,
    pub(crate) scores: IndexMap<String, f64>,
    /// The mean of |gate exit − ideal exit|.
    pub(crate) distance: f64,
    /// The share of rows that leave before their ideal exit.
    pub(crate) premature: f64,
    /// The share of rows that leave after their ideal exit.
    pub(crate) late: f64,
    /// Rows by exit, 1..=N.
    pub(crate) histogram: Vec<usize>,
    /// The label that all rows are given there; none where they are given several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) only_label: Option<String>,
    /// How many distinct behaviours the gate has on this trace.
    pub(crate) candidates: usize,
    /// The trade-off curve, from the last exit to the first, thinned without losing an extreme.
    pub(crate) curve: Vec<Candidate>,
}

/// The best score of any threshold of any gate within a number of layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Within {
    /// The mean exit is at most this.
    pub(crate) layers: usize,
    pub(crate) gate: String,
    pub(crate) threshold: f32,
    pub(crate) average_exit: f64,
    pub(crate) score: f64,
}

/// The best gate and a fixed depth, side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cut {
    /// The gate that leaves shallowest and keeps the required score.
    pub(crate) gate: String,
    /// The depth: the shallowest that wins, or else the shallowest that keeps the required score.
    pub(crate) depth: usize,
    pub(crate) score: f64,
    /// The best that any gate does within as many layers.
    pub(crate) against: Within,
    pub(crate) is_better: bool,
    /// The fixed depth beside that best of the gates, on the same rows.
    pub(crate) paired: Paired,
}
