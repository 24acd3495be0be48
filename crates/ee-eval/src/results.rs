//! What was found, as it is stored: `results.json`, from which every report is computed.
//!
//! Field names are a promise to the scripts of others. Numbers are kept unrounded; a report rounds.

use indexmap::IndexMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::calibrate::certificate::Checked;
use crate::constant::Constant;
use crate::cut::Cut;
use crate::error::{EvalError, Result};
use crate::machine::Load;
use crate::output::write_text;
use crate::trace::TraceFacts;

/// Everything that a trace says of one model on one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The number of exits, N.
    pub layers: usize,
    /// The number of rows.
    pub n: usize,
    /// The share of the full score that a gate has to keep.
    pub keep: f64,
    /// Where rows could have left.
    pub ideal: Ideal,
    /// What the most frequent label scores when it is given to all rows.
    pub constant: Constant,
    /// The leading metric.
    pub score: Score,
    /// Every metric of the task, the leading one first.
    pub scores: Vec<Score>,
    /// The mean of the highest probability at exits 1..=N.
    pub confidence_per_exit: Vec<f64>,
    /// Rows by label at exits 1..=N.
    pub answers_per_exit: Vec<Vec<usize>>,
    /// The shallowest fixed depth (`fixed`) and every gate at its best threshold.
    pub gates: IndexMap<String, GateResults>,
    /// The best that any gate does with at most as many layers as exits 1..=N run.
    pub within: Vec<Within>,
    /// The best gate beside a fixed depth; none where no gate is worth naming, or the model has one layer.
    pub cut: Option<Cut>,
    /// Certified rules on these rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certified: Vec<Checked>,
    /// Measured speed; empty when no model was run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub speed: Vec<Speed>,
    /// What a reader should know, one sentence each.
    pub notices: Vec<String>,
    /// What was run.
    pub trace: TraceFacts,
}

/// The ideal exit and what it should be compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ideal {
    /// The deepest ideal exit of any row.
    pub max: usize,
    /// The mean ideal exit.
    pub average: f64,
    /// The share of rows, 0 to 1, whose ideal exit is before the last.
    pub perc: f64,
    /// Rows by ideal exit, 1..=N.
    pub histogram: Vec<usize>,
    /// The mean of the shallowest exit from which all deeper ones agree with the last.
    pub saturation_average: f64,
    /// Rows by saturation exit, 1..=N.
    pub saturation_histogram: Vec<usize>,
    /// The mean ideal exit expected when every exit's predictions are shuffled over the rows.
    pub chance_average: f64,
    /// The share of rows expected at exits 1..=N then.
    pub chance_histogram: Vec<f64>,
}

/// A metric's scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The metric.
    pub name: String,
    /// How it was computed.
    pub signature: String,
    /// The last exit's score.
    pub full: f64,
    /// The bootstrap 95 % interval of the last exit's score.
    pub interval: [f64; 2],
    /// The scores of exits 1..=N.
    pub per_exit: Vec<f64>,
}

/// A gate at its best threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResults {
    /// The threshold of the shallowest average exit that keeps the required score.
    pub threshold: f32,
    /// The mean exit there.
    pub average_exit: f64,
    /// The leading metric's score there.
    pub score: f64,
    /// Every metric's score there, by name.
    pub scores: IndexMap<String, f64>,
    /// The mean of |gate exit − ideal exit|.
    pub distance: f64,
    /// The share of rows that leave before their ideal exit.
    pub premature: f64,
    /// The share of rows that leave after their ideal exit.
    pub late: f64,
    /// Rows by exit, 1..=N.
    pub histogram: Vec<usize>,
    /// The label that all rows are given there; none where they are given several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_label: Option<String>,
    /// How many distinct behaviours the gate has on this trace.
    pub candidates: usize,
    /// The trade-off curve, from the last exit to the first, thinned without losing an extreme.
    pub curve: Vec<CurvePoint>,
}

/// The best score of any threshold of any gate within a number of layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Within {
    /// The mean exit is at most this.
    pub layers: usize,
    /// The gate.
    pub gate: String,
    /// Its threshold.
    pub threshold: f32,
    /// Its mean exit.
    pub average_exit: f64,
    /// Its score in the leading metric.
    pub score: f64,
}

/// A point of a trade-off curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The threshold.
    pub threshold: f32,
    /// The mean exit.
    pub average_exit: f64,
    /// The leading metric's score.
    pub score: f64,
}

/// A median with the range of what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest measurement.
    pub min: f64,
    /// The largest measurement.
    pub max: f64,
}

/// A gate that really ran, against the full model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// `ideal` or `name:threshold`.
    pub gate: String,
    /// Examples per batch.
    pub batch: usize,
    /// Rows run.
    pub rows: usize,
    /// Interleaved pairs of runs.
    pub rounds: usize,
    /// Wall-clock seconds of the full model.
    pub full_seconds: Spread,
    /// Wall-clock seconds with the gate.
    pub gated_seconds: Spread,
    /// full ÷ gated in time, of the runs of one round.
    pub speed_up: Spread,
    /// N ÷ average exit.
    pub speed_up_layers: f64,
    /// The mean exit taken.
    pub average_exit: f64,
    /// The share of the gated time spent reading the shared head and deciding.
    pub head_share: f64,
    /// The leading metric's score with the gate.
    pub score: f64,
    /// What other programs took of the machine meanwhile, where the system tells.
    pub load: Option<Load>,
    /// Rows whose exit or label differs from what the trace predicts.
    pub differing_rows: usize,
    /// The device.
    pub device: String,
}

/// Writes any results as indented JSON.
///
/// # Errors
/// [`EvalError::Io`] and [`EvalError::Encode`], naming the file.
pub fn write_json(path: &Path, results: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(results)
        .map_err(|source| EvalError::Encode { path: path.to_owned(), source })?;
    text.push('\n');
    write_text(path, &text)
}
