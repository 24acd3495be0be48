//! A checkpoint under examination: the model on its device and what its folder says about it.

use std::path::Path;

use ee_decode::gates::ExitSpace;
use ee_models::ExitModel;
use ee_models::arch::bert::{self, Encoder, Head, LabelOrder, Loaded, TaskLabels};
use ee_models::device::device;
use ee_tasks::{Task, Tokenizer};

use super::checkpoint::Checkpoint;
use crate::error::{EvalError, Result};
use crate::trace::TraceFacts;

/// A loaded checkpoint.
pub struct Subject {
    checkpoint: Checkpoint,
    loaded: Loaded,
}

impl Subject {
    /// Loads the checkpoint of `folder` onto the device called `device_name`.
    pub fn open(folder: &Path, device_name: &str) -> Result<Self> {
        let loaded = bert::load(folder, &Head::Required, &device(device_name)?)?;
        let architecture = loaded.config.family.facts.model_type;
        Ok(Self { checkpoint: Checkpoint::open(folder, device_name, architecture)?, loaded })
    }

    /// The checkpoint's tokenizer, cutting inputs to `max_length` tokens or to what the model takes.
    pub fn tokenizer(&self, max_length: usize) -> Result<Tokenizer> {
        let config = &self.loaded.config;
        let tokenizer =
            Tokenizer::from_folder(&self.checkpoint.folder, max_length.min(config.max_length()))?;
        Ok(tokenizer.for_rows(config.vocab_size))
    }

    /// Makes the head answer with the task's labels in the task's order, whatever its own; `head_order`
    /// names them in the head's, where its names do not say. Returns what a reader must know about it.
    pub(crate) fn answer_in(
        &mut self,
        task: &Task,
        head_order: Option<&[String]>,
    ) -> Result<Option<String>> {
        let written = task.label_values.as_deref();
        let labels = TaskLabels { names: &task.labels, written, head_order };
        let order = LabelOrder::of(self.loaded.config.labels(), labels).map_err(|mismatch| {
            EvalError::Labels { folder: self.checkpoint.folder.clone(), mismatch }
        })?;
        self.loaded.answer_in(&order);
        Ok(order.notice)
    }

    /// The model.
    pub fn model(&self) -> &Encoder {
        &self.loaded.model
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.checkpoint.folder
    }

    pub(crate) fn device(&self) -> &str {
        &self.checkpoint.device
    }

    /// SHA-256 of the weights, in hexadecimal.
    pub(crate) fn checksum(&self) -> &str {
        &self.checkpoint.checksum
    }

    /// The facts of a trace that are the checkpoint's.
    pub(crate) fn facts(&self) -> TraceFacts {
        self.checkpoint.facts()
    }

    /// What gates need to know of the model.
    pub(crate) fn space(&self) -> ExitSpace {
        ExitSpace { layers: self.model().n_layers(), labels: self.loaded.config.n_labels() }
    }
}
