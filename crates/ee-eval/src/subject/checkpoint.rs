//! A checkpoint's folder: its weights' checksum, and what it states about its training.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ee_models::checkpoint::Weights;
use ee_models::loss::Objective;
use serde::Deserialize;

use crate::error::{EvalError, Result};
use crate::trace::facts::{self, FORMAT};
use crate::trace::{TraceFacts, TrainedOn};

/// The file in which training leaves what readers of a checkpoint should know.
const TRAINING_FACTS: &str = "ee_training.json";

/// What is read of [`TRAINING_FACTS`].
#[derive(Default, Deserialize)]
struct TrainingFacts {
    #[serde(with = "facts::objective")]
    ee_objective: Option<Objective>,
    #[serde(flatten)]
    on: TrainedOn,
}

pub(super) struct Checkpoint {
    pub(super) folder: PathBuf,
    pub(super) device: String,
    /// SHA-256 of the weights, in hexadecimal.
    pub(super) checksum: String,
    architecture: &'static str,
    training: TrainingFacts,
}

impl Checkpoint {
    pub(super) fn open(folder: &Path, device: &str, architecture: &'static str) -> Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            device: device.to_owned(),
            checksum: Weights::open(folder)?.checksum()?,
            architecture,
            training: training(folder)?,
        })
    }

    /// How it was trained, where its folder says.
    pub(super) fn objective(&self) -> Option<Objective> {
        self.training.ee_objective
    }

    pub(super) fn architecture(&self) -> &'static str {
        self.architecture
    }

    /// The facts of a trace that are the checkpoint's, with nothing in the others.
    pub(super) fn facts(&self) -> TraceFacts {
        TraceFacts {
            format: FORMAT,
            model: self.folder.display().to_string(),
            checkpoint_sha256: self.checksum.clone(),
            architecture: self.architecture.to_owned(),
            objective: self.objective(),
            training: self.training.on.clone(),
            has_gold: true,
            device: self.device.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..TraceFacts::default()
        }
    }
}

/// What a folder states about its training; nothing for checkpoints from elsewhere.
fn training(folder: &Path) -> Result<TrainingFacts> {
    let path = folder.join(TRAINING_FACTS);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(TrainingFacts::default()),
        Err(source) => return Err(EvalError::Io { action: "read", path, source }),
    };
    serde_json::from_str(&text).map_err(|source| EvalError::Decode { path, source })
}
