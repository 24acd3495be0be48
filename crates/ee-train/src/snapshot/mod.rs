//! Checkpoints that are never half written, and a run that continues from them.
//!
//! A checkpoint is a folder `checkpoints/step-00000120`: a Hugging Face model with its tokenizer, beside
//! `optimizer.safetensors`, `ee_training.json` and `training_state.json`, which lists all the others. It is
//! written under another name, forced to the disk and renamed; then the links `last` and `best` of the run
//! folder are switched, each by one rename, and older checkpoints are removed. Whenever the process is
//! killed, the newest checkpoint is whole. The price: while one checkpoint replaces another, the disk holds
//! both. What goes on, and what may be removed, follows from the state files alone, never from the links,
//! which copying may lose ([`checkpoints`]).

mod average;
mod checkpoints;
mod found;
mod moments;
mod state;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use ee_models::checkpoint::{self, ParameterNames};
use ee_models::loss::Objective;
use ee_tasks::tokenizer;
use serde::{Deserialize, Serialize};

pub(crate) use self::average::Average;
pub(crate) use self::checkpoints::{Checkpoints, Resumed};
use self::state::Record;
pub(crate) use self::state::{Best, TrainingState};
use crate::error::{Error, Result};
use crate::optimizer::AdamW;
use crate::subject::Trainable;

const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "training_state.json";
const FACTS: &str = "ee_training.json";

/// What readers of a checkpoint must know of its training, in `ee_training.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainingFacts {
    pub(crate) ee_objective: Objective,
    pub(crate) task: String,
    /// The split whose examples are learned; none for running text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) training_split: Option<String>,
    /// The split whose score is the best so far at this step: it chooses the checkpoint among those of its run, so
    /// that later figures on it are too good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chosen_on: Option<String>,
    pub(crate) seed: u64,
    pub(crate) step: u64,
    /// The steps whose weights these are the mean of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) averaged_steps: Vec<u64>,
}

pub(crate) struct Snapshot<'a, M: Trainable> {
    pub(crate) model: &'a M,
    pub(crate) config: &'a M::Config,
    pub(crate) names: &'a ParameterNames,
    /// The names of those that are written, low-rank additions merged into them.
    pub(crate) written: &'a ParameterNames,
    pub(crate) optimizer: &'a AdamW,
    pub(crate) tokenizer: &'a Path,
    /// For readers of the checkpoint.
    pub(crate) facts: &'a TrainingFacts,
    /// For the run that continues.
    pub(crate) state: &'a TrainingState,
}

/// Writes a whole checkpoint of a run and forces it to the disk. The state file comes last and lists
/// whatever lies in the folder then.
fn write<M: Trainable>(snapshot: &Snapshot<'_, M>, run: &str, folder: &Path) -> Result<()> {
    let Snapshot { model, config, names, written, optimizer, tokenizer, facts, state } = *snapshot;
    write_model(&model.merged(), config, written, tokenizer, facts, folder)?;
    moments::write(model, names, optimizer, &folder.join(OPTIMIZER))?;
    let mut record =
        Record { state: state.clone(), run: Some(run.to_owned()), files: Default::default() };
    for entry in fs::read_dir(folder).map_err(Error::io("cannot read", folder))? {
        let entry = entry.map_err(Error::io("cannot read", folder))?;
        let path = entry.path();
        sync(&path)?;
        let bytes = entry.metadata().map_err(Error::io("cannot read", &path))?.len();
        record.files.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
    }
    write_json(&folder.join(STATE), &record)?;
    sync(&folder.join(STATE))?;
    sync(folder)
}

/// Writes a Hugging Face folder, with what its readers must know.
fn write_model<M: Trainable>(
    model: &M,
    config: &M::Config,
    names: &ParameterNames,
    tokenizer: &Path,
    facts: &TrainingFacts,
    folder: &Path,
) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))?;
    checkpoint::save(model, M::to_json(config), names, folder)?;
    if let Some(generation) = M::generation_to_json(config) {
        write_json(&folder.join("generation_config.json"), &generation)?;
    }
    tokenizer::copy_files(tokenizer, folder)?;
    write_json(&folder.join(FACTS), facts)
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text =
        serde_json::to_string_pretty(value).expect("numbers and strings always serialize");
    text.push('\n');
    fs::write(path, text).map_err(Error::io("cannot write", path))
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io("cannot write", path))
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io("cannot remove", path)(error))
        }
        _ => Ok(()),
    }
}
