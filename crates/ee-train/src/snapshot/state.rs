//! Where a run stands, as a checkpoint's state file says it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// Where a run stands; with weights and moments all that continuing takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainingState {
    /// Optimizer steps made; epoch and position in it follow from their number.
    pub(crate) step: u64,
    pub(crate) best: Option<Best>,
    pub(crate) validations_since_best: u64,
    /// The steps whose checkpoints are kept to be averaged at the end, the last one last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) to_average: Vec<u64>,
    /// Length of the JSONL log at this step.
    pub(crate) log_bytes: u64,
    /// Length of the TensorBoard event file at this step.
    pub(crate) events_bytes: u64,
    /// Hash of the training examples.
    pub(crate) data: String,
    /// Hash of the checkpoint that low-rank additions are added to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<String>,
}

/// The best validation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) step: u64,
    /// The leading metric at the last exit.
    #[serde(deserialize_with = "number_or_nan")]
    pub(crate) score: f64,
}

/// JSON has no NaN: earlier versions, in which one could be the best score, wrote null.
fn number_or_nan<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(input)?.unwrap_or(f64::NAN))
}

/// The content of a state file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) state: TrainingState,
    /// The run that wrote it; earlier versions did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<String>,
    /// The checkpoint's other files and their bytes; earlier versions did not say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) files: BTreeMap<String, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_earlier_versions_are_read() {
        let text = r#"{"step": 3, "best": {"step": 2, "score": null}, "validations_since_best": 1,
            "log_bytes": 10, "events_bytes": 20, "data": "ab"}"#;
        let Record { state, run, files } = serde_json::from_str(text).unwrap();
        assert!(state.step == 3 && state.best.unwrap().score.is_nan());
        assert!(run.is_none() && files.is_empty());
    }
}
