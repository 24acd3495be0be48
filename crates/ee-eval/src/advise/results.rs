//! What a recommendation stores.

use serde::Serialize;

use super::candidates::Candidate;
use super::decide::{Doubt, Finding, Verdict};
use crate::advise::times::Times;
use crate::exits::oracle::Ideal;
use crate::trace::TraceFacts;
use crate::trial::Trials;
use crate::trial::quality::Quality;

/// What `ee-eval recommend` found, as `results.json`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Recommendation {
    pub(crate) subject: String,
    pub(crate) layers: usize,
    pub(crate) weights: String,
    pub(crate) keep: f64,
    /// Of everything that is promised: of all guaranteed thresholds together, and of the recommendation.
    pub(crate) confidence: f64,
    /// Of each guaranteed threshold alone, so that all hold at once.
    pub(crate) confidence_of_each_guarantee: f64,
    /// The doubt that each claim of the recommendation leaves, so that all hold at once.
    pub(crate) doubt: Doubt,
    pub(crate) min_tokens: usize,
    pub(crate) seed: u64,
    /// Texts of the half that chose.
    pub(crate) calibration_texts: usize,
    /// Texts of the other half.
    pub(crate) held_out_texts: usize,
    /// Texts of the half that chose which gates on states were judged on.
    pub(crate) state_texts: usize,
    pub(crate) ideal: Ideal,
    /// The share of the choosing half's tokens, at exits 1..=N, that are the last exit's.
    pub(crate) agreement_per_exit: Vec<f64>,
    pub(crate) times: Times,
    /// Every setting considered, the most promising first.
    pub(crate) candidates: Vec<Candidate>,
    /// The place among them of every trial.
    pub(crate) tried: Vec<usize>,
    /// What was measured on examples of the other half.
    pub(crate) trials: Trials,
    pub(crate) findings: Vec<Finding>,
    /// The quality of every trial on further texts of the other half; none where it was not judged.
    pub(crate) judged: Vec<Option<Quality>>,
    pub(crate) verdict: Verdict,
    pub(crate) notices: Vec<String>,
    pub(crate) trace: TraceFacts,
}
