//! Flags that say which examples of a task are meant.

use std::path::{Path, PathBuf};

use clap::Args;
use ee_models::ExitModel;
use ee_tasks::Task;

use super::values::positive;
use crate::error::Result;
use crate::observe::workload::{Selection, Workload};
use crate::subject::Subject;
use crate::trace::Shard;
use crate::words::count;

/// Which examples, on which device.
#[derive(Debug, Args)]
pub struct ExampleArguments {
    /// The task's TOML file.
    #[arg(long, value_name = "FILE")]
    pub task: PathBuf,
    /// Where the task's files lie; by default what the task file says.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The split; by default the task's own for evaluation.
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Only the first N examples.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,
    /// Inputs are cut to N tokens, special tokens included.
    #[arg(long, value_name = "N", default_value = "128", value_parser = positive)]
    pub max_length: usize,
    /// Classification: the task's labels in the order of the head's outputs, for a checkpoint whose labels
    /// have no names, or other ones than the task's.
    #[arg(long, value_name = "LABEL,…", value_delimiter = ',')]
    pub label_order: Vec<String>,
    /// The device: cpu, cuda:0, …
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
}

impl ExampleArguments {
    /// What is stated of the head's order.
    #[must_use]
    pub fn label_order(&self) -> Option<&[String]> {
        (!self.label_order.is_empty()).then_some(self.label_order.as_slice())
    }

    /// A checkpoint and the examples that it is asked about.
    pub(crate) fn open(
        &self,
        folder: &Path,
        task: &Task,
        shard: Shard,
    ) -> Result<(Subject, Workload)> {
        let mut subject = Subject::open(folder, &self.device)?;
        if let Some(notice) = subject.answer_in(task, self.label_order())? {
            ee_files::note!("notice: {}: {notice}", folder.display());
        }
        let tokenizer = subject.tokenizer(self.max_length)?;
        let selection = Selection {
            data_dir: self.data_dir.as_deref(),
            split: self.split.as_deref(),
            limit: self.limit,
            shard,
        };
        let workload = Workload::read(task, &selection, &tokenizer)?;
        let layers = subject.model().n_layers();
        ee_files::note!(
            "{} on {}, {} of {}",
            count(layers, "layer"),
            subject.device(),
            count(workload.rows(), "example"),
            workload.split()
        );
        Ok((subject, workload))
    }
}
