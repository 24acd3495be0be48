//! What a checkpoint's folder states of its training.

use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use crate::error::{EvalError, Result};
use crate::trace::{Objective, TrainedOn};

/// The file in which training leaves what readers of a checkpoint should know.
const TRAINING_FACTS: &str = "ee_training.json";

/// What is read of [`TRAINING_FACTS`].
#[derive(Deserialize)]
pub(crate) struct TrainingFacts {
    ee_objective: Objective,
    #[serde(flatten)]
    pub(crate) on: TrainedOn,
}

impl TrainingFacts {
    /// How the checkpoint was trained.
    pub(crate) fn objective(&self) -> Objective {
        self.ee_objective
    }
}

/// What a checkpoint's folder states of its training; nothing of checkpoints from elsewhere.
pub(crate) fn training(folder: &Path) -> Result<TrainingFacts> {
    let path = folder.join(TRAINING_FACTS);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let on = TrainedOn::default();
            return Ok(TrainingFacts { ee_objective: Objective::Unknown, on });
        }
        Err(source) => return Err(EvalError::Io { action: "read", path, source }),
    };
    serde_json::from_str(&text).map_err(|source| EvalError::Decode { path, source })
}
