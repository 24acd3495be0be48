//! Checkpoints that are never half written, and a run that continues from them.
//!
//! A checkpoint is a folder `checkpoints/step-00000120`: a Hugging Face model with its tokenizer, beside
//! `optimizer.safetensors`, `training_state.json` and `ee_training.json`. It is written under another
//! name, forced to the disk and renamed; then the links `last` and `best` of the run folder are switched,
//! each by one rename, and folders that no link names are removed. Whenever the process is killed, each
//! link names a whole checkpoint. What a killed process left behind is cleared away by the next one. The
//! price: while one checkpoint replaces another, the disk holds both.

mod moments;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ee_models::checkpoint::{self, ParameterNames};
use ee_models::loss::Objective;
use ee_tasks::tokenizer;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::optimizer::AdamW;
use crate::subject::{Loaded, Trainable};

/// Where a run stands; with weights and moments all that continuing takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingState {
    /// Optimizer steps made; epoch and position in it follow from their number.
    pub step: u64,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Validations since then.
    pub validations_since_best: u64,
    /// Length of the JSONL log at this step.
    pub log_bytes: u64,
    /// Length of the TensorBoard event file at this step.
    pub events_bytes: u64,
    /// Hash of the training examples.
    pub data: String,
}

/// The best validation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The step after which it was made.
    pub step: u64,
    /// The leading metric at the last exit.
    pub score: f64,
}

/// What readers of a checkpoint must know of its training, in `ee_training.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingFacts {
    /// Which exits' losses were minimized.
    pub ee_objective: Objective,
    /// The task's name.
    pub task: String,
    /// The split whose examples are learned; none of running text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_split: Option<String>,
    /// The split whose score is the best so far at this step: it chooses the checkpoint among those of its run, so
    /// that later figures on it are too good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_on: Option<String>,
    /// The run's seed.
    pub seed: u64,
    /// Optimizer steps made.
    pub step: u64,
}

/// What goes into a checkpoint.
pub struct Snapshot<'a, M: Trainable> {
    /// The model.
    pub model: &'a M,
    /// Its configuration.
    pub config: &'a M::Config,
    /// Its parameters' names.
    pub names: &'a ParameterNames,
    /// The names of those that are written, low-rank additions merged into them.
    pub written: &'a ParameterNames,
    /// The optimizer with its moments.
    pub optimizer: &'a AdamW,
    /// Where the tokenizer's files are.
    pub tokenizer: &'a Path,
    /// For readers of the checkpoint.
    pub facts: &'a TrainingFacts,
    /// For the run that continues.
    pub state: &'a TrainingState,
}

/// The checkpoints of one run folder.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    run: PathBuf,
}

const FOLDER: &str = "checkpoints";
const UNFINISHED: &str = "unfinished";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "training_state.json";
const FACTS: &str = "ee_training.json";

impl Checkpoints {
    /// The checkpoints of a run folder, which need not exist.
    pub fn new(run: &Path) -> Self {
        Self { run: run.to_owned() }
    }

    /// The link to the newest checkpoint, if there is one.
    pub fn last(&self) -> Option<PathBuf> {
        self.link("last")
    }

    /// The link to the checkpoint with the best score, if there is one.
    pub fn best(&self) -> Option<PathBuf> {
        self.link("best")
    }

    fn link(&self, name: &str) -> Option<PathBuf> {
        let link = self.run.join(name);
        link.join(STATE).is_file().then_some(link)
    }

    /// Writes a checkpoint and makes it the last one, and the best one where its state says so.
    ///
    /// # Errors
    /// When anything cannot be written; the earlier checkpoints stay as they were.
    pub fn save<M: Trainable>(&self, snapshot: &Snapshot<'_, M>) -> Result<()> {
        let folder = self.run.join(FOLDER);
        let unfinished = folder.join(UNFINISHED);
        remove(&unfinished)?;
        if let Err(error) = write(snapshot, &unfinished) {
            // The disk may be full: what is half written only takes space. The first error is the one to tell.
            let _ = remove(&unfinished);
            return Err(error);
        }
        let name = step_folder(snapshot.state.step);
        let finished = folder.join(&name);
        fs::rename(&unfinished, &finished).map_err(Error::io("cannot write", &finished))?;
        sync(&folder)?;
        self.switch("last", &name)?;
        self.link_best(snapshot.state)?;
        self.clear()
    }

    /// Loads what the last checkpoint holds, after clearing away what a killed process left; `None`
    /// where there is no checkpoint. `open` gives the model that the checkpoint's folder is of; parameters
    /// whose exact values the folder does not hold get them afterwards.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub fn resume<M: Trainable>(
        &self,
        open: impl FnOnce(&Path) -> Result<Loaded<M>>,
        optimizer: &mut AdamW,
    ) -> Result<Option<(Loaded<M>, TrainingState)>> {
        let Some(last) = self.last() else {
            remove(&self.run.join(FOLDER))?;
            return Ok(None);
        };
        let path = last.join(STATE);
        let text = fs::read_to_string(&path).map_err(Error::io("cannot read", &path))?;
        let state: TrainingState =
            serde_json::from_str(&text).map_err(|error| Error::broken(&path, error))?;
        self.link_best(&state)?;
        self.clear()?;
        let Loaded { model, config, names, written, notices } = open(&last)?;
        let model = moments::read(optimizer, model, &names, state.step, &last.join(OPTIMIZER))?;
        Ok(Some((Loaded { model, config, names, written, notices }, state)))
    }

    /// Links the best checkpoint where it is the last one.
    fn link_best(&self, state: &TrainingState) -> Result<()> {
        match state.best {
            Some(best) if best.step == state.step => self.switch("best", &step_folder(state.step)),
            _ => Ok(()),
        }
    }

    /// Makes a link name another checkpoint, by one rename.
    fn switch(&self, link: &str, checkpoint: &str) -> Result<()> {
        let next = self.run.join(format!("{link}.next"));
        remove(&next)?;
        let target = Path::new(FOLDER).join(checkpoint);
        std::os::unix::fs::symlink(target, &next).map_err(Error::io("cannot write", &next))?;
        let link = self.run.join(link);
        fs::rename(&next, &link).map_err(Error::io("cannot write", &link))?;
        sync(&self.run)
    }

    /// Removes checkpoints that no link names, and the moments of those that are only the best.
    fn clear(&self) -> Result<()> {
        let named = |link: &str| fs::read_link(self.run.join(link)).ok();
        let (last, best) = (named("last"), named("best"));
        let folder = self.run.join(FOLDER);
        let entries = fs::read_dir(&folder).map_err(Error::io("cannot read", &folder))?;
        for entry in entries {
            let entry = entry.map_err(Error::io("cannot read", &folder))?;
            let name = Some(Path::new(FOLDER).join(entry.file_name()));
            if name == last {
                continue;
            }
            if name == best {
                remove(&entry.path().join(OPTIMIZER))?;
            } else {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

fn step_folder(step: u64) -> String {
    format!("step-{step:08}")
}

/// Writes a whole checkpoint and forces it to the disk.
fn write<M: Trainable>(snapshot: &Snapshot<'_, M>, folder: &Path) -> Result<()> {
    let Snapshot { model, config, names, written, optimizer, tokenizer, facts, state } = *snapshot;
    fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))?;
    checkpoint::save(&model.merged(), M::to_json(config), written, folder)?;
    if let Some(generation) = M::generation_to_json(config) {
        write_json(&folder.join("generation_config.json"), &generation)?;
    }
    tokenizer::copy_files(tokenizer, folder)?;
    moments::write(model, names, optimizer, &folder.join(OPTIMIZER))?;
    write_json(&folder.join(FACTS), facts)?;
    write_json(&folder.join(STATE), state)?;
    let entries = fs::read_dir(folder).map_err(Error::io("cannot read", folder))?;
    for entry in entries {
        sync(&entry.map_err(Error::io("cannot read", folder))?.path())?;
    }
    sync(folder)
}

/// Writes a value as JSON.
fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text =
        serde_json::to_string_pretty(value).expect("numbers and strings always serialize");
    text.push('\n');
    fs::write(path, text).map_err(Error::io("cannot write", path))
}

/// Forces a file or folder to the disk.
fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io("cannot write", path))
}

/// Removes a file, link or folder that may not be there.
fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    removed.map_err(Error::io("cannot remove", path))
}
